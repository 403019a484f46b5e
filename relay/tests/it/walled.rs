//! A walled customer hears why, whatever it sends to whomever, and still reaches the operator.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use contract::{Snapshot, Treatment};
use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, snapshot};
use crate::host::free_address;
use crate::sink::Sink;
use crate::spam::GTUBE;
use crate::swaks;

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";
const MAIL: &str = "MAIL FROM:<a@customer.example>\r\n";

/// The destination that the customer chose; it notices whoever comes.
struct Untouched(TcpListener);

impl Untouched {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let visit = self.0.accept().map(|(_, peer)| peer);
            assert_eq!(visit.unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    }
}

/// 127.0.0.1 is walled.
fn walled() -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.customers[0].flag_id = 17;
    snapshot.customers[0].treatment = Treatment::Walled;
    snapshot
}

fn gate(destination: &Untouched, operator: Option<SocketAddr>) -> Gate {
    let more = operator.map_or_else(String::new, |address| {
        format!(
            "[operator_mail]\nmailboxes = [\"abuse@example.net\", \"postmaster@example.net\"]\n\
             deliver_to = \"{address}\"\nmessages_per_hour = 3\n"
        )
    });
    Gate::start(Options {
        snapshot: Some(walled()),
        more,
        ..Options::to(destination.address())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipient_hears_reason_url_and_reference() {
    let destination = Untouched::start();
    let gate = gate(&destination, None);
    for options in [&[][..], &["-tls"]] {
        let to = ["--to", "one@mx.example,two@mx.example"];
        let options = [options, &to].concat();
        let transcript = swaks::send(gate.address, MESSAGE, &options).await;
        assert_eq!(transcript.exit, 24, "{}", transcript.text);
        let refusals: Vec<&str> = transcript
            .text
            .lines()
            .filter(|line| line.contains("550 5.7.1 "))
            .collect();
        assert_eq!(refusals.len(), 2, "{}", transcript.text);
        for refusal in refusals {
            let (text, session) = refusal.rsplit_once(" ref F17-").unwrap();
            assert!(
                text.ends_with(
                    "550 5.7.1 mail from 127.0.0.1 is blocked by Example Hosting: \
                     complaint 4711; see https://abuse.example.net/smtp"
                ),
                "{refusal}"
            );
            assert_eq!(session.len(), 15, "{refusal}");
        }
    }
    gate.assert_counted(Counter::Walled, 4);
    gate.assert_counted(Counter::SessionsServed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_a_whole_one_all_the_same() {
    let destination = Untouched::start();
    let gate = gate(&destination, None);
    let (mut customer, _) = Dialogue::open(gate.address).await;
    let offer = customer.expect("EHLO client.example\r\n", "250-").await;
    let offered: Vec<&str> = offer.lines().filter_map(|line| line.get(4..)).collect();
    assert_eq!(
        offered[1..],
        [
            "SIZE 52428800",
            "PIPELINING",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            "STARTTLS",
            "LIMITS MAILMAX=5000 RCPTMAX=100"
        ]
    );
    for _ in 0..2 {
        customer.expect(MAIL, "250 2.1.0").await;
        // Without an operator's mailbox there is none, not even this one.
        for recipient in ["b@mx.example", "abuse@example.net", "postmaster"] {
            let command = format!("RCPT TO:<{recipient}>\r\n");
            customer.expect(&command, "550 5.7.1").await;
        }
        customer.expect("DATA\r\n", "554 5.5.1").await;
        customer.expect("RSET\r\n", "250").await;
    }
    // Pipelined, as a queue runner has it.
    customer
        .say(format!("{MAIL}RCPT TO:<b@mx.example>\r\nDATA\r\nQUIT\r\n").as_bytes())
        .await;
    for expected in ["250 2.1.0", "550 5.7.1", "554 5.5.1", "221"] {
        customer.expect_reply(expected).await;
    }
    customer.expect_close().await;
    gate.assert_counted(Counter::Walled, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_reached_even_with_spam_quoted() {
    let (destination, sink) = (Untouched::start(), Sink::start());
    let gate = gate(&destination, Some(sink.address));
    let content = format!("Subject: why?\r\n\r\n> {GTUBE}\r\n..\r\n");
    let to = [
        "--to",
        "one@mx.example,Abuse@Example.net,two@mx.example,postmaster@example.net",
    ];
    let transcript = swaks::send(gate.address, content.as_bytes(), &to).await;
    transcript.assert_accepted();
    transcript.assert_heard("250 2.0.0 Ok");
    let taken = sink.only();
    assert!(taken.content() == content.as_bytes());
    assert!(taken.trace().contains("([127.0.0.1])"), "{}", taken.trace());
    assert!(
        taken
            .envelope
            .contains("X-Helo-Args: relay-1.example.net\n"),
        "{}",
        taken.envelope
    );
    let recipients: Vec<&str> = taken
        .envelope
        .lines()
        .filter(|line| line.starts_with("X-Rcpt-Args"))
        .collect();
    assert_eq!(
        recipients,
        [
            "X-Rcpt-Args: <Abuse@Example.net>",
            "X-Rcpt-Args: <postmaster@example.net>"
        ]
    );
    gate.wait_for_count(Counter::Delivered, 1).await;
    gate.assert_counted(Counter::Walled, 2);
    gate.assert_counted(Counter::Rejected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_do_not_leak_into_each_other() {
    let (destination, sink) = (Untouched::start(), Sink::start());
    let gate = gate(&destination, Some(sink.address));
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(MAIL, "250").await;
    customer
        .expect("RCPT TO:<abuse@example.net>\r\n", "250")
        .await;
    customer.expect("RSET\r\n", "250").await;
    // The operator took a recipient before, and has no part in this one.
    customer.expect(MAIL, "250").await;
    customer
        .expect("RCPT TO:<b@mx.example>\r\n", "550 5.7.1")
        .await;
    customer.expect("DATA\r\n", "554 5.5.1").await;
    customer.expect("RSET\r\n", "250").await;
    customer.expect(MAIL, "250").await;
    customer.expect("RCPT TO:<Postmaster>\r\n", "250").await;
    customer.expect("DATA\r\n", "354").await;
    customer
        .expect("Subject: x\r\n\r\nx\r\n.\r\n", "250 2.0.0 Ok")
        .await;
    let taken = sink.only();
    assert!(taken.content() == MESSAGE);
    assert!(
        taken.envelope.contains("X-Rcpt-Args: <postmaster>\n")
            && !taken.envelope.contains("abuse@"),
        "{}",
        taken.envelope
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_server_answers_for_itself() {
    let destination = Untouched::start();
    let hard = "550 5.1.1 no such user; ref#18 (hard)";
    for (command, exit) in [("RCPT", 24), (".", 26)] {
        let sink = Sink::with(&["-B", hard, "-f", command]);
        let gate = gate(&destination, Some(sink.address));
        let to = ["--to", "abuse@example.net"];
        let transcript = swaks::send(gate.address, MESSAGE, &to).await;
        transcript.assert_heard(&format!("<** {hard}\n"));
        assert_eq!(transcript.exit, exit, "{}", transcript.text);
    }
    // One that is away costs no mail, and changes nothing for the others.
    let gate = gate(&destination, Some(free_address()));
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(MAIL, "250").await;
    customer
        .expect("RCPT TO:<b@mx.example>\r\n", "550 5.7.1")
        .await;
    customer
        .expect("RCPT TO:<abuse@example.net>\r\n", "421 4.4.1")
        .await;
    customer.expect_close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_not_flooded() {
    let (destination, sink) = (Untouched::start(), Sink::start());
    let gate = gate(&destination, Some(sink.address));
    for expected in ["250", "250", "250", "450 4.7.1", "450 4.7.1"] {
        let mut customer = Dialogue::ehlo(gate.address).await;
        customer.expect(MAIL, "250").await;
        // Two recipients of one message are one message.
        for mailbox in ["abuse", "postmaster"] {
            let command = format!("RCPT TO:<{mailbox}@example.net>\r\n");
            customer.expect(&command, expected).await;
        }
        customer
            .expect("RCPT TO:<b@mx.example>\r\n", "550 5.7.1")
            .await;
    }
    gate.assert_counted(Counter::WalledDeferred, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_told_at_the_next_transaction() {
    let destination = Untouched::start();
    let gate = gate(&destination, None);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(MAIL, "250").await;
    gate.drain.send_replace(true);
    customer
        .expect("RCPT TO:<b@mx.example>\r\n", "550 5.7.1")
        .await;
    customer.expect("RSET\r\n", "250").await;
    customer.expect(MAIL, "421 4.3.2").await;
    customer.expect_close().await;
}
