//! LIMITS (RFC 9422): what customers are told, and destinations are held to no more than they take.

use std::collections::BTreeSet;

use contract::Delivery;
use relay::metrics::Counter;
use tempfile::tempdir;

use crate::dialogue::Dialogue;
use crate::fickle::{Fickle, Script};
use crate::gate::{Gate, Options};
use crate::host::wait_until;
use crate::smtplib;

const EHLO: &str = "EHLO client.example\r\n";
const MAIL: &str = "MAIL FROM:<a@customer.example>\r\n";

async fn limited(offers: &[&'static str]) -> Fickle {
    let script = Script {
        offers: offers.to_vec(),
        acts: vec![],
    };
    Fickle::start(vec![script]).await
}

/// What EHLO says.
async fn told(gate: &Gate) -> String {
    let (mut customer, _) = Dialogue::open(gate.address).await;
    let reply = customer.expect(EHLO, "250").await;
    let line = reply.lines().find(|line| line.contains("LIMITS"));
    line.unwrap().get(4..).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_told_the_least_of_what_both_take() {
    let destination = limited(&["LIMITS MAILMAX=6000 RCPTMAX=7 RCPTDOMAINMAX=2"]).await;
    let gate = Gate::start(Options {
        more: "[session]\nmax_messages = 50\n".into(),
        ..Options::to(destination.address)
    });
    // Asked for, and known.
    for _ in 0..2 {
        assert_eq!(
            told(&gate).await,
            "LIMITS MAILMAX=50 RCPTMAX=7 RCPTDOMAINMAX=2"
        );
    }
    // One that names none.
    let gate = Gate::to(limited(&[]).await.address);
    assert_eq!(told(&gate).await, "LIMITS MAILMAX=5000 RCPTMAX=100");
    // The queue takes what the relay does, wherever it goes.
    let spool = tempdir().unwrap();
    let gate = Gate::start(Options::with_spool(
        destination.address,
        Delivery::Queue,
        spool.path(),
    ));
    assert_eq!(told(&gate).await, "LIMITS MAILMAX=5000 RCPTMAX=100");
    gate.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_what_is_held() {
    let destination = limited(&[]).await;
    let gate = Gate::start(Options {
        more: "[session]\nmax_messages = 2\nmax_recipients = 101\n".into(),
        ..Options::to(destination.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(MAIL, "250").await;
    for number in 0..101 {
        let rcpt = format!("RCPT TO:<b{number}@mx.example>\r\n");
        customer.expect(&rcpt, "250").await;
    }
    customer
        .expect("RCPT TO:<c@mx.example>\r\n", "452 4.5.3 ")
        .await;
    customer.expect("RSET\r\n", "250").await;
    customer.expect(MAIL, "250").await;
    customer.expect("RSET\r\n", "250").await;
    customer.expect(MAIL, "421 4.7.0 too many messages").await;
    customer.expect_close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_knows_of_no_limits_does_not_fail_by_its_destinations() {
    let destination = limited(&["LIMITS MAILMAX=2 RCPTMAX=2 RCPTDOMAINMAX=1"]).await;
    let gate = Gate::to(destination.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for number in 0..5 {
        // The second is of another domain than the first.
        let domain = if number == 1 {
            "b.example"
        } else {
            "A.example"
        };
        customer.expect(MAIL, "250").await;
        customer
            .expect(&format!("RCPT TO:<x@{domain}>\r\n"), "250")
            .await;
        customer
            .expect("RCPT TO:<x@c.example>\r\n", "452 4.5.3 your destination")
            .await;
        customer
            .expect(&format!("RCPT TO:<y@{domain}>\r\n"), "250")
            .await;
        customer
            .expect(&format!("RCPT TO:<z@{domain}>\r\n"), "452 4.5.3 too many")
            .await;
        customer.expect("DATA\r\n", "354").await;
        customer.expect("Subject: x\r\n\r\nx\r\n.\r\n", "250").await;
    }
    assert_eq!(destination.messages().len(), 5);
    let carried: Vec<usize> = destination
        .connections()
        .iter()
        .map(|connection| connection.messages.len())
        .collect();
    assert_eq!(carried, [1, 1, 2, 1]);
    gate.assert_counted(Counter::Delivered, 5);
}

/// The recipients that the destination was told of, connection by connection and message by message.
fn transactions(destination: &Fickle) -> Vec<Vec<BTreeSet<String>>> {
    let of = |lines: &[String]| {
        let mut messages: Vec<BTreeSet<String>> = Vec::new();
        for line in lines {
            if line.starts_with("MAIL") {
                messages.push(BTreeSet::new());
            }
            if let (Some(path), Some(last)) = (line.strip_prefix("RCPT TO:"), messages.last_mut()) {
                last.insert(path.to_owned());
            }
        }
        messages
    };
    let connections = destination.connections();
    let mut all: Vec<_> = connections.iter().map(|it| of(&it.lines)).collect();
    all.retain(|messages| !messages.is_empty());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_sends_as_much_at_once_as_the_destination_takes() {
    for offers in [
        &["LIMITS MAILMAX=2 RCPTMAX=2"][..],
        &["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2"],
    ] {
        let destination = limited(offers).await;
        let spool = tempdir().unwrap();
        let gate = Gate::start(Options::with_spool(
            destination.address,
            Delivery::Queue,
            spool.path(),
        ));
        let to = ["a", "b", "c", "d", "e"].map(|name| format!("{name}@mx.example"));
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mail = smtplib::Mail {
            tls: false,
            from: "a@customer.example",
            options: &[],
            to: &to,
            content: "Subject: x\r\n\r\nx\r\n",
        };
        let heard = smtplib::send(gate.address, mail).await;
        heard.expect("DATA", "250 2.0.0 queued");
        wait_until("three copies", || destination.messages().len() == 3);
        let told = transactions(&destination);
        let sizes: Vec<Vec<usize>> = told
            .iter()
            .map(|messages| messages.iter().map(BTreeSet::len).collect())
            .collect();
        assert_eq!(sizes, [vec![2, 2], vec![1]], "{told:?}");
        let all: BTreeSet<_> = told.iter().flatten().flatten().cloned().collect();
        assert_eq!(all.len(), 5);
        gate.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_as_many_domains_as_the_destination_takes() {
    let destination = limited(&["LIMITS RCPTDOMAINMAX=1"]).await;
    let spool = tempdir().unwrap();
    let mut options = Options::with_spool(destination.address, Delivery::Queue, spool.path());
    // One connection at a time, so that they would share it.
    options.more += "[queue]\ninitial_connections = 1\nmax_connections = 1\n";
    let gate = Gate::start(options);
    let mail = smtplib::Mail {
        tls: false,
        from: "a@customer.example",
        options: &[],
        to: &[
            "x@a.example",
            "x@b.example",
            "x@[192.0.2.1]",
            "x@[IPv6:2001:db8::1]",
            "y@a.example",
        ],
        content: "Subject: x\r\n\r\nx\r\n",
    };
    let heard = smtplib::send(gate.address, mail).await;
    heard.expect("DATA", "250 2.0.0 queued");
    wait_until("a copy for each domain", || {
        destination.messages().len() == 4
    });
    let told = transactions(&destination);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|messages| messages.len() == 1), "{told:?}");
    gate.stop().await;
}
