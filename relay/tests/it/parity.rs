//! One event per message says how each leg of its way was protected.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::fickle::{Fickle, Script};
use crate::gate::Gate;
use crate::swaks;

/// The log, as far as it was written on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The fields of the only event with this message.
    #[track_caller]
    fn only(&self, message: &str) -> Value {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let events = log.lines().map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["fields"].clone()
        });
        let mut found: Vec<_> = events.filter(|event| event["message"] == message).collect();
        assert_eq!(found.len(), 1, "{log}");
        found.remove(0)
    }
}

// On one thread, because a test's own subscriber sees no other.
#[tokio::test]
async fn the_log_says_how_each_leg_was_protected() {
    let tls13 = "TLS13_AES_256_GCM_SHA384";
    let tls12 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    for (customer, destination, inbound) in [
        (&[][..], &[][..], None),
        (&["-tls"], &["STARTTLS"], Some(("TLSv1_3", tls13))),
        (&["-tls"], &[], Some(("TLSv1_3", tls13))),
        (
            &["-tls", "--tls-protocol", "tlsv1_2"],
            &["STARTTLS"],
            Some(("TLSv1_2", tls12)),
        ),
        (&[], &["STARTTLS"], None),
    ] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let subscribed = tracing::subscriber::set_default(subscriber);
        let script = Script {
            offers: destination.to_vec(),
            ..Script::default()
        };
        let fickle = Fickle::start(vec![script]).await;
        let gate = Gate::to(fickle.address);
        swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", customer)
            .await
            .assert_accepted();
        drop(subscribed);

        let event = log.only("message outcome");
        let text = |name: &str| event[name].as_str();
        let (version, cipher) = inbound.unzip();
        assert_eq!(text("tls.inbound.version"), version, "{event}");
        assert_eq!(text("tls.inbound.cipher"), cipher, "{event}");
        assert_eq!(text("tls.inbound.verified"), Some("none"), "{event}");
        let outbound = match destination {
            [] => (None, None, Some("none")),
            _ => (Some("TLSv1_3"), Some(tls13), Some("opportunistic")),
        };
        let said = (
            text("tls.outbound.version"),
            text("tls.outbound.cipher"),
            text("tls.outbound.verified"),
        );
        assert_eq!(said, outbound, "{event}");
    }
}
