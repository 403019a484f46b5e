//! `[queue]`: when queued mail is tried, by how many connections, and the door for people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use relay_proto::queue::{PaceLimits, Schedule, Settings};
use serde::Deserialize;

use super::Invalid;
use super::check::absolute;
use crate::queue::Options;

/// The queue.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// What the driver is told.
    pub options: Options,
    /// The admin socket.
    pub admin: PathBuf,
}

/// `[queue]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQueue {
    first_retry: String,
    longest_retry: String,
    lifetime: String,
    connections: u32,
    connections_per_site: u32,
    initial_connections: u32,
    max_connections: u32,
    messages_per_connection: u32,
    keep_connection: String,
    admin: Option<PathBuf>,
}

impl Default for RawQueue {
    fn default() -> Self {
        Self {
            first_retry: "5m".into(),
            longest_retry: "4h".into(),
            lifetime: "5d".into(),
            connections: 500,
            connections_per_site: 50,
            initial_connections: 5,
            max_connections: 20,
            messages_per_connection: 100,
            keep_connection: "5s".into(),
            admin: None,
        }
    }
}

impl RawQueue {
    /// `warn_after` is when senders are warned; `state_dir` where things are kept that are not named.
    pub(super) fn check(
        self,
        warn_after: Option<Duration>,
        state_dir: &Path,
    ) -> Result<QueueConfig, Invalid> {
        let second = Duration::from_secs(1);
        let first = time("first_retry", &self.first_retry, 10 * second, DAY)?;
        let longest = time("longest_retry", &self.longest_retry, first, 2 * DAY)?;
        let lifetime = time("lifetime", &self.lifetime, longest, 30 * DAY)?;
        let schedule = Schedule::new(ms(first), ms(longest), ms(lifetime));
        let schedule =
            schedule.map_err(|problem| Invalid::new("queue.lifetime", &self.lifetime, problem))?;
        let linger = time(
            "keep_connection",
            &self.keep_connection,
            Duration::ZERO,
            60 * second,
        )?;
        let between = |key: &str, value: u32, least: u32, most: u32| {
            let key = format!("queue.{key}");
            match (least..=most).contains(&value) {
                true => Ok(value),
                false => {
                    let problem = format!("must be between {least} and {most}");
                    Err(Invalid::new(&key, value, problem))
                }
            }
        };
        let connections = between("connections", self.connections, 1, 20_000)?;
        let per_site = self.connections_per_site;
        let per_site = between("connections_per_site", per_site, 1, connections)?;
        let max = between("max_connections", self.max_connections, 1, per_site)?;
        let initial = between("initial_connections", self.initial_connections, 1, max)?;
        let messages = self.messages_per_connection;
        let messages = between("messages_per_connection", messages, 1, 1_000_000)?;
        let admin = self.admin.unwrap_or_else(|| state_dir.join("admin.sock"));
        let admin = absolute("queue.admin", admin)?;
        // sockaddr_un, with its final zero.
        if admin.as_os_str().len() > 107 {
            let problem = "must have at most 107 octets: it is the path of a Unix socket";
            return Err(Invalid::new("queue.admin", admin.display(), problem));
        }
        Ok(QueueConfig {
            options: Options {
                settings: Settings {
                    schedule,
                    warn_after_ms: warn_after.map(ms),
                    pace: PaceLimits {
                        initial,
                        max,
                        ..PaceLimits::default()
                    },
                    connections,
                    connections_per_site: per_site,
                },
                linger,
                messages_per_connection: messages,
                state_dir: state_dir.to_owned(),
            },
            admin,
        })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Days are long enough here that people say so.
fn time(key: &str, text: &str, min: Duration, max: Duration) -> Result<Duration, Invalid> {
    let key = format!("queue.{key}");
    let out_of_range =
        || format!("must be between {min:?} and {max:?}, as \"30s\", \"5m\", \"4h\" or \"5d\"");
    let invalid = || Invalid::new(&key, text, out_of_range());
    let span: Span = text.parse().map_err(|_parse| invalid())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let signed = signed.map_err(|_months| invalid())?;
    match Duration::try_from(signed) {
        Ok(duration) if (min..=max).contains(&duration) => Ok(duration),
        Ok(_) | Err(_) => Err(invalid()),
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<QueueConfig, String> {
        let raw: RawQueue = toml::from_str(toml).map_err(|error| error.to_string())?;
        let warn_after = Some(Duration::from_secs(14_400));
        let checked = raw.check(warn_after, Path::new("/var/lib/outgate-relay"));
        checked.map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn an_empty_table_has_the_usual_values() {
        let queue = check("").unwrap();
        let settings = Settings {
            warn_after_ms: Some(14_400_000),
            ..Settings::default()
        };
        assert_eq!(queue.options.settings, settings);
        assert_eq!(queue.admin, Path::new("/var/lib/outgate-relay/admin.sock"));
    }

    #[test]
    fn wrong_values_are_named_with_what_is_allowed() {
        let cases = [
            (
                "first_retry = \"1s\"",
                "queue.first_retry: 1s: must be between 10s and",
            ),
            (
                "longest_retry = \"1m\"",
                "queue.longest_retry: 1m: must be between 300s and",
            ),
            (
                "lifetime = \"1h\"",
                "queue.lifetime: 1h: must be between 14400s and",
            ),
            (
                "lifetime = \"2 months\"",
                "queue.lifetime: 2 months: must be between",
            ),
            (
                "connections = 0",
                "queue.connections: 0: must be between 1 and 20000",
            ),
            (
                "connections = 10",
                "queue.connections_per_site: 50: must be between 1 and 10",
            ),
            (
                "max_connections = 51",
                "queue.max_connections: 51: must be between 1 and 50",
            ),
            (
                "initial_connections = 21",
                "queue.initial_connections: 21: must be between 1 and 20",
            ),
            (
                "messages_per_connection = 0",
                "queue.messages_per_connection: 0: must be",
            ),
            (
                "keep_connection = \"2m\"",
                "queue.keep_connection: 2m: must be between 0ns and 60s",
            ),
            (
                "admin = \"x.sock\"",
                "queue.admin: x.sock: must be an absolute path",
            ),
            ("retries = 5", "unknown field `retries`"),
        ];
        for (toml, expected) in cases {
            let said = check(toml).unwrap_err();
            assert!(said.contains(expected), "{toml}: {said}");
        }
    }
}
