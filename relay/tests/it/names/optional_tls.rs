//! `TLS-Required: No` (RFC 8689 section 4.2.2): a message that would rather arrive without TLS than not at all.

use contract::Delivery;

use super::scene::{Scene, deliver_by, scene, with_tls};
use crate::fickle::Script;
use crate::host::wait_until;
use crate::smtplib::{self, Heard, Mail};

const WAIVED: &str = "TLS-Required: No\r\nSubject: x\r\n\r\nx\r\n";
const USUAL: &str = "Subject: x\r\n\r\nx\r\n";

async fn send(scene: &Scene, to: &str, content: &str) -> Heard {
    let mail = Mail {
        tls: true,
        from: "a@customer.example",
        options: &[],
        to: &[to],
        content,
    };
    smtplib::send(scene.gate.address, mail).await
}

/// Connections that were ended before a word of a message.
fn turned_away(scene: &Scene) -> usize {
    let connections = scene.exchanger.connections();
    let has = |lines: &[String], word: &str| lines.iter().any(|line| line.starts_with(word));
    let turned = connections
        .iter()
        .filter(|it| has(&it.lines, "QUIT") && !has(&it.lines, "MAIL"));
    turned.count()
}

#[test]
fn the_queue_waives_what_the_recipients_domain_demands() {
    scene("optqueue", with_tls(), async |scene| {
        deliver_by(scene, Delivery::Queue, "").await;
        for (number, domain) in [
            (1, "wrong.example.net"),
            // What is demanded cannot be found out, or the server is none of those that the policy names.
            (2, "forged.example.net"),
            (3, "other.plain.example"),
            (4, "name.plain.example"),
        ] {
            let to = format!("b@{domain}");
            send(scene, &to, WAIVED)
                .await
                .expect("DATA", "250 2.0.0 queued");
            wait_until("the message", || scene.exchanger.messages().len() == number);
        }
        assert!(
            scene
                .exchanger
                .connections()
                .iter()
                .all(|it| it.messages.is_empty() || it.tls)
        );
        // Others are held to it, also beside a connection that has shown nothing.
        let before = turned_away(scene);
        send(scene, "b@wrong.example.net", USUAL)
            .await
            .expect("DATA", "250 2.0.0 queued");
        wait_until("an attempt", || turned_away(scene) > before);
        assert_eq!(scene.exchanger.messages().len(), 4);
    });
}

#[test]
fn it_goes_in_clear_text_where_there_is_no_tls() {
    let script = Script {
        offers: vec!["8BITMIME"],
        acts: vec![],
    };
    scene("optclear", script, async |scene| {
        deliver_by(scene, Delivery::Queue, "").await;
        send(scene, "b@ee.example.net", USUAL)
            .await
            .expect("DATA", "250 2.0.0 queued");
        wait_until("an attempt", || turned_away(scene) > 0);
        send(scene, "b@ee.example.net", WAIVED)
            .await
            .expect("DATA", "250 2.0.0 queued");
        wait_until("the message", || scene.exchanger.messages().len() == 1);
        assert!(scene.exchanger.messages()[0].contains("TLS-Required: No"));
    });
}

#[test]
fn the_operator_may_have_it_ignored() {
    scene("optignore", with_tls(), async |scene| {
        let ignored = "[routing]\ntls_required_no = \"ignore\"\n";
        deliver_by(scene, Delivery::Queue, ignored).await;
        is_held_to_it(scene, "b@wrong.example.net").await;
    });
}

#[test]
fn what_the_operator_demands_of_a_route_stays() {
    scene("optroute", with_tls(), async |scene| {
        // The certificate is for other names.
        let route = "[[route]]\ndomain = \"bare.plain.example\"\nto = [\"mx-bare.plain.example\"]\ntls = \"verify\"\n";
        deliver_by(scene, Delivery::Queue, route).await;
        is_held_to_it(scene, "b@bare.plain.example").await;
    });
}

/// Sends one that waives, in vain.
async fn is_held_to_it(scene: &Scene, to: &str) {
    let before = turned_away(scene);
    send(scene, to, WAIVED)
        .await
        .expect("DATA", "250 2.0.0 queued");
    wait_until("an attempt", || turned_away(scene) > before);
    assert!(scene.exchanger.messages().is_empty());
}

#[test]
fn cut_through_does_not_know_the_header_in_time_and_the_queue_behind_it_does() {
    scene("optcut", with_tls(), async |scene| {
        scene.withheld("wrong.example.net", "TLSA records").await;
        deliver_by(scene, Delivery::CutthroughSpool, "").await;
        let heard = send(scene, "b@wrong.example.net", WAIVED).await;
        heard.expect("RCPT", "250 2.1.5 your destination does not take it now");
        heard.expect("DATA", "250 2.0.0 queued");
        wait_until("the message", || scene.exchanger.messages().len() == 1);
    });
}
