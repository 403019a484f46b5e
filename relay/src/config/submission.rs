//! `[submission]`: listeners for users who authenticate themselves.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::Invalid;
use super::check::{hostname, listeners};
use super::limits::Limits;

/// Submission (RFC 6409). At least one listener of either kind.
#[derive(Debug, Clone)]
pub struct SubmissionConfig {
    /// Where a session begins in clear text, and goes on by STARTTLS.
    pub listen: Vec<SocketAddr>,
    /// Where it is TLS from the first octet (RFC 8314).
    pub listen_tls: Vec<SocketAddr>,
    /// What refused customers are told that it is called; `None` = they are not told of it.
    pub name: Option<String>,
    /// Its own sessions: strangers who come here take no place of a customer's.
    pub limits: Limits,
    /// Failed attempts of one address (IPv6: of one /64) in an hour.
    pub failures_per_address: NonZeroU32,
    /// Failed attempts at one user in an hour, of all addresses but those that the user has logged in from.
    pub failures_per_user: NonZeroU32,
}

/// `[submission]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubmission {
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    listen_tls: Vec<String>,
    name: Option<String>,
    #[serde(default = "default_connections")]
    connections: usize,
    #[serde(default = "default_connections_per_address")]
    connections_per_address: usize,
    #[serde(default = "default_failures_per_address")]
    failures_per_address_per_hour: u32,
    #[serde(default = "default_failures_per_user")]
    failures_per_user_per_hour: u32,
}

/// What submission needs of the rest of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) limits: &'a Limits,
    pub(super) has_controller: bool,
    pub(super) has_spool: bool,
    /// A resolver is asked, or there are routes.
    pub(super) finds_servers: bool,
    /// Listeners of others.
    pub(super) taken: &'a [SocketAddr],
}

impl RawSubmission {
    pub(super) fn check(self, around: Around<'_>) -> Result<SubmissionConfig, Invalid> {
        let listen = listeners("submission.listen", &self.listen)?;
        let listen_tls = listeners("submission.listen_tls", &self.listen_tls)?;
        if listen.is_empty() && listen_tls.is_empty() {
            let problem = "must name at least one ADDRESS:PORT, unless submission.listen_tls does";
            return Err(Invalid::new("submission.listen", "[]", problem));
        }
        let mut taken = around.taken.iter().chain(&listen);
        if let Some(twice) = taken.find(|address| listen_tls.contains(address)) {
            let problem =
                "is another listener, too; TLS from the first octet needs a port of its own";
            return Err(Invalid::new("submission.listen_tls", twice, problem));
        }
        if let Some(twice) = listen.iter().find(|it| around.taken.contains(it)) {
            let problem = "is another listener, too; submission needs a port of its own";
            return Err(Invalid::new("submission.listen", twice, problem));
        }
        let needs = |key: &str, there: bool, problem: &str| match there {
            true => Ok(()),
            false => Err(Invalid::new(key, "absent", problem)),
        };
        needs(
            "controller",
            around.has_controller,
            "must be there beside [submission]: the controller knows the users",
        )?;
        needs(
            "spool",
            around.has_spool,
            "must be there beside [submission], whose mail is kept there until it is delivered",
        )?;
        needs(
            "dns.servers",
            around.finds_servers,
            "must name a resolver beside [submission], unless a [[route]] says where that mail goes",
        )?;
        Ok(SubmissionConfig {
            listen,
            listen_tls,
            name: self.name.map(name).transpose()?,
            limits: Limits {
                connections: counted("submission.connections", self.connections, CONNECTIONS_MAX)?,
                connections_per_customer: counted(
                    "submission.connections_per_address",
                    self.connections_per_address,
                    self.connections,
                )?,
                drain: around.limits.drain,
            },
            failures_per_address: per_hour(
                "submission.failures_per_address_per_hour",
                self.failures_per_address_per_hour,
            )?,
            failures_per_user: per_hour(
                "submission.failures_per_user_per_hour",
                self.failures_per_user_per_hour,
            )?,
        })
    }
}

fn name(name: String) -> Result<String, Invalid> {
    // It shares a line with the other parts of an answer to AUTH.
    if name.len() > 64 {
        let problem = "must be at most 64 characters long";
        return Err(Invalid::new("submission.name", name, problem));
    }
    hostname(name).map_err(|invalid| Invalid {
        key: "submission.name".into(),
        ..invalid
    })
}

fn counted(key: &str, value: usize, max: usize) -> Result<usize, Invalid> {
    match (1..=max).contains(&value) {
        true => Ok(value),
        false => Err(Invalid::new(
            key,
            value,
            format!("must be between 1 and {max}"),
        )),
    }
}

fn per_hour(key: &str, value: u32) -> Result<NonZeroU32, Invalid> {
    NonZeroU32::new(value)
        .filter(|value| value.get() <= FAILURES_MAX)
        .ok_or_else(|| {
            let problem = format!("must be between 1 and {FAILURES_MAX}");
            Invalid::new(key, value, problem)
        })
}

fn default_connections() -> usize {
    200
}

fn default_connections_per_address() -> usize {
    20
}

fn default_failures_per_address() -> u32 {
    20
}

fn default_failures_per_user() -> u32 {
    50
}

const CONNECTIONS_MAX: usize = 20_000;
/// One a second guesses at a word of a dictionary within a day.
const FAILURES_MAX: u32 = 3600;
