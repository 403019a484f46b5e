//! Connections that the edge steers to the relay, and legs that leave from the customer's own address.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use contract::{CUSTOMER_EGRESS_PORTS, CustomerPolicy, Egress, Snapshot};
use rustix::net::{AddressFamily, SocketType};

use crate::flows::PinDirectory;
use crate::host::wait_until;
use crate::namespace::{self, CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};
use crate::program::Home;
use crate::road::{BYSTANDER, Place, ROUTER, Road};
use crate::sink::Sink;
use crate::swaks::{Transcript, send};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";

/// Both addresses of the customer are flagged, with this egress.
pub(crate) fn snapshot(egress: Egress) -> Snapshot {
    let mut snapshot = crate::gate::snapshot();
    snapshot.customer_prefixes = vec![
        "192.0.2.0/24".parse().unwrap(),
        "2001:db8:a::/48".parse().unwrap(),
    ];
    snapshot.probe_sources = vec![ROUTER.parse().unwrap()];
    let policy = snapshot.customers.remove(0);
    let prefixes = [format!("{CUSTOMER}/32"), format!("{CUSTOMER6}/128")];
    snapshot.customers = prefixes
        .map(|prefix| CustomerPolicy {
            prefix: prefix.parse().unwrap(),
            egress,
            ..policy.clone()
        })
        .into();
    snapshot
}

pub(crate) fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

pub(crate) fn mail(to: SocketAddr, options: &[&str]) -> Transcript {
    mail_of(MESSAGE, to, options)
}

/// The same with a content of its own.
pub(crate) fn mail_of(content: &[u8], to: SocketAddr, options: &[&str]) -> Transcript {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(send(to, content, options))
}

/// What is heard first by who connects from `source` to `to`.
fn greeting(source: &str, to: SocketAddr) -> String {
    let source = SocketAddr::new(source.parse().unwrap(), 0);
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &source).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// As the systemd drop-in has it: nobody, with two capabilities.
const UNPRIVILEGED: [&str; 6] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all,+net_raw,+net_bind_service",
    "--ambient-caps=-all,+net_raw,+net_bind_service",
];

#[test]
fn steered_mail_leaves_from_the_customers_own_address() {
    let road = Road::build("steer");
    let home = Home::steered();
    home.open_to_everybody();
    let cache = home.path("snapshot.json");
    relay::snapshot::cache::store(&cache, &snapshot(Egress::Customer)).unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&cache, readable).unwrap();
    let program = road.inside(Place::Relay, || home.start_under(&UNPRIVILEGED));

    let seen6 = format!("ipv6:{CUSTOMER6}");
    for (customer, mx, seen) in [(CUSTOMER, MX, CUSTOMER), (CUSTOMER6, MX6, &seen6)] {
        let sink = road.inside(Place::Mx, || Sink::at(at(mx, 25), &[]));
        let options = ["--local-interface", customer];
        let sent = road.inside(Place::Customer, || mail(at(mx, 25), &options));
        sent.assert_accepted();
        sent.assert_heard("220 relay-1.example.net ");
        let taken = sink.only();
        assert!(
            taken.envelope.contains(&format!("X-Client-Addr: {seen}\n")),
            "{}",
            taken.envelope
        );
        // The customer's own name goes with the customer's own address.
        assert!(
            taken.envelope.contains("X-Helo-Args: client.example\n"),
            "{}",
            taken.envelope
        );
        assert!(taken.trace().contains(customer), "{}", taken.trace());
        assert!(taken.content() == MESSAGE);
    }
    assert!(program.stop().success(), "{}", home.log());
    assert!(home.log().contains("egress=\"customer\""), "{}", home.log());
}

#[test]
fn steered_mail_may_leave_from_the_relay_too() {
    let road = Road::build("steerpool");
    let home = Home::steered();
    relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(Egress::Pool)).unwrap();
    let program = road.inside(Place::Relay, || home.start());
    for (mx, relay) in [(MX, RELAY), (MX6, RELAY6)] {
        let sink = road.inside(Place::Mx, || Sink::at(at(mx, 25), &[]));
        road.inside(Place::Customer, || mail(at(mx, 25), &[]))
            .assert_accepted();
        let envelope = sink.only().envelope;
        assert!(envelope.contains(relay), "{envelope}");
        assert!(
            envelope.contains("X-Helo-Args: relay-1.example.net\n"),
            "{envelope}"
        );
    }
    assert!(program.stop().success(), "{}", home.log());
}

#[test]
fn only_a_redirected_customer_on_its_way_elsewhere_has_an_origin() {
    let road = Road::build("steerorigin");
    let home = Home::steered();
    relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(Egress::Customer))
        .unwrap();
    let program = road.inside(Place::Relay, || home.start());
    let hears = |place, source, to, expected: &str| {
        let line = road.inside(place, || greeting(source, to));
        assert!(line.starts_with(expected), "{source} to {to}: {line}");
    };
    hears(Place::Customer, CUSTOMER, at(MX, 25), "220 relay-1.");
    hears(Place::Customer, BYSTANDER, at(MX, 25), "421 4.3.2 ");
    // Not even a redirected customer makes the relay speak to itself.
    hears(Place::Customer, CUSTOMER, at(RELAY, 25), "421 4.3.2 ");
    hears(Place::Router, ROUTER, at(RELAY, 25), "220 relay-1.");
    hears(Place::Mx, MX, at(RELAY, 25), "554 5.7.1 ");

    // The rules are narrow: the relay's host does not say that it is somebody else.
    let neighbour = road.inside(Place::Router, || {
        TcpStream::connect(at("198.51.100.77", 25))
    });
    let error = neighbour.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{error}");
    assert!(program.stop().success(), "{}", home.log());
}

#[test]
fn transparent_listeners_without_the_capability_are_77() {
    let home = Home::steered();
    home.open_to_everybody();
    let under = [&["timeout", "20"], &UNPRIVILEGED[..4]].concat();
    let output = home.command(&under).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{error}");
    assert!(
        error.contains("cannot listen on 0.0.0.0:25: ") && error.contains("CAP_NET_RAW"),
        "{error}"
    );
}

#[test]
fn ports_that_are_taken_are_stepped_over_until_there_is_none() {
    namespace::inside("steerports", || {
        raise_open_files();
        let pins = PinDirectory::create("steerports");
        let home = Home::new(&pins.0);
        let mut flows = pins.pin_flows();
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(Egress::Customer))
            .unwrap();
        let program = home.start();
        let mx = TcpListener::bind(at(MX, 25)).unwrap();
        mx.set_nonblocking(true).unwrap();

        // Somebody holds every port of the customer's address but one.
        let left = 63_000;
        let address: IpAddr = CUSTOMER.parse().unwrap();
        let hold = |port| {
            let socket =
                rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            rustix::net::bind(&socket, &SocketAddr::new(address, port)).unwrap();
            socket
        };
        let held: Vec<_> = CUSTOMER_EGRESS_PORTS
            .filter(|&port| port != left)
            .map(hold)
            .collect();
        flows.insert(at(CUSTOMER, 40_001), at(RELAY, 2525), MX.parse().unwrap());
        flows.insert(at(CUSTOMER, 40_002), at(RELAY, 2525), MX.parse().unwrap());
        std::thread::scope(|scope| {
            let from = |port| ["--local-interface", CUSTOMER, "--local-port", port];
            let first = scope.spawn(move || mail(at(RELAY, 2525), &from("40001")));
            let mut accepted = None;
            wait_until("a connection of the relay", || {
                accepted = mx.accept().ok();
                accepted.is_some()
            });
            let (stream, peer) = accepted.unwrap();
            assert_eq!(peer, SocketAddr::new(address, left));
            // While that one is open there is no port left towards this destination.
            let transcript = mail(at(RELAY, 2525), &from("40002"));
            transcript.assert_heard("421 4.4.1 cannot reach 203.0.113.10:25: all ports ");
            drop(stream);
            first.join().unwrap().assert_heard("421 4.4.1 ");
        });
        drop(held);
        assert!(program.stop().success(), "{}", home.log());
    });
}

/// The range has more ports than a process usually may have files.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit {
        current: Some(16_384),
        maximum: Some(16_384),
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}
