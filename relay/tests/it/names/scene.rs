//! A mail exchanger of many names, and all that says what its TLS must show.

use std::path::Path;
use std::process::Command;

use contract::Delivery;
use serde_json::Value;

use crate::dialogue::Dialogue;
use crate::fickle::{Fickle, Script};
use crate::gate::{Gate, Options, config_text, delivered_by, snapshot};
use crate::host::wait_until;
use crate::namespace::{self, MX, STRANGER};
use crate::pki::{Certified, Pki};
use crate::policy_host::PolicyHost;
use crate::resolver::{FORGED, Resolver};

/// Who is there in a namespace: one exchanger with many names, one host of policies, one resolver.
pub(super) struct Scene {
    // In the order in which they end.
    pub(super) gate: Gate,
    pub(super) exchanger: Fickle,
    pub(super) policies: PolicyHost,
    pub(super) resolver: Resolver,
    pub(super) _directory: tempfile::TempDir,
}

/// A domain `NAME.example.net` of which `mx-NAME.example.net` is the server, with TLSA records.
fn signed_domain(name: &str, tlsa: &[&str]) -> String {
    let mut records = format!(
        "{name}.example.net. MX 10 mx-{name}.example.net.\nmx-{name}.example.net. A {MX}\n"
    );
    for tlsa in tlsa {
        records += &format!("_25._tcp.mx-{name}.example.net. TLSA {tlsa}\n");
    }
    records
}

/// A domain `NAME.plain.example` with a policy at `mta-sts.NAME.plain.example`.
fn plain_domain(name: &str) -> String {
    format!(
        "{name}.plain.example. MX 10 mx-{name}.plain.example.\nmx-{name}.plain.example. A {MX}\n\
         _mta-sts.{name}.plain.example. TXT \"v=STSv1; id=1;\"\n\
         mta-sts.{name}.plain.example. A {STRANGER}\n"
    )
}

impl Scene {
    pub(super) async fn set(script: Script) -> Self {
        let pki = Pki::new();
        let server = pki.certify(&[
            "mx-ee.example.net",
            "mx-ta.example.net",
            "mx-sts.plain.example",
            "mx-other.plain.example",
            "mx-both.example.net",
            "mx-half.example.net",
            "mx-lame.example.net",
        ]);
        let directory = tempfile::tempdir().unwrap();
        let authorities = directory.path().join("authorities.pem");
        pki.write(&authorities);
        let resolver = Resolver::start(&signed(&pki, &server), &plain());
        let exchanger = Fickle::start_at(&format!("{MX}:25"), server.acceptor, vec![script]).await;
        let names = ["sts", "other", "name", "testing", "moved"]
            .map(|name| format!("mta-sts.{name}.plain.example"));
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.push("mta-sts.both.example.net");
        let web = pki.certify(&names).acceptor;
        let policies = PolicyHost::start_at(&format!("{STRANGER}:443"), web).await;
        policies.publish("sts.plain.example", "enforce", "*.plain.example");
        policies.publish("other.plain.example", "enforce", "elsewhere.plain.example");
        policies.publish("name.plain.example", "enforce", "mx-name.plain.example");
        policies.publish(
            "testing.plain.example",
            "testing",
            "mx-testing.plain.example",
        );
        policies.publish("both.example.net", "enforce", "elsewhere.example");
        policies.respond(
            "moved.plain.example",
            "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.name.plain.example/.well-known/mta-sts.txt\r\n\
             Content-Length: 0\r\n\r\n"
                .into(),
        );
        // Its certificate is for other names.
        policies.publish("unsure.plain.example", "enforce", "elsewhere.example");
        let gate = gate(directory.path(), &exchanger);
        Self {
            gate,
            exchanger,
            policies,
            resolver,
            _directory: directory,
        }
    }

    /// Sends one message in clear text; the reply to RCPT, and to the dot if it came so far.
    pub(super) async fn mail(&self, domain: &str) -> (String, Option<String>) {
        let mut customer = self.begin().await;
        customer
            .say(format!("RCPT TO:<b@{domain}>\r\n").as_bytes())
            .await;
        let recipient = customer.hear().await;
        if !recipient.starts_with("250") {
            return (recipient, None);
        }
        customer.expect("DATA\r\n", "354").await;
        customer.say(b"Subject: x\r\n\r\nx\r\n.\r\n").await;
        let end = customer.hear().await;
        (recipient, Some(end))
    }

    /// Lets it be known what the exchanger offers: then EHLO is answered without it, and a connection is made at RCPT,
    /// when it is known which name is to be asked for.
    pub(super) async fn prime(&self) {
        self.passed(self.mail("none.example.net").await, None);
    }

    pub(super) async fn begin(&self) -> Dialogue {
        let mut customer = Dialogue::ehlo(self.gate.address).await;
        customer
            .expect("MAIL FROM:<a@customer.example>\r\n", "250")
            .await;
        customer
    }

    #[track_caller]
    pub(super) fn passed(
        &self,
        (recipient, end): (String, Option<String>),
        server_name: Option<&str>,
    ) {
        assert!(recipient.starts_with("250"), "{recipient}");
        assert!(
            end.as_ref().is_some_and(|end| end.starts_with("250")),
            "{end:?}"
        );
        let connections = self.exchanger.connections();
        let last = connections
            .iter()
            .rfind(|it| !it.messages.is_empty())
            .unwrap();
        assert!(last.tls);
        assert_eq!(last.server_name.as_deref(), server_name);
    }

    /// Sends one that is deferred, and of which the exchanger is not told a word.
    pub(super) async fn withheld(&self, domain: &str, why: &str) {
        let before = self.transactions();
        let (recipient, _) = self.mail(domain).await;
        assert!(recipient.starts_with("451 4.7.5 "), "{recipient}");
        assert!(recipient.contains(why), "{recipient}");
        assert_eq!(self.transactions(), before);
    }

    fn transactions(&self) -> usize {
        let connections = self.exchanger.connections();
        let lines = connections.iter().flat_map(|it| &it.lines);
        lines.filter(|line| line.starts_with("MAIL")).count()
    }
}

fn signed(pki: &Pki, server: &Certified) -> String {
    let ee = format!("3 1 1 {}", server.key_digest);
    let ta = format!("2 0 1 {}", pki.digest());
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    let unusable = format!("1 1 1 {}", "00".repeat(32));
    let forged = format!("3 1 1 {FORGED}");
    let mut records = [
        signed_domain("ee", &[&wrong, &ee]),
        signed_domain("ta", &[&ta]),
        // The authority is the right one, but the certificate is for none of its names.
        signed_domain("taname", &[&ta]),
        signed_domain("wrong", &[&wrong]),
        signed_domain("unusable", &[&unusable]),
        signed_domain("forged", &[&forged]),
        signed_domain("none", &[]),
        signed_domain("both", &[&ee]),
        signed_domain("half", &[&ee]),
        signed_domain("lame", &[&ee]),
    ]
    .concat();
    // Its server's addresses could be forged, so its TLSA records are nothing to go by.
    records += "loose.example.net. MX 10 mx-loose.plain.example.\n";
    // The alias has the records of what it stands for.
    records += "alias.example.net. MX 10 mx-alias.example.net.\n\
                mx-alias.example.net. CNAME mx-ee.example.net.\n";
    // Another server than where the customer was going.
    records += &format!(
        "far.example.net. MX 10 mx-far.example.net.\nmx-far.example.net. A {STRANGER}\n\
         _25._tcp.mx-far.example.net. TLSA {wrong}\n"
    );
    // Nobody answers at a second server; and nobody can tell where one is.
    records += &format!(
        "half.example.net. MX 20 mx-gone.example.net.\nmx-gone.example.net. A {STRANGER}\n\
         lame.example.net. MX 20 mx.away.example.\n\
         away.example. NS ns.away.example.\nns.away.example. A {STRANGER}\n"
    );
    // Who may be told of what becomes of its mail.
    records += "ee.example.net. TXT \"v=spf1 ip4:127.0.0.1 -all\"\n";
    records += "_mta-sts.both.example.net. TXT \"v=STSv1; id=1;\"\n";
    records += &format!("mta-sts.both.example.net. A {STRANGER}\n");
    records
}

fn plain() -> String {
    let mut records: String = ["sts", "other", "name", "testing", "moved", "unsure"]
        .map(plain_domain)
        .concat();
    // Its server has TLSA records, and anybody could have named it.
    records += "crossed.plain.example. MX 10 mx-ee.example.net.\n";
    // Nobody says that this is its server.
    records += &format!(
        "bare.plain.example. MX 10 mx-bare.plain.example.\nmx-bare.plain.example. A {MX}\n"
    );
    records += &format!(
        "mx-loose.plain.example. A {MX}\n_25._tcp.mx-loose.plain.example. TLSA 3 1 1 {}\n",
        "00".repeat(32)
    );
    records
}

/// The same relay, but what it does with mail; and it has found out that the resolver validates.
pub(super) async fn deliver_by(scene: &mut Scene, delivery: Delivery, tables: &str) {
    let options = queueing(scene, delivery, tables);
    let before = std::mem::replace(&mut scene.gate, Gate::start(options));
    before.stop().await;
    validating(scene).await;
}

/// How such a relay is configured.
pub(super) fn queueing(scene: &Scene, delivery: Delivery, tables: &str) -> Options {
    let directory = scene._directory.path();
    let mut options = options(directory, &scene.exchanger);
    options.snapshot = Some(delivered_by(delivery));
    let spool = directory.join("spool");
    options.more += &format!(
        "[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n{tables}"
    );
    options
}

/// What the program says to a person, about a relay that is so configured.
#[track_caller]
pub(super) fn asked(scene: &Scene, tables: &str, words: &[&str]) -> Value {
    let directory = scene._directory.path();
    let config = directory.join("relay.toml");
    let options = queueing(scene, Delivery::Queue, tables);
    std::fs::write(&config, config_text(directory, &options)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_outgate-relay"))
        .arg("--config")
        .arg(&config)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the relay has found out that the resolver validates.
pub(super) async fn validating(scene: &Scene) {
    let tending = tokio::spawn(scene.gate.relay.tend());
    wait_until("the resolver's word for the root", || {
        scene.gate.relay.router().dns_validates()
    });
    tending.abort();
    // It holds the relay until it has ended.
    let _ended = tending.await.is_err();
}

pub(super) fn gate(directory: &Path, exchanger: &Fickle) -> Gate {
    let mut options = options(directory, exchanger);
    // Another relay takes over from it in the same directory while it still runs.
    let door = directory.join("first.sock");
    options.more += &format!("[queue]\nadmin = {door:?}\n");
    Gate::start(options)
}

fn options(directory: &Path, exchanger: &Fickle) -> Options {
    let authorities = directory.join("authorities.pem");
    let mut options = Options::to(exchanger.address);
    options.more = format!(
        "[dns]\nservers = [\"127.0.0.1\"]\ndeadline = \"3s\"\n[mta_sts]\nauthorities = {authorities:?}\n"
    );
    options.state_dir = Some(directory.into());
    options.snapshot = Some(snapshot());
    options
}

/// Runs `test` in a namespace with all of them.
#[track_caller]
pub(super) fn scene(
    name: &str,
    script: Script,
    test: impl AsyncFnOnce(&mut Scene) + Send + 'static,
) {
    namespace::inside(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let mut scene = Scene::set(script).await;
            test(&mut scene).await;
        });
    });
}

pub(super) fn with_tls() -> Script {
    Script {
        offers: vec!["STARTTLS", "8BITMIME"],
        acts: vec![],
    }
}
