//! EHLO offers what the destination offers; and what is said about AUTH.

use std::collections::BTreeSet;

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::fickle::{Act, Fickle, Script};
use crate::gate::Gate;
use crate::postfix::Postfix;

const EHLO: &str = "EHLO client.example\r\n";
const MAIL: &str = "MAIL FROM:<a@customer.example>\r\n";
const RCPT: &str = "RCPT TO:<b@mx.example>\r\n";

fn offering(offers: &[&'static str], acts: &[(&'static str, Act)]) -> Script {
    Script {
        offers: offers.to_vec(),
        acts: acts.to_vec(),
    }
}

/// What follows the name in an answer to EHLO.
fn offers(reply: &str) -> BTreeSet<&str> {
    reply
        .lines()
        .skip(1)
        .map(|line| line.get(4..).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_offered_what_its_postfix_offers() {
    let postfix = tokio::task::spawn_blocking(Postfix::start).await.unwrap();
    let (mut direct, _) = Dialogue::open(postfix.address).await;
    let direct = direct.expect(EHLO, "250-").await;
    let gate = Gate::to(postfix.address);
    // Asked for, and known.
    for _ in 0..2 {
        let (mut customer, _) = Dialogue::open(gate.address).await;
        let reply = customer.expect(EHLO, "250-relay-1.example.net").await;
        let passed_on = |offer: &&str| {
            let keyword = offer.split(' ').next().unwrap();
            ["SIZE", "8BITMIME", "SMTPUTF8", "DSN"].contains(&keyword)
        };
        let destinations: BTreeSet<_> = offers(&direct).into_iter().filter(passed_on).collect();
        let ours: BTreeSet<_> = offers(&reply).into_iter().filter(passed_on).collect();
        assert_eq!(ours, destinations);
        assert!(
            ours.iter().any(|offer| offer.starts_with("SIZE ")),
            "{reply}"
        );
        for own in ["STARTTLS", "PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"] {
            assert!(offers(&reply).contains(own), "{reply}");
        }
        assert!(!reply.contains("AUTH"), "{reply}");
        customer.expect("HELO client.example\r\n", "250 ").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smaller_limit_is_announced_and_held() {
    for (destinations, announced) in [
        ("SIZE 100000000", "SIZE 52428800"),
        ("SIZE 70000", "SIZE 70000"),
    ] {
        let destination = Fickle::start(vec![offering(&[destinations], &[])]).await;
        let gate = Gate::to(destination.address);
        let (mut customer, _) = Dialogue::open(gate.address).await;
        let reply = customer.expect(EHLO, "250").await;
        assert!(offers(&reply).contains(announced), "{reply}");
        let mail = "MAIL FROM:<a@customer.example> SIZE=60000000\r\n";
        customer.expect(mail, "552 5.3.4").await;
        let mail = "MAIL FROM:<a@customer.example> SIZE=60000\r\n";
        customer.expect(mail, "250").await;
        customer.expect(RCPT, "250").await;
        let lines = &destination.connections()[0].lines;
        assert!(lines.contains(&mail.trim_end().to_owned()), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_asked_before_ehlo_is_answered_unless_it_is_known() {
    let destination = Fickle::start(vec![offering(&["8BITMIME"], &[])]).await;
    let gate = Gate::to(destination.address);
    let mut first = Dialogue::ehlo(gate.address).await;
    assert_eq!(destination.connections().len(), 1);
    // The same connection serves the mail, and a second EHLO.
    first.expect(EHLO, "250").await;
    first.expect(MAIL, "250").await;
    first.expect(RCPT, "250").await;
    assert_eq!(destination.connections().len(), 1);

    let mut second = Dialogue::ehlo(gate.address).await;
    second.expect(MAIL, "250").await;
    assert_eq!(destination.connections().len(), 1);
    second.expect(RCPT, "250").await;
    assert_eq!(destination.connections().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_promise_is_451_and_forgotten() {
    let bare = offering(&[], &[]);
    let destination = Fickle::start(vec![offering(&["8BITMIME"], &[]), bare]).await;
    let gate = Gate::to(destination.address);
    let _first = Dialogue::ehlo(gate.address).await;

    let mut second = Dialogue::ehlo(gate.address).await;
    second
        .expect("MAIL FROM:<a@customer.example> BODY=8BITMIME\r\n", "250")
        .await;
    let reply = second.expect(RCPT, "451 4.3.5 ").await;
    assert!(reply.contains("8BITMIME"), "{reply}");
    let told = &destination.connections()[1].lines;
    assert_eq!(told[..], ["EHLO relay-1.example.net"]);
    // A mail that does not need it goes, in the same session.
    second.expect("RSET\r\n", "250").await;
    second.expect(MAIL, "250").await;
    second.expect(RCPT, "250").await;

    let (mut third, _) = Dialogue::open(gate.address).await;
    let reply = third.expect(EHLO, "250").await;
    assert!(!reply.contains("8BITMIME"), "{reply}");
    assert_eq!(destination.connections().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_customers_own_parameters_go_on_to_the_destination() {
    let all = ["SIZE 100000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING"];
    let mail =
        "MAIL FROM:<a@customer.example> SIZE=60000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2B1";
    let rcpt = "RCPT TO:<b\u{e9}@mx.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@mx.example";
    // What is said again to a destination that has gone is the same.
    let gone = offering(&all, &[("DATA", Act::Leave)]);
    let destination = Fickle::start(vec![gone, offering(&all, &[])]).await;
    let gate = Gate::to(destination.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect(&format!("{mail}\r\n"), "250").await;
    customer.expect(&format!("{rcpt}\r\n"), "250").await;
    customer.expect("BDAT 6 LAST\r\nx: y\r\n", "250").await;
    let connections = destination.connections();
    assert_eq!(connections.len(), 2);
    for connection in connections {
        let lines = connection.lines;
        assert_eq!(lines[1..4], [mail, rcpt, "DATA"], "{lines:?}");
    }

    // One that has none of it is offered, and sent, none of it.
    let destination = Fickle::start(vec![offering(&[], &[])]).await;
    let gate = Gate::to(destination.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for parameter in ["BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=x"] {
        let mail = format!("MAIL FROM:<a@customer.example> {parameter}\r\n");
        customer.expect(&mail, "555 5.5.4").await;
    }
    customer.expect(MAIL, "250").await;
    let rcpt = "RCPT TO:<b@mx.example> NOTIFY=NEVER\r\n";
    customer.expect(rcpt, "555 5.5.4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_is_ours_to_offer_whatever_the_destination_does() {
    for offers in [&["STARTTLS"][..], &[]] {
        let destination = Fickle::start(vec![offering(offers, &[])]).await;
        let gate = Gate::to(destination.address);
        let (mut customer, _) = Dialogue::open(gate.address).await;
        let reply = customer.expect(EHLO, "250").await;
        assert!(reply.contains("STARTTLS"), "{reply}");
        // And used towards one that has it.
        let lines = &destination.connections()[0].lines;
        let used = lines.iter().any(|line| line == "STARTTLS");
        assert_eq!(used, !offers.is_empty(), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_for_authentication_is_passed_on_with_a_pointer() {
    let demand = "530 5.7.0 Authentication required";
    for command in ["MAIL", "RCPT"] {
        let script = offering(&["AUTH PLAIN LOGIN"], &[(command, Act::Say(demand))]);
        let destination = Fickle::start(vec![script]).await;
        let gate = Gate::to(destination.address);
        let mut customer = Dialogue::ehlo(gate.address).await;
        let login = "AUTH PLAIN AGEAYg==\r\n";
        let own = customer.expect(login, "502 5.5.1 ").await;
        customer.expect(MAIL, "250").await;
        let reply = customer.expect(RCPT, "530-5.7.0 Authentication").await;
        for said in [&own, &reply] {
            assert!(
                said.contains("port 587") && said.contains("https://abuse.example.net/smtp"),
                "{said}"
            );
        }
        customer.expect("RSET\r\n", "250").await;
        assert_eq!(customer.expect(login, "530-5.7.0").await, reply);
        // The destination has heard nothing of it.
        let lines = &destination.connections()[0].lines;
        assert!(!lines.iter().any(|line| line.contains("AUTH")), "{lines:?}");
        gate.assert_counted(Counter::Delivered, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_what_the_destination_lacks_are_refused() {
    let destination = Fickle::start(vec![offering(&[], &[])]).await;
    let gate = Gate::to(destination.address);
    let (mut customer, _) = Dialogue::open(gate.address).await;
    let reply = customer.expect(EHLO, "250").await;
    assert!(!offers(&reply).contains("DSN"), "{reply}");
    assert!(offers(&reply).contains("CHUNKING"), "{reply}");
    for (command, refused) in [
        ("MAIL FROM:<a@customer.example> RET=HDRS\r\n", "RET"),
        ("MAIL FROM:<a@customer.example> BODY=8BITMIME\r\n", "BODY"),
        ("MAIL FROM:<a@customer.example> SMTPUTF8\r\n", "SMTPUTF8"),
        (MAIL, ""),
        ("RCPT TO:<b@mx.example> NOTIFY=NEVER\r\n", "NOTIFY"),
    ] {
        let expected = match refused {
            "" => "250".to_owned(),
            keyword => format!("555 5.5.4 {keyword} is not offered"),
        };
        customer.expect(command, &expected).await;
    }
}
