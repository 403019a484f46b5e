//! REQUIRETLS (RFC 8689): offered under TLS, and kept with a destination that is authenticated, or refused.

use contract::Delivery;
use relay::metrics::Counter;

use super::scene::{Scene, asked, deliver_by, scene, validating};
use crate::dialogue::Dialogue;
use crate::fickle::{Act, Connection, Script};
use crate::host::wait_until;
use crate::smtplib::{self, Heard, Mail};

const SENDER: &str = "a@ee.example.net";

fn offering(offers: &[&'static str], acts: &[(&'static str, Act)]) -> Script {
    Script {
        offers: offers.to_vec(),
        acts: acts.to_vec(),
    }
}

/// Sends one message that demands it.
async fn send(scene: &Scene, from: &str, to: &str) -> Heard {
    let mail = Mail {
        tls: true,
        from,
        options: &["REQUIRETLS", "RET=FULL"],
        to: &[to],
        content: "Subject: secret\r\n\r\nThe text.\r\n",
    };
    smtplib::send(scene.gate.address, mail).await
}

/// The MAIL of each message that the exchanger took.
fn mails(scene: &Scene) -> Vec<String> {
    let connections = scene.exchanger.connections();
    let took = connections.iter().filter(|it| !it.messages.is_empty());
    let lines = took.flat_map(|it| it.lines.clone());
    lines.filter(|line| line.starts_with("MAIL")).collect()
}

/// Until somebody has asked the server for that name, and told it nothing.
fn wait_for_a_vain_attempt(scene: &Scene, name: &str) {
    wait_until("an attempt", || {
        let connections = scene.exchanger.connections();
        let mut attempts = connections
            .iter()
            .filter(|it| it.server_name.as_deref() == Some(name));
        attempts.any(was_told_nothing)
    });
}

fn was_told_nothing(connection: &Connection) -> bool {
    let has = |word: &str| connection.lines.iter().any(|line| line.starts_with(word));
    has("QUIT") && !has("MAIL")
}

const OFFERS: [&str; 3] = ["STARTTLS", "DSN", "REQUIRETLS"];

#[test]
fn cut_through_keeps_it_with_an_authenticated_destination_alone() {
    scene("reqcut", offering(&OFFERS, &[]), async |scene| {
        validating(scene).await;
        let (mut customer, _) = Dialogue::open(scene.gate.address).await;
        let offers = customer.expect("EHLO client.example\r\n", "250").await;
        assert!(!offers.contains("REQUIRETLS"), "{offers}");
        customer
            .expect(
                "MAIL FROM:<a@b.example> REQUIRETLS\r\n",
                "555 5.5.4 REQUIRETLS",
            )
            .await;
        let mut kept = 0;
        for (to, expected, why) in [
            ("b@ee.example.net", "250", ""),
            ("b@ta.example.net", "250", ""),
            ("b@alias.example.net", "250", ""),
            ("b@sts.plain.example", "250", ""),
            // Their names are authenticated, and the certificate is for others, or is none of theirs.
            ("b@none.example.net", "451 4.7.5", "for another name"),
            ("b@testing.plain.example", "451 4.7.5", "for another name"),
            ("b@wrong.example.net", "451 4.7.5", "TLSA records"),
            // Nobody says so, for good and for now.
            (
                "b@crossed.plain.example",
                "550 5.7.30",
                "neither by DNSSEC nor by MTA-STS",
            ),
            (
                "b@bare.plain.example",
                "550 5.7.30",
                "neither by DNSSEC nor by MTA-STS",
            ),
            (
                "b@moved.plain.example",
                "451 4.7.5",
                "cannot be found out now",
            ),
            ("b@[203.0.113.10]", "550 5.7.30", "only its address"),
            ("b@[IPv6:2001:db8:b:1::10]", "451 4.7.5", "does not name it"),
            ("b@far.example.net", "451 4.7.5", "does not name it"),
        ] {
            let heard = send(scene, SENDER, to).await;
            assert!(
                heard.expect("EHLO", "250").contains("REQUIRETLS"),
                "{heard:?}"
            );
            let reply = heard.expect("RCPT", expected);
            assert!(reply.contains(why), "{to}: {reply}");
            if expected == "250" {
                heard.expect("DATA", "250");
                kept += 1;
            }
            assert_eq!(scene.exchanger.messages().len(), kept, "{to}");
        }
        let all = mails(scene);
        let demand = format!("MAIL FROM:<{SENDER}> RET=FULL REQUIRETLS");
        assert!(all.iter().all(|mail| *mail == demand), "{all:?}");
        scene.gate.assert_counted(Counter::Insecure, 9);

        // A notification asks for it, and is not lost for want of it.
        for (to, said) in [
            ("b@ee.example.net", " REQUIRETLS"),
            ("b@none.example.net", ""),
        ] {
            send(scene, "", to).await.expect("DATA", "250");
            let last = mails(scene).pop().unwrap();
            assert_eq!(last, format!("MAIL FROM:<> RET=FULL{said}"), "{to}");
        }
        // Without the demand nothing has changed.
        let crossed = scene.mail("crossed.plain.example").await;
        scene.passed(crossed, Some("mx-ee.example.net"));
        scene.passed(scene.mail("none.example.net").await, None);
    });
}

#[test]
fn the_queue_keeps_it_and_protects_what_it_tells() {
    let acts = [("RCPT TO:<nobody@", Act::Say("550 5.1.1 no such user"))];
    scene("reqqueue", offering(&OFFERS, &acts), async |scene| {
        deliver_by(scene, Delivery::Queue, "").await;
        let heard = send(scene, SENDER, "b@ee.example.net").await;
        assert!(
            heard.expect("EHLO", "250").contains("REQUIRETLS"),
            "{heard:?}"
        );
        heard.expect("DATA", "250 2.0.0 queued");
        wait_until("the message", || scene.exchanger.messages().len() == 1);
        assert_eq!(
            mails(scene),
            [format!("MAIL FROM:<{SENDER}> RET=FULL REQUIRETLS")]
        );
        let connections = scene.exchanger.connections();
        let carrier = connections
            .iter()
            .find(|it| !it.messages.is_empty())
            .unwrap();
        assert!(carrier.tls);
        assert_eq!(carrier.server_name.as_deref(), Some("mx-ee.example.net"));

        // Refused by its server, and by what is known of its server: both are told, and both so.
        for (number, to, status) in [
            (2, "nobody@ee.example.net", "Status: 5.1.1"),
            (3, "b@bare.plain.example", "Status: 5.7.30"),
            (4, "b@[IPv6:2001:db8:b:1::10]", "Status: 5.7.30"),
            // Its certificate is for other names.
            (5, "b@none.example.net", "Status: 5.7.10"),
        ] {
            send(scene, SENDER, to)
                .await
                .expect("DATA", "250 2.0.0 queued");
            wait_until("the notification", || {
                scene.exchanger.messages().len() == number
            });
            let told = scene.exchanger.messages().pop().unwrap();
            assert!(told.contains(status), "{told}");
            // As if RET=HDRS had been said (RFC 8689 section 5).
            assert!(
                told.contains("Subject: secret") && !told.contains("The text."),
                "{told}"
            );
            let last = mails(scene).pop().unwrap();
            assert_eq!(last, "MAIL FROM:<> REQUIRETLS", "{to}");
        }
        // The server has heard nothing of what it could not be trusted with.
        wait_for_a_vain_attempt(scene, "mx-none.example.net");
    });
}

#[test]
fn a_kept_connection_carries_it_only_if_it_shows_enough() {
    scene("reqkept", offering(&OFFERS, &[]), async |scene| {
        deliver_by(
            scene,
            Delivery::Queue,
            "[queue]\nkeep_connection = \"60s\"\n",
        )
        .await;
        let plain = Mail {
            tls: true,
            from: SENDER,
            options: &[],
            to: &["b@none.example.net"],
            content: "Subject: x\r\n\r\nx\r\n",
        };
        // Both at the same server, which is not the one that the second demands.
        smtplib::send(scene.gate.address, plain)
            .await
            .expect("DATA", "250");
        wait_until("the first", || scene.exchanger.messages().len() == 1);
        send(scene, SENDER, "b@none.example.net")
            .await
            .expect("DATA", "250");
        wait_for_a_vain_attempt(scene, "mx-none.example.net");
        // Its sender is told, by the server of another domain.
        wait_until("the notification", || scene.exchanger.messages().len() == 2);
        // The other way around one connection is enough for both.
        send(scene, SENDER, "b@ee.example.net")
            .await
            .expect("DATA", "250");
        wait_until("the second", || scene.exchanger.messages().len() == 3);
        let plain = Mail {
            to: &["b@ee.example.net"],
            ..plain
        };
        smtplib::send(scene.gate.address, plain)
            .await
            .expect("DATA", "250");
        wait_until("the third", || scene.exchanger.messages().len() == 4);
        send(scene, SENDER, "b@ee.example.net")
            .await
            .expect("DATA", "250");
        wait_until("all", || scene.exchanger.messages().len() == 5);
        let connections = scene.exchanger.connections();
        let name = Some("mx-ee.example.net");
        let carriers: Vec<&Connection> = connections
            .iter()
            .filter(|it| it.server_name.as_deref() == name)
            .collect();
        let [carrier] = carriers[..] else {
            panic!("{connections:?}");
        };
        let demands = |line: &String| {
            line.starts_with("MAIL")
                .then(|| line.ends_with("REQUIRETLS"))
        };
        let demands: Vec<bool> = carrier.lines.iter().filter_map(demands).collect();
        assert_eq!(demands, [true, true, false, true]);
    });
}

#[test]
fn a_server_that_does_not_offer_it_is_told_nothing() {
    let script = offering(&["STARTTLS", "DSN"], &[]);
    scene("reqlack", script, async |scene| {
        let heard = send(scene, SENDER, "b@ee.example.net").await;
        assert!(
            !heard.expect("EHLO", "250").contains("REQUIRETLS"),
            "{heard:?}"
        );
        heard.expect("MAIL", "555 5.5.4 REQUIRETLS is not offered");

        deliver_by(scene, Delivery::Queue, "").await;
        send(scene, SENDER, "b@ee.example.net")
            .await
            .expect("DATA", "250 2.0.0 queued");
        wait_until("the notification", || scene.exchanger.messages().len() == 1);
        let told = scene.exchanger.messages().pop().unwrap();
        assert!(told.contains("Status: 5.7.30"), "{told}");
        assert!(told.contains("does not offer REQUIRETLS"), "{told}");
        assert!(told.contains("Send it without the demand"), "{told}");
        assert_eq!(mails(scene), ["MAIL FROM:<>"]);
    });
}

#[test]
fn clear_text_ends_it_and_hears_nothing() {
    scene(
        "reqclear",
        offering(&["DSN", "REQUIRETLS"], &[]),
        async |scene| {
            deliver_by(scene, Delivery::Queue, "").await;
            for to in ["b@ee.example.net", "b@none.example.net"] {
                send(scene, SENDER, to)
                    .await
                    .expect("DATA", "250 2.0.0 queued");
            }
            // RFC 8689 section 4.2.1: at once. The sender's own server is as bad.
            scene.gate.wait_for_count(Counter::Notified, 2).await;
            assert!(scene.exchanger.connections().iter().any(was_told_nothing));
            assert!(scene.exchanger.messages().is_empty());
        },
    );
}

#[test]
fn it_is_tried_again_as_long_as_another_server_may_keep_it() {
    // Those that are there do not.
    let script = offering(&["STARTTLS", "DSN"], &[]);
    scene("reqhalf", script, async |scene| {
        deliver_by(scene, Delivery::Queue, "").await;
        for to in ["b@half.example.net", "b@lame.example.net"] {
            send(scene, SENDER, to)
                .await
                .expect("DATA", "250 2.0.0 queued");
        }
        let reasons = || -> Vec<String> {
            let jobs = asked(scene, "", &["queue", "ls", "-j"]);
            let jobs = jobs.as_array().unwrap().iter();
            jobs.filter_map(|job| job["reason"].as_str().map(str::to_owned))
                .collect()
        };
        wait_until("two attempts in vain", || reasons().len() == 2);
        let reasons = reasons();
        for expected in ["Connection refused", "mx.away.example"] {
            assert!(
                reasons.iter().any(|it| it.contains(expected)),
                "{expected}: {reasons:?}"
            );
        }
        assert!(scene.exchanger.connections().iter().any(was_told_nothing));
        scene.gate.assert_counted(Counter::Notified, 0);
        assert!(scene.exchanger.messages().is_empty());
    });
}
