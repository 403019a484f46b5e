//! What recipients' domains demand of the destination's TLS, in cut-through: DANE and MTA-STS with a real resolver,
//! certificates of a real authority, and policies over real HTTPS.

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Script};

mod no_policy;
mod optional_tls;
mod require_tls;
mod scene;
mod sts;

use scene::{scene, with_tls};

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
