//! Policies over HTTPS.

use std::process::Command;

use super::scene::{Scene, gate, scene, with_tls};
use crate::gate::{Options, config_text};
use crate::namespace::MX;

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
    // What reports need to say of them.
    let by = |domain: &str| day.policies.iter().find(|it| it.mail_of() == domain);
    let both = by("both.example.net").unwrap();
    assert_eq!(both.domain, "mx-both.example.net");
    let [record] = &both.text[..] else {
        panic!("{both:?}");
    };
    assert!(
        record.starts_with("3 1 1 ") && record.len() == 70,
        "{record}"
    );
    let name = by("name.plain.example").unwrap();
    let lines = [
        "version: STSv1",
        "mode: enforce",
        "max_age: 86400",
        "mx: mx-name.plain.example",
    ];
    assert_eq!(name.text, lines);
    let [detail] = &name.details[..] else {
        panic!("{name:?}");
    };
    assert_eq!(detail.result, "certificate-host-mismatch");
    assert_eq!(detail.receiving_ip, Some(MX.parse().unwrap()));

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
