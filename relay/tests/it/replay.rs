//! A destination that has gone before the dot is asked again, once, and only if nothing has changed; and
//! how long everybody waits for whom.

use std::time::Duration;

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::Gate;
use crate::still::Still;

const CONTENT: &str = "Subject: x\r\n\r\n..leading dot\r\nend\r\n";

fn script(acts: &[(&'static str, Act)]) -> Script {
    Script {
        offers: vec!["8BITMIME", "SIZE 100000000"],
        acts: acts.to_vec(),
    }
}

/// One message for two recipients, up to the dot; what the customer hears to that.
async fn send(gate: &Gate, content: &str) -> String {
    let mut customer = Dialogue::ehlo(gate.address).await;
    // Some let hours pass on a held clock.
    customer.wait_for(Duration::from_secs(24 * 3600));
    customer
        .expect("MAIL FROM:<a@customer.example> BODY=8BITMIME\r\n", "250")
        .await;
    customer.expect("RCPT TO:<b@mx.example>\r\n", "250").await;
    customer.expect("RCPT TO:<c@mx.example>\r\n", "250").await;
    customer.expect("DATA\r\n", "354").await;
    customer.say(format!("{content}.\r\n").as_bytes()).await;
    customer.hear().await
}

/// More than all socket buffers on the way can hold: who leaves inside of it has not been sent the dot.
fn large() -> String {
    let lines = "0123456789abcdef\r\n".repeat(700_000);
    format!("Subject: large\r\n\r\n{lines}")
}

/// What the customer wrote, as it was sent below the trace fields.
#[track_caller]
fn assert_arrived_once(destination: &Fickle, content: &str) {
    let messages = destination.messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].ends_with(content), "not what was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_idled_out_is_told_the_envelope_again() {
    let farewells = [
        Act::SayAndLeave("421 4.4.2 idle for too long"),
        Act::Leave,
        Act::SayAndLeave("421"),
    ];
    for farewell in farewells {
        let first = script(&[("DATA", farewell)]);
        let destination = Fickle::start(vec![first, script(&[])]).await;
        let gate = Gate::to(destination.address);
        let reply = send(&gate, CONTENT).await;
        assert!(reply.starts_with("250 2.0.0 taken"), "{reply}");
        assert_arrived_once(&destination, CONTENT);
        let again = &destination.connections()[1].lines;
        let expected = [
            "EHLO relay-1.example.net",
            "MAIL FROM:<a@customer.example> BODY=8BITMIME",
            "RCPT TO:<b@mx.example>",
            "RCPT TO:<c@mx.example>",
            "DATA",
        ];
        assert_eq!(again[..], expected);
        gate.assert_counted(Counter::Replayed, 1);
        gate.assert_counted(Counter::Delivered, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_left_before_data_is_told_the_envelope_again() {
    // It says its farewell behind the answer to the last RCPT, while the customer is still sending.
    let farewell = "250 2.1.5 fine\r\n421 4.4.2 idle for too long";
    let first = script(&[("RCPT TO:<c@", Act::SayAndLeave(farewell))]);
    let destination = Fickle::start(vec![first, script(&[])]).await;
    let gate = Gate::to(destination.address);
    let reply = send(&gate, CONTENT).await;
    assert!(reply.starts_with("250 2.0.0 taken"), "{reply}");
    assert_arrived_once(&destination, CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_dies_inside_of_the_content_has_no_message_and_gets_all_of_it_again() {
    let content = large();
    for octets in [1, 1000, 1_000_000] {
        let first = script(&[("DATA", Act::LeaveInside(octets))]);
        let destination = Fickle::start(vec![first, script(&[])]).await;
        let gate = Gate::to(destination.address);
        let reply = send(&gate, &content).await;
        assert!(reply.starts_with("250 2.0.0 taken"), "{octets}: {reply}");
        assert_arrived_once(&destination, &content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_changed_is_451_and_nothing_is_sent() {
    let refusal = "550 5.7.1 not from there any more";
    for changed in ["MAIL", "RCPT TO:<b@", "RCPT TO:<c@"] {
        for (refusal, counter) in [
            (refusal, Counter::ChangedByDestination),
            ("450 4.2.1 not now", Counter::Lost),
        ] {
            let first = script(&[("DATA", Act::Leave)]);
            let second = script(&[(changed, Act::Say(refusal))]);
            let destination = Fickle::start(vec![first, second]).await;
            let gate = Gate::to(destination.address);
            let reply = send(&gate, CONTENT).await;
            assert!(reply.starts_with("451 4.4.2 "), "{reply}");
            assert!(reply.contains(refusal), "{reply}");
            let connections = destination.connections();
            assert_eq!(connections.len(), 2, "{connections:?}");
            let data = connections[1].lines.iter().any(|line| line == "DATA");
            assert!(!data, "{connections:?}");
            gate.assert_counted(counter, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_lacks_what_it_had_is_451_and_nothing_is_sent() {
    let first = script(&[("DATA", Act::Leave)]);
    let destination = Fickle::start(vec![first, Script::default()]).await;
    let gate = Gate::to(destination.address);
    let reply = send(&gate, CONTENT).await;
    assert!(reply.starts_with("451 4.4.2 "), "{reply}");
    assert!(reply.contains("8BITMIME"), "{reply}");
    assert!(destination.messages().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_is_not_offered_again_is_451_and_nothing_is_said_in_clear_text() {
    let mut first = script(&[("DATA", Act::Leave)]);
    first.offers.push("STARTTLS");
    let destination = Fickle::start(vec![first, script(&[])]).await;
    let gate = Gate::to(destination.address);
    let reply = send(&gate, CONTENT).await;
    assert!(reply.starts_with("451 4.4.2 "), "{reply}");
    assert!(reply.contains("TLS"), "{reply}");
    let connections = destination.connections();
    assert_eq!(connections[1].lines, ["EHLO relay-1.example.net", "QUIT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_third_attempt() {
    let content = large();
    for second in [Act::Leave, Act::LeaveInside(10)] {
        let destination = Fickle::start(vec![
            script(&[("DATA", Act::Leave)]),
            script(&[("DATA", second)]),
        ])
        .await;
        let gate = Gate::to(destination.address);
        let reply = send(&gate, &content).await;
        assert!(reply.starts_with("451 4.4.2 "), "{reply}");
        assert!(!reply.contains("twice"), "{reply}");
        assert_eq!(destination.connections().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_dot_there_is_no_second_attempt() {
    for farewell in [Act::Leave, Act::SayAndLeave("nonsense")] {
        let destination = Fickle::start(vec![script(&[(".", farewell)])]).await;
        let gate = Gate::to(destination.address);
        let reply = send(&gate, CONTENT).await;
        assert!(reply.starts_with("451 4.4.2 "), "{reply}");
        assert!(reply.contains("may arrive twice"), "{reply}");
        assert_eq!(destination.connections().len(), 1);
        gate.assert_counted(Counter::LostAfterDot, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_for_data_the_customer_hears_451_and_nothing_is_sent() {
    let _still = Still::stand();
    let slow = Act::Pass(Duration::from_secs(100), "250 2.1.5 fine");
    let second = script(&[
        ("RCPT", slow),
        ("MAIL", Act::Pass(Duration::from_secs(50), "250 fine")),
        ("DATA", Act::Pass(Duration::from_secs(30), "354 go on")),
    ]);
    let destination = Fickle::start(vec![script(&[("DATA", Act::Leave)]), second]).await;
    let gate = Gate::to(destination.address);
    let reply = send(&gate, CONTENT).await;
    assert!(reply.starts_with("451 4.4.2 "), "{reply}");
    assert!(reply.contains("nothing was sent"), "{reply}");
    assert!(destination.messages().is_empty());
    gate.assert_counted(Counter::Late, 1);
}

#[tokio::test(start_paused = true)]
async fn once_the_dot_is_sent_the_destination_has_its_ten_minutes() {
    let _still = Still::stand();
    let cases = [
        (599, "250 2.0.0 taken at last", Counter::Delivered),
        (601, "451 4.4.2 ", Counter::LostAfterDot),
    ];
    for (seconds, heard, counted) in cases {
        let time = Duration::from_secs(seconds);
        let slow = script(&[(".", Act::Pass(time, "250 2.0.0 taken at last"))]);
        let destination = Fickle::start(vec![slow]).await;
        let gate = Gate::to(destination.address);
        let reply = send(&gate, CONTENT).await;
        assert!(reply.starts_with(heard), "{seconds} s: {reply}");
        gate.assert_counted(counted, 1);
        assert_eq!(destination.messages().len(), 1);
    }
}
