//! A road of real links for steered connections: customer, router, relay and MX, each in a network
//! namespace of its own.
//!
//! The router stands for the edge. It steers by policy routing alone: port 25 of the customer goes to
//! the relay, and so does what comes back to the ports that the relay uses of the customer's address;
//! no octet changes but the hop limit. The relay's host is prepared by the script that operators are
//! given.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::host::require_root;
use crate::namespace::{CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};

/// The router's address on the relay's link: the controller's health checks come from there.
pub(crate) const ROUTER: &str = "198.51.100.1";
/// A customer that nobody has flagged.
pub(crate) const BYSTANDER: &str = "192.0.2.66";

/// One of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Customer,
    Router,
    Relay,
    Mx,
}

/// The four namespaces; gone with the test.
pub(crate) struct Road {
    name: String,
}

impl Road {
    #[track_caller]
    pub(crate) fn build(name: &str) -> Self {
        require_root();
        let this = Self {
            name: format!("relay-it-{name}-{}", std::process::id()),
        };
        for place in PLACES {
            batch(None, &format!("netns add {}\n", this.namespace(place)));
            this.inside(place, || {
                // No address may be tentative while a test already runs.
                sysctl("net/ipv6/conf/default/accept_dad", "0");
                // Strict: the script has to do with it.
                sysctl("net/ipv4/conf/all/rp_filter", "1");
            });
        }
        // Without it the router's kernel cannot tell itself that a neighbour does not answer.
        this.ip(Place::Router, "link set lo up\n");
        this.inside(Place::Router, || {
            sysctl("net/ipv4/ip_forward", "1");
            sysctl("net/ipv6/conf/all/forwarding", "1");
            // The answers of an MX to the relay arrive where the customer's would.
            sysctl("net/ipv4/conf/all/rp_filter", "0");
        });
        this.lay(Place::Customer, "c0", CUSTOMER, CUSTOMER6);
        this.lay(Place::Relay, "r0", RELAY, RELAY6);
        this.lay(Place::Mx, "m0", MX, MX6);
        this.ip(
            Place::Customer,
            &format!("address add {BYSTANDER}/24 dev eth0\n"),
        );
        let mut steering = String::new();
        for (family, relay) in [("-4", RELAY), ("-6", RELAY6)] {
            steering += &format!(
                "{family} route add default via {relay} dev r0 table 200\n\
                 {family} rule add iif c0 ipproto tcp dport 25 lookup 200\n\
                 {family} rule add pref 10 iif m0 ipproto tcp sport 25 dport 1-60999 lookup main\n\
                 {family} rule add pref 11 iif m0 ipproto tcp sport 25 lookup 200\n"
            );
        }
        for line in steering.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            this.run(Place::Router, "ip", &words);
        }
        this.run(Place::Relay, SCRIPT, &["up", "eth0"]);
        this
    }

    /// Runs `work` on a thread inside of a place; children inherit it.
    #[track_caller]
    pub(crate) fn inside<T: Send>(&self, place: Place, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.namespace(place))).unwrap();
        let outcome = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join()
        });
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A link between the router and a place, with the place's addresses.
    #[track_caller]
    fn lay(&self, place: Place, at_router: &str, v4: &str, v6: &str) {
        let (gateway, gateway6) = (with_last(v4, '.', "1"), with_last(v6, ':', "1"));
        let host = self.namespace(place);
        self.ip(
            Place::Router,
            &format!(
                "link add {at_router} type veth peer name eth0 netns {host}\n\
                 address add {gateway}/24 dev {at_router}\n\
                 address add {gateway6}/64 dev {at_router} nodad\n\
                 link set {at_router} up\n"
            ),
        );
        self.ip(
            place,
            &format!(
                "link set lo up\n\
                 address add {v4}/24 dev eth0\n\
                 address add {v6}/64 dev eth0 nodad\n\
                 link set eth0 up\n\
                 route add default via {gateway}\n\
                 route add default via {gateway6}\n"
            ),
        );
    }

    fn ip(&self, place: Place, lines: &str) {
        batch(Some(&self.namespace(place)), lines);
    }

    #[track_caller]
    fn run(&self, place: Place, program: &str, words: &[&str]) {
        let output = self.inside(place, || Command::new(program).args(words).output());
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program} {words:?}: {output:?}");
    }

    fn namespace(&self, place: Place) -> String {
        let place = match place {
            Place::Customer => "customer",
            Place::Router => "router",
            Place::Relay => "relay",
            Place::Mx => "mx",
        };
        format!("{}-{place}", self.name)
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        for place in PLACES {
            // Also half of a road is taken up; what is not there cannot be.
            let _removed = Command::new("ip")
                .args(["netns", "delete", &self.namespace(place)])
                .stderr(Stdio::null())
                .status()
                .is_ok();
        }
    }
}

/// `address` with its last part replaced.
fn with_last(address: &str, separator: char, last: &str) -> String {
    let (network, _host) = address.rsplit_once(separator).unwrap();
    format!("{network}{separator}{last}")
}

/// `/proc/sys/net` shows the namespace of the thread that opens it.
#[track_caller]
fn sysctl(key: &str, value: &str) {
    std::fs::write(format!("/proc/sys/{key}"), value).unwrap();
}

#[track_caller]
fn batch(namespace: Option<&str>, lines: &str) {
    let mut ip = Command::new("ip");
    if let Some(namespace) = namespace {
        ip.args(["-n", namespace]);
    }
    let mut ip = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip is not installed");
    let mut input = ip.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = ip.wait_with_output().unwrap();
    assert!(output.status.success(), "{lines}: {output:?}");
}

const PLACES: [Place; 4] = [Place::Customer, Place::Router, Place::Relay, Place::Mx];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/steer-relay.sh");
