//! Listeners without the edge: who is served there, and where to.
//!
//! The road's router brings port 25 to the relay's host, as any router with policy routing does; what happens to it there
//! is netfilter's doing, or a proxy's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use contract::{Egress, Treatment};
use relay_proto::proxy::{FIXED_OCTETS, Proxied, decode};

use crate::haproxy::HaProxy;
use crate::namespace::{CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};
use crate::program::{Home, Program};
use crate::road::{BYSTANDER, Place, ROUTER, Road};
use crate::sink::Sink;
use crate::steer::{at, mail, snapshot};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";
const FROM: &str = "from = [\"192.0.2.10/32\", \"2001:db8:a:a::/64\"]\n";

#[test]
fn what_netfilter_translated_goes_where_it_was_going() {
    let road = Road::build("dnat");
    nft(
        &road,
        "table ip it { chain c { type nat hook prerouting priority dstnat; \
         iifname eth0 tcp dport { 25, 26 } dnat to 198.51.100.2:2525;\n}\n}\n\
         table ip6 it { chain c { type nat hook prerouting priority dstnat; \
         iifname eth0 tcp dport { 25, 26 } dnat to [2001:db8:2::2]:2525;\n}\n}\n",
    );
    let home = standalone(&format!(
        "listen = [\"{RELAY}:2525\", \"[{RELAY6}]:2525\"]\ndestination = \"so-original-dst\"\n"
    ));
    let program = road.inside(Place::Relay, || home.start());
    delivers(&road);
    let hears = |place, source, to, expected| hears(&road, place, source, to, expected);
    hears(Place::Customer, BYSTANDER, at(MX, 25), "554 5.7.1 ");
    // Who comes to the relay by name was translated from nowhere to nowhere.
    for (source, relay) in [(CUSTOMER, RELAY), (CUSTOMER6, RELAY6)] {
        hears(Place::Customer, source, at(relay, 2525), "554 5.4.6 ");
        hears(Place::Customer, source, at(relay, 25), "554 5.4.6 ");
        hears(Place::Customer, source, at(relay, 26), "554 5.4.6 ");
    }
    hears(Place::Mx, MX, at(RELAY, 2525), "554 5.7.1 ");
    hears(Place::Mx, MX6, at(RELAY6, 2525), "554 5.7.1 ");
    ends(program, &home, "refused_destination_total\" value=6");
}

#[test]
fn what_tproxy_took_goes_where_it_was_going() {
    let road = Road::build("tproxy");
    nft(
        &road,
        "table inet it { chain c { type filter hook prerouting priority mangle; \
         iifname eth0 meta nfproto ipv4 tcp dport 25 tproxy ip to 127.0.0.1:2525 accept; \
         iifname eth0 meta nfproto ipv6 tcp dport 25 tproxy ip6 to [::1]:2525 accept;\n}\n}\n",
    );
    let home = standalone(
        "listen = [\"127.0.0.1:2525\", \"[::1]:2525\"]\ndestination = \"local-address\"\n",
    );
    let program = road.inside(Place::Relay, || home.start());
    delivers(&road);
    let hears = |place, source, to, expected| hears(&road, place, source, to, expected);
    hears(Place::Customer, BYSTANDER, at(MX, 25), "554 5.7.1 ");
    hears(Place::Customer, CUSTOMER, at(RELAY, 25), "554 5.4.6 ");
    hears(Place::Customer, CUSTOMER6, at(RELAY6, 25), "554 5.4.6 ");
    hears(Place::Mx, MX6, at(RELAY6, 25), "554 5.7.1 ");
    ends(program, &home, "refused_destination_total\" value=2");
}

#[test]
fn what_a_proxy_took_goes_where_it_was_going() {
    let road = Road::build("haproxy");
    nft(
        &road,
        "table inet it { chain c { type filter hook prerouting priority mangle; \
         iifname eth0 tcp dport 25 tproxy to :10025 accept;\n}\n}\n",
    );
    let home = standalone(
        "listen = [\"127.0.0.1:2525\", \"[::1]:2525\"]\ndestination = \"proxy-v2\"\n\
         proxies = [\"127.0.0.0/8\", \"::1/128\"]\n",
    );
    let program = road.inside(Place::Relay, || home.start());
    let proxy = road.inside(Place::Relay, || {
        HaProxy::start(&[
            ("0.0.0.0:10025 transparent", "127.0.0.1:2525"),
            (":::10025 v6only transparent", "[::1]:2525"),
        ])
    });
    delivers(&road);
    let hears = |place, source, to, expected| hears(&road, place, source, to, expected);
    hears(Place::Customer, BYSTANDER, at(MX, 25), "554 5.7.1 ");
    // To the proxy itself, translated or by its own name.
    for (source, relay) in [(CUSTOMER, RELAY), (CUSTOMER6, RELAY6)] {
        hears(Place::Customer, source, at(relay, 25), "554 5.4.6 ");
        hears(Place::Customer, source, at(relay, 10_025), "554 5.4.6 ");
    }
    hears(Place::Mx, MX, at(RELAY, 10_025), "554 5.7.1 ");
    drop(proxy);
    ends(program, &home, "refused_destination_total\" value=4");
    // Its health checks speak for nobody.
    assert!(
        !home.log().contains("\"probes_total\" value=0"),
        "{}",
        home.log()
    );
}

#[test]
fn a_header_is_believed_from_a_proxy_alone() {
    let road = Road::build("proxied");
    let home = standalone(&format!(
        "listen = [\"{RELAY}:2525\", \"[{RELAY6}]:2525\"]\ndestination = \"proxy-v2\"\n\
         proxies = [\"{ROUTER}/32\", \"2001:db8:2::1/128\", \"203.0.113.64/26\"]\n"
    ));
    let program = road.inside(Place::Relay, || home.start());
    let (mx, customer) = (at(MX, 25), at(CUSTOMER, 40_000));
    let says =
        |octets: &[u8]| road.inside(Place::Router, || first_line(None, at(RELAY, 2525), octets));
    for (source, destination, expected) in [
        (customer, mx, "220 relay-1."),
        (at(CUSTOMER6, 40_000), at(MX6, 25), "220 relay-1."),
        (at(BYSTANDER, 40_000), mx, "554 5.7.1 "),
        (at(ROUTER, 40_000), mx, "554 5.7.1 "),
        (customer, at(RELAY, 2525), "554 5.4.6 "),
        (customer, at(RELAY, 25), "554 5.4.6 "),
        (customer, at("127.0.0.1", 25), "554 5.4.6 "),
        // A proxy that stands elsewhere would bring it back.
        (customer, at("203.0.113.77", 25), "554 5.4.6 "),
        (customer, at(MX, 587), "554 5.7.1 "),
        (customer, at("224.0.0.1", 25), "554 5.4.4 "),
    ] {
        let line = says(&header(source, destination));
        assert!(
            line.starts_with(expected),
            "{source} to {destination}: {line}"
        );
    }
    // What follows the header at once is the session's.
    let eager = [header(customer, mx), b"QUIT\r\n".to_vec()].concat();
    assert!(says(&eager).starts_with("220 "));
    let local = [&header(customer, mx)[..12], &[0x20, 0, 0, 0]].concat();
    assert!(says(&local).starts_with("220 "));
    for nonsense in [
        b"EHLO client.example\r\n".as_slice(),
        b"PROXY TCP4 192.0.2.10 203.0.113.10 40000 25\r\n",
        &[&header(customer, mx)[..12], &[0x21, 0x11, 0, 3, 1, 2, 3]].concat(),
    ] {
        assert_eq!(says(nonsense), "", "{}", nonsense.escape_ascii());
    }
    // From anybody else the same octets are nothing but a bad start.
    let header = header(customer, mx);
    for (place, source, expected) in [
        (Place::Mx, MX, "554 5.7.1 "),
        (Place::Customer, BYSTANDER, "554 5.7.1 "),
        (Place::Customer, CUSTOMER, "421 4.3.2 "),
    ] {
        let line = road.inside(place, || first_line(Some(source), at(RELAY, 2525), &header));
        assert!(line.starts_with(expected), "{source}: {line}");
    }
    ends(program, &home, "proxy_header_invalid_total\" value=3");
}

#[test]
fn terms_hold_for_those_without_a_flag() {
    let road = Road::build("terms");
    let listener = |port: u16, more: &str| {
        format!(
            "[[authorised]]\n{FROM}listen = [\"{RELAY}:{port}\"]\ndestination = \"proxy-v2\"\n\
             proxies = [\"{ROUTER}/32\"]\n{more}\n"
        )
    };
    let tables =
        listener(2525, "") + &listener(2526, "treatment = \"walled\"\nreason = \"contract ended\"");
    let refused_at = |port| {
        let header = header(at(CUSTOMER, 40_000), at(MX, 25));
        road.inside(Place::Router, || recipient(at(RELAY, port), &header))
    };
    let _sink = road.inside(Place::Mx, || Sink::at(at(MX, 25), &[]));

    let home = Home::authorised(false, &tables);
    let program = road.inside(Place::Relay, || home.start());
    let refusal = refused_at(2526);
    assert!(
        refusal.starts_with(
            "550 5.7.1 mail from 192.0.2.10 is blocked by Example Hosting: contract ended; see "
        ),
        "{refusal}"
    );
    assert!(!refusal.contains(" ref F"), "{refusal}");
    assert!(refused_at(2525).starts_with("250 "), "{}", home.log());
    assert!(program.stop().success(), "{}", home.log());

    // With a controller nobody is served before its flags are known, and then they go before the terms.
    let home = Home::authorised(true, &tables);
    let program = road.inside(Place::Relay, || home.start());
    assert!(refused_at(2525).starts_with("421 4.3.2 "));
    assert!(program.stop().success(), "{}", home.log());
    let mut flags = snapshot(Egress::Customer);
    for customer in &mut flags.customers {
        customer.treatment = Treatment::Walled;
    }
    relay::snapshot::cache::store(&home.path("snapshot.json"), &flags).unwrap();
    let program = road.inside(Place::Relay, || home.start());
    for port in [2525, 2526] {
        let refusal = refused_at(port);
        assert!(refusal.contains(": complaint 4711; see "), "{refusal}");
        assert!(refusal.contains(" ref F1-"), "{refusal}");
    }
    assert!(program.stop().success(), "{}", home.log());
}

fn standalone(lines: &str) -> Home {
    Home::authorised(false, &format!("[[authorised]]\n{FROM}{lines}"))
}

/// Both customers' mail arrives, from the relay's own address, with the customer's in the trace.
#[track_caller]
fn delivers(road: &Road) {
    for (customer, mx, relay) in [(CUSTOMER, MX, RELAY), (CUSTOMER6, MX6, RELAY6)] {
        let sink = road.inside(Place::Mx, || Sink::at(at(mx, 25), &[]));
        let options = ["--local-interface", customer, "-tls"];
        let sent = road.inside(Place::Customer, || mail(at(mx, 25), &options));
        sent.assert_accepted();
        sent.assert_heard("220 relay-1.example.net ");
        let taken = sink.only();
        assert!(taken.envelope.contains(relay), "{}", taken.envelope);
        assert!(taken.trace().contains(customer), "{}", taken.trace());
        assert!(taken.content() == MESSAGE);
    }
}

#[track_caller]
pub(crate) fn hears(road: &Road, place: Place, source: &str, to: SocketAddr, expected: &str) {
    let line = road.inside(place, || first_line(Some(source), to, b""));
    assert!(line.starts_with(expected), "{source} to {to}: {line}");
}

#[track_caller]
fn ends(program: Program, home: &Home, counted: &str) {
    assert!(program.stop().success(), "{}", home.log());
    let counted = format!("counter=\"{counted}");
    assert!(home.log().contains(&counted), "{counted}\n{}", home.log());
}

/// What is heard first by who says `octets`; empty if the connection just ends.
fn first_line(source: Option<&str>, to: SocketAddr, octets: &[u8]) -> String {
    let mut line = String::new();
    // A reset is an end as well.
    let _ended = BufReader::new(connected(source, to, octets))
        .read_line(&mut line)
        .is_ok();
    line
}

/// The reply to RCPT, or to the greeting if that is a refusal.
pub(crate) fn recipient(to: SocketAddr, header: &[u8]) -> String {
    let mut stream = BufReader::new(connected(None, to, header));
    let mut reply = String::new();
    for command in [
        "",
        "HELO c.example",
        "MAIL FROM:<a@c.example>",
        "RCPT TO:<b@mx.example>",
    ] {
        if !command.is_empty() {
            let line = format!("{command}\r\n");
            stream.get_mut().write_all(line.as_bytes()).unwrap();
        }
        reply.clear();
        stream.read_line(&mut reply).unwrap();
        if !reply.starts_with('2') {
            break;
        }
    }
    reply.trim_end().to_owned()
}

fn connected(source: Option<&str>, to: SocketAddr, octets: &[u8]) -> TcpStream {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(to),
        socket2::Type::STREAM,
        None,
    )
    .unwrap();
    if let Some(source) = source {
        let source = SocketAddr::new(source.parse().unwrap(), 0);
        socket.bind(&source.into()).unwrap();
    }
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.set_nodelay(true).unwrap();
    // In two segments at least.
    let (first, rest) = octets.split_at(octets.len().min(FIXED_OCTETS / 2));
    for octets in [first, rest] {
        stream.write_all(octets).unwrap();
    }
    stream
}

/// A header of version 2, as the specification has it.
fn header(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::new();
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(v4) => addresses.extend(v4.octets()),
            IpAddr::V6(v6) => addresses.extend(v6.octets()),
        }
    }
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    let length = u8::try_from(addresses.len()).unwrap();
    let fixed = [
        b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
        &[0x21, family, 0, length],
    ]
    .concat();
    let header = [fixed, addresses].concat();
    let expected = Proxied::For {
        source,
        destination,
    };
    assert_eq!(decode(&header), Ok(expected));
    header
}

/// Loads a ruleset on the relay's host.
#[track_caller]
fn nft(road: &Road, rules: &str) {
    nft_at(road, Place::Relay, rules);
}

/// Loads a ruleset.
#[track_caller]
pub(crate) fn nft_at(road: &Road, place: Place, rules: &str) {
    road.inside(place, || {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nft is not installed");
        nft.stdin
            .take()
            .unwrap()
            .write_all(rules.as_bytes())
            .unwrap();
        let mut said = String::new();
        nft.stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(nft.wait().unwrap().success(), "{rules}: {said}");
    });
}
