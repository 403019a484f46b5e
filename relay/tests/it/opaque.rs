//! Sessions that are spliced by policy: TLS from end to end, and what there is beside it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use contract::{Snapshot, Treatment};
use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, snapshot};
use crate::host::wait_until;
use crate::postfix::Postfix;
use crate::sink::Sink;
use crate::swaks;

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

fn treated(treatment: Treatment) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.customers[0].treatment = treatment;
    snapshot
}

fn opaque(destination: SocketAddr, splice: &str) -> Gate {
    Gate::start(Options {
        snapshot: Some(treated(Treatment::Opaque)),
        splice: splice.into(),
        ..Options::to(destination)
    })
}

async fn postfix() -> Postfix {
    tokio::task::spawn_blocking(Postfix::start).await.unwrap()
}

/// The subject of the certificate that is shown at `relay` to who names `server_name`.
pub(crate) async fn subject(relay: SocketAddr, server_name: Option<&'static str>) -> String {
    let shown = move || {
        let relay = relay.to_string();
        let mut client = Command::new("openssl");
        client.args(["s_client", "-starttls", "smtp", "-connect", &relay]);
        match server_name {
            Some(name) => client.args(["-servername", name]),
            None => client.arg("-noservername"),
        };
        let output = client.stdin(Stdio::null()).output();
        output.expect("openssl is not installed")
    };
    let output = tokio::task::spawn_blocking(shown).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let subject = text.lines().find(|line| line.starts_with("subject="));
    subject.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_the_destinations_own_and_the_relay_sees_sizes_alone() {
    let postfix = postfix().await;
    let gate = opaque(postfix.address, "");
    // What would be refused is not seen.
    let content = format!("Subject: sealed\r\n\r\n{GTUBE}\r\n");
    let transcript = swaks::send(gate.address, content.as_bytes(), &["-tls"]).await;
    transcript.assert_accepted();
    transcript.assert_heard("TLS peer DN=\"/CN=mx.example\"");
    wait_until("the delivery", || !postfix.delivered().is_empty());
    let delivered = postfix.delivered().remove(0);
    assert!(!delivered.contains("X-Outgate-Id"), "{delivered}");
    // The customer's own word to the destination, under TLS of its own.
    assert!(delivered.contains("from client.example"), "{delivered}");
    assert!(
        delivered.contains("(using TLSv1.3 with cipher"),
        "{delivered}"
    );
    gate.wait_for_count(Counter::Spliced, 1).await;
    assert!(gate.relay.metrics().value(Counter::SplicedOctets) > 2000);
    gate.assert_counted(Counter::SplicedLimited, 0);
    gate.assert_counted(Counter::Delivered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_text_of_an_opaque_customer_is_scanned() {
    let postfix = postfix().await;
    let gate = opaque(postfix.address, "");
    let spam = format!("Subject: x\r\n\r\n{GTUBE}\r\n");
    let transcript = swaks::send(gate.address, spam.as_bytes(), &[]).await;
    transcript.assert_heard("550 5.7.1 ");
    swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[])
        .await
        .assert_accepted();
    wait_until("the delivery", || !postfix.delivered().is_empty());
    let delivered = postfix.delivered();
    assert_eq!(delivered.len(), 1);
    // The connection that was meant for a splice carried it, under TLS of ours.
    assert!(delivered[0].contains("X-Outgate-Id: "), "{}", delivered[0]);
    assert!(
        delivered[0].contains("(using TLSv1.3 with cipher"),
        "{}",
        delivered[0]
    );
    gate.assert_counted(Counter::Spliced, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_is_offered_only_if_the_destination_offers_it() {
    let sink = Sink::start();
    let gate = opaque(sink.address, "");
    let (mut customer, _) = Dialogue::open(gate.address).await;
    let ehlo = "EHLO client.example\r\n";
    for _ in 0..2 {
        let offered = customer.expect(ehlo, "250-").await;
        assert!(!offered.contains("STARTTLS"), "{offered}");
        customer.expect("STARTTLS\r\n", "502").await;
    }
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer.expect("Subject: x\r\n\r\nx\r\n.\r\n", "250").await;
    let offered = customer.expect(ehlo, "250-").await;
    assert!(!offered.contains("STARTTLS"), "{offered}");
    customer.expect("QUIT\r\n", "221").await;
    assert_eq!(sink.taken().len(), 1);
    // One connection has served it all.
    assert_eq!(sink.dialogue().matches("EHLO relay-1").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_after_a_message_in_clear_text_is_the_destinations_too() {
    let postfix = postfix().await;
    let gate = opaque(postfix.address, "");
    let (mut customer, _) = Dialogue::open(gate.address).await;
    customer.expect("EHLO client.example\r\n", "250-").await;
    customer
        .expect("MAIL FROM:<a@customer.example>\r\n", "250")
        .await;
    customer.expect("RSET\r\n", "250").await;
    customer.expect("STARTTLS\r\n", "220").await;
    // A ClientHello that the destination answers with an alert: no suite of it is known.
    let hello = hopeless_hello();
    customer.say(&hello).await;
    let alert = customer.octets(7).await;
    assert_eq!(&alert[..2], [21, 3], "{alert:?}");
    drop(customer);
    gate.wait_for_count(Counter::Spliced, 1).await;
}

/// A well-formed ClientHello of TLS 1.2 that nobody can agree with.
fn hopeless_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xfa, 0xfa, 1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_us_gets_us() {
    let postfix = postfix().await;
    let gate = opaque(postfix.address, "");
    let destinations = "subject=CN = mx.example";
    assert_eq!(subject(gate.address, None).await, destinations);
    let named = subject(gate.address, Some("mx.example")).await;
    assert_eq!(named, destinations);
    let ours = subject(gate.address, Some("relay-1.example.net")).await;
    assert!(ours.contains("CN = relay-1.example.net"), "{ours}");
    gate.wait_for_count(Counter::Spliced, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spliced_sessions_of_a_customer_are_bounded() {
    let postfix = postfix().await;
    let gate = opaque(postfix.address, "sessions_per_customer = 1");
    let mut first = Dialogue::ehlo(gate.address).await;
    let (mut second, _) = Dialogue::open(gate.address).await;
    second.expect("EHLO client.example\r\n", "421 4.7.0 ").await;
    second.expect_close().await;
    gate.assert_counted(Counter::RefusedSplicedFull, 1);
    // A session in clear text gives its place back.
    first
        .expect("MAIL FROM:<a@customer.example>\r\n", "250")
        .await;
    let mut third = Dialogue::ehlo(gate.address).await;
    third.expect("QUIT\r\n", "221").await;
    first.expect("QUIT\r\n", "221").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_beyond_its_octets_is_cut_and_delivers_nothing() {
    let postfix = postfix().await;
    let gate = opaque(postfix.address, "max_octets = 65536");
    let large = format!("Subject: x\r\n\r\n{}", "0123456789abcdef\r\n".repeat(5000));
    let transcript = swaks::send(gate.address, large.as_bytes(), &["-tls"]).await;
    assert_ne!(transcript.exit, 0, "{}", transcript.text.len());
    gate.wait_for_count(Counter::SplicedLimited, 1).await;
    assert_eq!(postfix.delivered().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_destination_is_421_before_anything_is_promised() {
    let gate = opaque(crate::host::free_address(), "");
    let (mut customer, _) = Dialogue::open(gate.address).await;
    customer
        .expect("EHLO client.example\r\n", "421 4.4.1 ")
        .await;
    customer.expect_close().await;
    gate.assert_counted(Counter::Unreachable, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_service_is_the_customers_from_the_first_octet() {
    let postfix = postfix().await;
    for (treatment, direct) in [
        (Treatment::Filter, true),
        (Treatment::Opaque, true),
        (Treatment::Walled, false),
    ] {
        let gate = Gate::start(Options {
            snapshot: Some(treated(treatment)),
            splice: "approved = [\"127.0.0.1\", \"2001:db8::/32\"]\nsessions_per_customer = 1"
                .into(),
            ..Options::to(postfix.address)
        });
        let (mut customer, greeting) = Dialogue::open(gate.address).await;
        assert_eq!(greeting.contains("mx.example"), direct, "{greeting}");
        if direct {
            customer.expect("XYZZY\r\n", "500 5.5.2 Error:").await;
            let (_, refused) = Dialogue::open(gate.address).await;
            assert!(refused.starts_with("421 4.7.0 "), "{refused}");
            customer.expect("QUIT\r\n", "221 2.0.0 Bye").await;
            drop(customer);
            gate.wait_for_count(Counter::Spliced, 1).await;
        }
    }
}
