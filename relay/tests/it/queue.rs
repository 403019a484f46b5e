//! A customer whose mail the relay's own queue takes.

use std::net::SocketAddr;

use contract::Delivery;
use relay::metrics::Counter;
use tempfile::{TempDir, tempdir};

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::{Gate, Options, delivered_by};
use crate::host::wait_until;
use crate::sink::Sink;
use crate::spam::GTUBE;
use crate::swaks;

const CONTENT: &[u8] =
    b"Subject: hi\r\nMessage-ID: <1@customer.example>\r\n\r\nhello\r\n.leading dot\r\n";

fn gate(destination: SocketAddr) -> (Gate, TempDir) {
    let spool = tempdir().unwrap();
    let gate = Gate::start(Options::with_spool(
        destination,
        Delivery::Queue,
        spool.path(),
    ));
    (gate, spool)
}

fn script(offers: &[&'static str], acts: &[(&'static str, Act)]) -> Script {
    Script {
        offers: offers.to_vec(),
        acts: acts.to_vec(),
    }
}

/// A transaction with these parameters and recipients, which must be queued.
async fn send(customer: &mut Dialogue, mail: &str, recipients: &[&str], content: &str) {
    customer.expect(&format!("{mail}\r\n"), "250").await;
    for recipient in recipients {
        let rcpt = format!("RCPT TO:<{recipient}>\r\n");
        customer.expect(&rcpt, "250").await;
    }
    customer.expect("DATA\r\n", "354").await;
    let data = format!("{content}.\r\n");
    customer.expect(&data, "250 2.0.0 queued as ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_message_is_acknowledged_and_then_delivered_octet_for_octet() {
    let sink = Sink::start();
    let (gate, _spool) = gate(sink.address);
    let large = format!("Subject: large\r\n\r\n{}", ".line\r\n".repeat(200_000));
    for content in [CONTENT, large.as_bytes()] {
        let before = sink.taken().len();
        let transcript = swaks::send(gate.address, content, &[]).await;
        transcript.assert_accepted();
        transcript.assert_heard("250 2.0.0 queued as ");
        wait_until("the message to arrive", || sink.taken().len() == before + 1);
        let taken = sink.taken();
        let last = taken.last().unwrap();
        assert!(last.content() == content, "not what was sent");
        // What the customer heard is the name in the trace fields.
        let trace = last.trace();
        let id = trace.rsplit_once(": ").unwrap().1.trim_end();
        transcript.assert_heard(&format!("queued as {id}"));
    }
    gate.wait_for_count(Counter::Queued, 2).await;
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_offers_what_it_has_and_converts_nothing() {
    let destination = Fickle::start(vec![script(&["SIZE 1000000"], &[])]).await;
    let (gate, _spool) = gate(destination.address);
    let mut customer = Dialogue::open(gate.address).await.0;
    let offers = customer.expect("EHLO client.example\r\n", "250").await;
    for offer in [
        "SIZE",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "CHUNKING",
        "PIPELINING",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
    ] {
        assert!(offers.contains(offer), "{offer} is not in {offers}");
    }
    // Seven bits go anywhere, whatever they are declared as.
    let (mail, to) = ("MAIL FROM:<a@customer.example>", ["b@mx.example"]);
    let declared = format!("{mail} BODY=8BITMIME");
    send(&mut customer, &declared, &to, "Subject: x\r\n\r\nplain\r\n").await;
    wait_until("the message", || destination.messages().len() == 1);
    // Eight bits, and names that are not ASCII, are returned; nobody vouches for their sender.
    send(&mut customer, &declared, &to, "Subject: x\r\n\r\ncafé\r\n").await;
    gate.wait_for_count(Counter::NotVouched, 1).await;
    let utf8 = format!("{mail} SMTPUTF8");
    send(
        &mut customer,
        &utf8,
        &["ü@mx.example"],
        "Subject: x\r\n\r\n",
    )
    .await;
    gate.wait_for_count(Counter::NotVouched, 2).await;
    assert_eq!(destination.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_has_an_end_of_its_own() {
    let acts = [("RCPT TO:<c@", Act::Say("550 5.1.1 nobody"))];
    for offers in [&["PIPELINING"][..], &[]] {
        let destination = Fickle::start(vec![script(offers, &acts)]).await;
        let (gate, _spool) = gate(destination.address);
        let mut customer = Dialogue::ehlo(gate.address).await;
        let to = ["b@mx.example", "c@mx.example", "d@mx.example"];
        let mail = "MAIL FROM:<a@customer.example>";
        send(&mut customer, mail, &to, "Subject: x\r\n\r\n").await;
        wait_until("the message", || destination.messages().len() == 1);
        gate.wait_for_count(Counter::NotVouched, 1).await;
        let connections = destination.connections();
        let said = connections[0]
            .lines
            .iter()
            .filter(|it| it.starts_with("RCPT"));
        assert_eq!(said.count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_and_one_that_idled_out_is_replaced() {
    let leaves = script(&[], &[("MAIL FROM:<third@", Act::Leave)]);
    let destination = Fickle::start(vec![leaves, script(&[], &[])]).await;
    let (gate, _spool) = gate(destination.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for (number, sender) in ["first", "second", "third"].into_iter().enumerate() {
        let mail = format!("MAIL FROM:<{sender}@customer.example>");
        send(
            &mut customer,
            &mail,
            &["b@mx.example"],
            "Subject: x\r\n\r\n",
        )
        .await;
        wait_until(sender, || destination.messages().len() == number + 1);
    }
    assert_eq!(destination.connections().len(), 2);
    assert_eq!(destination.connections()[0].messages.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scanner_rejects_is_refused_and_never_stored() {
    let sink = Sink::start();
    let (gate, _spool) = gate(sink.address);
    let spam = format!("Subject: x\r\n\r\n{GTUBE}\r\n");
    let transcript = swaks::send(gate.address, spam.as_bytes(), &[]).await;
    transcript.assert_heard("550 5.7.1");
    gate.assert_counted(Counter::Queued, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_a_spool_defers_whom_it_should_queue_for() {
    let sink = Sink::start();
    let gate = Gate::start(Options {
        snapshot: Some(delivered_by(Delivery::Queue)),
        ..Options::to(sink.address)
    });
    let mut customer = Dialogue::open(gate.address).await.0;
    customer
        .expect("EHLO client.example\r\n", "421 4.3.5 ")
        .await;
    // Cut-through with a queue needs none as long as the destination answers.
    let gate = Gate::start(Options {
        snapshot: Some(delivered_by(Delivery::CutthroughSpool)),
        ..Options::to(sink.address)
    });
    swaks::send(gate.address, CONTENT, &[])
        .await
        .assert_accepted();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_is_delivered_by_the_next_run() {
    let address = crate::host::free_address();
    let spool = tempdir().unwrap();
    let state = tempdir().unwrap();
    let options = || Options {
        state_dir: Some(state.path().to_owned()),
        ..Options::with_spool(address, Delivery::Queue, spool.path())
    };
    let gate = Gate::start(options());
    swaks::send(gate.address, CONTENT, &[])
        .await
        .assert_accepted();
    gate.stop().await;
    // A queue that does not know until when it was alive tries everything.
    std::fs::remove_file(state.path().join("queue.alive")).unwrap();
    let sink = Sink::at(address, &[]);
    let _gate = Gate::start(options());
    wait_until("the message to arrive", || sink.taken().len() == 1);
    assert_eq!(sink.only().content(), CONTENT);
}
