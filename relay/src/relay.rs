//! What all sessions of one relay share.

use std::num::NonZeroU32;
use std::sync::Arc;

use relay_proto::server::{self, Stress};
use tokio::sync::watch;

use crate::config::Config;
use crate::dns::Dns;
use crate::learnt::Learnt;
use crate::listen::limits::Connections;
use crate::metrics::Metrics;
use crate::metrics::exposition::{self, Gauges};
use crate::outbound::results::Results;
use crate::outbound::{Outbound, Trust};
use crate::routing::Router;
use crate::scan::{self, Scanner};
use crate::snapshot::Newest;
use crate::tls::ServerTls;
use crate::treatment::Allowance;
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
    /// Whose sessions are spliced because of what they have shown.
    pub(crate) learnt: Learnt,
    /// Places of sessions that are spliced.
    pub(crate) spliced: Connections,
    pub(crate) operator_allowance: Allowance,
    pub(crate) unheard: Arc<Unheard>,
    metrics: Metrics,
    pub(crate) router: Router,
}

impl Relay {
    /// A relay that serves nobody until `newest` holds a snapshot.
    #[must_use]
    pub fn new(config: Config, newest: watch::Receiver<Newest>, tls: Arc<ServerTls>) -> Arc<Self> {
        // Without the operator's mailboxes nobody ever asks for it.
        let operator_mail = config.operator_mail.as_ref();
        let operator_mail = operator_mail.map_or(NonZeroU32::MIN, |mail| mail.messages_per_hour);
        let trust = Trust::load(config.mta_sts.authorities.as_deref());
        let results = Results::open(&config.state_dir);
        let dns = Dns::new(&config.dns);
        let router = Router::new(&config, dns, &trust, results.clone());
        let session = config.session.server_config(&config.identity);
        Arc::new(Self {
            outbound: Outbound::new(&config.identity, trust, results),
            scanners: scan::from_config(&config.scanners),
            connections: Connections::new(&config.limits, config.session.stressed_at_percent),
            session: Arc::new(session),
            learnt: Learnt::open(&config.splice.learnt, config.splice.learnt_per_customer),
            spliced: Connections::new(&config.spliced_limits(), 100),
            operator_allowance: Allowance::new(operator_mail),
            unheard: Unheard::open(&config.state_dir),
            metrics: Metrics::new(),
            router,
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

    /// What a scrape is answered.
    pub(crate) fn exposition(&self) -> String {
        let generation = self.newest.borrow().as_ref().map(|it| it.generation().0);
        let gauges = Gauges {
            sessions: self.connections.open(),
            stressed: *self.connections.stress().borrow() == Stress::High,
            generation: generation.unwrap_or(0),
            dns_validates: self.router.dns_validates(),
        };
        exposition::text(&self.metrics, gauges)
    }

    /// What has been counted so far.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The way to every domain.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// What has to run beside the sessions, for as long as the relay does.
    pub fn tend(&self) -> impl Future<Output = ()> + Send + use<> {
        let (router, results) = (self.router.clone(), self.outbound.results().clone());
        async move {
            tokio::join!(router.tend(), results.keep());
        }
    }

    /// Writes down what is to outlive the relay and was not written yet. Blocks on the disk.
    pub fn save(&self) {
        self.router.save();
        self.outbound.results().save();
    }
}
