//! What customers may do, what becomes of those that do more, and of those whose mail is suspicious.

use std::net::SocketAddr;
use std::time::Duration;

use contract::Delivery;
use relay::metrics::Counter;
use tempfile::tempdir;

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::{Gate, Options};
use crate::host::wait_until;
use crate::still::Still;

mod identity;
mod named;
mod program;

const MAIL: &str = "MAIL FROM:<a@customer.example>\r\n";
const URL: &str = "see https://abuse.example.net/smtp";

/// In front of `destination`, with these tables.
pub(crate) fn limited(destination: SocketAddr, tables: &str) -> Gate {
    Gate::start(Options {
        more: tables.into(),
        ..Options::to(destination)
    })
}

/// A destination that takes everything but what begins so.
async fn destination(acts: &[(&'static str, Act)]) -> Fickle {
    let acts = acts.to_vec();
    let offers = vec!["SIZE 50000000"];
    Fickle::start(vec![Script { offers, acts }]).await
}

/// From MAIL to the reply behind the dot.
pub(crate) async fn send(customer: &mut Dialogue, recipient: &str, content: &str) -> String {
    customer.envelope(recipient).await;
    customer.expect("DATA\r\n", "354").await;
    customer.say(format!("{content}.\r\n").as_bytes()).await;
    customer.hear().await
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_named_and_passes_with_time() {
    let _still = Still::stand();
    let destination = destination(&[]).await;
    let gate = limited(
        destination.address,
        "[behaviour.limits]\nmessages_per_minute = 2\n",
    );
    let mut customer = Dialogue::ehlo(gate.address).await;
    for _ in 0..2 {
        let reply = send(&mut customer, "b@mx.example", "Subject: x\r\n\r\n").await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let reply = customer.expect(MAIL, "451 4.7.1 ").await;
    assert_eq!(
        reply.trim_end(),
        format!(
            "451 4.7.1 127.0.0.1 sent more than 2 messages in a minute (limit messages_per_minute), try again in 30 s; {URL}"
        )
    );
    gate.assert_counted(Counter::Limited, 1);
    // Another one is not the same.
    let (mut other, _) = Dialogue::open_from(gate.address, "127.0.0.2").await;
    other.expect("EHLO client.example\r\n", "250").await;
    let reply = send(&mut other, "b@mx.example", "Subject: x\r\n\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    tokio::time::advance(Duration::from_secs(30)).await;
    let reply = send(&mut customer, "b@mx.example", "Subject: x\r\n\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    customer.expect(MAIL, "451 4.7.1 ").await;
    assert_eq!(destination.messages().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_holds_where_it_is_known() {
    let destination = destination(&[("RCPT TO:<nobody@", Act::Say("550 5.1.1 nobody"))]).await;
    // Recipients that were refused are not counted; those that are the same are one.
    let gate = limited(
        destination.address,
        "[behaviour.limits]\nrecipients_per_hour = 4\ndistinct_recipients_per_hour = 3\nconnections_per_day = 2\n",
    );
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(MAIL, "250").await;
    let rcpt = |name: &str| format!("RCPT TO:<{name}@mx.example>\r\n");
    for _ in 0..5 {
        customer.expect(&rcpt("nobody"), "550 5.1.1").await;
    }
    for name in ["b", "c", "B"] {
        customer.expect(&rcpt(name), "250").await;
    }
    customer.expect(&rcpt("d"), "250").await;
    let limit = "451 4.7.1 127.0.0.1 wrote to more than 4 recipients in an hour (limit recipients_per_hour), try again in ";
    customer.expect(&rcpt("e"), limit).await;
    customer.expect("DATA\r\n", "354").await;
    customer.expect("Subject: x\r\n\r\n.\r\n", "250").await;
    let (_second, greeting) = Dialogue::open(gate.address).await;
    assert!(greeting.starts_with("220"), "{greeting}");
    let (mut third, greeting) = Dialogue::open(gate.address).await;
    let limit = "421 4.7.1 127.0.0.1 made more than 2 connections in a day (limit connections_per_day), try again in ";
    assert!(greeting.starts_with(limit), "{greeting}");
    third.expect_close().await;
    gate.assert_counted(Counter::RefusedLimited, 1);
    let shown = gate.relay.behaviour().show("127.0.0.1").unwrap().unwrap();
    assert_eq!((shown.hour.messages, shown.hour.recipients), (1, 4));
    assert_eq!((shown.distinct_recipients, shown.hour.answers), (3, 9));
    assert_eq!((shown.hour.connections, shown.hour.limited), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_are_limited_by_what_is_announced_and_by_what_comes() {
    let destination = destination(&[]).await;
    let gate = Gate::start(Options {
        more: "[behaviour]\nover = \"refuse\"\n[behaviour.limits]\noctets_per_day = 52428800\n\
               distinct_senders_per_hour = 1\n"
            .into(),
        ..Options::to(destination.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    let large = format!(
        "Subject: x\r\n\r\n{}",
        format!("{}\r\n", "x".repeat(998)).repeat(40_000)
    );
    let reply = send(&mut customer, "b@mx.example", &large).await;
    assert!(reply.starts_with("250"), "{reply}");
    let limit = "550 5.7.1 127.0.0.1 sent more than 52428800 octets in a day (limit octets_per_day), try again in ";
    let announced = "MAIL FROM:<a@customer.example> SIZE=20000000\r\n";
    customer.expect(announced, limit).await;
    // The same sender may go on with something smaller, if it keeps its word.
    let senders = "550 5.7.1 127.0.0.1 sent as more than 1 different senders in an hour (limit distinct_senders_per_hour)";
    customer.expect(MAIL, senders).await;
    gate.stop().await;
    assert_eq!(destination.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_unannounced_is_limited_behind_the_dot() {
    let destination = destination(&[]).await;
    let gate = limited(
        destination.address,
        "[behaviour.limits]\noctets_per_day = 52428800\n",
    );
    let mut customer = Dialogue::ehlo(gate.address).await;
    let large = format!(
        "Subject: x\r\n\r\n{}",
        format!("{}\r\n", "x".repeat(998)).repeat(30_000)
    );
    let reply = send(&mut customer, "b@mx.example", &large).await;
    assert!(reply.starts_with("250"), "{reply}");
    let reply = send(&mut customer, "b@mx.example", &large).await;
    let limit =
        "451 4.7.1 127.0.0.1 sent more than 52428800 octets in a day (limit octets_per_day), ";
    assert!(reply.starts_with(limit), "{reply}");
    let reply = send(&mut customer, "b@mx.example", "Subject: small\r\n\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    assert_eq!(destination.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_up_stays_so_over_a_restart() {
    let destination = destination(&[]).await;
    let state = tempdir().unwrap();
    let start = |more: &str| {
        Gate::start(Options {
            more: format!("[behaviour]\n{more}\n[behaviour.limits]\nmessages_per_day = 1\n"),
            state_dir: Some(state.path().to_owned()),
            ..Options::to(destination.address)
        })
    };
    let gate = start("");
    let mut customer = Dialogue::ehlo(gate.address).await;
    send(&mut customer, "b@mx.example", "Subject: x\r\n\r\n").await;
    drop(customer);
    gate.relay.save();
    gate.stop().await;
    let gate = start("");
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer
        .expect(MAIL, "451 4.7.1 127.0.0.1 sent more than 1 ")
        .await;
    drop(customer);
    gate.stop().await;
    // Whoever only looks on counts, and stops nobody.
    let gate = start("enforce = false");
    let mut customer = Dialogue::ehlo(gate.address).await;
    let reply = send(&mut customer, "b@mx.example", "Subject: x\r\n\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    let shown = gate.relay.behaviour().show("127.0.0.1").unwrap().unwrap();
    assert_eq!(shown.hour.messages, 2);
    drop(customer);
    gate.stop().await;
    std::fs::write(state.path().join("behaviour.records"), "nonsense").unwrap();
    let gate = start("");
    assert!(state.path().join("behaviour.damaged").exists());
    Dialogue::ehlo(gate.address).await.expect(MAIL, "250").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_to_people_that_do_not_exist_is_refused_with_figures() {
    let acts = [("RCPT TO:<nobody", Act::Say("550 mailbox unavailable"))];
    let destination = destination(&acts).await;
    let gate = limited(
        destination.address,
        "[behaviour]\nanswers_min = 10\nunknown_share = 0.5\n",
    );
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(MAIL, "250").await;
    for number in 0..6 {
        let rcpt = format!("RCPT TO:<nobody{number}@mx.example>\r\n");
        customer
            .expect(&rcpt, "550 5.0.0 mailbox unavailable")
            .await;
    }
    for number in 0..4 {
        let rcpt = format!("RCPT TO:<b{number}@mx.example>\r\n");
        customer.expect(&rcpt, "250").await;
    }
    let reply = customer.expect("DATA\r\n", "550 5.7.1 ").await;
    let figures = "6 of 10 recipients that 127.0.0.1 wrote to in the last hour do not exist";
    assert!(reply.contains(figures) && reply.contains(URL), "{reply}");
    assert!(destination.messages().is_empty());
    // It has cost nobody else anything.
    let (mut other, _) = Dialogue::open_from(gate.address, "127.0.0.2").await;
    other.expect("EHLO client.example\r\n", "250").await;
    let reply = send(&mut other, "b@mx.example", "Subject: x\r\n\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    let shown = gate.relay.behaviour().show("127.0.0.1").unwrap().unwrap();
    assert_eq!((shown.hour.messages, shown.hour.spam), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_queue_hears_counts_as_well() {
    let acts = [("RCPT TO:<", Act::Say("550 5.7.1 blocked"))];
    let destination = destination(&acts).await;
    let spool = tempdir().unwrap();
    let mut options = Options::with_spool(destination.address, Delivery::Queue, spool.path());
    options.more += "[behaviour]\nanswers_min = 2\nrefused_share = 1.0\n";
    let gate = Gate::start(options);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for _ in 0..2 {
        let reply = send(&mut customer, "b@mx.example", "Subject: x\r\n\r\n").await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let answers = || {
        let shown = gate.relay.behaviour().show("127.0.0.1").unwrap();
        shown.unwrap().hour.answers
    };
    tokio::task::block_in_place(|| wait_until("the answers", || answers() == 2));
    customer.envelope("b@mx.example").await;
    let reply = customer.expect("DATA\r\n", "550 5.7.1 ").await;
    let figures = "2 of 2 recipients that 127.0.0.1 wrote to in the last hour were refused by their servers' policy";
    assert!(reply.contains(figures), "{reply}");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_text_from_many_customers_is_refused() {
    let destination = destination(&[]).await;
    let gate = limited(
        destination.address,
        "[behaviour]\nsame_text_customers = 3\n[verdict]\nspam = \"defer\"\n",
    );
    let text = "This letter is about a very good offer that nobody should miss who wants to be rich and happy \
                before the end of this week or the next one at least, and it costs only";
    let mut replies = Vec::new();
    for last in 1..=3 {
        let (mut customer, _) = Dialogue::open_from(gate.address, &format!("127.0.0.{last}")).await;
        customer.expect("EHLO client.example\r\n", "250").await;
        let content = format!("Subject: {last}\r\n\r\n{text} {last}00 dollars\r\n");
        replies.push(send(&mut customer, "b@mx.example", &content).await);
        // One's own letters, again and again, are nobody's business.
        let other = format!(
            "Subject: own\r\n\r\n{}\r\n",
            "my own words ".repeat(last * 10)
        );
        let reply = send(&mut customer, "b@mx.example", &other).await;
        assert!(last > 2 || reply.starts_with("250"), "{reply}");
    }
    assert!(
        replies[0].starts_with("250") && replies[1].starts_with("250"),
        "{replies:?}"
    );
    let figures = "451 4.7.1 the same text from 3 customers in the last hour";
    assert!(replies[2].starts_with(figures), "{replies:?}");
}
