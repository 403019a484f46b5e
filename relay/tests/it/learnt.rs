//! What the relay learns from senders that turn away from its certificate, and from destinations whose TLS is too old.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, snapshot};
use crate::host::wait_until;
use crate::opaque::subject;
use crate::postfix::Postfix;
use crate::sender::Sender;
use crate::swaks;

const DESTINATIONS: &str = "subject=CN = mx.example";

async fn postfix() -> Postfix {
    tokio::task::spawn_blocking(Postfix::start).await.unwrap()
}

fn learning(destination: SocketAddr) -> Gate {
    Gate::start(Options {
        splice: String::new(),
        ..Options::to(destination)
    })
}

/// A client that gives up on certificates that are not in `trusted`; what it says of it.
async fn verify(relay: SocketAddr, trusted: PathBuf, version: &'static str) -> String {
    let shown = move || {
        Command::new("openssl")
            .args(["s_client", "-starttls", "smtp", "-verify_return_error"])
            .args([version, "-noservername", "-connect", &relay.to_string()])
            .arg("-CAfile")
            .arg(trusted)
            .stdin(Stdio::null())
            .output()
            .expect("openssl is not installed")
    };
    let output = tokio::task::spawn_blocking(shown).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postfix_that_verifies_delivers_at_its_next_attempt() {
    let postfix = postfix().await;
    let gate = learning(postfix.address);
    for (level, expected) in [("secure", 1), ("verify", 2)] {
        let (address, trusted) = (gate.address, postfix.certificate());
        let start = move || Sender::start(address, level, "mx.example", &trusted);
        let sender = tokio::task::spawn_blocking(start).await.unwrap();
        let message = b"Subject: verified\r\n\r\nx\r\n";
        swaks::send(sender.address, message, &[])
            .await
            .assert_accepted();
        if expected == 1 {
            wait_until("the deferral", || sender.log().contains("status=deferred"));
            let log = sender.log();
            assert!(log.contains("Server certificate not "), "{log}");
            gate.wait_for_count(Counter::Learnt, 1).await;
            assert_eq!(postfix.delivered().len(), 0);
            sender.flush();
        }
        // The second sender is the same customer to the relay, and has nothing left to wait for.
        wait_until("the delivery", || postfix.delivered().len() == expected);
        wait_until("the sender's word on it", || {
            sender.log().contains("status=sent")
        });
        let log = sender.log();
        assert!(log.contains("Verified TLS connection established"), "{log}");
    }
    for delivered in postfix.delivered() {
        assert!(
            delivered.contains("from mail.customer.example"),
            "{delivered}"
        );
        assert!(!delivered.contains("X-Outgate-Id"), "{delivered}");
    }
    gate.wait_for_count(Counter::Spliced, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_teaches_in_both_versions_of_tls() {
    let postfix = postfix().await;
    for version in ["-tls1_2", "-tls1_3"] {
        let gate = learning(postfix.address);
        let refused = verify(gate.address, postfix.certificate(), version).await;
        assert!(refused.contains("certificate verify failed"), "{refused}");
        gate.wait_for_count(Counter::Learnt, 1).await;
        gate.assert_counted(Counter::TlsFailed, 1);
        let taken = verify(gate.address, postfix.certificate(), version).await;
        assert!(taken.contains("Verification: OK"), "{taken}");
        gate.wait_for_count(Counter::Spliced, 1).await;
        gate.assert_counted(Counter::Learnt, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_right_after_the_handshake_teaches() {
    let postfix = postfix().await;
    let gate = learning(postfix.address);
    let ours = subject(gate.address, None).await;
    assert!(ours.contains("CN = relay-1.example.net"), "{ours}");
    gate.wait_for_count(Counter::Learnt, 1).await;
    assert_eq!(subject(gate.address, None).await, DESTINATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_on_under_tls_teaches_nothing() {
    let postfix = postfix().await;
    let gate = learning(postfix.address);
    for options in [&["-tls"][..], &["-tls", "--quit-after", "EHLO"]] {
        swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", options)
            .await
            .assert_accepted();
    }
    // Nor does one that never came to TLS.
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.expect("QUIT\r\n", "221").await;
    let ours = subject(gate.address, None).await;
    assert!(ours.contains("CN = relay-1.example.net"), "{ours}");
    // That one did.
    gate.wait_for_count(Counter::Learnt, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_confirmed_customer_nothing_is_learnt() {
    let postfix = postfix().await;
    let mut confirmed = snapshot();
    confirmed.customers[0].confirmed = true;
    let gate = Gate::start(Options {
        splice: String::new(),
        snapshot: Some(confirmed),
        ..Options::to(postfix.address)
    });
    for expected in 1..=2 {
        let refused = verify(gate.address, postfix.certificate(), "-tls1_3").await;
        assert!(refused.contains("certificate verify failed"), "{refused}");
        gate.wait_for_count(Counter::NotLearnt, expected).await;
    }
    gate.assert_counted(Counter::Learnt, 0);
    gate.assert_counted(Counter::Spliced, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_with_old_tls_is_spliced_to_next_time_but_not_for_the_confirmed() {
    let postfix = postfix().await;
    // The customer can speak what its destination speaks.
    let options = [
        "-tls",
        "--tls-protocol",
        "tlsv1",
        "--tls-cipher",
        "ALL:@SECLEVEL=0",
    ];
    let message = b"Subject: old\r\n\r\nx\r\n";
    for confirmed in [true, false] {
        let mut snapshot = snapshot();
        snapshot.customers[0].confirmed = confirmed;
        let gate = Gate::start(Options {
            splice: String::new(),
            snapshot: Some(snapshot),
            ..Options::to(postfix.antique)
        });
        let deferred = swaks::send(gate.address, message, &options).await;
        deferred.assert_heard("421 4.4.1 ");
        deferred.assert_heard("it speaks no TLS that this relay does");
        gate.wait_for_count(Counter::Learnt, u64::from(!confirmed))
            .await;
        let again = swaks::send(gate.address, message, &options).await;
        if confirmed {
            again.assert_heard("it speaks no TLS that this relay does");
            assert_eq!(postfix.delivered().len(), 0);
            continue;
        }
        again.assert_accepted();
        again.assert_heard("TLS started with cipher TLSv1:");
        gate.wait_for_count(Counter::Spliced, 1).await;
        wait_until("the delivery", || !postfix.delivered().is_empty());
        let delivered = postfix.delivered().remove(0);
        assert!(
            delivered.contains("(using TLSv1 with cipher"),
            "{delivered}"
        );
    }
}
