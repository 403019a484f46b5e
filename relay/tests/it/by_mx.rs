//! Mail that is given to the relay itself, as to a smarthost, or that a router has translated without a trace of where
//! it was going: who may do that, and that it goes to the servers of its recipients.
//!
//! The senders are real, and so is the resolver that knows those servers.

use std::net::SocketAddr;

use contract::{Delivery, Egress, Treatment};

use crate::authorised::{hears, nft_at, recipient};
use crate::host::wait_until;
use crate::namespace::{CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};
use crate::program::{Home, Program};
use crate::resolver::Resolver;
use crate::road::{BYSTANDER, Place, ROUTER, Road};
use crate::sender::Sender;
use crate::sink::{Sink, Taken};
use crate::steer::{at, mail, mail_of, snapshot};
use crate::swaks::Transcript;

/// A server of each family, and an author whose SPF record has the relay's address of one family alone.
const NAMES: &str = "\
four.example.net. MX 10 mx4.example.net.
mx4.example.net. A 203.0.113.10
six.example.net. MX 10 mx6.example.net.
mx6.example.net. AAAA 2001:db8:b:1::10
half.example.net. TXT \"v=spf1 ip4:192.0.2.10 ip4:198.51.100.2 -all\"
_dmarc.half.example.net. TXT \"v=DMARC1; p=reject\"
";

/// A relay that serves the customer's addresses by their name for it, and a server of each family.
struct Scene {
    // In the order in which they end.
    program: Program,
    home: Home,
    four: Sink,
    six: Sink,
    _resolver: Resolver,
    road: Road,
}

impl Scene {
    /// With these lines of configuration more, and a controller if that has said these flags.
    fn set(name: &str, more: &str, flags: Option<contract::Snapshot>) -> Self {
        let road = Road::build(name);
        let resolver = road.inside(Place::Relay, || Resolver::start(NAMES, ""));
        let mut home = Home::authorised(flags.is_some(), &listener());
        home.add_table("[dns]\nservers = [\"127.0.0.1\"]\n[mta_sts]\noff = true\n");
        let spool = home.path("spool");
        home.add_table(&format!(
            "[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n"
        ));
        home.add_table(more);
        if let Some(flags) = flags {
            relay::snapshot::cache::store(&home.path("snapshot.json"), &flags).unwrap();
        }
        let program = road.inside(Place::Relay, || home.start());
        let [four, six] = [MX, MX6].map(|mx| road.inside(Place::Mx, || Sink::at(at(mx, 25), &[])));
        Self {
            program,
            home,
            four,
            six,
            _resolver: resolver,
            road,
        }
    }

    /// What swaks hears that sends from `customer` to `relay`.
    fn send(&self, customer: &str, relay: SocketAddr, options: &[&str]) -> Transcript {
        let options = [&["--local-interface", customer], options].concat();
        self.road.inside(Place::Customer, || mail(relay, &options))
    }

    #[track_caller]
    fn ends(self) {
        assert!(self.program.stop().success(), "{}", self.home.log());
    }
}

fn listener() -> String {
    format!(
        "[[authorised]]\nlisten = [\"{RELAY}:2526\", \"[{RELAY6}]:2526\"]\n\
         from = [\"{CUSTOMER}/32\", \"2001:db8:a:a::/64\"]\ndestination = \"mx\"\ndelivery = \"queue\"\n"
    )
}

/// The only message there, as soon as it has come; from the relay's own address, with the customer's in the trace.
#[track_caller]
fn arrives(sink: &Sink, customer: &str, relay: &str) -> Taken {
    wait_until("the message", || sink.written() == 1);
    let taken = sink.only();
    assert!(taken.envelope.contains(relay), "{}", taken.envelope);
    assert!(taken.trace().contains(customer), "{}", taken.trace());
    taken
}

#[test]
fn a_real_senders_smarthost_finds_its_recipients_servers() {
    let scene = Scene::set("smarthost", "", None);
    for (customer, relay, sink, to) in [
        (CUSTOMER, RELAY, &scene.six, "b@six.example.net"),
        (CUSTOMER6, RELAY6, &scene.four, "b@four.example.net"),
    ] {
        let from = customer.parse().unwrap();
        let (sender, sent) = scene.road.inside(Place::Customer, || {
            let sender = Sender::with_smarthost(at(relay, 2526), from);
            let sent = mail(sender.address, &["--to", to]);
            (sender, sent)
        });
        sent.assert_accepted();
        let leaves_from = if to.contains("six") { RELAY6 } else { RELAY };
        let taken = arrives(sink, customer, leaves_from);
        assert!(
            taken.trace().contains("from mail.customer.example"),
            "{}",
            taken.trace()
        );
        wait_until("the sender's word on it", || {
            sender.log().contains("status=sent")
        });
        let log = sender.log();
        assert!(log.contains("250 2.0.0 queued as "), "{log}");
        assert!(
            log.contains("Untrusted TLS connection established"),
            "{log}"
        );
        scene.road.inside(Place::Customer, || drop(sender));
    }
    scene.ends();
}

#[test]
fn what_a_router_has_translated_goes_there_too() {
    let scene = Scene::set("untraced", "", None);
    nft_at(
        &scene.road,
        Place::Router,
        "table ip it { chain c { type nat hook prerouting priority dstnat; \
         iifname c0 tcp dport 25 dnat to 198.51.100.2:2526;\n}\n}\n\
         table ip6 it { chain c { type nat hook prerouting priority dstnat; \
         iifname c0 tcp dport 25 dnat to [2001:db8:2::2]:2526;\n}\n}\n",
    );
    // Wherever they were going.
    let elsewhere = [at("203.0.113.77", 25), at("2001:db8:b:1::77", 25)];
    let to = ["--to", "b@four.example.net"];
    scene
        .send(CUSTOMER, elsewhere[0], &to)
        .assert_heard("250 2.0.0 queued as ");
    arrives(&scene.four, CUSTOMER, RELAY);
    let to = ["--to", "b@six.example.net", "-tls"];
    scene
        .send(CUSTOMER6, elsewhere[1], &to)
        .assert_heard("250 2.0.0 queued as ");
    arrives(&scene.six, CUSTOMER6, RELAY6);
    hears(
        &scene.road,
        Place::Customer,
        BYSTANDER,
        elsewhere[0],
        "554 5.7.1 ",
    );
    scene.ends();
}

#[test]
fn nobody_else_is_served() {
    let mut flags = snapshot(Egress::Pool);
    flags.customers.truncate(1);
    let scene = Scene::set("closed", "", Some(flags));
    for (place, source, relay, expected) in [
        (Place::Customer, CUSTOMER, RELAY, "220 relay-1."),
        (Place::Customer, CUSTOMER6, RELAY6, "220 relay-1."),
        // Neither is one of the controller's customers, who is nobody's whom the operator has named here.
        (Place::Customer, BYSTANDER, RELAY, "554 5.7.1 "),
        (Place::Mx, MX, RELAY, "554 5.7.1 "),
        (Place::Mx, MX6, RELAY6, "554 5.7.1 "),
        (Place::Relay, RELAY, RELAY, "554 5.7.1 "),
        (Place::Relay, RELAY6, RELAY6, "554 5.7.1 "),
        (Place::Router, ROUTER, RELAY, "220 relay-1."),
    ] {
        hears(&scene.road, place, source, at(relay, 2526), expected);
    }
    // The controller's probe is told that somebody is here, and nothing more.
    let refused = scene
        .road
        .inside(Place::Router, || recipient(at(RELAY, 2526), b""));
    assert!(!refused.starts_with('2'), "{refused}");
    assert_eq!(scene.four.written() + scene.six.written(), 0);
    scene.ends();
}

#[test]
fn flags_hold_and_only_say_who_is_walled() {
    let mut flags = snapshot(Egress::Customer);
    flags.customers[0].treatment = Treatment::Opaque;
    flags.customers[0].delivery = Delivery::Cutthrough;
    flags.customers[1].treatment = Treatment::Walled;
    let scene = Scene::set("byflag", "", Some(flags));
    let to = ["--to", "b@four.example.net"];
    let walled = scene.send(CUSTOMER6, at(RELAY6, 2526), &to);
    walled.assert_heard("550 5.7.1 mail from 2001:db8:a:a::10 is blocked by Example Hosting");
    // There is nobody to splice to or to wait for; and no edge that would bring back what leaves from its address.
    let to = ["--to", "b@four.example.net", "-tls"];
    scene
        .send(CUSTOMER, at(RELAY, 2526), &to)
        .assert_heard("250 2.0.0 queued as ");
    arrives(&scene.four, CUSTOMER, RELAY);
    let gtube = format!("Subject: x\r\n\r\n{}\r\n", crate::spam::GTUBE);
    let refused = scene.road.inside(Place::Customer, || {
        let options = ["--local-interface", CUSTOMER];
        mail_of(gtube.as_bytes(), at(RELAY, 2526), &options)
    });
    refused.assert_heard("550 5.7.1 ");
    scene.ends();

    // Nobody is served before the flags are known.
    let road = Road::build("byflag");
    let mut home = Home::authorised(true, &listener());
    let spool = home.path("spool");
    home.add_table(&format!(
        "[spool]\ndir = {spool:?}\n[[route]]\ndomain = \"*\"\nto = [\"{MX}\"]\n"
    ));
    let program = road.inside(Place::Relay, || home.start());
    hears(
        &road,
        Place::Customer,
        CUSTOMER,
        at(RELAY, 2526),
        "421 4.3.2 ",
    );
    assert!(program.stop().success(), "{}", home.log());
}

#[test]
fn dmarc_is_judged_by_where_a_message_would_go() {
    let scene = Scene::set("bymxdmarc", "", None);
    let message = b"From: a@half.example.net\r\nSubject: x\r\n\r\nx\r\n";
    let from = [
        "--local-interface",
        CUSTOMER,
        "--from",
        "a@half.example.net",
    ];
    let send = |to| {
        let options = [&from[..], &["--to", to]].concat();
        let sending = || mail_of(message, at(RELAY, 2526), &options);
        scene.road.inside(Place::Customer, sending)
    };
    send("b@six.example.net").assert_heard(
        "550 5.7.26 mail of half.example.net leaves here from 2001:db8:2::2 and would fail its DMARC policy there: \
         add ip6:2001:db8:2::2 to the SPF record of half.example.net",
    );
    send("b@four.example.net").assert_heard("250 2.0.0 queued as ");
    arrives(&scene.four, CUSTOMER, RELAY);
    // Where nobody knows, nobody is refused.
    send("b@nowhere.example.net").assert_heard("250 2.0.0 queued as ");
    assert_eq!(scene.six.written(), 0);
    scene.ends();
}

#[test]
fn the_postmaster_of_nowhere_is_the_operators() {
    let operator_mail = format!(
        "[operator_mail]\nmailboxes = [\"abuse@six.example.net\", \"postmaster@four.example.net\"]\n\
         deliver_to = \"{MX}:25\"\n"
    );
    for (more, expected) in [
        ("", "550 5.1.1 the postmaster here has no mailbox"),
        (&*operator_mail, "250 2.0.0 queued as "),
    ] {
        let scene = Scene::set("postmaster", more, None);
        scene
            .send(CUSTOMER, at(RELAY, 2526), &["--to", "postmaster"])
            .assert_heard(expected);
        if !more.is_empty() {
            let taken = arrives(&scene.four, CUSTOMER, RELAY);
            let to = "X-Rcpt-Args: <postmaster@four.example.net>";
            assert!(taken.envelope.contains(to), "{}", taken.envelope);
        }
        scene.ends();
    }
}
