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
use crate::unheard::Unheard;

/// One relay: configuration, knowledge about customers, and the means to serve them.
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) newest: watch::Receiver<Newest>,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) outbound: Outbound,
    pub(crate) scanners: Vec<Arc<dyn Scanner>>,
    pub(crate) connections: Connections,
    pub(crate) session: Arc<server::Config>,
    pub(crate) unheard: Arc<Unheard>,
    metrics: Metrics,
}

impl Relay {
    /// A relay that serves nobody until `newest` holds a snapshot.
    #[must_use]
    pub fn new(config: Config, newest: watch::Receiver<Newest>, tls: Arc<ServerTls>) -> Arc<Self> {
        let session = config.session.server_config(&config.identity);
        Arc::new(Self {
            outbound: Outbound::new(&config.identity),
            scanners: scan::from_config(&config.scanners),
            connections: Connections::new(&config.limits, config.session.stressed_at_percent),
            session: Arc::new(session),
            unheard: Unheard::open(&config.state_dir),
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
            chunking: true,
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
