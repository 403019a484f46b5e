//! The generator: customers' sessions that are opened once and kept.

use std::{
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use super::wire::Wire;

/// Whom sessions are opened with.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Where the relay is told, in a PROXY header, that they were going; `None` = no header.
    pub(super) proxied_to: Option<SocketAddrV4>,
    pub(super) tls: Arc<ClientConfig>,
    /// The recipient's domain.
    pub(super) domain: Arc<str>,
    /// Whether commands may be sent before the replies to those in front of them.
    pub(super) pipelining: bool,
}

/// What is sent over and over.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// MAIL, RCPT, DATA.
    envelope: Arc<[u8]>,
    pipelining: bool,
    /// With the end of data.
    content: Arc<[u8]>,
}

/// How far a session goes before it is left idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// EHLO in clear text.
    Plain,
    /// EHLO within TLS.
    Tls,
    /// A recipient, which the destination was asked about.
    Recipient,
}

/// Opens so many sessions, a few at a time.
pub(super) async fn open(target: &Target, count: usize, depth: Depth) -> Result<Vec<Wire>> {
    let mut sessions = Vec::with_capacity(count);
    while sessions.len() < count {
        let more = (count - sessions.len()).min(AT_ONCE);
        let mut opening = JoinSet::new();
        for number in sessions.len()..sessions.len() + more {
            opening.spawn(opened(target.clone(), number, depth));
        }
        while let Some(session) = opening.join_next().await {
            sessions.push(session?.context("opening a session")?);
        }
    }
    Ok(sessions)
}

/// Sends one message after the other on each session, for so long.
pub(super) async fn flood(sessions: Vec<Wire>, load: Load, time: Duration) -> Result<Vec<Wire>> {
    Ok(timed_flood(sessions, load, time).await?.0)
}

/// The same; answers besides how long each took from its dot to the answer, in milliseconds.
pub(super) async fn timed_flood(
    sessions: Vec<Wire>,
    load: Load,
    time: Duration,
) -> Result<(Vec<Wire>, Vec<f64>)> {
    let loaded = sessions.into_iter().map(|wire| (wire, load.clone()));
    let (sessions, times) = flood_each(loaded.collect(), time).await?;
    let sessions = sessions.into_iter().map(|(wire, _)| wire);
    Ok((sessions.collect(), times))
}

/// The same, with a load for each session.
pub(super) async fn flood_each(
    sessions: Vec<(Wire, Load)>,
    time: Duration,
) -> Result<(Vec<(Wire, Load)>, Vec<f64>)> {
    let until = Instant::now() + time;
    let mut running = JoinSet::new();
    for (mut wire, load) in sessions {
        running.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let [sent, answered] = message(&mut wire, &load).await?;
                times.push((answered - sent).as_secs_f64() * 1e3);
            }
            Ok::<_, anyhow::Error>(((wire, load), times))
        });
    }
    let (mut sessions, mut times) = (Vec::new(), Vec::new());
    while let Some(session) = running.join_next().await {
        let (session, own) = session?.context("under load")?;
        sessions.push(session);
        times.extend(own);
    }
    Ok((sessions, times))
}

/// Sends so many messages a second over all sessions for so long; answers how long each took, in milliseconds.
pub(super) async fn pace(
    sessions: Vec<Wire>,
    load: Load,
    rate: f64,
    time: Duration,
) -> Result<(Vec<Wire>, Vec<f64>)> {
    let begun = Instant::now();
    let count = u32::try_from(sessions.len())?;
    let period = Duration::from_secs_f64(f64::from(count) / rate);
    let mut running = JoinSet::new();
    for (number, mut wire) in (0..count).zip(sessions) {
        let load = load.clone();
        // Spread over the period, as customers are that know nothing of each other.
        let first = begun + period * number / count;
        running.spawn(async move {
            let mut ticks = interval_at(first.into(), period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut times = Vec::new();
            while begun.elapsed() < time {
                ticks.tick().await;
                let sent = Instant::now();
                message(&mut wire, &load).await?;
                times.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, anyhow::Error>((wire, times))
        });
    }
    let (mut sessions, mut times) = (Vec::new(), Vec::new());
    while let Some(session) = running.join_next().await {
        let (wire, own) = session?.context("at a tenth of the load")?;
        sessions.push(wire);
        times.extend(own);
    }
    Ok((sessions, times))
}

impl Load {
    /// Messages of so many octets for a target.
    pub(super) fn new(target: &Target, octets: usize) -> Self {
        let domain = &target.domain;
        let envelope =
            format!("MAIL FROM:<sender@bench.test>\r\nRCPT TO:<recipient@{domain}>\r\nDATA\r\n");
        Self {
            envelope: envelope.into_bytes().into(),
            pipelining: target.pipelining,
            content: content(octets),
        }
    }
}

/// A message of so many octets, as it is sent, with the end of data.
fn content(octets: usize) -> Arc<[u8]> {
    let mut content =
        b"From: <sender@bench.test>\r\nTo: <recipient@bench.test>\r\nSubject: benchmark\r\n\r\n"
            .to_vec();
    while content.len() + LINE.len() < octets {
        content.extend_from_slice(LINE);
    }
    content.resize(octets.saturating_sub(2), b'x');
    content.extend_from_slice(b"\r\n.\r\n");
    content.into()
}

/// Sends one; answers when its end was sent, and when that was answered.
pub(super) async fn message(wire: &mut Wire, load: &Load) -> Result<[Instant; 2]> {
    let codes = ["250", "250", "354"];
    if load.pipelining {
        wire.ask(&load.envelope, &codes).await?;
    } else {
        let commands = load.envelope.split_inclusive(|octet| *octet == b'\n');
        for (command, code) in commands.zip(codes) {
            wire.ask(command, &[code]).await?;
        }
    }
    // The clock starts before the octets that the dot is among, not before a megabyte of others.
    let last = load.content.len().saturating_sub(LAST_OCTETS);
    let (first, last) = load.content.split_at(last);
    if !first.is_empty() {
        wire.send(first).await?;
    }
    let sent = Instant::now();
    wire.ask(last, &["250"]).await?;
    Ok([sent, Instant::now()])
}

impl Target {
    /// A session of one of the customers, after EHLO.
    pub(super) async fn greeted(&self, customer: usize) -> Result<Wire> {
        let mut wire = Wire::new(TcpStream::connect(self.address).await?)?;
        if let Some(destination) = self.proxied_to {
            wire.send(&proxy_header(customer, destination)).await?;
        }
        wire.reply("220").await?;
        wire.ask(b"EHLO client.bench.test\r\n", &["250"]).await?;
        Ok(wire)
    }
}

async fn opened(target: Target, number: usize, depth: Depth) -> Result<Wire> {
    let mut wire = target.greeted(number).await?;
    if depth != Depth::Plain {
        wire.ask(b"STARTTLS\r\n", &["220"]).await?;
        wire.secure(&target.tls).await?;
        wire.ask(b"EHLO client.bench.test\r\n", &["250"]).await?;
    }
    if depth == Depth::Recipient {
        wire.ask(b"MAIL FROM:<sender@bench.test>\r\n", &["250"])
            .await?;
        let recipient = format!("RCPT TO:<recipient@{}>\r\n", target.domain);
        wire.ask(recipient.as_bytes(), &["250"]).await?;
    }
    Ok(wire)
}

/// Version 2, TCP over IPv4, from one of 250 customers.
fn proxy_header(number: usize, destination: SocketAddrV4) -> Vec<u8> {
    let customer = u8::try_from(number % 250 + 1).unwrap_or(1);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&[192, 0, 2, customer]);
    header.extend_from_slice(&destination.ip().octets());
    header.extend_from_slice(&40_000_u16.to_be_bytes());
    header.extend_from_slice(&destination.port().to_be_bytes());
    header
}

/// What goes in one piece with the dot; a small message is one piece.
const LAST_OCTETS: usize = 8192;
const LINE: &[u8] = b"The quick brown fox jumps over the lazy dog, and nobody knows what for.\r\n";
/// Some servers have no room for more that wait to be accepted, and theirs would wait for ever.
const AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_octets_asked_for_and_one_end() {
        for octets in [4096, 5000] {
            let content = content(octets);
            // The dot and its CRLF are not the message's.
            assert_eq!(content.len(), octets + 3);
            let ends = memchr::memmem::find_iter(&content, b"\r\n.\r\n").count();
            assert_eq!(ends, 1);
            let lines = content.split(|octet| *octet == b'\n');
            assert!(lines.map(<[u8]>::len).max() <= Some(998));
        }
    }

    #[test]
    fn the_header_says_customer_and_destination() {
        let header = proxy_header(251, "198.51.100.2:25".parse().unwrap());
        assert_eq!(header.len(), 28);
        assert_eq!(header[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(header[16..24], [192, 0, 2, 2, 198, 51, 100, 2]);
        assert_eq!(header[26..], [0, 25]);
    }
}
