//! Content in chunks, with NUL, with long lines, in a loop: what passes, and what is refused with a reason.

use crate::dialogue::Dialogue;
use crate::gate::Gate;
use crate::sink::Sink;

/// A session of which the destination has taken one recipient.
async fn with_recipient(gate: &Gate) -> Dialogue {
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer
        .expect("MAIL FROM:<a@customer.example>\r\n", "250 ")
        .await;
    customer.expect("RCPT TO:<b@mx.example>\r\n", "250 ").await;
    customer
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_arrive_as_one_message_octet_for_octet() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let (mut customer, _) = Dialogue::open(gate.address).await;
    let offered = customer.expect("EHLO client.example\r\n", "250").await;
    assert!(offered.contains("250-CHUNKING"), "{offered}");
    let content = b"Subject: chunks\r\n\r\n.\r\nQUIT\r\n..leading\r\nend\r\n";
    let mut pipelined = b"MAIL FROM:<a@customer.example>\r\nRCPT TO:<b@mx.example>\r\n".to_vec();
    for chunk in content.chunks(7) {
        pipelined.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        pipelined.extend_from_slice(chunk);
    }
    pipelined.extend_from_slice(b"BDAT 0 LAST\r\n");
    customer.say(&pipelined).await;
    for _ in 0..2 + content.len().div_ceil(7) {
        customer.expect_reply("250 ").await;
    }
    // The destination's own words.
    customer.expect_reply("250 2.0.0 Ok").await;
    assert_eq!(sink.only().content(), content);

    customer
        .say(b"MAIL FROM:<a@customer.example>\r\nRCPT TO:<b@mx.example>\r\nBDAT 9\r\nx\r\n.\nQUITBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        .await;
    customer.expect_reply("250 ").await;
    customer.expect_reply("250 ").await;
    customer.expect_reply("554 5.6.0 bare LF").await;
    customer.expect_reply("503 5.5.1").await;
    customer.expect_reply("250 2.0.0").await;
    assert_eq!(sink.dialogue().matches("DATA").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_and_long_lines_arrive_octet_for_octet() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let long = "x".repeat(100_000);
    let content = format!("Subject: x\0\r\n\r\n\0\0y\r\n.\0y\r\n{long}\r\n\0\r\n");
    let mut customer = with_recipient(&gate).await;
    let chunk = format!("BDAT {} LAST\r\n{content}", content.len());
    customer.expect(&chunk, "250 ").await;
    assert_eq!(
        sink.only().content().escape_ascii().to_string(),
        content.as_bytes().escape_ascii().to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_dot_beside_nul_never_reaches_a_destination() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = with_recipient(&gate).await;
    customer.expect("DATA\r\n", "354").await;
    customer
        .say(b"Subject: x\r\n\r\n\0.\r\nMAIL FROM:<evil@x>\r\n.\r\n")
        .await;
    customer
        .expect_reply("554 5.6.0 a lone dot beside NUL")
        .await;
    customer.expect_close().await;
    assert!(!sink.dialogue().contains("DATA"), "{}", sink.dialogue());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_a_loop_is_refused() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = with_recipient(&gate).await;
    customer.expect("DATA\r\n", "354").await;
    let hops = "Received: from a by b\r\n".repeat(101);
    customer
        .say(format!("{hops}Subject: x\r\n\r\nx\r\n.\r\n").as_bytes())
        .await;
    customer.expect_reply("554 5.4.6 mail loop").await;
    customer.expect("NOOP\r\n", "250").await;
    assert!(!sink.dialogue().contains("DATA"), "{}", sink.dialogue());
}
