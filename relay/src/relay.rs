//! What all sessions of one relay share.

mod reload;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use relay_proto::server::{self, Stress};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tracing::warn;

use crate::allowance::Allowance;
use crate::behaviour::Behaviour;
use crate::classifier::{self, Live};
use crate::config::Config;
use crate::delivery::Delivery;
use crate::dkim::Signer;
use crate::dns::Dns;
use crate::egress::Egresses;
use crate::https::Https;
use crate::inbound::submission_session;
use crate::learnt::Learnt;
use crate::listen::limits::Connections;
use crate::metrics::Metrics;
use crate::metrics::exposition::{self, Gauges};
use crate::notify::Notifier;
use crate::origin::Ranges;
use crate::outbound::results::Results;
use crate::outbound::{Outbound, Trust};
use crate::privacy::Redactor;
use crate::quarantine::Quarantine;
use crate::quarantine::desk::{self, Desk, Tools};
use crate::queue;
use crate::queue::admin::door::{self, Asked};
use crate::queueing::{self, Backlog, Queueing, StartError};
use crate::reporting;
use crate::routing::Router;
use crate::scan::{self, Pipeline};
use crate::snapshot::Newest;
use crate::submission::Gate;
use crate::tls::ServerTls;
use crate::tls_reports::{Means, Reporter};
use crate::token::Tokens;
use crate::unheard::Unheard;
use crate::vouch::Voucher;

/// One relay: configuration, knowledge about customers, and the means to serve them.
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) newest: watch::Receiver<Newest>,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) scanners: Pipeline,
    /// The embedded classifier, if it is one of them.
    classifier: Option<Arc<Live>>,
    /// Where people decide about what was refused and kept, if there is such a place.
    desk: Option<Desk>,
    /// What customers may send that a scanner with `on_error = "limit"` could not look at.
    pub(crate) unscanned: Arc<Allowance<IpAddr>>,
    pub(crate) connections: Connections,
    pub(crate) session: Arc<server::Config>,
    /// Whose sessions are spliced because of what they have shown.
    pub(crate) learnt: Arc<Learnt>,
    /// Places of sessions that are spliced.
    pub(crate) spliced: Connections,
    pub(crate) operator_allowance: Arc<Allowance<IpAddr>>,
    pub(crate) unheard: Arc<Unheard>,
    /// The way into the queue, if there is one.
    pub(crate) queueing: Option<Queueing>,
    /// Where copies of refused messages are kept, if there is such a place.
    pub(crate) quarantine: Option<Arc<Quarantine>>,
    /// What becomes of addresses in evidence and in the log.
    pub(crate) redactor: Arc<Redactor>,
    /// What legs to destinations leave from.
    pub(crate) egresses: Arc<Egresses>,
    /// Judges what DMARC says of a message's address; `None` = nobody is asked.
    pub(crate) aligning: Option<Voucher>,
    /// Makes the trace field by which a complaint leads to the customer; `None` = messages have none.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// What senders are told about queued mail.
    pub(crate) notifier: Arc<Notifier>,
    /// Signs what is relayed, if the operator wants that.
    pub(crate) signer: Arc<Signer>,
    /// Tells domains of their servers' TLS; `None` = nobody is told.
    tls_reporter: Option<Reporter>,
    /// Tells the controller what happens.
    reporter: reporting::Reporter,
    metrics: Arc<Metrics>,
    pub(crate) router: Router,
    /// Whom authorised listeners serve, by their configured addresses.
    pub(crate) ranges: HashMap<SocketAddr, Arc<Ranges>>,
    /// What the sessions of submission share, and what they begin with.
    pub(crate) submission: Option<(Arc<Gate>, Arc<server::Config>)>,
    /// What customers do, and may do.
    pub(crate) behaviour: Behaviour,
    /// Where people ask about that, where no queue is asked there, too.
    door: Mutex<Option<UnixListener>>,
}

impl Relay {
    /// A relay that serves nobody until `newest` holds a snapshot, and what is to be delivered, if it has a spool. Blocks
    /// on the disk.
    pub fn open(
        config: Config,
        newest: watch::Receiver<Newest>,
        tls: Arc<ServerTls>,
        egresses: Arc<Egresses>,
        signer: Arc<Signer>,
    ) -> Result<(Arc<Self>, Option<Backlog>), StartError> {
        let trust = Trust::load(config.mta_sts.authorities.as_deref());
        let results = Results::open(&config.state_dir);
        let dns = Dns::new(&config.dns);
        let router = Router::new(&config, dns.clone(), &trust, results.clone());
        let session = config.session.server_config(&config.identity);
        let submission = config.submission.as_ref().map(|submission| {
            if config.tls.is_none() && config.acme.is_none() {
                warn!("users of [submission] are shown a self-signed certificate, which their clients refuse; set [tls] or [acme]");
            }
            let gate = Arc::new(Gate::new(submission));
            (gate, Arc::new(submission_session(&session)))
        });
        let metrics = Arc::new(Metrics::new());
        let notifier = Arc::new(Notifier::new(&config, Arc::clone(&metrics)));
        notifier.reconfigure(&config, Arc::clone(&signer));
        let means = |queueing: &Queueing| Means {
            https: Https::new(dns.clone(), &trust),
            dns: dns.clone(),
            results: results.clone(),
            queueing: queueing.clone(),
            notifier: Arc::clone(&notifier),
            metrics: Arc::clone(&metrics),
        };
        let behaviour = Behaviour::open(&config, Arc::clone(&metrics), newest.clone());
        let outbound = Outbound::new(
            &config.identity,
            Arc::clone(&egresses),
            trust.clone(),
            results.clone(),
        );
        let outbound = Arc::new(outbound);
        let redactor = Arc::new(Redactor::open(&config.state_dir, config.privacy.redact));
        let delivery = |spool| Delivery {
            redactor: Arc::clone(&redactor),
            spool,
            router: router.clone(),
            outbound: Arc::clone(&outbound),
            egresses: Arc::clone(&egresses),
            notifier: Arc::clone(&notifier),
            newest: newest.clone(),
            behaviour: behaviour.clone(),
        };
        let counted = Arc::clone(&metrics);
        let (queueing, mut backlog) =
            queueing::open(&config, counted, behaviour.clone(), delivery)?.unzip();
        let door = match queueing {
            Some(_) => None,
            None => door_without_queue(&config),
        };
        let reporter = reporting::Reporter::open(&config);
        let tell = reporter.clone();
        let quarantine =
            Quarantine::open(&config, Arc::clone(&redactor), Arc::clone(&metrics), tell);
        let quarantine = quarantine.map_err(StartError::Quarantine)?;
        let classifier = classifier::open(&config, None)?;
        let scan_means = scan::Means {
            live: classifier.clone(),
            dns: dns.clone(),
            hostname: config.identity.hostname.clone(),
            metrics: Arc::clone(&metrics),
        };
        let desk = if let (Some(quarantine), Some(queueing), Some(backlog)) =
            (&quarantine, &queueing, &mut backlog)
        {
            // Before anything of the queue is delivered: then it still tells what was queued.
            quarantine.settle(|id| queueing.spool().has(id));
            let desk = Desk::new(desk::Means {
                quarantine: Arc::clone(quarantine),
                queueing: queueing.clone(),
                newest: newest.clone(),
                tools: Mutex::new(Tools {
                    signer: Arc::clone(&signer),
                    classifier: classifier.clone(),
                }),
                limits: config.message.clone(),
            });
            backlog.show(desk.clone());
            Some(desk)
        } else {
            None
        };
        let tls_reporter = queueing
            .as_ref()
            .and_then(|queueing| Reporter::open(&config, means(queueing)));
        let relay = Arc::new(Self {
            tls_reporter,
            reporter,
            notifier: Arc::clone(&notifier),
            signer,
            outbound,
            scanners: Pipeline::from_config(&config.scanners, &scan_means, &config.verdict)
                .with(behaviour.scanners()),
            classifier,
            desk,
            unscanned: Arc::new(Allowance::new(config.verdict.unscanned_per_hour)),
            connections: Connections::new(&config.limits, config.session.stressed_at_percent),
            session: Arc::new(session),
            learnt: Arc::new(Learnt::open(
                &config.splice.learnt,
                config.splice.learnt_per_customer,
            )),
            spliced: Connections::new(&config.spliced_limits(), 100),
            operator_allowance: operator_allowance(&config),
            unheard: Unheard::open(&config.state_dir),
            queueing,
            quarantine,
            redactor,
            egresses,
            aligning: aligning(&config),
            tokens: (config.token.field)
                .then(|| Arc::new(Tokens::open(&config.state_dir, config.token))),
            metrics: Arc::clone(&metrics),
            router,
            ranges: ranges(&config),
            submission,
            behaviour,
            door: Mutex::new(door),
            config,
            newest,
            tls,
        });
        Ok((relay, backlog))
    }

    /// What a session that is scanned here is offered.
    pub(crate) fn offer(&self) -> server::Offer {
        server::Offer {
            max_message_octets: self.config.message.max_octets,
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            starttls: true,
            require_tls: self.router.authenticates_any(),
            limits: self.config.session.limits(),
            ..server::Offer::default()
        }
    }

    /// What a session is offered whose mail the relay's own queue takes.
    pub(crate) fn offer_of_the_queue(&self) -> server::Offer {
        server::Offer {
            dsn: true,
            ..self.offer()
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
        let counters = exposition::text(&self.metrics, gauges);
        let queue = self.queueing.as_ref().map_or_else(String::new, |queueing| {
            queue::exposition(&queueing.stats()) + &exposition::spool(&queueing.spool().health())
        });
        let (ends, failed) = self.tls.figures();
        counters
            + &exposition::scanners(self.metrics.scanners())
            + &exposition::egress(&self.egresses.figures())
            + &exposition::certificate(ends, failed)
            + &queue
    }

    /// What makes notifications to senders.
    #[must_use]
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    /// The embedded classifier, if it is one of the scanners; it learns from what people say of messages.
    #[must_use]
    pub fn classifier(&self) -> Option<Arc<Live>> {
        self.classifier.clone()
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

    /// The way to tell the controller what happens.
    #[must_use]
    pub fn reporter(&self) -> &reporting::Reporter {
        &self.reporter
    }

    /// What has to run beside the sessions, for as long as the relay does.
    pub fn tend(&self) -> impl Future<Output = ()> + Send + use<> {
        let (router, results) = (self.router.clone(), self.outbound.results().clone());
        let (tls_reporter, behaviour) = (self.tls_reporter.clone(), self.behaviour.clone());
        let tls_reports = async move {
            match tls_reporter {
                Some(reporter) => reporter.run().await,
                None => std::future::pending().await,
            }
        };
        let listener = self
            .door
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let quarantine = self.quarantine.clone();
        let quarantine = async move {
            match quarantine {
                Some(quarantine) => quarantine.tend(Timestamp::now).await,
                None => std::future::pending().await,
            }
        };
        let spool = self.queueing.as_ref().map(|it| it.spool().clone());
        let reports = self.reporter.clone().tend(spool);
        async move {
            let asked = Asked {
                queue: None::<queue::Queue<Delivery>>,
                transfers: None,
                behaviour: Some(behaviour.clone()),
                quarantine: None,
            };
            let answers = async {
                match listener {
                    Some(listener) => door::serve(asked, listener).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(
                router.tend(),
                results.keep(),
                tls_reports,
                reports,
                behaviour.keep(),
                answers,
                quarantine
            );
        }
    }

    /// Writes down what is to outlive the relay and was not written yet. Blocks on the disk.
    pub fn save(&self) {
        self.router.save();
        self.outbound.results().save();
        self.behaviour.save();
        self.reporter.save();
    }

    /// What customers do, for whoever asks.
    #[must_use]
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }
}

/// A relay without a queue serves without its door, too.
fn door_without_queue(config: &Config) -> Option<UnixListener> {
    let door = door::bind(&config.queue.admin);
    door.inspect_err(|error| warn!(%error, "queue.admin: `outgate-relay behaviour` and `identity` will find nobody"))
        .ok()
}

fn aligning(config: &Config) -> Option<Voucher> {
    let servers = config.dns.servers.as_deref();
    if !config.keeps_dmarc || servers.is_some_and(<[_]>::is_empty) {
        return None;
    }
    match Voucher::new(servers, &config.identity.hostname, ALIGNING) {
        Ok(voucher) => Some(voucher),
        Err(error) => {
            warn!(%error, "nobody can be asked about DMARC; mail leaves from the relay's address whatever it says");
            None
        }
    }
}

/// The sender waits for it behind its dot, and for nothing else that is looked up then ([`crate::vouch::Patience`]).
const ALIGNING: Duration = Duration::from_secs(8);

fn operator_allowance(config: &Config) -> Arc<Allowance<IpAddr>> {
    // Without the operator's mailboxes nobody ever asks for it.
    let mail = config.operator_mail.as_ref();
    let per_hour = mail.map_or(NonZeroU32::MIN, |mail| mail.messages_per_hour);
    Arc::new(Allowance::new(per_hour))
}

fn ranges(config: &Config) -> HashMap<SocketAddr, Arc<Ranges>> {
    let of = |authorised| {
        let ranges = Arc::new(Ranges::new(authorised));
        let listen = authorised.listen.iter();
        listen.map(move |&address| (address, Arc::clone(&ranges)))
    };
    config.authorised.iter().flat_map(of).collect()
}
