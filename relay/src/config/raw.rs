//! The configuration file as it is written.
//!
//! Every struct mirrors one table of the file and refuses keys that it does not know: a mistyped key
//! that is silently ignored is a limit that is silently not in force. Meaning is given to the
//! values only by [`super::Config`].

use std::path::PathBuf;

use relay_proto::verdict::Scale;
use serde::Deserialize;

use super::acme::RawAcme;
use super::behaviour::{RawBehaviour, RawIdentity};
use super::classifier::RawClassifier;
use super::dkim::RawDkimKey;
use super::dns::RawDns;
use super::egress::{RawEgress, RawSocks5};
use super::limits::MessageLimits;
use super::lists::{RawDnsbl, RawUribl};
use super::notifications::RawNotifications;
use super::peers::RawPeers;
use super::quarantine::{Privacy, RawQuarantine};
use super::queue::RawQueue;
use super::routing::{RawMtaSts, RawRoute, RawRouting};
use super::sandbox::Sandbox;
use super::session::RawSession;
use super::splice::RawSplice;
use super::spool::RawSpool;
use super::submission::RawSubmission;
use super::tls_reports::RawTlsReports;
use super::token::RawToken;
use super::verdict::RawVerdict;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) name: String,
    pub(super) operator: String,
    pub(super) hostname: String,
    pub(super) help_url: String,
    #[serde(default)]
    pub(super) listen: Vec<String>,
    #[serde(default)]
    pub(super) transparent: Vec<String>,
    #[serde(default = "default_log")]
    pub(super) log: String,
    #[serde(default = "default_log_format")]
    pub(super) log_format: String,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) controller: Option<RawController>,
    pub(super) origin: Option<RawOrigin>,
    pub(super) tls: Option<RawTls>,
    pub(super) message: RawMessage,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) scanner: Vec<RawScanner>,
    #[serde(default)]
    pub(super) verdict: RawVerdict,
    pub(super) operator_mail: Option<RawOperatorMail>,
    #[serde(default)]
    pub(super) authorised: Vec<RawAuthorised>,
    pub(super) metrics: Option<RawMetrics>,
    #[serde(default)]
    pub(super) splice: RawSplice,
    #[serde(default)]
    pub(super) session: RawSession,
    pub(super) spool: Option<RawSpool>,
    #[serde(default)]
    pub(super) queue: RawQueue,
    #[serde(default)]
    pub(super) egress: Vec<RawEgress>,
    #[serde(default)]
    pub(super) socks5: Vec<RawSocks5>,
    #[serde(default)]
    pub(super) token: RawToken,
    #[serde(default = "default_dmarc")]
    pub(super) dmarc: String,
    #[serde(default)]
    pub(super) notifications: RawNotifications,
    #[serde(default)]
    pub(super) dkim: Vec<RawDkimKey>,
    #[serde(default)]
    pub(super) sandbox: Sandbox,
    #[serde(default)]
    pub(super) dns: RawDns,
    #[serde(default)]
    pub(super) routing: RawRouting,
    #[serde(default)]
    pub(super) route: Vec<RawRoute>,
    #[serde(default)]
    pub(super) mta_sts: RawMtaSts,
    pub(super) peers: Option<RawPeers>,
    pub(super) acme: Option<RawAcme>,
    pub(super) submission: Option<RawSubmission>,
    pub(super) tls_reports: Option<RawTlsReports>,
    #[serde(default)]
    pub(super) behaviour: RawBehaviour,
    #[serde(default)]
    pub(super) identity: Vec<RawIdentity>,
    pub(super) quarantine: Option<RawQuarantine>,
    #[serde(default)]
    pub(super) privacy: Privacy,
}

/// `[metrics]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    pub(super) listen: String,
}

/// `[controller]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawController {
    pub(super) socket: PathBuf,
    pub(super) cache: PathBuf,
}

/// `[origin]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOrigin {
    pub(super) pin_dir: PathBuf,
}

/// `[tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// `[message]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessage {
    #[serde(default = "default_max_octets")]
    pub(super) max_octets: u64,
    #[serde(default = "default_memory_octets")]
    pub(super) memory_octets: usize,
    pub(super) spill_dir: PathBuf,
}

/// `[limits]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) connections: usize,
    pub(super) connections_per_customer: usize,
    pub(super) drain: String,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_customer: 50,
            drain: "30s".into(),
        }
    }
}

/// One `[[scanner]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(super) enum RawScanner {
    Builtin {},
    Rspamd {
        url: String,
        #[serde(default = "default_deadline")]
        deadline: String,
        #[serde(default = "default_spam_on_error")]
        on_error: String,
        #[serde(default = "default_neutral_at")]
        neutral_at: f64,
        #[serde(default = "default_per_point")]
        per_point: f64,
        #[serde(default = "default_clears_by")]
        clears_by: f64,
    },
    Clamd {
        socket: Option<PathBuf>,
        address: Option<String>,
        #[serde(default = "default_clamd_deadline")]
        deadline: String,
        #[serde(default = "default_on_error")]
        on_error: String,
    },
    Classifier(RawClassifier),
    Milter {
        socket: Option<PathBuf>,
        address: Option<String>,
        #[serde(default = "default_finds")]
        finds: String,
        #[serde(default = "default_clamd_deadline")]
        deadline: String,
        on_error: Option<String>,
    },
    Dnsbl(RawDnsbl),
    Uribl(RawUribl),
}

/// `[operator_mail]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOperatorMail {
    pub(super) mailboxes: Vec<String>,
    pub(super) deliver_to: String,
    #[serde(default = "default_messages_per_hour")]
    pub(super) messages_per_hour: u32,
}

fn default_messages_per_hour() -> u32 {
    20
}

/// One `[[authorised]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuthorised {
    #[serde(default)]
    pub(super) listen: Vec<String>,
    #[serde(default)]
    pub(super) from: Vec<String>,
    pub(super) destination: Option<String>,
    #[serde(default)]
    pub(super) proxies: Vec<String>,
    #[serde(default = "default_treatment")]
    pub(super) treatment: String,
    #[serde(default = "default_delivery")]
    pub(super) delivery: String,
    pub(super) reason: Option<String>,
}

fn default_delivery() -> String {
    contract::Delivery::default().name().into()
}

fn default_treatment() -> String {
    "filter".into()
}

fn default_dmarc() -> String {
    "keep".into()
}

fn default_log() -> String {
    "info".into()
}

fn default_log_format() -> String {
    "text".into()
}

fn default_max_octets() -> u64 {
    MessageLimits::DEFAULT_MAX_OCTETS
}

fn default_memory_octets() -> usize {
    256 << 10
}

fn default_deadline() -> String {
    "10s".into()
}

/// Archives take time.
fn default_clamd_deadline() -> String {
    "30s".into()
}

fn default_finds() -> String {
    "spam".into()
}

fn default_neutral_at() -> f64 {
    Scale::default().neutral_at
}

fn default_per_point() -> f64 {
    Scale::default().per_point
}

fn default_clears_by() -> f64 {
    Scale::default().clears_by
}

/// Spam that passes while its scanner is away is bounded, and honest mail is not held up.
fn default_spam_on_error() -> String {
    "limit".into()
}

fn default_on_error() -> String {
    "defer".into()
}
