//! The destination's connection cut at every octet of the dialogue, in both directions.
//!
//! There are three outcomes and no fourth: the customer hears 250 and the destination has the message once; the
//! customer hears no 250 and the destination does not have it; the customer is told that it may arrive twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::dialogue::Dialogue;
use crate::fickle::{Fickle, Script};
use crate::gate::Gate;

/// A way to a destination that ends after so many octets.
#[derive(Clone)]
struct Wire(Arc<Limits>);

struct Limits {
    destination: SocketAddr,
    /// Octets of the relay that pass, then those of the destination.
    up: AtomicUsize,
    down: AtomicUsize,
    /// Connections that are cut; later ones are whole.
    cuts: AtomicUsize,
}

impl Wire {
    async fn start(destination: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self(Arc::new(Limits {
            destination,
            up: AtomicUsize::new(usize::MAX),
            down: AtomicUsize::new(usize::MAX),
            cuts: AtomicUsize::new(0),
        }));
        let wire = this.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(wire.clone().carry(stream));
            }
        });
        (this, address)
    }

    /// The next `cuts` connections end after `up` octets of the relay or `down` of the destination.
    fn cut(&self, cuts: usize, up: usize, down: usize) {
        self.0.up.store(up, Ordering::SeqCst);
        self.0.down.store(down, Ordering::SeqCst);
        self.0.cuts.store(cuts, Ordering::SeqCst);
    }

    async fn carry(self, relay: TcpStream) {
        let left = self.0.cuts.load(Ordering::SeqCst);
        let (up, down) = if left > 0 {
            self.0.cuts.store(left - 1, Ordering::SeqCst);
            (
                self.0.up.load(Ordering::SeqCst),
                self.0.down.load(Ordering::SeqCst),
            )
        } else {
            (usize::MAX, usize::MAX)
        };
        let destination = TcpStream::connect(self.0.destination).await.unwrap();
        let (mut from_relay, mut to_relay) = relay.into_split();
        let (mut from_destination, mut to_destination) = destination.into_split();
        // Both are dropped when either has come to its end.
        tokio::select! {
            () = pass(&mut from_relay, &mut to_destination, up) => {}
            () = pass(&mut from_destination, &mut to_relay, down) => {}
        }
    }
}

/// Passes on so many octets.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut limit: usize,
) {
    let mut buffer = vec![0; 65536];
    while limit > 0 {
        // Either side may have gone; then this is the end, too.
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let passed = count.min(limit);
        if to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        limit -= passed;
    }
}

/// Message `number`; the first reply that is not 2xx or 354, or the last one.
async fn send(gate: &Gate, number: usize) -> String {
    let mut customer = Dialogue::ehlo(gate.address).await;
    for (said, expected) in [
        ("MAIL FROM:<a@customer.example>\r\n", "250"),
        ("RCPT TO:<b@mx.example>\r\n", "250"),
        ("DATA\r\n", "354"),
    ] {
        customer.say(said.as_bytes()).await;
        let reply = customer.hear().await;
        if !reply.starts_with(expected) {
            return reply;
        }
    }
    let message = format!("Subject: number {number};\r\n\r\n..x\r\n.\r\n");
    customer.say(message.as_bytes()).await;
    customer.hear().await
}

/// Every limit up to `octets`, which is more than a whole session has. The first `cuts` connections of each
/// message are cut.
async fn everywhere(cuts: usize, octets: usize, limits: impl Fn(usize) -> (usize, usize)) {
    let destination = Fickle::start(vec![Script::default()]).await;
    let (wire, address) = Wire::start(destination.address).await;
    let gate = Gate::to(address);
    // What it offers is known from here on, so the first octets are those of a transaction's connection.
    let mut replies = vec![send(&gate, 0).await];
    for limit in 0..octets {
        let (up, down) = limits(limit);
        wire.cut(cuts, up, down);
        replies.push(send(&gate, 1 + limit).await);
    }
    // Only now: the destination may have been a moment behind the relay.
    let messages = destination.messages();
    let (mut delivered, mut lost) = (0, 0);
    for (number, reply) in replies.iter().enumerate() {
        let subject = format!("Subject: number {number};\r\n\r\n..x\r\n");
        let copies = messages
            .iter()
            .filter(|message| message.ends_with(&subject));
        let copies = copies.count();
        if reply.starts_with("250 ") {
            assert_eq!(copies, 1, "message {number}: {reply}");
            delivered += 1;
        } else if reply.contains("may arrive twice") {
            assert!(copies <= 1, "message {number}: {reply}");
        } else {
            let expected = reply.starts_with("421 ") || reply.starts_with("451 ");
            assert!(
                expected && copies == 0,
                "message {number}: {copies} copies, {reply}"
            );
            lost += 1;
        }
    }
    assert!(
        delivered > 0 && lost > 0,
        "{delivered} delivered, {lost} lost"
    );
    assert!(replies[octets].starts_with("250 "), "{}", replies[octets]);
}

/// More octets than the relay says for one message.
const UP: usize = 600;
/// More octets than the destination says.
const DOWN: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_cut_off_at_every_octet_loses_nothing() {
    everywhere(usize::MAX, UP, |limit| (limit, usize::MAX)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_cut_off_at_every_octet_loses_nothing() {
    everywhere(usize::MAX, DOWN, |limit| (usize::MAX, limit)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_every_octet_that_heals_loses_nothing_either() {
    everywhere(1, UP, |limit| (limit, usize::MAX)).await;
    everywhere(1, DOWN, |limit| (usize::MAX, limit)).await;
}
