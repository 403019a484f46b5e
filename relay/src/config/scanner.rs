//! `[[scanner]]`: who looks at messages.

use std::time::Duration;

use hyper::Uri;
use relay_proto::verdict::OnError;

use super::Invalid;
use super::check::duration;
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
    },
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
                let on_error = check_on_error(&on_error)?;
                // The sender waits for the reply to its dot while we scan.
                let deadline = duration(
                    "scanner.deadline",
                    &deadline,
                    Duration::from_millis(100),
                    SCAN_DEADLINE_MAX,
                )?;
                Ok(Self::Rspamd {
                    url: parsed,
                    deadline,
                    on_error,
                })
            }
        }
    }
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
