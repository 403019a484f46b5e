//! `[[scanner]]`: who looks at messages.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use relay_proto::verdict::OnError;

use super::Invalid;
use super::check::{absolute, duration};
use super::raw::RawScanner;

/// One scanner.
#[derive(Debug, Clone)]
pub enum ScannerConfig {
    /// Patterns that need no other program.
    Builtin,
    /// rspamd over HTTP.
    Rspamd {
        /// Its `/checkv2`.
        url: Uri,
        /// How long one message may take.
        deadline: Duration,
        /// What becomes of the message if it takes longer or answers nonsense.
        on_error: OnError,
        /// What its score means.
        scale: Scale,
    },
    /// clamd by INSTREAM.
    Clamd {
        /// Where it listens.
        address: ClamdAddress,
        /// How long one message may take.
        deadline: Duration,
        /// What becomes of the message if it takes longer or answers nonsense.
        on_error: OnError,
    },
}

/// Where a clamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    /// `LocalSocket` of its configuration.
    Unix(PathBuf),
    /// `TCPSocket` and `TCPAddr`.
    Tcp(SocketAddr),
}

/// What a score means: how a scanner's points become log odds, which add up with those of others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The score that says nothing either way.
    pub neutral_at: f64,
    /// What a point more adds to the natural logarithm of the odds.
    pub per_point: f64,
}

impl Scale {
    /// The log odds of a score.
    #[must_use]
    pub fn log_odds(self, score: f64) -> f64 {
        (score - self.neutral_at) * self.per_point
    }
}

impl Default for Scale {
    /// Of rspamd as it is delivered: from 6 points on it calls mail probable spam, and at 15 it refuses. There, the odds are
    /// 90 to 1, which alone is not enough; at 0 they are 1 to 20.
    fn default() -> Self {
        Self {
            neutral_at: 6.0,
            per_point: 0.5,
        }
    }
}

impl ScannerConfig {
    /// Those that need nothing beside the program.
    #[must_use]
    pub fn embedded() -> Vec<Self> {
        vec![Self::Builtin]
    }

    /// Its kind, as it stands in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Rspamd { .. } => "rspamd",
            Self::Clamd { .. } => "clamd",
        }
    }
}

impl TryFrom<RawScanner> for ScannerConfig {
    type Error = Invalid;

    fn try_from(raw: RawScanner) -> Result<Self, Invalid> {
        match raw {
            RawScanner::Builtin {} => Ok(Self::Builtin),
            RawScanner::Rspamd {
                url,
                deadline,
                on_error,
                neutral_at,
                per_point,
            } => {
                let parsed: Uri = url
                    .parse()
                    .map_err(|error| Invalid::new("scanner.url", &url, error))?;
                if parsed.scheme_str() != Some("http") || parsed.host().is_none() {
                    return Err(Invalid::new(
                        "scanner.url",
                        url,
                        "must be an http:// URL, as http://127.0.0.1:11333/checkv2",
                    ));
                }
                Ok(Self::Rspamd {
                    url: parsed,
                    deadline: check_deadline(&deadline)?,
                    on_error: check_on_error(&on_error)?,
                    scale: scale(neutral_at, per_point)?,
                })
            }
            RawScanner::Clamd {
                socket,
                address,
                deadline,
                on_error,
            } => Ok(Self::Clamd {
                address: clamd_address(socket, address)?,
                deadline: check_deadline(&deadline)?,
                on_error: check_on_error(&on_error)?,
            }),
        }
    }
}

fn scale(neutral_at: f64, per_point: f64) -> Result<Scale, Invalid> {
    if !neutral_at.is_finite() {
        let problem = "must be a number, the score that says nothing either way";
        return Err(Invalid::new("scanner.neutral_at", neutral_at, problem));
    }
    if !(0.0..=10.0).contains(&per_point) {
        let problem = "must be 0 to 10; 0 leaves the score out of the sum";
        return Err(Invalid::new("scanner.per_point", per_point, problem));
    }
    Ok(Scale {
        neutral_at,
        per_point,
    })
}

fn clamd_address(
    socket: Option<PathBuf>,
    address: Option<String>,
) -> Result<ClamdAddress, Invalid> {
    match (socket, address) {
        (Some(socket), None) => Ok(ClamdAddress::Unix(absolute("scanner.socket", socket)?)),
        (None, Some(address)) => {
            let problem = "must be ADDRESS:PORT, as 127.0.0.1:3310 or [::1]:3310";
            let parsed = address.parse();
            let parsed =
                parsed.map_err(|_parse| Invalid::new("scanner.address", &address, problem))?;
            Ok(ClamdAddress::Tcp(parsed))
        }
        (Some(_), Some(address)) => {
            let problem = "cannot stand beside socket; clamd is asked at one of the two";
            Err(Invalid::new("scanner.address", address, problem))
        }
        (None, None) => {
            let problem = "must be there for clamd, as \"/run/clamav/clamd.ctl\", or address must";
            Err(Invalid::new("scanner.socket", "absent", problem))
        }
    }
}

/// The sender waits for the reply to its dot while we scan.
fn check_deadline(deadline: &str) -> Result<Duration, Invalid> {
    let shortest = Duration::from_millis(100);
    duration("scanner.deadline", deadline, shortest, SCAN_DEADLINE_MAX)
}

fn check_on_error(word: &str) -> Result<OnError, Invalid> {
    match word {
        "open" => Ok(OnError::Open),
        "limit" => Ok(OnError::Limit),
        "defer" => Ok(OnError::Defer),
        _ => {
            let problem = "must be \"open\", \"limit\" or \"defer\"";
            Err(Invalid::new("scanner.on_error", word, problem))
        }
    }
}

/// A sender gives up ten minutes after its dot (RFC 5321 section 4.5.3.2.6), some after five; what
/// remains after the scan is for the MX.
const SCAN_DEADLINE_MAX: Duration = Duration::from_secs(120);
