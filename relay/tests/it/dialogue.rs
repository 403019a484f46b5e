//! A customer that says exactly what it is told to, for what swaks would not do.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A connection with its transcript.
pub(crate) struct Dialogue {
    stream: TcpStream,
    unread: Vec<u8>,
    transcript: String,
    patience: Duration,
}

impl Dialogue {
    /// Connects, and hears the greeting.
    pub(crate) async fn open(relay: SocketAddr) -> (Self, String) {
        Self::open_from(relay, "127.0.0.1").await
    }

    /// Connects from this address, and hears the greeting.
    pub(crate) async fn open_from(relay: SocketAddr, source: &str) -> (Self, String) {
        let source = SocketAddr::new(source.parse().unwrap(), 0);
        Self::open_at(relay, source).await
    }

    /// Connects from this address and port, and hears the greeting.
    pub(crate) async fn open_at(relay: SocketAddr, source: SocketAddr) -> (Self, String) {
        let socket = if source.is_ipv4() {
            TcpSocket::new_v4().unwrap()
        } else {
            TcpSocket::new_v6().unwrap()
        };
        socket.bind(source).unwrap();
        let mut this = Self::on(socket.connect(relay).await.unwrap());
        let greeting = this.hear().await;
        (this, greeting)
    }

    /// Connects, and does not wait for the greeting.
    pub(crate) async fn connect(relay: SocketAddr) -> Self {
        Self::on(TcpStream::connect(relay).await.unwrap())
    }

    fn on(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            transcript: String::new(),
            patience: PATIENCE,
        }
    }

    /// Connects and says EHLO.
    pub(crate) async fn ehlo(relay: SocketAddr) -> Self {
        let (mut this, greeting) = Self::open(relay).await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        this.expect("EHLO client.example\r\n", "250").await;
        this
    }

    /// Waits for replies this long.
    pub(crate) fn wait_for(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Says octets.
    pub(crate) async fn say(&mut self, octets: &[u8]) {
        self.transcript += &format!("C: {}\n", octets.escape_ascii());
        self.stream.write_all(octets).await.unwrap();
    }

    /// Says `command` and asserts how the reply begins; the whole reply.
    pub(crate) async fn expect(&mut self, command: &str, reply: &str) -> String {
        self.say(command.as_bytes()).await;
        self.expect_reply(reply).await
    }

    /// MAIL from `a@customer.example`, and one recipient that is taken.
    pub(crate) async fn envelope(&mut self, recipient: &str) {
        self.expect("MAIL FROM:<a@customer.example>\r\n", "250")
            .await;
        self.expect(&format!("RCPT TO:<{recipient}>\r\n"), "250")
            .await;
    }

    /// Asserts how the next reply begins; the whole reply.
    pub(crate) async fn expect_reply(&mut self, expected: &str) -> String {
        let reply = self.hear().await;
        assert!(
            reply.starts_with(expected),
            "expected {expected}\n{}",
            self.transcript
        );
        reply
    }

    /// The next reply, all of its lines.
    pub(crate) async fn hear(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().await;
            self.transcript += &format!("S: {line}\n");
            reply += &line;
            reply.push('\n');
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// The next octets, whatever they mean.
    pub(crate) async fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = std::mem::take(&mut self.unread);
        while octets.len() < count {
            let read = timeout(self.patience, self.stream.read_buf(&mut octets)).await;
            assert!(matches!(read, Ok(Ok(1..))), "{read:?}\n{}", self.transcript);
        }
        self.unread = octets.split_off(count);
        octets
    }

    /// Ends with a reset, as if the client's host had gone and come back.
    pub(crate) fn reset(self) {
        let linger = Some(Duration::ZERO);
        sockopt::set_socket_linger(&self.stream, linger).unwrap();
    }

    /// The client's own address and port.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Waits until something has arrived, and leaves it there.
    pub(crate) async fn wait_for_octets(&self) {
        let readable = timeout(self.patience, self.stream.readable()).await;
        readable.expect("silence").unwrap();
    }

    /// Asserts that the relay has closed.
    pub(crate) async fn expect_close(&mut self) {
        let mut octets = [0; 64];
        let read = timeout(self.patience, self.stream.read(&mut octets)).await;
        assert!(
            matches!(read, Ok(Ok(0))),
            "not closed: {read:?}\n{}",
            self.transcript
        );
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = memchr::memmem::find(&self.unread, b"\r\n") {
                let line = self.unread.drain(..end + 2).collect::<Vec<_>>();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            let mut octets = [0; 4096];
            let count = timeout(self.patience, self.stream.read(&mut octets)).await;
            let count = count
                .unwrap_or_else(|_| panic!("silence\n{}", self.transcript))
                .unwrap();
            assert!(count > 0, "closed\n{}", self.transcript);
            self.unread.extend_from_slice(&octets[..count]);
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
