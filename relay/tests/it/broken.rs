//! Scanners that are down, slow, or talk nonsense: what becomes of mail is what their `on_error` says, and a scrape shows it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use relay::metrics::{Counter, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clamd;
use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::host::free_address;
use crate::sink::Sink;

/// What a broken scanner does with a connection.
type Behaviour = fn(TcpStream);

/// Each with its name. None of them is what rspamd or clamd would say.
const BEHAVIOURS: [(&str, Behaviour); 9] = [
    ("closes at once", drop),
    ("never reads", |stream| hold(&stream)),
    ("closes in the middle of a message", |mut stream| {
        let _some = stream.read(&mut [0; 16]);
    }),
    ("hangs up its half", |stream| {
        let _down = stream.shutdown(Shutdown::Write);
        read_all(stream);
    }),
    ("closes in the middle of its answer", |mut stream| {
        read_some(&mut stream);
        let _sent =
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"action\": \"no ac");
    }),
    ("answers garbage", |mut stream| {
        read_some(&mut stream);
        let _sent = stream.write_all(b"220 mx.example ESMTP\r\n\0\xff\xfe");
    }),
    ("answers an error", |mut stream| {
        read_some(&mut stream);
        let _sent = stream.write_all(
            b"HTTP/1.1 500 out of order\r\nContent-Length: 22\r\nConnection: close\r\n\r\n{\"action\": \"no action\"}",
        );
    }),
    ("answers something else", |mut stream| {
        read_some(&mut stream);
        let _sent = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n<html>hi</html>\r\n",
        );
    }),
    ("answers without end", |mut stream| {
        read_some(&mut stream);
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while sent.is_ok() {
            sent = stream
                .write_all(b"1000\r\n")
                .and_then(|()| stream.write_all(&[b' '; 0x1000]));
            sent = sent.and_then(|()| stream.write_all(b"\r\n"));
        }
    }),
];

/// Keeps the connection until the other side ends it, without taking anything.
fn hold(stream: &TcpStream) {
    // A reset or the end is what makes it readable, beside what is not taken.
    for _ in 0..600 {
        let closed = stream.take_error().is_ok_and(|error| error.is_some());
        if closed {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn read_some(stream: &mut TcpStream) {
    let _some = stream.read(&mut [0; 65_536]);
}

fn read_all(mut stream: TcpStream) {
    while matches!(stream.read(&mut [0; 65_536]), Ok(1..)) {}
}

/// Something that listens, and behaves like this for as long as the test runs.
fn broken(behave: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || behave(stream));
        }
    });
    address
}

fn scanner(kind: &str, address: SocketAddr, on_error: &str) -> String {
    let head = match kind {
        "clamd" => clamd::scanner(&format!("address = \"{address}\"")),
        _ => format!("[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{address}/checkv2\"\n"),
    };
    format!("{head}deadline = \"500ms\"\non_error = \"{on_error}\"\n")
}

/// One message on a session of its own; what the customer hears at the end.
async fn send(gate: &Gate) -> String {
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer.expect("Subject: x\r\n\r\nx\r\n.\r\n", "").await
}

/// Asserts these samples of `GET /metrics`.
async fn assert_shown(gate: &Gate, about: &str, samples: &[&str]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(http::serve(Arc::clone(&gate.relay), listener));
    let mut scrape = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    scrape.write_all(request).await.unwrap();
    let mut answer = String::new();
    scrape.read_to_string(&mut answer).await.unwrap();
    serving.abort();
    for sample in samples {
        let sample = format!("outgate_relay_{sample}");
        let is_there = answer.lines().any(|line| line == sample);
        assert!(is_there, "{about}: {sample}\n{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_scanner_is_what_its_on_error_says() {
    let sink = Sink::start();
    let mut cases = vec![("is not there", free_address())];
    cases.extend(BEHAVIOURS.map(|(name, behave)| (name, broken(behave))));
    for kind in ["rspamd", "clamd"] {
        for (name, address) in &cases {
            for (on_error, expected) in [("open", "250 "), ("defer", "451 4.7.1 ")] {
                let gate = Gate::start(Options {
                    scanners: scanner(kind, *address, on_error),
                    ..Options::to(sink.address)
                });
                let reply = send(&gate).await;
                assert!(
                    reply.starts_with(expected),
                    "{kind} {name} {on_error}: {reply}"
                );
                gate.wait_for_count(Counter::ScannerFailed, 1).await;
                let (delivered, deferred) = match on_error {
                    "open" => (1, 0),
                    _ => (0, 1),
                };
                gate.wait_for_count(Counter::Delivered, delivered).await;
                let samples = [
                    "scanner_failed_total 1",
                    &format!("scanner_reports_total{{scanner=\"{kind}\",finding=\"failed\"}} 1"),
                    &format!("messages_delivered_total {delivered}"),
                    &format!("messages_deferred_total {deferred}"),
                ];
                assert_shown(&gate, &format!("{kind} {name} {on_error}"), &samples).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_number_passes_unscanned_and_the_rest_waits() {
    let sink = Sink::start();
    for kind in ["rspamd", "clamd"] {
        let gate = Gate::start(Options {
            scanners: scanner(kind, free_address(), "limit"),
            more: "[verdict]\nunscanned_per_hour = 3\n".into(),
            ..Options::to(sink.address)
        });
        for _ in 0..3 {
            let reply = send(&gate).await;
            assert!(reply.starts_with("250 "), "{kind}: {reply}");
        }
        let reply = send(&gate).await;
        assert!(reply.starts_with("451 4.7.1 "), "{kind}: {reply}");
        gate.wait_for_count(Counter::ScannerFailed, 4).await;
        let samples = [
            "scanner_failed_total 4",
            "messages_passed_unscanned_total 3",
            "messages_unscanned_limited_total 1",
        ];
        assert_shown(&gate, kind, &samples).await;
    }
}
