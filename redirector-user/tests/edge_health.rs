//! The health probe against real listeners on loopback.
#![expect(
    clippy::unwrap_used,
    reason = "what stands between a test and its assertion fails it too"
)]

use std::{net::SocketAddr, time::Duration};

use redirector_user::edge::health::{ProbeError, probe};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// A listener that greets one caller, hears it out and returns what it said.
async fn listener(greeting: &'static [u8]) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(greeting).await.unwrap();
        let mut heard = vec![0; 6];
        let octets = stream.read(&mut heard).await.unwrap();
        heard.truncate(octets);
        stream.write_all(b"221 2.0.0 bye\r\n").await.unwrap();
        heard
    });
    (address, heard)
}

const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_relay_that_greets_is_up_and_hears_quit() {
    for greeting in [
        &b"220 relay-1.example.net ESMTP\r\n"[..],
        b"220-one\r\n220 two\r\n",
    ] {
        let (address, heard) = listener(greeting).await;
        probe(address, TIMEOUT).await.unwrap();
        assert_eq!(heard.await.unwrap(), b"QUIT\r\n");
    }
}

#[tokio::test]
async fn another_greeting_is_no_health() {
    for greeting in [
        &b"421 4.3.2 no snapshot yet\r\n"[..],
        b"554 no\r\n",
        b"2200 x\r\n",
        b"hello\r\n",
    ] {
        let (address, _heard) = listener(greeting).await;
        let error = probe(address, TIMEOUT).await.unwrap_err();
        let ProbeError::Greeting(line) = error else {
            panic!("{error}")
        };
        assert_eq!(line.as_bytes(), greeting.trim_ascii_end());
    }
}

#[tokio::test]
async fn a_greeting_without_end_is_no_health() {
    let (address, _heard) = listener(&[b'2'; 8192]).await;
    let error = probe(address, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, ProbeError::Greeting(_)), "{error}");
}

#[tokio::test]
async fn silence_is_bounded() {
    // The kernel completes the handshake; nobody accepts and nobody greets.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let error = probe(address, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ProbeError::TimedOut), "{error}");
}

#[tokio::test]
async fn nobody_there_is_no_health() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let error = probe(address, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, ProbeError::Connect(_)), "{error}");
}

#[tokio::test]
async fn a_hang_up_before_the_greeting_is_no_health() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { drop(listener.accept().await) });
    let error = probe(address, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, ProbeError::Lost(_)), "{error}");
}
