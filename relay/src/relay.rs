//! What all sessions of one relay share.

use std::sync::Arc;

use relay_proto::server;
use tokio::sync::watch;

use crate::config::Config;
use crate::listen::limits::Connections;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::scan::{self, Scanner};
use crate::snapshot::Newest;
use crate::tls::ServerTls;

/// One relay: configuration, knowledge about customers, and the means to serve them.
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) newest: watch::Receiver<Newest>,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) outbound: Outbound,
    pub(crate) scanners: Vec<Arc<dyn Scanner>>,
    pub(crate) connections: Connections,
    pub(crate) session: Arc<server::Config>,
    metrics: Metrics,
}

impl Relay {
    /// A relay that serves nobody until `newest` holds a snapshot.
    #[must_use]
    pub fn new(config: Config, newest: watch::Receiver<Newest>, tls: Arc<ServerTls>) -> Arc<Self> {
        let session = server::Config {
            hostname: config.identity.hostname.clone(),
            operator: config.identity.operator.clone(),
            max_recipients: RECIPIENTS_MAX,
            max_errors: ERRORS_MAX,
            max_commands: COMMANDS_MAX,
            timeouts: server::Timeouts::default(),
        };
        Arc::new(Self {
            outbound: Outbound::new(&config.identity),
            scanners: scan::from_config(&config.scanners),
            connections: Connections::new(&config.limits),
            session: Arc::new(session),
            metrics: Metrics::new(),
            config,
            newest,
            tls,
        })
    }

    /// What a session that is scanned here is offered.
    pub(crate) fn offer(&self) -> server::Offer {
        server::Offer {
            max_message_octets: self.config.message.max_octets,
            eight_bit_mime: true,
            smtputf8: true,
            starttls: true,
            ..server::Offer::default()
        }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// The least that RFC 5321 section 4.5.3.1.8 allows; senders then begin another transaction.
const RECIPIENTS_MAX: usize = 100;
const ERRORS_MAX: u32 = 20;
/// Far above what a queue runner needs for a hundred messages of a hundred recipients.
const COMMANDS_MAX: u32 = 20_000;
