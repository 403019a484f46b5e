//! Domains that have no policy and want to hear how TLS with their servers goes (RFC 8460): what is counted, and what they
//! would be told.

use contract::Delivery;
use relay::outbound::results::{self, Counted};
use serde_json::{Value, json};

use super::scene::{Scene, asked, deliver_by, scene, with_tls};
use crate::fickle::{Act, Script};
use crate::host::wait_until;
use crate::namespace::MX;
use crate::notifications::openssl;

/// What makes the relay report.
fn reporting(scene: &Scene) -> String {
    let key = scene._directory.path().join("dkim.pem");
    openssl(&["genrsa", "-out", key.to_str().unwrap(), "2048"]);
    format!(
        "[[dkim]]\ndomain = \"example.net\"\nselector = \"s\"\nkey = {key:?}\n\
         [tls_reports]\nfrom = \"tls-reports@example.net\"\n"
    )
}

/// What was counted of a domain's mail so far.
fn counted(scene: &Scene, domain: &str) -> Vec<Counted> {
    scene.gate.relay.save();
    let days = results::list(&results::path(scene._directory.path())).unwrap();
    let policies = days.values().flat_map(|day| day.of(domain));
    policies.cloned().collect()
}

/// The policies in the report to `domain`, as a person sees them beforehand.
#[track_caller]
fn told(scene: &Scene, tables: &str, domain: &str) -> Value {
    scene.gate.relay.save();
    let directory = scene._directory.path();
    let days = results::list(&results::path(directory)).unwrap();
    let (day, _) = days.last_key_value().unwrap();
    let day = day.to_string();
    let words = ["tls", "report", "-j", "--day", &day, "--domain", domain];
    let mut previews = asked(scene, tables, &words);
    previews[0]["report"]["policies"].take()
}

fn summary(successes: u64, failures: u64) -> Value {
    json!({
        "total-successful-session-count": successes,
        "total-failure-session-count": failures,
    })
}

#[test]
fn opportunistic_tls_is_counted_where_domains_are_told_of_it() {
    scene("nopolicy", with_tls(), async |scene| {
        // Nobody would be told.
        scene.passed(scene.mail("none.example.net").await, None);
        assert_eq!(counted(scene, "none.example.net"), []);

        let tables = reporting(scene);
        deliver_by(scene, Delivery::Queue, &tables).await;
        for (number, domain) in [
            (2, "none.example.net"),
            (3, "bare.plain.example"),
            (4, "ee.example.net"),
        ] {
            scene.mail(domain).await;
            wait_until("the message", || scene.exchanger.messages().len() == number);
        }
        for domain in ["none.example.net", "bare.plain.example"] {
            let expected = json!([{
                "policy": { "policy-type": "no-policy-found", "policy-domain": domain },
                "summary": summary(1, 0),
            }]);
            assert_eq!(told(scene, &tables, domain), expected);
        }
        let policies = told(scene, &tables, "ee.example.net");
        assert_eq!(policies.as_array().unwrap().len(), 1, "{policies}");
        assert_eq!(policies[0]["policy"]["policy-type"], "tlsa");

        // A policy that is only tested is one, also for a server that it does not name.
        let elsewhere = "elsewhere.plain.example";
        scene
            .policies
            .publish("other.plain.example", "testing", elsewhere);
        for (number, domain) in [(5, "testing.plain.example"), (6, "other.plain.example")] {
            scene.mail(domain).await;
            wait_until("the message", || scene.exchanger.messages().len() == number);
            let counted = counted(scene, domain);
            let kinds: Vec<&str> = counted.iter().map(|it| it.policy.as_str()).collect();
            assert_eq!(kinds, ["sts"], "{domain}");
        }
    });
}

#[test]
fn in_cut_through_each_message_is_counted_for_its_own_domain() {
    scene("nopolcut", with_tls(), async |scene| {
        let tables = reporting(scene);
        deliver_by(scene, Delivery::Cutthrough, &tables).await;
        for _ in 0..2 {
            scene.passed(scene.mail("none.example.net").await, None);
        }
        scene.passed(scene.mail("bare.plain.example").await, None);
        for (domain, successes) in [("none.example.net", 2), ("bare.plain.example", 1)] {
            let policies = told(scene, &tables, domain);
            assert_eq!(policies[0]["policy"]["policy-type"], "no-policy-found");
            assert_eq!(policies[0]["summary"], summary(successes, 0), "{policies}");
        }
        // The customer's own choice, of which the domain knows nothing.
        scene.passed(scene.mail("far.example.net").await, None);
        assert_eq!(counted(scene, "far.example.net"), []);
    });
}

#[test]
fn clear_text_is_a_failure_without_a_policy_too_and_stops_nothing() {
    let script = Script {
        offers: vec!["8BITMIME"],
        acts: vec![],
    };
    scene("nopolclear", script, async |scene| {
        let tables = reporting(scene);
        deliver_by(scene, Delivery::Cutthrough, &tables).await;
        for _ in 0..2 {
            let (_, end) = scene.mail("none.example.net").await;
            assert!(end.unwrap().starts_with("250"));
        }
        let policies = told(scene, &tables, "none.example.net");
        assert_eq!(policies[0]["policy"]["policy-type"], "no-policy-found");
        assert_eq!(policies[0]["summary"], summary(0, 2), "{policies}");
        let failures = policies[0]["failure-details"].as_array().unwrap();
        assert!(failures.iter().all(|it| {
            it["result-type"] == "starttls-not-supported"
                && it["receiving-ip"] == MX
                && it["receiving-mx-hostname"] == "mx-none.example.net"
        }));
    });
}

#[test]
fn a_handshake_that_does_not_come_about_is_a_failure_without_a_policy_too() {
    let script = Script {
        acts: vec![("STARTTLS", Act::SayAndLeave("454 4.7.0 no TLS now"))],
        ..with_tls()
    };
    scene("nopolshake", script, async |scene| {
        let tables = reporting(scene);
        deliver_by(scene, Delivery::Queue, &tables).await;
        scene.mail("none.example.net").await;
        let failed = || counted(scene, "none.example.net").pop();
        wait_until("an attempt", || failed().is_some());
        let failed = failed().unwrap();
        assert_eq!(failed.policy, "no-policy-found");
        assert_eq!(failed.successes, 0);
        assert!(failed.failures["validation-failure"] >= 1, "{failed:?}");
    });
}
