//! Where the relay's own legs leave from: addresses of a pool, and SOCKS5 proxies.

use std::fs;
use std::process::Command;

use contract::Egress;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::dante::{Dante, PASSWORD, USER};
use crate::flows::{FlowTable, PinDirectory};
use crate::namespace::{self, CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};
use crate::program::{Home, Program};
use crate::sink::Sink;
use crate::steer::{at, mail, snapshot};
use crate::swaks::Transcript;

const POOL: [&str; 2] = ["198.51.100.20", "198.51.100.21"];
const POOL6: &str = "2001:db8:2::20";
const PROXY: &str = "198.51.100.30";
const PROXY6: &str = "2001:db8:2::30";

/// The program in a namespace that has these addresses, too, with these tables.
struct World {
    home: Home,
    flows: FlowTable,
    _pins: PinDirectory,
    port: u16,
}

impl World {
    fn new(name: &str, addresses: &[&str], egress: Egress, tables: &str) -> Self {
        for address in addresses {
            let added = Command::new("ip")
                .args(["address", "add", address, "dev", "lo", "nodad"])
                .status();
            assert!(added.unwrap().success(), "{address}");
        }
        let pins = PinDirectory::create(name);
        let mut home = Home::new(&pins.0);
        home.add_table(tables);
        let flows = pins.pin_flows();
        let cache = home.path("snapshot.json");
        relay::snapshot::cache::store(&cache, &snapshot(egress)).unwrap();
        Self {
            home,
            flows,
            _pins: pins,
            port: 40_000,
        }
    }

    fn start(&self) -> Program {
        self.home.start()
    }

    /// A message of the customer to its MX, over IPv4 or IPv6.
    fn send(&mut self, six: bool) -> Transcript {
        let (customer, relay, mx) = if six {
            (CUSTOMER6, RELAY6, MX6)
        } else {
            (CUSTOMER, RELAY, MX)
        };
        self.port += 1;
        let (from, to) = (at(customer, self.port), at(relay, 2525));
        self.flows.insert(from, to, mx.parse().unwrap());
        let port = self.port.to_string();
        mail(to, &["--local-interface", customer, "--local-port", &port])
    }
}

#[track_caller]
fn assert_came_from(sink: &Sink, address: &str, name: &str) {
    let taken = sink.taken();
    let envelope = &taken.last().unwrap().envelope;
    let seen = format!("X-Client-Addr: {address}\n").replace("2001:", "ipv6:2001:");
    assert!(envelope.contains(&seen), "{envelope}");
    assert!(
        envelope.contains(&format!("X-Helo-Args: {name}\n")),
        "{envelope}"
    );
}

#[test]
fn mail_leaves_from_its_pool_by_the_days_allowance() {
    namespace::inside("egresspool", || {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let warm_up = format!("warm_up = {{ per_day = 1, growth = 1, since = \"{today}\" }}");
        let tables = format!(
            "[[egress]]\nname = \"main\"\naddresses = [\
             {{ address = \"{}\", ehlo = \"out-1.example.net\", {warm_up} }},\
             {{ address = \"{}\", ehlo = \"out-2.example.net\", {warm_up} }},\
             {{ address = \"{POOL6}\", ehlo = \"out-6.example.net\" }}]\n",
            POOL[0], POOL[1]
        );
        let addresses = [&POOL[..], &[POOL6]].concat();
        let mut world = World::new("egresspool", &addresses, Egress::Pool, &tables);
        let program = world.start();
        let sink = Sink::at(at(MX, 25), &[]);
        for _ in POOL {
            world.send(false).assert_accepted();
        }
        let mut seen: Vec<String> = sink
            .taken()
            .iter()
            .map(|taken| taken.envelope.lines().next().unwrap().to_owned())
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            POOL.map(|address| format!("X-Client-Addr: {address}"))
        );
        // Both have sent what they may send today, and a restart does not forget it.
        let used_up = "421 4.4.5 all addresses of this relay have sent what they may send today";
        world.send(false).assert_heard(used_up);
        assert!(program.stop().success(), "{}", world.home.log());
        let program = world.start();
        world.send(false).assert_heard(used_up);
        let sink6 = Sink::at(at(MX6, 25), &[]);
        world.send(true).assert_accepted();
        assert_came_from(&sink6, POOL6, "out-6.example.net");
        assert!(program.stop().success(), "{}", world.home.log());
        let way = format!("egress.way=\"main/{POOL6}\"");
        assert!(world.home.log().contains(&way), "{}", world.home.log());
    });
}

#[test]
fn an_address_that_this_host_lacks_is_named_at_the_start() {
    namespace::inside("egresslacks", || {
        let table = "[[egress]]\nname = \"main\"\naddresses = [{ address = \"198.51.100.99\" }]\n";
        let world = World::new("egresslacks", &[], Egress::Pool, table);
        let output = world.home.command(&["timeout", "20"]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{error}");
        let named = "egress.addresses.address: 198.51.100.99: is not an address of this host";
        assert!(error.contains(named), "{error}");
        // Only the host can tell, so the file alone is right.
        let check = world.home.command(&[]).arg("--check").status().unwrap();
        assert!(check.success());
    });
}

/// Tables of proxies with a password that is in a file beside the program's.
fn proxies(password: &str, addresses: &[String]) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{password}\n")).unwrap();
    let proxies: Vec<String> = addresses
        .iter()
        .map(|address| {
            format!(
                "{{ address = \"{address}\", user = \"{USER}\", password_file = \"{}\", ehlo = \"out-3.example.net\" }}",
                file.path().display()
            )
        })
        .collect();
    let table = format!(
        "[[socks5]]\nname = \"danted\"\nproxies = [{}]\n",
        proxies.join(", ")
    );
    (file, table)
}

#[test]
fn mail_leaves_through_a_proxy_and_one_that_is_down_stops_nothing() {
    namespace::inside("egressdante", || {
        let up = [format!("{PROXY}:1080"), format!("[{PROXY6}]:1080")];
        // Nobody listens there.
        let down: Vec<String> = (1081..1085).map(|port| format!("{PROXY}:{port}")).collect();
        let (_file, tables) = proxies(PASSWORD, &[&down[..], &up[..1]].concat());
        let addresses = [PROXY, PROXY6];
        let mut world = World::new("egressdante", &addresses, Egress::Socks5, &tables);
        let dante = Dante::at(&addresses);
        let program = world.start();
        let sink = Sink::at(at(MX, 25), &[]);
        // A session tries a few; what it finds, the next one knows.
        let heard: Vec<Transcript> = (0..3).map(|_| world.send(false)).collect();
        heard.last().unwrap().assert_accepted();
        assert_came_from(&sink, PROXY, "out-3.example.net");
        drop(sink);
        // The proxy works, the destination refuses: its fault, and the proxy stays in.
        let refused = world.send(false);
        refused.assert_heard("421 4.4.1 cannot reach 203.0.113.10:25: connection refused");
        let sink = Sink::at(at(MX, 25), &[]);
        world.send(false).assert_accepted();
        drop(sink);
        assert!(program.stop().success(), "{}", world.home.log());
        let log = world.home.log();
        let fails = log.matches("an egress fails and is left out").count();
        assert!((1..=4).contains(&fails), "{log}");
        assert!(
            log.contains(&format!("egress.way=\"danted/{PROXY}:1080\"")),
            "{log}"
        );
        assert!(!dante.log().is_empty());
    });
}

#[test]
fn a_proxy_serves_ipv6_and_its_own_faults_blame_nobody_else() {
    namespace::inside("egressdante6", || {
        let addresses = [PROXY, PROXY6];
        let (file, tables) = proxies(PASSWORD, &[format!("[{PROXY6}]:1080")]);
        let mut world = World::new("egressdante6", &addresses, Egress::Socks5, &tables);
        let _dante = Dante::at(&addresses);
        let program = world.start();
        let sink = Sink::at(at(MX6, 25), &[]);
        world.send(true).assert_accepted();
        assert_came_from(&sink, PROXY6, "out-3.example.net");
        assert!(program.stop().success(), "{}", world.home.log());

        // With another password than the proxy knows, nobody but the operator has to do anything.
        fs::write(file.path(), "battery staple\n").unwrap();
        let program = world.start();
        world
            .send(true)
            .assert_heard("421 4.4.0 no address or proxy of this relay works now");
        assert!(program.stop().success(), "{}", world.home.log());
        let log = world.home.log();
        assert!(
            log.contains("does not know that user name and password"),
            "{log}"
        );
        assert!(
            !log.contains(PASSWORD) && !log.contains("battery staple"),
            "{log}"
        );
    });
}

#[test]
fn without_proxies_such_mail_waits() {
    namespace::inside("egressnone", || {
        let mut world = World::new("egressnone", &[], Egress::Socks5, "");
        let program = world.start();
        world
            .send(false)
            .assert_heard("421 4.3.5 this relay has no egress socks5 for you");
        assert!(program.stop().success(), "{}", world.home.log());
    });
}
