//! TLS on both legs: offered, used, honest about who we are, and never given up.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::host::wait_until;
use crate::openssl::handshake;
use crate::postfix::{Postfix, make_certificate};
use crate::sink::Sink;
use crate::swaks;

#[tokio::test(flavor = "multi_thread")]
async fn both_legs_use_tls_and_the_content_survives() {
    let postfix = tokio::task::spawn_blocking(Postfix::start).await.unwrap();
    let gate = Gate::to(postfix.address);
    // With all the fields that Postfix would add itself to a message from its own network.
    let content = "Subject: over TLS\r\nDKIM-Signature: v=1;\r\n\tb=abc\r\n\
                   From: <a@customer.example>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\
                   Message-Id: <1@customer.example>\r\n\r\n.dot\r\nend\r\n";
    let transcript = swaks::send(gate.address, content.as_bytes(), &["-tls"]).await;
    transcript.assert_accepted();
    transcript.assert_heard("TLS started with cipher TLSv1.3");
    transcript.assert_heard("<~  250 2.0.0 Ok: queued as ");
    wait_until("the delivery", || !postfix.delivered().is_empty());
    let delivered = postfix.delivered().remove(0);
    let (above, below) = delivered.split_once("X-Outgate-Id: ").unwrap();
    assert_eq!(
        below.split_once('\n').unwrap().1,
        content.replace("\r\n", "\n")
    );
    // Postfix's own word for our leg, and ours for the customer's.
    assert!(
        above.contains("from relay-1.example.net") && above.contains("(using TLSv1.3 with cipher"),
        "{above}"
    );
    assert!(above.contains("with ESMTPS id"), "{above}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_leg_uses_tls_even_if_the_customer_does_not() {
    let postfix = tokio::task::spawn_blocking(Postfix::start).await.unwrap();
    let gate = Gate::to(postfix.address);
    swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[])
        .await
        .assert_accepted();
    wait_until("the delivery", || !postfix.delivered().is_empty());
    let delivered = postfix.delivered().remove(0);
    assert!(
        delivered.contains("(using TLSv1.3 with cipher"),
        "{delivered}"
    );
    assert!(delivered.contains("with ESMTP id"), "{delivered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_whose_handshake_fails_gets_no_clear_text() {
    let postfix = tokio::task::spawn_blocking(Postfix::start).await.unwrap();
    let gate = Gate::to(postfix.antique);
    let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[]).await;
    transcript.assert_heard("421 4.4.1 ");
    transcript.assert_heard("TLS handshake failed");
    gate.wait_for_count(Counter::Unreachable, 1).await;
    assert_eq!(postfix.delivered().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_with_tls_1_2_are_served() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let options = ["-tls", "--tls-protocol", "tlsv1_2"];
    let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &options).await;
    transcript.assert_accepted();
    transcript.assert_heard("TLS started with cipher TLSv1.2");
    assert!(
        sink.only().trace().contains("with ESMTPS id"),
        "{}",
        sink.only().trace()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_certificate_names_the_operator_and_the_relay() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let address = gate.address;
    let certificate = tokio::task::spawn_blocking(move || certificate(address))
        .await
        .unwrap();
    assert!(certificate.contains("O=Example Hosting"), "{certificate}");
    assert!(
        certificate.contains("CN=relay-1.example.net"),
        "{certificate}"
    );
    assert!(
        certificate.contains("DNS:relay-1.example.net"),
        "{certificate}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_certificate_is_replaced_without_touching_sessions() {
    let directory = tempfile::tempdir().unwrap();
    make_certificate(directory.path(), "first.example.net");
    let path = directory.path().display();
    let tls =
        format!("[tls]\ncertificate = \"{path}/certificate.pem\"\nkey = \"{path}/key.pem\"\n");
    let sink = Sink::start();
    let gate = Gate::start(Options {
        tls,
        ..Options::to(sink.address)
    });
    let address = gate.address;
    let shown = move || tokio::task::spawn_blocking(move || certificate(address));
    assert!(shown().await.unwrap().contains("CN=first.example.net"));

    let mut running = Dialogue::ehlo(gate.address).await;
    make_certificate(directory.path(), "second.example.net");
    gate.reload().unwrap();
    assert!(shown().await.unwrap().contains("CN=second.example.net"));
    running.expect("NOOP\r\n", "250").await;

    // A mistake changes nothing but the log.
    std::fs::write(directory.path().join("key.pem"), "no key").unwrap();
    let error = gate.reload().unwrap_err().to_string();
    assert!(error.starts_with("tls.key: "), "{error}");
    assert!(shown().await.unwrap().contains("CN=second.example.net"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handshake_ends_the_session_and_is_counted() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect("STARTTLS\r\n", "220").await;
    customer.say(b"this is no ClientHello\r\n").await;
    gate.wait_for_count(Counter::TlsFailed, 1).await;
}

/// Subject and names of the certificate that `relay` presents after STARTTLS.
fn certificate(relay: SocketAddr) -> String {
    let client = Command::new("openssl")
        .args([
            "s_client",
            "-starttls",
            "smtp",
            "-connect",
            &relay.to_string(),
        ])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is not installed");
    let pem = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pem.path(), client.stdout).unwrap();
    let output = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-subject",
            "-ext",
            "subjectAltName",
            "-in",
        ])
        .arg(pem.path())
        .output()
        .unwrap();
    // OpenSSL before 3.2 puts spaces around the sign.
    String::from_utf8(output.stdout)
        .unwrap()
        .replace(" = ", "=")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_that_a_client_asks_for_becomes_a_certificate() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let address = gate.address;
    for options in [
        &["-servername", "mx.destination.example"][..],
        &["-servername", "relay-1.example.net"],
        &["-noservername"],
    ] {
        let shown = tokio::task::spawn_blocking(move || handshake(address, options))
            .await
            .unwrap();
        assert!(
            shown.contains("subject=O = Example Hosting, CN = relay-1.example.net")
                && shown.contains("issuer=O = Example Hosting, CN = relay-1.example.net"),
            "{options:?}\n{shown}"
        );
        assert!(!shown.contains("destination.example"), "{shown}");
    }
    gate.assert_counted(Counter::TlsFailed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_are_spoken_and_what_is_older_hears_why_not() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let address = gate.address;
    // OpenSSL itself speaks the old ones only if it is asked not to care.
    let old = "DEFAULT@SECLEVEL=0";
    let mut failed = 0;
    for (version, expected) in [
        ("-tls1_3", "New, TLSv1.3, Cipher is TLS_"),
        ("-tls1_2", "New, TLSv1.2, Cipher is ECDHE-"),
        // What they lack is noticed before how old they are; either alert is fatal.
        ("-tls1_1", "alert handshake failure"),
        ("-tls1", "alert handshake failure"),
    ] {
        let options = [version, "-cipher", old];
        let shown = tokio::task::spawn_blocking(move || handshake(address, &options))
            .await
            .unwrap();
        assert!(shown.contains(expected), "{version}\n{shown}");
        failed += u64::from(expected.starts_with("alert "));
        gate.wait_for_count(Counter::TlsFailed, failed).await;
    }
}
