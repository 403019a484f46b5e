//! Mail whose author's DMARC policy would have it refused from the relay's address, judged by a real unbound's words.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use contract::{Delivery, Egress};
use relay::config::DkimKey;
use relay::dkim::Signer;
use relay::message::Message;
use relay::vouch::{Leaving, Patience, Voucher};
use relay_proto::envelope::{EhloName, Mail};

use crate::fickle::{Act, Fickle, Script};
use crate::flows::{FlowTable, PinDirectory};
use crate::host::wait_until;
use crate::namespace::{self, CUSTOMER, MX, RELAY};
use crate::program::{Home, Program};
use crate::sink::Sink;
use crate::steer::{at, snapshot};
use crate::swaks::{self, Transcript};
use crate::vouching::Resolver;

/// Policies that want refusal, and one that does not; records that have the customer's address, and the relay's.
const ZONE: [&str; 16] = [
    "strict.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"",
    "_dmarc.strict.example. TXT \"v=DMARC1; p=reject\"",
    "lenient.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"",
    "_dmarc.lenient.example. TXT \"v=DMARC1; p=none\"",
    "both.example. TXT \"v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all\"",
    "_dmarc.both.example. TXT \"v=DMARC1; p=quarantine\"",
    "neither.example. TXT \"v=spf1 -all\"",
    "_dmarc.neither.example. TXT \"v=DMARC1; p=reject\"",
    "unnamed.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"",
    "_dmarc.spfless.example. TXT \"v=DMARC1; p=reject\"",
    "_dmarc.exact.example. TXT \"v=DMARC1; p=reject; aspf=s\"",
    "bounce.exact.example. TXT \"v=spf1 ip4:192.0.2.0/24 -all\"",
    "mail.customer.example. TXT \"v=spf1 ip4:192.0.2.10 -all\"",
    "_dmarc.customer.example. TXT \"v=DMARC1; p=reject\"",
    "mx.example. MX 10 a.mx.example.",
    "a.mx.example. A 203.0.113.10",
];

async fn remedy(voucher: &Voucher, sender: &str, content: &[u8]) -> Option<String> {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let mail = Mail::new(sender.parse().unwrap());
    let ehlo = EhloName::new("mail.customer.example").unwrap();
    let leaving = Leaving {
        customer: address("192.0.2.10"),
        ehlo: Some(&ehlo),
        leaves_from: address("198.51.100.20"),
        leaves_as: "out-1.example.net",
        mail: &mail,
        content: &Message::from(Bytes::copy_from_slice(content)),
    };
    voucher
        .spoils(&leaving, &Patience::default())
        .await
        .map(|spoilt| spoilt.to_string())
}

#[tokio::test]
async fn only_what_would_pass_from_the_customer_and_fail_from_here_is_spoilt() {
    let resolver = Resolver::start(&ZONE);
    let servers = [resolver.address];
    let deadline = Duration::from_secs(20);
    let voucher = Voucher::new(Some(&servers), "relay-1.example.net", deadline).unwrap();
    let strict = "add ip4:198.51.100.20 to the SPF record of strict.example, or sign with DKIM d=strict.example";
    let below = "add ip4:198.51.100.20 to the SPF record of strict.example, or sign with DKIM d=below.strict.example";
    let null = "add ip4:198.51.100.20 to the SPF record of mail.customer.example, or sign with DKIM d=customer.example";
    for (sender, author, expected) in [
        ("<a@strict.example>", "a@strict.example", Some(strict)),
        (
            "<a@strict.example>",
            "\"A. B.\" <a@STRICT.example>",
            Some(strict),
        ),
        ("<a@strict.example>", "a@below.strict.example", Some(below)),
        // Passes from here, too; is not wanted to be refused; has no policy; fails from both.
        ("<a@both.example>", "a@both.example", None),
        ("<a@lenient.example>", "a@lenient.example", None),
        ("<a@unnamed.example>", "a@unnamed.example", None),
        ("<a@neither.example>", "a@neither.example", None),
        ("<a@spfless.example>", "a@spfless.example", None),
        // SPF speaks about somebody else, or too strictly.
        ("<a@strict.example>", "a@neither.example", None),
        ("<a@bounce.exact.example>", "a@exact.example", None),
        ("<a@[192.0.2.10]>", "a@strict.example", None),
        // Without a reverse-path it is the name in EHLO, and the relay's is another.
        ("<>", "a@customer.example", Some(null)),
        ("<>", "a@strict.example", None),
        ("<a@strict.example>", "nobody", None),
        (
            "<a@strict.example>",
            "a@strict.example, b@both.example",
            None,
        ),
    ] {
        let content = format!("From: {author}\r\nSubject: x\r\n\r\ntext\r\n");
        let found = remedy(&voucher, sender, content.as_bytes()).await;
        assert_eq!(found.as_deref(), expected, "{sender} {author}");
    }
    let without = remedy(
        &voucher,
        "<a@strict.example>",
        b"Subject: x\r\n\r\ntext\r\n",
    )
    .await;
    assert_eq!(without, None);
}

#[tokio::test]
async fn a_signature_holds_wherever_a_message_leaves_from() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let signer = |domain: &str| {
        let config = DkimKey {
            signs: relay::config::DkimSigns::Own,
            domain: domain.into(),
            selector: "s".into(),
            key: key.clone(),
        };
        Signer::open(&[config]).unwrap()
    };
    let (own, other) = (signer("strict.example"), signer("both.example"));
    let records = [&own, &other].map(|signer| {
        let record = signer.records().remove(0);
        format!("{}. TXT \"{}\"", record.name, record.text)
    });
    let zone: Vec<&str> = ZONE
        .into_iter()
        .chain(records.iter().map(String::as_str))
        .collect();
    let resolver = Resolver::start(&zone);
    let servers = [resolver.address];
    let deadline = Duration::from_secs(20);
    let voucher = Voucher::new(Some(&servers), "relay-1.example.net", deadline).unwrap();
    let message = b"From: a@strict.example\r\nSubject: x\r\n\r\ntext\r\n";
    let signed = |signer: &Signer| [signer.sign(message).unwrap(), message.to_vec()].concat();
    let changed = String::from_utf8(signed(&own))
        .unwrap()
        .replace("\ntext", "\ntext!");
    let sender = "<a@strict.example>";
    assert_eq!(remedy(&voucher, sender, &signed(&own)).await, None);
    // Neither somebody else's signature nor a broken one says anything about the author.
    assert!(remedy(&voucher, sender, &signed(&other)).await.is_some());
    assert!(remedy(&voucher, sender, changed.as_bytes()).await.is_some());
}

#[tokio::test]
async fn who_cannot_be_asked_stops_nothing() {
    let nobody = crate::host::free_address();
    let deadline = Duration::from_secs(2);
    let voucher = Voucher::new(Some(&[nobody]), "relay-1.example.net", deadline).unwrap();
    let content = b"From: a@strict.example\r\n\r\ntext\r\n";
    assert_eq!(remedy(&voucher, "<a@strict.example>", content).await, None);
}

/// The program, and the resolver that it asks.
struct World {
    home: Home,
    program: Option<Program>,
    flows: FlowTable,
    _pins: PinDirectory,
    _resolver: Resolver,
    port: u16,
}

impl World {
    fn start(name: &str, egress: Egress, delivery: Delivery) -> Self {
        let resolver = Resolver::start(&ZONE);
        let pins = PinDirectory::create(name);
        let mut home = Home::new(&pins.0);
        // All addresses are this host's here, so the routing table would choose the destination's own.
        home.add_table(&format!(
            "[dns]\nservers = [\"{}\"]\n[[egress]]\nname = \"main\"\naddresses = [{{ address = \"{RELAY}\" }}]\n",
            resolver.address
        ));
        if delivery != Delivery::Cutthrough {
            let spool = home.path("spool");
            std::fs::create_dir(&spool).unwrap();
            home.add_table(&format!("[spool]\ndir = \"{}\"\n", spool.display()));
        }
        let flows = pins.pin_flows();
        let mut policies = snapshot(egress);
        for customer in &mut policies.customers {
            customer.delivery = delivery;
        }
        relay::snapshot::cache::store(&home.path("snapshot.json"), &policies).unwrap();
        let program = Some(home.start());
        Self {
            home,
            program,
            flows,
            _pins: pins,
            _resolver: resolver,
            port: 40_000,
        }
    }

    fn send(&mut self, domain: &str) -> Transcript {
        self.port += 1;
        let (from, to) = (at(CUSTOMER, self.port), at(RELAY, 2525));
        self.flows.insert(from, to, MX.parse().unwrap());
        let sender = format!("a@{domain}");
        let content = format!("From: {sender}\r\nSubject: x\r\n\r\ntext\r\n");
        let port = self.port.to_string();
        let options = [
            "--local-interface",
            CUSTOMER,
            "--local-port",
            &port,
            "--from",
            &sender,
        ];
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(swaks::send(to, content.as_bytes(), &options))
    }

    fn stop(mut self) {
        let program = self.program.take().unwrap();
        assert!(program.stop().success(), "{}", self.home.log());
    }
}

fn clients(sink: &Sink) -> Vec<String> {
    let taken = sink.taken();
    let first = |envelope: &str| envelope.lines().next().unwrap_or_default().to_owned();
    taken.iter().map(|taken| first(&taken.envelope)).collect()
}

#[test]
fn the_sender_hears_what_has_to_change() {
    namespace::inside("aligntold", || {
        let mut world = World::start("aligntold", Egress::Pool, Delivery::Cutthrough);
        let sink = Sink::at(at(MX, 25), &[]);
        let heard = world.send("strict.example");
        heard.assert_heard(
            "550 5.7.26 mail of strict.example leaves here from 198.51.100.2 and would fail its DMARC policy there: \
             add ip4:198.51.100.2 to the SPF record of strict.example, or sign with DKIM d=strict.example; \
             https://abuse.example.net/smtp id=",
        );
        assert!(sink.taken().is_empty());
        world.send("both.example").assert_accepted();
        assert_eq!(clients(&sink), [format!("X-Client-Addr: {RELAY}")]);
        world.stop();
    });
}

#[test]
fn a_customers_own_address_is_used_where_it_is_lent() {
    namespace::inside("alignown", || {
        let mut world = World::start("alignown", Egress::PoolOrCustomer, Delivery::Cutthrough);
        let sink = Sink::at(at(MX, 25), &[]);
        world.send("strict.example").assert_accepted();
        world.send("both.example").assert_accepted();
        let expected = [CUSTOMER, RELAY].map(|address| format!("X-Client-Addr: {address}"));
        assert_eq!(clients(&sink), expected);
        assert!(world.home.log().contains("DMARC would fail from there"));
        world.stop();
    });
}

#[test]
fn a_destination_that_defers_the_customers_own_address_has_it_from_the_queue_and_from_there() {
    namespace::inside("aligndefer", || {
        let spooled = Delivery::CutthroughSpool;
        let mut world = World::start("aligndefer", Egress::PoolOrCustomer, spooled);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let script = |acts: &[(&'static str, Act)]| Script {
            offers: vec!["8BITMIME", "PIPELINING"],
            acts: acts.to_vec(),
        };
        // It greylists who comes anew, which the customer's own address does behind the dot.
        let greylists = script(&[("RCPT", Act::Say("450 4.2.0 greylisted"))]);
        let scripts = vec![script(&[]), greylists, script(&[])];
        let mx = runtime.block_on(Fickle::at(&at(MX, 25).to_string(), scripts));
        world
            .send("strict.example")
            .assert_heard("250 2.0.0 queued as ");
        wait_until("the message", || mx.messages().len() == 1);
        let connections = mx.connections();
        let clients: Vec<_> = connections.iter().filter_map(|it| it.client).collect();
        let expected = [RELAY, CUSTOMER, CUSTOMER].map(|it| it.parse::<IpAddr>().unwrap());
        assert_eq!(clients, expected);
        assert!(connections[..2].iter().all(|it| it.messages.is_empty()));
        world.stop();
    });
}

#[test]
fn what_is_queued_is_judged_while_its_sender_listens() {
    namespace::inside("alignqueue", || {
        let mut world = World::start("alignqueue", Egress::PoolOrCustomer, Delivery::Queue);
        let sink = Sink::at(at(MX, 25), &[]);
        world
            .send("strict.example")
            .assert_heard("250 2.0.0 queued as ");
        wait_until("the first message", || sink.written() == 1);
        world
            .send("both.example")
            .assert_heard("250 2.0.0 queued as ");
        wait_until("the second message", || sink.written() == 2);
        let expected = [CUSTOMER, RELAY].map(|address| format!("X-Client-Addr: {address}"));
        assert_eq!(clients(&sink), expected);
        world.stop();

        let mut world = World::start("alignqueue2", Egress::Pool, Delivery::Queue);
        world
            .send("strict.example")
            .assert_heard("550 5.7.26 mail of strict.example");
        world.stop();
    });
}
