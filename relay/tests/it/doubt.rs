//! A customer that may not have heard the destination's 250 sends its message again: it hears 250, and no
//! second copy is sent. A customer that has heard it, and means it, is delivered twice.

use std::process::Command;

use relay::metrics::Counter;
use tempfile::TempDir;

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::{Gate, Options};
use crate::namespace;

/// As a mail server writes it.
const NAMED: &str = "Subject: x\r\nMessage-ID: <1@customer.example>\r\n\r\nx\r\n";
/// As a script writes it every day.
const NAMELESS: &str = "Subject: disk is full\r\n\r\nx\r\n";

/// How a customer's session ends after the dot.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// It hears the reply, and says QUIT.
    Quit,
    /// It hears the reply, and closes without a word.
    Close,
    /// The reply arrives, but it ends without reading it.
    Unread,
    /// It hears the reply, and then the connection is reset.
    Reset,
    /// It had said QUIT behind its dot, and ends without reading.
    PipelinedAndUnread,
}

async fn destination() -> Fickle {
    Fickle::start(vec![Script::default()]).await
}

/// A session with the whole message said, and nothing heard yet of what follows.
async fn up_to_the_dot(gate: &Gate, content: &str, behind: &str) -> Dialogue {
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer
        .say(format!("{content}.\r\n{behind}").as_bytes())
        .await;
    customer
}

async fn send(gate: &Gate, content: &str, ending: Ending) {
    let behind = match ending {
        Ending::PipelinedAndUnread => "NOOP\r\n",
        Ending::Quit | Ending::Close | Ending::Unread | Ending::Reset => "",
    };
    let mut customer = up_to_the_dot(gate, content, behind).await;
    match ending {
        Ending::Quit => {
            customer.expect_reply("250").await;
            customer.expect("QUIT\r\n", "221").await;
        }
        Ending::Close => {
            customer.expect_reply("250").await;
        }
        Ending::Unread | Ending::PipelinedAndUnread => customer.wait_for_octets().await,
        Ending::Reset => {
            customer.expect_reply("250").await;
            customer.reset();
        }
    }
}

/// Sends `content` once more, and says whether it was delivered again.
async fn is_delivered_again(gate: &Gate, destination: &Fickle, content: &str) -> bool {
    let before = destination.messages().len();
    let mut customer = up_to_the_dot(gate, content, "").await;
    let reply = customer.expect_reply("250 2.0.0 ").await;
    let again = destination.messages().len() > before;
    assert_eq!(
        again,
        !reply.contains("took this message before"),
        "{reply}"
    );
    customer.expect("QUIT\r\n", "221").await;
    again
}

#[tokio::test(flavor = "multi_thread")]
async fn a_250_that_nobody_read_makes_one_retry_silent() {
    for ending in [Ending::Unread, Ending::Reset, Ending::PipelinedAndUnread] {
        let destination = destination().await;
        let gate = Gate::to(destination.address);
        send(&gate, NAMED, ending).await;
        gate.wait_for_count(Counter::Unheard, 1).await;
        let other = NAMED.replace("<1@", "<2@");
        assert!(is_delivered_again(&gate, &destination, &other).await);
        assert!(
            !is_delivered_again(&gate, &destination, NAMED).await,
            "{ending:?}"
        );
        assert!(
            is_delivered_again(&gate, &destination, NAMED).await,
            "{ending:?}"
        );
        assert_eq!(destination.messages().len(), 3);
        gate.assert_counted(Counter::AlreadyDelivered, 1);
        gate.assert_counted(Counter::Unheard, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_whose_250_nobody_read_either_is_in_doubt_again() {
    let destination = destination().await;
    let gate = Gate::to(destination.address);
    for round in 1..=3 {
        send(&gate, NAMED, Ending::Unread).await;
        gate.wait_for_count(Counter::Unheard, round).await;
        assert_eq!(destination.messages().len(), 1);
    }
    assert!(!is_delivered_again(&gate, &destination, NAMED).await);
    assert!(is_delivered_again(&gate, &destination, NAMED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_heard_its_250_may_say_the_same_again() {
    for ending in [Ending::Quit, Ending::Close] {
        for content in [NAMED, NAMELESS] {
            let destination = destination().await;
            let gate = Gate::to(destination.address);
            for _ in 0..3 {
                send(&gate, content, ending).await;
            }
            assert!(is_delivered_again(&gate, &destination, content).await);
            assert_eq!(destination.messages().len(), 4, "{ending:?}");
            gate.assert_counted(Counter::Unheard, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_behind_an_acknowledged_250_is_no_doubt_if_the_message_may_be_another_one() {
    let destination = destination().await;
    let gate = Gate::to(destination.address);
    let customer = up_to_the_dot(&gate, NAMELESS, "").await;
    customer.wait_for_octets().await;
    let (relay, client) = (gate.address.port(), customer.local_addr().port());
    crate::host::wait_until("the acknowledgement", || is_acknowledged(relay, client));
    drop(customer);
    assert!(is_delivered_again(&gate, &destination, NAMELESS).await);
    gate.assert_counted(Counter::Unheard, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn later_transactions_of_a_session_are_heard_by_what_follows_them() {
    let destination = destination().await;
    let gate = Gate::to(destination.address);
    let mut customer = up_to_the_dot(&gate, NAMED, "").await;
    for number in 2..=4 {
        customer.expect_reply("250").await;
        customer.envelope("b@mx.example").await;
        customer.expect("DATA\r\n", "354").await;
        let content = NAMED.replace("<1@", &format!("<{number}@"));
        customer.say(format!("{content}.\r\n").as_bytes()).await;
    }
    customer.wait_for_octets().await;
    drop(customer);
    gate.wait_for_count(Counter::Unheard, 1).await;
    assert_eq!(destination.messages().len(), 4);
    assert!(is_delivered_again(&gate, &destination, NAMED).await);
    let last = NAMED.replace("<1@", "<4@");
    assert!(!is_delivered_again(&gate, &destination, &last).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn doubts_outlive_the_relay_and_are_used_once_by_all_of_its_lives() {
    let state = TempDir::new().unwrap();
    let destination = destination().await;
    let start = || {
        Gate::start(Options {
            state_dir: Some(state.path().into()),
            ..Options::to(destination.address)
        })
    };
    let first = start();
    send(&first, NAMED, Ending::Unread).await;
    first.wait_for_count(Counter::Unheard, 1).await;
    first.stop().await;
    let second = start();
    assert!(!is_delivered_again(&second, &destination, NAMED).await);
    second.stop().await;
    let third = start();
    assert!(is_delivered_again(&third, &destination, NAMED).await);
    assert_eq!(destination.messages().len(), 2);
}

#[test]
fn a_250_that_never_arrived_is_in_doubt_whatever_the_message() {
    namespace::inside("doubt", || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let held = Script {
                acts: vec![(".", Act::Hold("250 2.0.0 taken"))],
                ..Script::default()
            };
            let destination = Fickle::start(vec![held, Script::default()]).await;
            let gate = Gate::to(destination.address);
            let customer = up_to_the_dot(&gate, NAMELESS, "").await;
            wait_for_message(&destination).await;
            // From here on nothing of the customer's arrives, acknowledgements included, until the reset.
            let port = customer.local_addr().port();
            nft(&format!(
                "table inet doubt {{ chain out {{ type filter hook output priority 0; \
                 tcp sport {port} tcp flags & rst == 0 drop; }}; }}"
            ));
            destination.release();
            gate.wait_for_count(Counter::Delivered, 1).await;
            customer.wait_for_octets().await;
            customer.reset();
            gate.wait_for_count(Counter::Unheard, 1).await;
            assert!(!is_delivered_again(&gate, &destination, NAMELESS).await);
            assert!(is_delivered_again(&gate, &destination, NAMELESS).await);
            assert_eq!(destination.messages().len(), 2);
        });
    });
}

/// Whether all that was written on the connection from `local` to `remote` port was acknowledged, by the
/// kernel's own table.
fn is_acknowledged(local: u16, remote: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = |fields: &[&str]| {
        fields[1].ends_with(&format!(":{local:04X}"))
            && fields[2].ends_with(&format!(":{remote:04X}"))
    };
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        ends(&fields) && fields[4].starts_with("00000000:")
    })
}

async fn wait_for_message(destination: &Fickle) {
    for _ in 0..500 {
        if !destination.messages().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the destination has no message");
}

#[track_caller]
fn nft(ruleset: &str) {
    let output = Command::new("nft").arg(ruleset).output();
    let output = output.expect("nft is not installed");
    assert!(output.status.success(), "{output:?}");
}
