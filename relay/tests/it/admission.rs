//! Who is served and who is not, and the end of the service.

use std::time::Duration;

use relay::metrics::Counter;
use relay::snapshot::put_into_force;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, snapshot};
use crate::host::free_address;
use crate::sink::Sink;
use crate::still::Still;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_origin_is_421_inside_and_554_outside() {
    let mut options = Options::to(free_address());
    options.destination = None;
    let gate = Gate::start(options);
    let (mut inside, greeting) = Dialogue::open(gate.address).await;
    assert!(
        greeting.starts_with("421 4.3.2 relay-1.example.net "),
        "{greeting}"
    );
    inside.expect_close().await;

    let mut elsewhere = snapshot();
    elsewhere.customer_prefixes = vec!["192.0.2.0/24".parse().unwrap()];
    put_into_force(&gate.newest, elsewhere);
    let (mut outside, greeting) = Dialogue::open(gate.address).await;
    assert!(
        greeting.starts_with("554 5.7.1 relay-1.example.net "),
        "{greeting}"
    );
    // RFC 5321 section 3.1: after 554 the client is to say QUIT.
    outside.expect("EHLO client.example\r\n", "5").await;
    outside.expect("QUIT\r\n", "221").await;
    outside.expect_close().await;

    gate.assert_counted(Counter::RefusedUnknownInside, 1);
    gate.assert_counted(Counter::RefusedUnknownOutside, 1);
    gate.assert_counted(Counter::SessionsServed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_served_before_the_first_snapshot() {
    let gate = Gate::start(Options {
        snapshot: None,
        ..Options::to(free_address())
    });
    let (_, greeting) = Dialogue::open(gate.address).await;
    assert!(greeting.starts_with("421 4.3.2 "), "{greeting}");
    gate.assert_counted(Counter::RefusedNoSnapshot, 1);
    put_into_force(&gate.newest, snapshot());
    let (_, greeting) = Dialogue::open(gate.address).await;
    assert!(greeting.starts_with("220 "), "{greeting}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_gets_a_banner_and_nothing_more() {
    let gate = Gate::to(free_address());
    // From the edge itself, and from an address that it keeps among the customers'.
    for source in ["127.0.0.99", "127.0.0.225"] {
        let (mut probe, greeting) = Dialogue::open_from(gate.address, source).await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        probe.expect("NOOP\r\n", "250").await;
        probe.expect("QUIT\r\n", "221").await;
        probe.expect_close().await;
        for command in [
            "EHLO client.example\r\n",
            "MAIL FROM:<a@client.example>\r\n",
            "RCPT TO:<b@mx.example>\r\n",
        ] {
            let (mut curious, _) = Dialogue::open_from(gate.address, source).await;
            curious.expect(command, "554 5.7.1").await;
        }
    }
    gate.assert_counted(Counter::Probes, 8);
    gate.assert_counted(Counter::SessionsServed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_per_customer_and_in_total() {
    let mut options = Options::to(free_address());
    (options.per_customer, options.connections) = (2, 3);
    let gate = Gate::start(options);
    let (first, _) = Dialogue::open(gate.address).await;
    let (_second, _) = Dialogue::open(gate.address).await;
    let (_, greeting) = Dialogue::open(gate.address).await;
    assert!(greeting.starts_with("421 4.7.0 "), "{greeting}");
    let (_third, greeting) = Dialogue::open_from(gate.address, "127.0.0.2").await;
    assert!(greeting.starts_with("220 "), "{greeting}");
    let (_, greeting) = Dialogue::open_from(gate.address, "127.0.0.3").await;
    assert!(greeting.starts_with("421 4.3.2 "), "{greeting}");
    gate.assert_counted(Counter::RefusedCustomerFull, 1);
    gate.assert_counted(Counter::RefusedFull, 1);

    // A place comes back with the end of its connection.
    drop(first);
    let mut served = false;
    for _ in 0..200 {
        let (_, greeting) = Dialogue::open(gate.address).await;
        served = greeting.starts_with("220 ");
        if served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(served);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_has_begun_and_takes_nothing_new() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    gate.drain.send_replace(true);
    let address = gate.address;
    let mut refused = false;
    for _ in 0..200 {
        refused = TcpStream::connect(address).await.is_err();
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused, "still listening");
    customer
        .expect("Subject: x\r\n\r\nx\r\n.\r\n", "250 2.0.0 Ok")
        .await;
    customer
        .expect("MAIL FROM:<a@customer.example>\r\n", "421 4.3.2")
        .await;
    customer.expect_close().await;
    timeout(Duration::from_secs(5), gate.serving)
        .await
        .expect("drained")
        .unwrap();
    assert_eq!(sink.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_stress_begins_has_less_time_at_once() {
    let _still = Still::stand();
    let mut options = Options::to(free_address());
    let mut snapshot = snapshot();
    for customer in &mut snapshot.customers {
        customer.prefix = "127.0.0.0/29".parse().unwrap();
        customer.treatment = contract::Treatment::Walled;
    }
    options.snapshot = Some(snapshot);
    (options.connections, options.per_customer) = (5, 5);
    let gate = Gate::start(options);
    let mut idle = Dialogue::ehlo(gate.address).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    idle.expect("NOOP\r\n", "250").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let mut others = Vec::new();
    for last in 2..=4 {
        let (other, greeting) = Dialogue::open_from(gate.address, &format!("127.0.0.{last}")).await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        others.push(other);
    }
    idle.expect_reply("421 4.4.2").await;
    idle.expect_close().await;
    // The others have only just begun.
    for other in &mut others {
        other.expect("NOOP\r\n", "250").await;
    }
}
