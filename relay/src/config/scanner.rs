//! `[[scanner]]`: who looks at messages.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use relay_proto::verdict::{Concern, OnError, Scale};

use super::Invalid;
use super::check::{absolute, duration};
use super::classifier::ClassifierConfig;
use super::lists::{DnsblConfig, UriblConfig};
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
        address: ProgramAddress,
        /// How long one message may take.
        deadline: Duration,
        /// What becomes of the message if it takes longer or answers nonsense.
        on_error: OnError,
    },
    /// The embedded classifier.
    Classifier(ClassifierConfig),
    /// A mail filter of Sendmail's kind.
    Milter {
        /// Where it listens.
        address: ProgramAddress,
        /// What it looks for.
        finds: Concern,
        /// How long one message may take.
        deadline: Duration,
        /// What becomes of the message if it takes longer or answers nonsense.
        on_error: OnError,
    },
    /// Lists of addresses in the DNS.
    Dnsbl(DnsblConfig),
    /// Lists of domains and addresses that links lead to, in the DNS.
    Uribl(UriblConfig),
}

/// Where a program beside the relay listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl ScannerConfig {
    /// Those that need nothing beside the program.
    #[must_use]
    pub fn embedded() -> Vec<Self> {
        vec![Self::Builtin, Self::Classifier(ClassifierConfig::default())]
    }

    /// Its kind, as it stands in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Rspamd { .. } => "rspamd",
            Self::Clamd { .. } => "clamd",
            Self::Classifier(_) => "classifier",
            Self::Milter { .. } => "milter",
            Self::Dnsbl(_) => "dnsbl",
            Self::Uribl(_) => "uribl",
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
                clears_by,
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
                    scale: scale(neutral_at, per_point, clears_by)?,
                })
            }
            RawScanner::Clamd {
                socket,
                address,
                deadline,
                on_error,
            } => Ok(Self::Clamd {
                address: program_address("clamd", "/run/clamav/clamd.ctl", socket, address)?,
                deadline: check_deadline(&deadline)?,
                on_error: check_on_error(&on_error)?,
            }),
            RawScanner::Classifier(raw) => raw.try_into().map(Self::Classifier),
            RawScanner::Milter {
                socket,
                address,
                finds,
                deadline,
                on_error,
            } => {
                let finds = check_finds(&finds)?;
                // Spam that passes while its scanner is away is bounded; malware does not pass.
                let usual = match finds {
                    Concern::Spam => OnError::Limit,
                    Concern::Malware => OnError::Defer,
                };
                let on_error = on_error.map(|word| check_on_error(&word));
                Ok(Self::Milter {
                    address: program_address("a milter", "/run/milter.sock", socket, address)?,
                    finds,
                    deadline: check_deadline(&deadline)?,
                    on_error: on_error.unwrap_or(Ok(usual))?,
                })
            }
            RawScanner::Dnsbl(raw) => raw.try_into().map(Self::Dnsbl),
            RawScanner::Uribl(raw) => raw.try_into().map(Self::Uribl),
        }
    }
}

fn scale(neutral_at: f64, per_point: f64, clears_by: f64) -> Result<Scale, Invalid> {
    if !neutral_at.is_finite() {
        let problem = "must be a number, the score that says nothing either way";
        return Err(Invalid::new("scanner.neutral_at", neutral_at, problem));
    }
    if !(0.0..=10.0).contains(&per_point) {
        let problem = "must be 0 to 10; 0 leaves the score out of the sum";
        return Err(Invalid::new("scanner.per_point", per_point, problem));
    }
    if !(0.0..=CLEARS_BY_MAX).contains(&clears_by) {
        let problem = "must be 0 to 12, in log-odds; 0 lets a low score take nothing away";
        return Err(Invalid::new("scanner.clears_by", clears_by, problem));
    }
    Ok(Scale {
        neutral_at,
        per_point,
        clears_by,
    })
}

fn program_address(
    program: &str,
    example: &str,
    socket: Option<PathBuf>,
    address: Option<String>,
) -> Result<ProgramAddress, Invalid> {
    match (socket, address) {
        (Some(socket), None) => Ok(ProgramAddress::Unix(absolute("scanner.socket", socket)?)),
        (None, Some(address)) => {
            let problem = "must be ADDRESS:PORT, as 127.0.0.1:3310 or [::1]:3310";
            let parsed = address.parse();
            let parsed =
                parsed.map_err(|_parse| Invalid::new("scanner.address", &address, problem))?;
            Ok(ProgramAddress::Tcp(parsed))
        }
        (Some(_), Some(address)) => {
            let problem =
                format!("cannot stand beside socket; {program} is asked at one of the two");
            Err(Invalid::new("scanner.address", address, problem))
        }
        (None, None) => {
            let problem = format!("must be there for {program}, as \"{example}\", or address must");
            Err(Invalid::new("scanner.socket", "absent", problem))
        }
    }
}

pub(super) fn check_finds(word: &str) -> Result<Concern, Invalid> {
    match word {
        "spam" => Ok(Concern::Spam),
        "malware" => Ok(Concern::Malware),
        _ => {
            let problem = "must be \"spam\" or \"malware\"";
            Err(Invalid::new("scanner.finds", word, problem))
        }
    }
}

/// The sender waits for the reply to its dot while we scan.
pub(super) fn check_deadline(deadline: &str) -> Result<Duration, Invalid> {
    let shortest = Duration::from_millis(100);
    duration("scanner.deadline", deadline, shortest, SCAN_DEADLINE_MAX)
}

pub(super) fn check_on_error(word: &str) -> Result<OnError, Invalid> {
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
pub(super) const SCAN_DEADLINE_MAX: Duration = Duration::from_secs(120);
/// In log-odds; nobody can be surer than this of a message by looking at it.
const CLEARS_BY_MAX: f64 = 12.0;
