//! Scanners: what looks at a message before its destination sees any of it.
//!
//! Each implements [`Scanner`] and says at which [`Stage`] it wants to be asked. [`Pipeline`] asks them: one stage after
//! the other, all of one stage at the same time, each within its own deadline, and nobody any more once the verdict
//! cannot change. Their reports are combined by `relay_proto::verdict`; this module runs them and has no opinion.
//!
//! # Diagnostics
//! A scanner that fails, is late or panics is a [`Finding::Failed`] with what the configuration says
//! about that, logged as `warn` and counted.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::verdict::{Finding, OnError};

use crate::classifier::Live;
use crate::config::{Config, DnsConfig, ScannerConfig};
use crate::dns::Dns;
use crate::message::Message;
use crate::metrics::Metrics;

mod builtin;
mod clamd;
mod classifier;
mod dnsbl;
mod lists;
mod milter;
pub(crate) mod mime;
mod pipeline;
mod rspamd;
mod uribl;
mod words;

pub use pipeline::{Judged, Pipeline};

/// What the scanners are shown.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Our name of the message.
    pub id: String,
    /// The customer's address.
    pub client: IpAddr,
    /// Who it has shown that it is, if it came by submission.
    pub user: Option<String>,
    /// What the customer calls itself.
    pub ehlo: Option<EhloName>,
    /// Reverse-path and parameters.
    pub mail: Mail,
    /// Recipients that the destination took.
    pub recipients: Vec<Recipient>,
    /// Content as the customer wrote it, without our trace fields, as far as the [`Stage`] shows it.
    pub content: Message,
}

/// When a scanner is asked, by what it needs to see. The earlier ones see less, and spare the later ones work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// At DATA, before the content is asked for; there is none.
    Envelope,
    /// At the dot; of the content there is the header section alone, with the empty line behind it.
    Headers,
    /// At the dot, with all of the content.
    Body,
}

/// A scanner's answer in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// What it means for the message.
    pub finding: Finding,
    /// A figure for the log, if the scanner has one.
    pub score: Option<f64>,
    /// The natural logarithm of the odds that the message is spam, if the scanner can tell.
    pub log_odds: Option<f64>,
    /// What it saw, the weightiest first.
    pub reasons: Vec<String>,
}

impl From<Finding> for Opinion {
    /// Nothing but the finding.
    fn from(finding: Finding) -> Self {
        Self {
            finding,
            score: None,
            log_odds: None,
            reasons: Vec::new(),
        }
    }
}

/// Why a scanner could not look.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The message cannot be read back from the spill file.
    #[error("message: {0}")]
    Message(io::Error),
    /// It cannot be reached, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The HTTP exchange failed.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// Its answer is not what it should be.
    #[error("answer: {0}")]
    Answer(String),
    /// It took longer than it may.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// A bug of ours.
    #[error("scanner panicked")]
    Panicked,
}

/// What [`Scanner::scan`] returns.
pub type Scan<'a> = Pin<Box<dyn Future<Output = Result<Opinion, ScanError>> + Send + 'a>>;

/// How a scanner is asked.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Its name in logs.
    pub name: &'static str,
    /// When it is asked.
    pub stage: Stage,
    /// How long one message may take.
    pub deadline: Duration,
    /// What becomes of a message that it could not look at.
    pub on_error: OnError,
}

/// Something that looks at messages.
pub trait Scanner: Send + Sync {
    /// How it is asked.
    fn terms(&self) -> Terms;
    /// Looks at one message.
    fn scan(&self, submission: Arc<Submission>) -> Scan<'_>;
}

/// What scanners work with that is not theirs alone.
#[derive(Debug, Clone)]
pub struct Means {
    /// The classifier, if there is one among them.
    pub(crate) live: Option<Arc<Live>>,
    /// Who is asked about names.
    pub(crate) dns: Dns,
    /// Our name.
    pub(crate) hostname: String,
    /// Where is counted what is no finding.
    pub(crate) metrics: Arc<Metrics>,
}

impl Means {
    /// Of a program that is no relay.
    #[must_use]
    pub fn alone(live: Option<Arc<Live>>, config: Option<&Config>) -> Self {
        let nobody = DnsConfig {
            servers: Some(Vec::new()),
            ..DnsConfig::default()
        };
        let hostname = config.map_or("localhost", |config| &config.identity.hostname);
        Self {
            live,
            dns: Dns::new(config.map_or(&nobody, |config| &config.dns)),
            hostname: hostname.to_owned(),
            metrics: Arc::default(),
        }
    }
}

/// The scanners of a configuration, in its order.
fn from_config(scanners: &[ScannerConfig], means: &Means) -> Vec<Arc<dyn Scanner>> {
    let build = |scanner: &ScannerConfig| -> Option<Arc<dyn Scanner>> {
        Some(match scanner {
            ScannerConfig::Builtin => Arc::new(builtin::Builtin::new()),
            ScannerConfig::Rspamd {
                url,
                deadline,
                on_error,
                scale,
            } => Arc::new(rspamd::Rspamd::new(
                url.clone(),
                *deadline,
                *on_error,
                *scale,
            )),
            ScannerConfig::Clamd {
                address,
                deadline,
                on_error,
            } => Arc::new(clamd::Clamd::new(address.clone(), *deadline, *on_error)),
            ScannerConfig::Classifier(config) => {
                let live = means.live.as_ref()?;
                Arc::new(classifier::Classifier::new(config, Arc::clone(live)))
            }
            ScannerConfig::Milter {
                address,
                finds,
                deadline,
                on_error,
            } => Arc::new(milter::Milter::new(
                address.clone(),
                *finds,
                *deadline,
                *on_error,
                means.hostname.clone(),
                Arc::clone(&means.metrics),
            )),
            ScannerConfig::Dnsbl(config) => Arc::new(dnsbl::Dnsbl::new(config, means.dns.clone())),
            ScannerConfig::Uribl(config) => Arc::new(uribl::Uribl::new(config, means.dns.clone())),
        })
    };
    scanners.iter().filter_map(build).collect()
}
