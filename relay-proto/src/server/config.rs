//! What does not change during a session: names, limits, waits.

use core::time::Duration;

use crate::wire::line::Nul;

/// What does not change during a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name in the greeting and in the answer to EHLO.
    pub hostname: String,
    /// Who runs this, in the greeting.
    pub operator: String,
    /// Recipients of one transaction; more are answered `452 4.5.3`. Default 100, the least that RFC 5321
    /// section 4.5.3.1.8 allows.
    pub max_recipients: usize,
    /// Transactions of one session; more are answered `421 4.7.0`. Default 5000.
    pub max_mails: u32,
    /// Errors of the client until `421 4.7.0` and the end. Default 20.
    pub max_errors: u32,
    /// The same under [`Stress::High`]. Default 2.
    pub max_errors_under_stress: u32,
    /// Commands until `421 4.7.0` and the end. Default 20,000, far above what a queue runner needs for a
    /// hundred messages of a hundred recipients.
    pub max_commands: u32,
    /// What content may be.
    pub content: ContentLimits,
    /// How slow content may come; `None` = as slow as [`Timeouts`] allow.
    pub minimum_rate: Option<MinimumRate>,
    /// Whether the client must wait for its greeting; `None` = it gets it at once.
    pub pregreet: Option<Pregreet>,
    /// How long the session waits for what.
    pub timeouts: Timeouts,
}

/// What the content of one message may be, besides its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentLimits {
    /// Octets of a line, its CRLF included; a message with a longer one is refused with `554 5.6.0`. 0 = no
    /// limit. RFC 5321 section 4.5.3.1.6 knows 1000, but honest senders write whole documents and embedded
    /// pictures in a line, and nothing here holds a line: the bound is for those who come after. Default
    /// 1 MiB.
    pub max_line_octets: u64,
    /// `Received` fields; a message with more of them is in a loop, and refused with `554 5.4.6`. 0 = no
    /// limit. Default 100, the least that RFC 5321 section 6.3 advises.
    pub max_received: u32,
    /// Whether NUL passes; beside a lone dot it never does. Default: it does, because honest senders write
    /// it in content.
    pub nul: Nul,
}

/// The least rate of content, as an average: the client has `window` in credit, each octet gives it
/// `1 / octets_per_second` more, up to `window` again, and who has used it up is answered 421. So a pause
/// of a whole window is nobody's end, and neither is a slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MinimumRate {
    /// Default 500.
    pub octets_per_second: u32,
    /// Default 5 min: no pause ends before RFC 5321 section 4.5.3.2.7 allows.
    pub window: Duration,
    /// The same under [`Stress::High`]. Default 30 s.
    pub window_under_stress: Duration,
}

/// The client must wait before its greeting, and be silent (RFC 5321 section 4.3.1): many programs that
/// send spam do not, and talk first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pregreet {
    /// How long.
    pub pause: Duration,
    /// What those are told who talk first.
    pub early_talk: EarlyTalk,
}

/// What a client is told that talked before its greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EarlyTalk {
    /// `421 4.7.0`: to try again.
    Deferred,
    /// `554 5.7.1`: to give up.
    Refused,
}

/// How much of its means the caller has left for all its sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stress {
    /// Enough.
    #[default]
    None,
    /// Little: who is idle, slow or wrong makes room for others.
    High,
}

/// How long the server waits. The defaults are those of RFC 5321 section 4.5.3.2.7 where it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole command line. Default 5 min.
    pub command: Duration,
    /// The same under [`Stress::High`]. Default 10 s.
    pub command_under_stress: Duration,
    /// For the next octets of content. Default 5 min.
    pub content: Duration,
    /// For all the content of one message. Default 1 h.
    pub message: Duration,
    /// For the TLS handshake. Default 1 min.
    pub handshake: Duration,
    /// For the true end of content that broke a framing rule: its sender may believe that it has
    /// already ended the message, and shall hear why it was refused. Default 10 s.
    pub malformed: Duration,
    /// For the whole session, as long as no content is being received: that has its own bound. Default
    /// 2 h.
    pub session: Duration,
}

impl Config {
    /// All defaults.
    #[must_use]
    pub fn new(hostname: &str, operator: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            operator: operator.to_owned(),
            max_recipients: 100,
            max_mails: 5000,
            max_errors: 20,
            max_errors_under_stress: 2,
            max_commands: 20_000,
            content: ContentLimits::default(),
            minimum_rate: Some(MinimumRate::default()),
            pregreet: None,
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for ContentLimits {
    fn default() -> Self {
        Self {
            max_line_octets: 1 << 20,
            max_received: 100,
            nul: Nul::Passed,
        }
    }
}

impl Default for MinimumRate {
    fn default() -> Self {
        Self {
            octets_per_second: 500,
            window: Duration::from_secs(300),
            window_under_stress: Duration::from_secs(30),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(300),
            command_under_stress: Duration::from_secs(10),
            content: Duration::from_secs(300),
            message: Duration::from_secs(3600),
            handshake: Duration::from_secs(60),
            malformed: Duration::from_secs(10),
            session: Duration::from_secs(7200),
        }
    }
}
