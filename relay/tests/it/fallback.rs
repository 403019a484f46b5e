//! `cutthrough+spool`: the destination's answers, and the relay's queue where it has none for now.

use contract::Delivery;
use relay::metrics::Counter;
use tempfile::{TempDir, tempdir};

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::{Gate, Options};
use crate::host::{free_address, wait_until};

const CONTENT: &str = "Subject: x\r\n\r\n..leading dot\r\nend\r\n";

fn script(acts: &[(&'static str, Act)]) -> Script {
    Script {
        offers: vec!["8BITMIME", "PIPELINING", "SIZE 100000000"],
        acts: acts.to_vec(),
    }
}

fn gate(destination: std::net::SocketAddr) -> (Gate, TempDir) {
    let spool = tempdir().unwrap();
    let delivery = Delivery::CutthroughSpool;
    let gate = Gate::start(Options::with_spool(destination, delivery, spool.path()));
    (gate, spool)
}

/// One message for two recipients, up to the dot; what the customer hears to that.
async fn send(gate: &Gate) -> String {
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer
        .expect("MAIL FROM:<a@customer.example> BODY=8BITMIME\r\n", "250")
        .await;
    customer.expect("RCPT TO:<b@mx.example>\r\n", "250").await;
    customer.expect("RCPT TO:<c@mx.example>\r\n", "250").await;
    customer.expect("DATA\r\n", "354").await;
    customer.say(format!("{CONTENT}.\r\n").as_bytes()).await;
    customer.hear().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_takes_everything_leaves_nothing_to_queue() {
    let destination = Fickle::start(vec![script(&[])]).await;
    let (gate, _spool) = gate(destination.address);
    let reply = send(&gate).await;
    assert!(
        reply.starts_with("250") && !reply.contains("queued"),
        "{reply}"
    );
    assert_eq!(destination.messages().len(), 1);
    gate.assert_counted(Counter::Queued, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deferred_is_queued_and_who_is_taken_is_not() {
    let greylists = script(&[("RCPT TO:<b@", Act::Say("450 4.2.0 greylisted"))]);
    let destination = Fickle::start(vec![greylists, script(&[])]).await;
    let (gate, _spool) = gate(destination.address);
    let reply = send(&gate).await;
    assert!(
        reply.starts_with("250 2.0.0 delivered for 1, queued as "),
        "{reply}"
    );
    wait_until("the other copy", || destination.messages().len() == 2);
    let later = &destination.connections()[1];
    let recipients = later.lines.iter().filter(|line| line.starts_with("RCPT"));
    let recipients: Vec<_> = recipients.collect();
    assert_eq!(recipients, ["RCPT TO:<b@mx.example>"]);
    for message in destination.messages() {
        assert!(message.ends_with(CONTENT), "{message}");
    }
    gate.wait_for_count(Counter::Queued, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_does_not_take_it_now_has_it_from_the_queue() {
    for acts in [
        ("connect", Act::SayAndLeave("421 4.3.2 too busy")),
        ("MAIL", Act::Say("451 4.3.0 later")),
        ("RCPT", Act::Say("452 4.2.2 full")),
        ("RCPT", Act::SayAndLeave("421 4.3.2 going")),
        ("DATA", Act::Say("451 4.3.0 later")),
        (".", Act::Say("451 4.3.0 later")),
        // It may have the message, or not: it gets it (again).
        (".", Act::Leave),
    ] {
        let destination = Fickle::start(vec![script(&[acts]), script(&[])]).await;
        let (gate, _spool) = gate(destination.address);
        let reply = send(&gate).await;
        assert!(
            reply.starts_with("250 2.0.0 queued as "),
            "{acts:?}: {reply}"
        );
        wait_until(&format!("{acts:?}: the message"), || {
            let messages = destination.messages();
            messages.last().is_some_and(|it| it.ends_with(CONTENT))
                && destination.connections().len() > 1
        });
        gate.wait_for_count(Counter::Queued, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_idled_out_and_defers_when_asked_again_has_it_from_the_queue() {
    for again in [
        ("connect", Act::SayAndLeave("421 4.3.2 too busy")),
        ("connect", Act::Leave),
        ("EHLO", Act::Say("451 4.3.0 later")),
        ("MAIL", Act::Say("451 4.3.0 later")),
        ("RCPT TO:<b@", Act::Say("450 4.2.0 greylisted")),
        ("RCPT TO:<c@", Act::Say("450 4.2.0 greylisted")),
        ("RCPT TO:<c@", Act::SayAndLeave("421 4.3.2 going")),
        ("DATA", Act::Say("451 4.3.0 later")),
        ("DATA", Act::Leave),
        (".", Act::Say("451 4.3.0 later")),
    ] {
        let idles_out = script(&[("DATA", Act::SayAndLeave("421 4.4.2 idle for too long"))]);
        let scripts = vec![idles_out, script(&[again]), script(&[])];
        let destination = Fickle::start(scripts).await;
        let (gate, _spool) = gate(destination.address);
        let reply = send(&gate).await;
        assert!(
            reply.starts_with("250 2.0.0 queued as "),
            "{again:?}: {reply}"
        );
        wait_until(&format!("{again:?}: the message"), || {
            let connections = destination.connections();
            let later = connections.get(2..).unwrap_or_default();
            later.iter().any(|it| !it.messages.is_empty())
        });
        let later: Vec<_> = destination.connections().drain(2..).collect();
        let messages = later.iter().flat_map(|it| &it.messages);
        assert_eq!(messages.filter(|it| it.ends_with(CONTENT)).count(), 1);
        let recipients = later.iter().flat_map(|it| &it.lines);
        let recipients = recipients.filter(|line| line.starts_with("RCPT"));
        assert_eq!(recipients.count(), 2, "{again:?}: {later:?}");
        gate.assert_counted(Counter::Replayed, 1);
        gate.wait_for_count(Counter::Queued, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deferred_and_who_was_taken_before_it_idled_out_are_queued_together() {
    let idles_out = script(&[
        ("RCPT TO:<b@", Act::Say("450 4.2.0 greylisted")),
        ("DATA", Act::Leave),
    ]);
    let defers = script(&[("RCPT TO:<c@", Act::Say("450 4.2.0 greylisted"))]);
    let destination = Fickle::start(vec![idles_out, defers, script(&[])]).await;
    let (gate, _spool) = gate(destination.address);
    let reply = send(&gate).await;
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
    wait_until("the message", || destination.messages().len() == 1);
    let connections = destination.connections();
    let recipients = connections[2].lines.iter();
    let recipients: Vec<_> = recipients.filter(|it| it.starts_with("RCPT")).collect();
    assert_eq!(
        recipients,
        ["RCPT TO:<b@mx.example>", "RCPT TO:<c@mx.example>"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_destination_refuses_when_asked_again_is_the_senders_to_hear() {
    for (again, offers) in [
        (("MAIL", Act::Say("550 5.7.1 not from there")), None),
        (("RCPT TO:<b@", Act::Say("550 5.1.1 nobody")), None),
        (("RCPT TO:<c@", Act::Say("550 5.1.1 nobody")), None),
        // It lacks what the message needs: the queue could only return it.
        (("nothing", Act::Leave), Some("PIPELINING")),
    ] {
        let mut second = script(&[again]);
        second.offers = offers.map_or(second.offers, |offer| vec![offer]);
        let idles_out = script(&[("DATA", Act::Leave)]);
        let destination = Fickle::start(vec![idles_out, second, script(&[])]).await;
        let (gate, _spool) = gate(destination.address);
        let reply = send(&gate).await;
        assert!(reply.starts_with("451 4.4.2 "), "{again:?}: {reply}");
        assert!(destination.messages().is_empty());
        gate.assert_counted(Counter::Queued, 0);
        gate.assert_counted(Counter::ChangedByDestination, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_no_reason_to_be_sent_away() {
    let (gate, _spool) = gate(free_address());
    let mut customer = Dialogue::open(gate.address).await.0;
    let offers = customer.expect("EHLO client.example\r\n", "250").await;
    for offer in ["8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "STARTTLS"] {
        assert!(offers.contains(offer), "{offers}");
    }
    let reply = send(&gate).await;
    assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_destination_refuses_is_refused() {
    let refuses = script(&[
        ("RCPT TO:<b@", Act::Say("450 4.2.0 greylisted")),
        (".", Act::Say("554 5.7.1 spam")),
    ]);
    let destination = Fickle::start(vec![refuses, script(&[])]).await;
    let (gate, _spool) = gate(destination.address);
    let reply = send(&gate).await;
    assert_eq!(reply, "554 5.7.1 spam\n");

    let unknown = script(&[("RCPT", Act::Say("550 5.1.1 nobody"))]);
    let destination = Fickle::start(vec![unknown]).await;
    let (second, _spool) = self::gate(destination.address);
    let mut customer = Dialogue::ehlo(second.address).await;
    customer
        .expect("MAIL FROM:<a@customer.example>\r\n", "250")
        .await;
    customer
        .expect("RCPT TO:<b@mx.example>\r\n", "550 5.1.1 nobody")
        .await;
    gate.assert_counted(Counter::Queued, 0);
    second.assert_counted(Counter::Queued, 0);
}
