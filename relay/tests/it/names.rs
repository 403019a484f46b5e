//! What recipients' domains demand of the destination's TLS, in cut-through: DANE and MTA-STS with a real resolver,
//! certificates of a real authority, and policies over real HTTPS.

use std::path::Path;
use std::process::Command;

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::{Gate, Options, config_text, snapshot};
use crate::namespace::{self, MX, STRANGER};
use crate::pki::{Certified, Pki};
use crate::policy_host::PolicyHost;
use crate::resolver::{FORGED, Resolver};

/// Who is there in a namespace: one exchanger with many names, one host of policies, one resolver.
struct Scene {
    // In the order in which they end.
    gate: Gate,
    exchanger: Fickle,
    policies: PolicyHost,
    resolver: Resolver,
    _directory: tempfile::TempDir,
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
    async fn set(script: Script) -> Self {
        let pki = Pki::new();
        let server = pki.certify(&[
            "mx-ee.example.net",
            "mx-ta.example.net",
            "mx-sts.plain.example",
            "mx-other.plain.example",
            "mx-both.example.net",
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
    async fn mail(&self, domain: &str) -> (String, Option<String>) {
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
    async fn prime(&self) {
        self.passed(self.mail("none.example.net").await, None);
    }

    async fn begin(&self) -> Dialogue {
        let mut customer = Dialogue::ehlo(self.gate.address).await;
        customer
            .expect("MAIL FROM:<a@customer.example>\r\n", "250")
            .await;
        customer
    }

    #[track_caller]
    fn passed(&self, (recipient, end): (String, Option<String>), server_name: Option<&str>) {
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
    async fn withheld(&self, domain: &str, why: &str) {
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
    records += "_mta-sts.both.example.net. TXT \"v=STSv1; id=1;\"\n";
    records += &format!("mta-sts.both.example.net. A {STRANGER}\n");
    records
}

fn plain() -> String {
    let mut records: String = ["sts", "other", "name", "testing", "moved", "unsure"]
        .map(plain_domain)
        .concat();
    records += &format!(
        "mx-loose.plain.example. A {MX}\n_25._tcp.mx-loose.plain.example. TLSA 3 1 1 {}\n",
        "00".repeat(32)
    );
    records
}

fn gate(directory: &Path, exchanger: &Fickle) -> Gate {
    let authorities = directory.join("authorities.pem");
    let mut options = Options::to(exchanger.address);
    options.more = format!(
        "[dns]\nservers = [\"127.0.0.1\"]\ndeadline = \"3s\"\n[mta_sts]\nauthorities = {authorities:?}\n"
    );
    options.state_dir = Some(directory.into());
    options.snapshot = Some(snapshot());
    Gate::start(options)
}

/// Runs `test` in a namespace with all of them.
#[track_caller]
fn scene(name: &str, script: Script, test: impl AsyncFnOnce(&mut Scene) + Send + 'static) {
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

fn with_tls() -> Script {
    Script {
        offers: vec!["STARTTLS", "8BITMIME"],
        acts: vec![],
    }
}

#[test]
fn dane_is_in_force_for_the_servers_of_the_recipients_domain() {
    scene("dane", with_tls(), async |scene| {
        // Connected to at EHLO, nobody asks for a name; its certificate is the right one all the same.
        scene.passed(scene.mail("ee.example.net").await, None);
        let ee = Some("mx-ee.example.net");
        scene.passed(scene.mail("ee.example.net").await, ee);
        scene.passed(scene.mail("alias.example.net").await, ee);
        scene.passed(
            scene.mail("ta.example.net").await,
            Some("mx-ta.example.net"),
        );
        scene
            .withheld("taname.example.net", "for another name")
            .await;
        scene
            .withheld("wrong.example.net", "none of those in its TLSA records")
            .await;
        // Forged records are not the same as none.
        scene.withheld("forged.example.net", "SERVFAIL").await;
        // That there are none is signed, and that there are only such as nobody can use.
        for _ in 0..2 {
            scene.passed(scene.mail("none.example.net").await, None);
        }
        scene.passed(scene.mail("unusable.example.net").await, None);
        scene.passed(scene.mail("loose.example.net").await, None);
        // Not for servers that the customer was not going to, and not for what has no policy.
        scene.passed(scene.mail("far.example.net").await, None);
        scene.passed(scene.mail("nowhere.example.net").await, None);
        scene.passed(scene.mail("[192.0.2.77]").await, None);
        scene.gate.assert_counted(Counter::Insecure, 3);
    });
}

#[test]
fn no_tls_at_all_is_not_enough_where_dane_demands_it() {
    let script = Script {
        offers: vec!["8BITMIME"],
        acts: vec![],
    };
    scene("notls", script, async |scene| {
        for domain in ["ee.example.net", "unusable.example.net"] {
            scene.withheld(domain, "offers no STARTTLS").await;
        }
        let (recipient, end) = scene.mail("none.example.net").await;
        assert!(recipient.starts_with("250") && end.unwrap().starts_with("250"));
    });
}

#[test]
fn a_second_domain_that_demands_something_else_needs_a_message_of_its_own() {
    scene("second", with_tls(), async |scene| {
        let mut customer = scene.begin().await;
        customer
            .expect("RCPT TO:<b@ee.example.net>\r\n", "250")
            .await;
        customer
            .expect("RCPT TO:<b@wrong.example.net>\r\n", "452 4.5.3 ")
            .await;
        customer
            .expect("RCPT TO:<b@forged.example.net>\r\n", "451 4.7.5 ")
            .await;
        customer
            .expect("RCPT TO:<b@none.example.net>\r\n", "250")
            .await;
        customer.expect("DATA\r\n", "354").await;
        customer.expect("Subject: x\r\n\r\nx\r\n.\r\n", "250").await;
        // The connection is kept for the next message, whose domain demands what it does not show.
        customer
            .expect("MAIL FROM:<a@customer.example>\r\n", "250")
            .await;
        customer
            .expect("RCPT TO:<b@wrong.example.net>\r\n", "451 4.7.5 ")
            .await;
        customer
            .expect("RCPT TO:<b@ta.example.net>\r\n", "250")
            .await;
        customer.expect("DATA\r\n", "354").await;
        customer.expect("Subject: y\r\n\r\ny\r\n.\r\n", "250").await;
        let messages = scene.exchanger.messages();
        assert_eq!(messages.len(), 2);
        let connections = scene.exchanger.connections();
        for connection in connections {
            assert!(!connection.lines.iter().any(|line| line.contains("@wrong.")));
            assert!(
                !connection
                    .lines
                    .iter()
                    .any(|line| line.contains("@forged."))
            );
        }
    });
}

#[test]
fn a_resolver_that_is_away_delays_nothing_but_what_is_known_to_be_protected() {
    scene("away", with_tls(), async |scene| {
        scene.prime().await;
        scene.passed(
            scene.mail("ee.example.net").await,
            Some("mx-ee.example.net"),
        );
        scene.resolver.pause();
        scene.passed(
            scene.mail("ee.example.net").await,
            Some("mx-ee.example.net"),
        );
        scene.passed(scene.mail("wrong.example.net").await, None);
        scene.resolver.resume();
    });
}

#[test]
fn mta_sts_is_followed() {
    scene("sts", with_tls(), async |scene| {
        scene.prime().await;
        scene.passed(
            scene.mail("sts.plain.example").await,
            Some("mx-sts.plain.example"),
        );
        scene
            .withheld(
                "other.plain.example",
                "none of the servers in the MTA-STS policy",
            )
            .await;
        scene
            .withheld("name.plain.example", "for another name")
            .await;
        // What is only tested stops nothing, and is counted.
        scene.passed(
            scene.mail("testing.plain.example").await,
            Some("mx-testing.plain.example"),
        );
        // No policy: one that is elsewhere, one whose host shows another name's certificate.
        scene.passed(scene.mail("moved.plain.example").await, None);
        scene.passed(scene.mail("unsure.plain.example").await, None);
        assert_eq!(scene.policies.asked("unsure.plain.example"), 0);
        // DANE comes first, whatever the policy says.
        scene.passed(
            scene.mail("both.example.net").await,
            Some("mx-both.example.net"),
        );
        assert_eq!(scene.policies.asked("both.example.net"), 0);

        // Asked for once; a failure is not asked for again at once.
        scene.passed(
            scene.mail("sts.plain.example").await,
            Some("mx-sts.plain.example"),
        );
        scene.passed(scene.mail("moved.plain.example").await, None);
        for domain in [
            "sts.plain.example",
            "name.plain.example",
            "moved.plain.example",
        ] {
            assert_eq!(scene.policies.asked(domain), 1, "{domain}");
        }
        results_are_kept(scene);
    });
}

#[track_caller]
fn results_are_kept(scene: &Scene) {
    scene.gate.relay.save();
    let directory = scene._directory.path();
    let days = relay::outbound::results::list(&relay::outbound::results::path(directory)).unwrap();
    let (_, day) = days.last_key_value().unwrap();
    let told = |domain: &str, policy: &str| {
        let mine = day
            .policies
            .iter()
            .filter(|it| it.domain == domain && it.policy == policy);
        let mine: Vec<String> = mine
            .map(|it| format!("{} {:?}", it.successes, it.failures))
            .collect();
        mine.join(", ")
    };
    assert_eq!(told("sts.plain.example", "sts"), "2 {}");
    assert_eq!(
        told("name.plain.example", "sts"),
        "0 {\"certificate-host-mismatch\": 1}"
    );
    assert_eq!(
        told("testing.plain.example", "sts"),
        "0 {\"certificate-host-mismatch\": 1}"
    );
    assert_eq!(
        told("moved.plain.example", "sts"),
        "0 {\"sts-policy-fetch-error\": 1}"
    );
    assert_eq!(
        told("unsure.plain.example", "sts"),
        "0 {\"sts-webpki-invalid\": 1}"
    );
    assert_eq!(told("mx-both.example.net", "tlsa"), "1 {}");

    // A person sees the same.
    let config = directory.join("relay.toml");
    let mut options = Options::to(scene.exchanger.address);
    options.state_dir = Some(directory.into());
    std::fs::write(&config, config_text(directory, &options)).unwrap();
    let ls = Command::new(env!("CARGO_BIN_EXE_outgate-relay"))
        .arg("--config")
        .arg(&config)
        .args(["tls", "ls"])
        .output()
        .unwrap();
    let shown = String::from_utf8(ls.stdout).unwrap();
    let line = shown
        .lines()
        .find(|line| line.contains("name.plain.example"));
    let words: Vec<&str> = line.unwrap().split_whitespace().skip(1).collect();
    assert_eq!(
        words,
        [
            "name.plain.example",
            "sts",
            "mx-name.plain.example",
            "0",
            "certificate-host-mismatch=1"
        ]
    );
}

#[test]
fn a_policy_outlives_the_relay_and_the_host_that_it_came_from() {
    scene("stskept", with_tls(), async |scene| {
        scene
            .withheld("name.plain.example", "for another name")
            .await;
        assert_eq!(scene.policies.asked("name.plain.example"), 1);
        scene.gate.relay.save();
        let gate = gate(scene._directory.path(), &scene.exchanger);
        let before = std::mem::replace(&mut scene.gate, gate);
        before.stop().await;
        scene
            .withheld("name.plain.example", "for another name")
            .await;
        assert_eq!(scene.policies.asked("name.plain.example"), 1);
    });
}

#[test]
fn tls_that_never_works_is_left_out_only_for_clear_text_that_nobody_protects() {
    let script = Script {
        offers: vec!["STARTTLS", "8BITMIME"],
        // It promises, and then does something else.
        acts: vec![("STARTTLS", Act::SayAndLeave("454 4.7.0 not now"))],
    };
    scene("broken", script, async |scene| {
        for _ in 0..2 {
            let mut customer = Dialogue::open(scene.gate.address).await.0;
            customer
                .expect("EHLO client.example\r\n", "421 4.4.1 ")
                .await;
        }
        let (recipient, end) = scene.mail("none.example.net").await;
        assert!(
            recipient.starts_with("250") && end.unwrap().starts_with("250"),
            "{recipient}"
        );
        assert!(!scene.exchanger.connections().last().unwrap().tls);
        scene.gate.assert_counted(Counter::TlsLeftOut, 1);
        // Not where the domain demands TLS, even if the session has been in clear text so far.
        let mut customer = scene.begin().await;
        customer
            .expect("RCPT TO:<b@ee.example.net>\r\n", "421 4.4.1 ")
            .await;
        assert_eq!(scene.exchanger.messages().len(), 1);
    });
}
