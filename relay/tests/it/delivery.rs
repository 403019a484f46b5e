//! What passes arrives, and arrives as it was written.

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::sink::Sink;
use crate::swaks;

#[tokio::test(flavor = "multi_thread")]
async fn content_arrives_octet_for_octet_below_the_trace_fields() {
    let long_line = format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(3000));
    let large = format!(
        "Subject: large\r\n\r\n{}",
        ".leading dot, and more\r\n".repeat(20_000)
    );
    let cases: [(&str, &[u8]); 9] = [
        (
            "plain",
            b"Subject: hi\r\nDKIM-Signature:  v=1;\r\n\tb=abc \r\n\r\nhello\r\n",
        ),
        (
            "dots",
            b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.x\r\n. \r\nend\r\n",
        ),
        ("a dot as the last line", b"Subject: x\r\n\r\nend\r\n.\r\n"),
        (
            "8-bit",
            b"Subject: \xff\xfe\r\n\r\n\x80\x81caf\xe9 \xc3\xa9 \x7f\r\n",
        ),
        (
            "white space",
            b"Subject: x \r\n\r\n \r\n\t\r\nend \t\r\n\r\n\r\n",
        ),
        ("no header", b"\r\nbody only\r\n"),
        ("no body", b"Subject: only\r\n"),
        ("long line", long_line.as_bytes()),
        ("larger than memory", large.as_bytes()),
    ];
    let sink = Sink::start();
    let gate = Gate::start(Options {
        memory_octets: 10_000,
        ..Options::to(sink.address)
    });
    for (index, (name, content)) in cases.iter().enumerate() {
        let transcript = swaks::send(gate.address, content, &[]).await;
        transcript.assert_accepted();
        // The destination's own words.
        transcript.assert_heard("250 2.0.0 Ok");
        let taken = sink.taken();
        assert_eq!(taken.len(), index + 1, "{name}");
        assert!(
            taken[index].content() == *content,
            "{name}: {:?}",
            taken[index]
        );
    }
    gate.wait_for_count(Counter::Delivered, 9).await;
    gate.wait_for_count(Counter::SessionsServed, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_fields_say_who_when_and_by_whom() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[])
        .await
        .assert_accepted();
    let taken = sink.only();
    let trace = taken.trace().replace("\r\n\t", " ").replace("\r\n ", " ");
    for part in [
        "Received: from client.example ([127.0.0.1]) by relay-1.example.net (Outgate at Example Hosting) with ESMTP id ",
        " for <recipient@mx.example>; ",
        " +0000\r\nX-Outgate-Token: ",
        "\r\nX-Outgate-Id: ",
    ] {
        assert!(trace.contains(part), "{part:?} is not in {trace:?}");
    }
    assert!(
        taken.envelope.contains("X-Helo-Args: relay-1.example.net"),
        "{}",
        taken.envelope
    );
    assert!(
        taken
            .envelope
            .contains("X-Mail-Args: <sender@customer.example>"),
        "{}",
        taken.envelope
    );
    assert!(
        taken
            .envelope
            .contains("X-Rcpt-Args: <recipient@mx.example>"),
        "{}",
        taken.envelope
    );
    assert!(trace.lines().all(|line| line.len() < 998), "{trace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_recipients_are_not_disclosed_to_each_other() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let to = "one@mx.example,two@mx.example";
    let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &["--to", to]).await;
    transcript.assert_accepted();
    let taken = sink.only();
    assert!(!taken.trace().contains("mx.example"), "{}", taken.trace());
    for recipient in ["<one@mx.example>", "<two@mx.example>"] {
        assert!(taken.envelope.contains(recipient), "{}", taken.envelope);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_commands_and_several_transactions_share_one_connection() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for number in 1..=3 {
        customer
            .say(b"MAIL FROM:<a@customer.example>\r\nRCPT TO:<b@mx.example>\r\nRCPT TO:<c@mx.example>\r\nDATA\r\n")
            .await;
        for expected in ["250 2.1.0", "250 2.1.5", "250 2.1.5", "354"] {
            customer.expect_reply(expected).await;
        }
        // The next transaction's RSET comes in one segment with the end of this one.
        let content = format!("Subject: {number}\r\n\r\n..{number}\r\n.\r\nRSET\r\n");
        customer.say(content.as_bytes()).await;
        customer.expect_reply("250 2.0.0 Ok").await;
        customer.expect_reply("250").await;
    }
    customer.expect("QUIT\r\n", "221").await;
    customer.expect_close().await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 3);
    for (index, taken) in taken.iter().enumerate() {
        let number = index + 1;
        assert_eq!(
            taken.content(),
            format!("Subject: {number}\r\n\r\n.{number}\r\n").as_bytes()
        );
    }
    let dialogue = sink.dialogue();
    assert_eq!(
        dialogue.matches("EHLO relay-1.example.net").count(),
        1,
        "{dialogue}"
    );
    gate.wait_for_count(Counter::Delivered, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_given_up_reaches_the_next_one_as_rset() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.envelope("first@mx.example").await;
    customer.expect("RSET\r\n", "250").await;
    customer.envelope("second@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer
        .expect("Subject: x\r\n\r\nx\r\n.\r\n", "250 2.0.0 Ok")
        .await;
    let taken = sink.only();
    assert!(!taken.envelope.contains("first@"), "{}", taken.envelope);
    assert!(taken.envelope.contains("second@"), "{}", taken.envelope);
    assert_eq!(
        sink.dialogue().matches("RSET").count(),
        1,
        "{}",
        sink.dialogue()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_destination_lacks_is_refused_and_not_converted() {
    // smtp-sink of this version offers no SMTPUTF8 at all.
    let sink = Sink::with(&["-8"]);
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for parameter in ["BODY=8BITMIME", "BODY=7BIT", "SMTPUTF8"] {
        let mail = format!("MAIL FROM:<a@customer.example> {parameter}\r\n");
        customer.expect(&mail, "555 5.5.4").await;
    }
    // Octets that were not announced go as they are.
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer.say(b"Subject: x\r\n\r\ncaf\xe9\r\n.\r\n").await;
    customer.expect_reply("250 2.0.0 Ok").await;
    assert_eq!(sink.only().content(), b"Subject: x\r\n\r\ncaf\xe9\r\n");
    assert!(!sink.dialogue().contains("BODY"), "{}", sink.dialogue());
}
