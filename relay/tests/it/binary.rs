//! The real program: flow table, controller, cache, signals, exit codes, and a disk that is full.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Output;

use contract::event::Decision;
use contract::{Generation, Snapshot};

use crate::controller::Controller;
use crate::flows::{FlowTable, PinDirectory};
use crate::host::wait_until;
use crate::namespace::{self, CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6, STRANGER};
use crate::openssl::TlsSession;
use crate::postfix::make_certificate;
use crate::program::Home;
use crate::sink::Sink;
use crate::spam::GTUBE;
use crate::swaks::{Transcript, send};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";

pub(crate) fn snapshot(generation: u64) -> Snapshot {
    let mut snapshot = crate::gate::snapshot();
    snapshot.generation = Generation(generation);
    snapshot.customer_prefixes = vec![
        "192.0.2.0/24".parse().unwrap(),
        "2001:db8:a::/48".parse().unwrap(),
    ];
    snapshot.customers[0].prefix = "192.0.2.10/32".parse().unwrap();
    snapshot
}

/// A customer's connection, diverted by the edge: the flow is there before the SYN.
pub(crate) fn divert(flows: &mut FlowTable, customer: &str, port: u16, relay: &str, mx: &str) {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let relay = SocketAddr::new(address(relay), 2525);
    flows.insert(SocketAddr::new(address(customer), port), relay, address(mx));
}

fn mail(source: &str, port: u16, content: &[u8], more: &[&str]) -> Transcript {
    let relay = if source.contains(':') { RELAY6 } else { RELAY };
    let relay = SocketAddr::new(relay.parse().unwrap(), 2525);
    let port = port.to_string();
    let options = [&["--local-interface", source, "--local-port", &port], more].concat();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(send(relay, content, &options))
}

#[test]
fn the_flow_table_and_the_snapshot_decide_who_is_served() {
    namespace::inside("serve", || {
        let pins = PinDirectory::create("serve");
        let home = Home::new(&pins.0);
        let sink = Sink::at(SocketAddr::new(MX.parse().unwrap(), 25), &[]);
        let sink6 = Sink::at(SocketAddr::new(MX6.parse().unwrap(), 25), &[]);
        // Neither a flow table nor a controller: it starts, and asks for patience.
        let program = home.start();
        mail(CUSTOMER, 40_001, MESSAGE, &[]).assert_heard("421 4.3.2");
        mail(STRANGER, 40_002, MESSAGE, &[]).assert_heard("421 4.3.2");

        // Whoever hears the acknowledgement finds the snapshot on disk.
        let controller = Controller::start(&home.path("outgated.sock"), snapshot(5));
        wait_until("the acknowledgement", || controller.acknowledged(5));
        let cached = fs::read(home.path("snapshot.json")).unwrap();
        assert_eq!(
            serde_json::from_slice::<Snapshot>(&cached).unwrap(),
            snapshot(5)
        );
        assert!(controller.asked()[0].starts_with("/v1/relays/relay-1/snapshot?have=0&wait_s="));
        mail(CUSTOMER, 40_003, MESSAGE, &[]).assert_heard("421 4.3.2");
        mail(STRANGER, 40_004, MESSAGE, &[]).assert_heard("554 5.7.1");

        // The flow table appears.
        let mut flows = pins.pin_flows();
        divert(&mut flows, CUSTOMER, 40_005, RELAY, MX);
        mail(CUSTOMER, 40_005, MESSAGE, &[]).assert_accepted();
        divert(&mut flows, CUSTOMER6, 40_006, RELAY6, MX6);
        mail(CUSTOMER6, 40_006, MESSAGE, &["-6"]).assert_accepted();
        assert_eq!((sink.taken().len(), sink6.taken().len()), (1, 1));
        assert!(
            sink.only().trace().contains("([192.0.2.10])"),
            "{}",
            sink.only().trace()
        );
        assert!(
            sink6.only().trace().contains("([IPv6:2001:db8:a:a::10])"),
            "{}",
            sink6.only().trace()
        );
        // Another port of the same customer is another connection, and nobody diverted it.
        mail(CUSTOMER, 40_007, MESSAGE, &[]).assert_heard("421 4.3.2");
        // The relay speaks to nobody on its own host for a customer.
        divert(&mut flows, CUSTOMER, 40_008, RELAY, "127.0.0.1");
        mail(CUSTOMER, 40_008, MESSAGE, &[]).assert_heard("421 4.3.2");

        // A new edge pins a new table, and the old one's answers are nobody's.
        divert(&mut flows, CUSTOMER, 40_009, RELAY, MX);
        let mut flows = pins.pin_flows();
        mail(CUSTOMER, 40_009, MESSAGE, &[]).assert_heard("421 4.3.2");
        divert(&mut flows, CUSTOMER, 40_010, RELAY, MX);
        mail(CUSTOMER, 40_010, MESSAGE, &[]).assert_accepted();
        // One of another shape is not read.
        pins.pin_another_shape();
        mail(CUSTOMER, 40_010, MESSAGE, &[]).assert_heard("421 4.3.2");
        let _flows = pins.pin_flows();

        // The next snapshot goes the same way.
        controller.set(snapshot(6));
        wait_until("the acknowledgement", || controller.acknowledged(6));
        assert!(program.stop().success(), "{}", home.log());
        assert!(
            home.log().contains("messages_delivered_total"),
            "{}",
            home.log()
        );
    });
}

#[test]
fn it_starts_from_its_cache_without_the_controller() {
    namespace::inside("cache", || {
        let pins = PinDirectory::create("cache");
        let home = Home::new(&pins.0);
        let sink = Sink::at(SocketAddr::new(MX.parse().unwrap(), 25), &[]);
        let mut flows = pins.pin_flows();
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(9)).unwrap();
        let program = home.start();
        mail(STRANGER, 40_001, MESSAGE, &[]).assert_heard("554 5.7.1");
        divert(&mut flows, CUSTOMER, 40_002, RELAY, MX);
        mail(CUSTOMER, 40_002, MESSAGE, &[]).assert_accepted();
        assert_eq!(sink.taken().len(), 1);
        // The controller comes back: what is on disk is what is acknowledged.
        let controller = Controller::start(&home.path("outgated.sock"), snapshot(9));
        wait_until("the first question", || !controller.asked().is_empty());
        assert!(
            controller.asked()[0].contains("?have=9&"),
            "{:?}",
            controller.asked()
        );
        assert!(program.stop().success());
    });
}

#[test]
fn verdicts_are_told_once_also_those_of_a_run_that_was_killed() {
    namespace::inside("events", || {
        let pins = PinDirectory::create("events");
        let mut home = Home::new(&pins.0);
        home.add_table("[verdict]\nspam = \"reject\"\n");
        let _sink = Sink::at(SocketAddr::new(MX.parse().unwrap(), 25), &[]);
        let _sink6 = Sink::at(SocketAddr::new(MX6.parse().unwrap(), 25), &[]);
        let mut flows = pins.pin_flows();
        let spam = format!("Subject: x\r\n\r\n{GTUBE}\r\n");
        let mut refuse = |port: u16, customer: &str| {
            let (relay, mx, more): (_, _, &[&str]) = match customer {
                CUSTOMER => (RELAY, MX, &[]),
                _ => (RELAY6, MX6, &["-6"]),
            };
            divert(&mut flows, customer, port, relay, mx);
            mail(customer, port, spam.as_bytes(), more).assert_heard("550 5.7.1");
        };
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(9)).unwrap();
        // Without its controller.
        let program = home.start();
        refuse(40_001, CUSTOMER);
        refuse(40_002, CUSTOMER6);
        let journal = || fs::read_to_string(home.path("events.journal")).unwrap();
        wait_until("both to be written", || {
            journal().matches("\"verdict\":\"rejected\"").count() == 2
        });
        let mut killed = program.into_process();
        killed.0.kill().unwrap();
        drop(killed);
        let program = home.start();
        refuse(40_003, CUSTOMER);
        let controller = Controller::start(&home.path("outgated.sock"), snapshot(9));
        wait_until("all verdicts", || controller.verdicts().len() >= 3);
        refuse(40_004, CUSTOMER6);
        wait_until("the last verdict", || controller.verdicts().len() >= 4);
        assert!(program.stop().success());
        let verdicts = controller.verdicts();
        let ids: std::collections::BTreeSet<_> = verdicts.iter().map(|(id, _)| id).collect();
        assert_eq!((verdicts.len(), ids.len()), (4, 4), "{verdicts:?}");
        assert!(
            verdicts
                .iter()
                .all(|(_, verdict)| *verdict == Decision::Rejected)
        );
    });
}

#[test]
fn a_snapshot_that_is_not_durable_is_not_acknowledged() {
    namespace::inside("durable", || {
        let pins = PinDirectory::create("durable");
        let home = Home::new(&pins.0);
        // A directory in the cache's place: rename() onto it fails, also for root.
        fs::create_dir(home.path("snapshot.json")).unwrap();
        let program = home.start();
        let controller = Controller::start(&home.path("outgated.sock"), snapshot(5));
        wait_until("several questions", || controller.asked().len() >= 3);
        assert!(!controller.acknowledged(5), "{:?}", controller.asked());
        // It is in force all the same.
        mail(STRANGER, 40_001, MESSAGE, &[]).assert_heard("554 5.7.1");
        fs::remove_dir(home.path("snapshot.json")).unwrap();
        wait_until("the acknowledgement", || controller.acknowledged(5));
        assert!(program.stop().success());
    });
}

#[test]
fn a_full_disk_is_452_and_loses_nothing() {
    namespace::inside("full", || {
        let pins = PinDirectory::create("full");
        let home = Home::new(&pins.0);
        let sink = Sink::at(SocketAddr::new(MX.parse().unwrap(), 25), &[]);
        let mut flows = pins.pin_flows();
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(1)).unwrap();
        // A real file system of 64 KiB, in a mount namespace that ends with the program.
        let mount = format!(
            "mount -t tmpfs -o size=64k outgate-test {} && exec \"$@\"",
            home.path("spill").display()
        );
        let program = home.start_under(&["unshare", "--mount", "sh", "-c", &mount, "sh"]);

        let large = format!(
            "Subject: large\r\n\r\n{}",
            "0126456789abcdef\r\n".repeat(20_000)
        );
        let fits = format!(
            "Subject: fits\r\n\r\n{}",
            "0126456789abcdef\r\n".repeat(2_000)
        );
        for round in 0..3 {
            divert(&mut flows, CUSTOMER, 40_001 + round, RELAY, MX);
            let transcript = mail(CUSTOMER, 40_001 + round, large.as_bytes(), &[]);
            transcript.assert_heard("452 4.3.1 ");
            assert_eq!(transcript.exit, 26, "{}", transcript.text.len());
        }
        assert_eq!(sink.taken().len(), 0);
        // Nothing of the large ones is left on the disk: this one needs more than half of it.
        divert(&mut flows, CUSTOMER, 40_010, RELAY, MX);
        mail(CUSTOMER, 40_010, fits.as_bytes(), &[]).assert_accepted();
        assert!(sink.only().content() == fits.as_bytes());
        assert!(program.stop().success());
        assert!(
            home.log().contains("No space left on device"),
            "{}",
            home.log()
        );
    });
}

#[test]
fn what_prevents_the_start_is_named_with_an_exit_code() {
    namespace::inside("start", || {
        let pins = PinDirectory::create("start");
        let home = Home::new(&pins.0);
        // Bounded: a program that starts after all must not keep the test.
        let run = |under: &[&str]| {
            let under = [&["timeout", "20"], under].concat();
            let Output { status, stderr, .. } = home.command(&under).output().unwrap();
            (status.code(), String::from_utf8(stderr).unwrap())
        };
        let flows = pins.flows().display().to_string();
        pins.pin_another_shape();
        let (code, error) = run(&[]);
        assert_eq!(code, Some(1), "{error}");
        assert!(
            error.contains(&format!("{flows}: not the flow table of this version")),
            "{error}"
        );
        assert!(error.contains("value 72 octets"), "{error}");

        let _flows = pins.pin_flows();
        home.open_to_everybody();
        let nobody = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ];
        let (code, error) = run(&nobody);
        assert_eq!(code, Some(77), "{error}");
        assert!(
            error.contains(&format!("{flows}: not permitted")) && error.contains("CAP_BPF"),
            "{error}"
        );

        let (code, error) = run(&["prlimit", "--nofile=256:5000"]);
        assert_eq!(code, Some(78), "{error}");
        assert!(
            error.contains("relay.toml: limits.connections: 1000: needs 6456 open files")
                && error.contains("LimitNOFILE=6456"),
            "{error}"
        );

        let listener = std::net::TcpListener::bind((RELAY, 2525)).unwrap();
        let (code, error) = run(&[]);
        drop(listener);
        assert_eq!(code, Some(1), "{error}");
        assert!(
            error.contains("cannot listen on 198.51.100.2:2525: "),
            "{error}"
        );
    });
}

#[test]
fn open_files_for_all_sessions_are_seen_to_at_the_start() {
    namespace::inside("files", || {
        let pins = PinDirectory::create("files");
        let home = Home::new(&pins.0);
        let _flows = pins.pin_flows();
        let program = home.start_under(&["prlimit", "--nofile=256:8192"]);
        let limits = fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let figures: Vec<&str> = line.unwrap().split_whitespace().skip(3).take(2).collect();
        assert_eq!(figures, ["6456", "8192"]);
        assert!(program.stop().success());
    });
}

#[test]
fn a_new_certificate_is_shown_after_sighup_and_sessions_go_on() {
    namespace::inside("hup", || {
        let pins = PinDirectory::create("hup");
        let mut home = Home::new(&pins.0);
        let _sink = Sink::at(SocketAddr::new(MX.parse().unwrap(), 25), &[]);
        let (certificate, key) = (home.path("certificate.pem"), home.path("key.pem"));
        // Who leaves after the handshake would be taken for one that verifies.
        home.add_table(&format!(
            "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[splice]\nlearnt_per_customer = 0\n"
        ));
        make_certificate(home.path("").as_path(), "first.example.net");
        let mut flows = pins.pin_flows();
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(1)).unwrap();
        let program = home.start();
        let mut starttls = |port: u16| {
            divert(&mut flows, CUSTOMER, port, RELAY, MX);
            let relay = SocketAddr::new(RELAY.parse().unwrap(), 2525);
            TlsSession::open(relay, &["-bind", &format!("{CUSTOMER}:{port}")])
        };
        let mut running = starttls(40_001);
        assert!(running.shown().contains("CN = first.example.net"));

        make_certificate(home.path("").as_path(), "second.example.net");
        program.hang_up();
        wait_until("the certificate", || {
            home.log().contains("configuration read again")
        });
        assert!(starttls(40_002).shown().contains("CN = second.example.net"));
        // A key that is another certificate's is told, and changes nothing.
        fs::copy(&certificate, home.path("kept.pem")).unwrap();
        make_certificate(home.path("").as_path(), "third.example.net");
        fs::copy(home.path("kept.pem"), &certificate).unwrap();
        program.hang_up();
        wait_until("the mistake", || {
            home.log().contains("the old one stays in force")
        });
        assert!(
            home.log().contains("key.pem: ") && home.log().contains("KeyMismatch"),
            "{}",
            home.log()
        );
        assert!(starttls(40_003).shown().contains("CN = second.example.net"));
        running.expect("NOOP", "250 ");
        running.expect("QUIT", "221 ");
        assert!(program.stop().success());
    });
}
