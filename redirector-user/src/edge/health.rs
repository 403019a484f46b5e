//! Whether a relay answers: one probe, and the judgement over many.
//!
//! [`probe`] asks a listener once, from this host itself; [`super::probe`] asks by the way that customers take.
//! [`Monitor`] turns answers into a state that does not flap: down after three failures in a row, up again after
//! two successes, and up at once at the very start.

mod greeting;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout_at},
};

pub(super) use self::greeting::Greeting;

/// What is known of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing yet; not in rotation.
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// Judges a relay by the answers to its probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    health: Health,
    /// Answers in a row that speak against `health`.
    contrary: u8,
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// A relay that was never probed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            health: Health::Unknown,
            contrary: 0,
        }
    }

    /// What is known so far.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Takes one answer in; returns the new health if it changed.
    pub fn observe(&mut self, answered: bool) -> Option<Health> {
        let (against, limit, other) = match self.health {
            // Waiting for a second success at start would keep mail blocked for an interval, and
            // nothing was flapping yet.
            Health::Unknown if answered => (true, 1, Health::Up),
            Health::Unknown | Health::Up => (!answered, FAILURES_TO_DOWN, Health::Down),
            Health::Down => (answered, SUCCESSES_TO_UP, Health::Up),
        };
        self.contrary = if against { self.contrary + 1 } else { 0 };
        if self.contrary < limit {
            return None;
        }
        *self = Self {
            health: other,
            contrary: 0,
        };
        Some(other)
    }
}

/// Why a probe found no relay at work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    /// Nobody has answered the SYN in time.
    #[error("no SYN-ACK within the time-out")]
    NoAnswer,
    /// A connection, and then nothing in time.
    #[error("connected, but no banner within the time-out")]
    TimedOut,
    /// The data path has no way to it.
    #[error("{0}")]
    NoWay(String),
    /// There is nothing to probe from; this says nothing about the relay.
    #[error("not probed: {0}")]
    NoProbe(String),
    /// The connection broke before a banner.
    #[error("connection lost before the banner: {0}")]
    Lost(#[source] std::io::Error),
    /// A greeting other than 220.
    #[error("greeted with {0:?} instead of 220")]
    Greeting(String),
}

/// Connects, expects a `220` greeting (RFC 5321 section 4.2), says QUIT. The whole may take `timeout`.
///
/// # Errors
///
/// [`ProbeError`] says at which step it failed.
pub async fn probe(address: SocketAddr, timeout: Duration) -> Result<(), ProbeError> {
    let deadline = Instant::now() + timeout;
    let mut stream = timeout_at(deadline, TcpStream::connect(address))
        .await
        .map_err(|_late| ProbeError::NoAnswer)?
        .map_err(ProbeError::Connect)?;
    timeout_at(deadline, greeting(&mut stream))
        .await
        .map_err(|_late| ProbeError::TimedOut)??;
    // The relay is at work; how it says goodbye changes nothing. Waiting for it keeps a RST, and
    // with it an alarming line, out of the relay's log.
    let mut farewell = Vec::new();
    let mut rest = (&mut stream).take(GOODBYE_MAX_OCTETS);
    let goodbye = async {
        rest.get_mut().write_all(QUIT).await?;
        rest.read_to_end(&mut farewell).await
    };
    if let Ok(Err(error)) = timeout_at(deadline, goodbye).await {
        tracing::debug!(relay.addr = %address, %error, "relay hung up on the probe's QUIT");
    }
    Ok(())
}

/// Reads a greeting to its end.
async fn greeting(stream: &mut TcpStream) -> Result<(), ProbeError> {
    let mut greeting = Greeting::default();
    let mut octets = [0; 1024];
    loop {
        let read = stream.read(&mut octets).await.map_err(ProbeError::Lost)?;
        if read == 0 {
            return Err(ProbeError::Lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(end) = greeting.read(octets.get(..read).unwrap_or_default()) {
            return end;
        }
    }
}

const FAILURES_TO_DOWN: u8 = 3;
const SUCCESSES_TO_UP: u8 = 2;
/// A goodbye longer than this is not waited for.
const GOODBYE_MAX_OCTETS: u64 = 4096;
/// What a probe says when it has heard enough.
pub(super) const QUIT: &[u8] = b"QUIT\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds answers (`+` success, `-` failure) and spells the state after each.
    #[track_caller]
    fn states(answers: &str, expected: &str) {
        let mut monitor = Monitor::new();
        let seen: String = answers
            .chars()
            .map(|answer| {
                let before = monitor.health();
                let change = monitor.observe(answer == '+');
                assert_eq!(change.is_some(), before != monitor.health(), "{answers}");
                match monitor.health() {
                    Health::Unknown => '?',
                    Health::Up => 'U',
                    Health::Down => 'D',
                }
            })
            .collect();
        assert_eq!(seen, expected, "{answers}");
    }

    #[test]
    fn the_first_success_counts_at_once() {
        states("+", "U");
        states("--+", "??U");
    }

    #[test]
    fn three_failures_in_a_row_take_a_relay_down() {
        states("+---", "UUUD");
        states("+--+--+", "UUUUUUU");
        states("---", "??D");
    }

    #[test]
    fn two_successes_in_a_row_bring_it_back() {
        states("+---++", "UUUDDU");
        states("+---+-+-++", "UUUDDDDDDU");
    }
}
