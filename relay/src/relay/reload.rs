//! A new configuration for a relay that runs.
//!
//! [`Relay::reconfigured`] makes a second [`Relay`] of the new configuration and all that the first one has: its
//! knowledge, its counters, its queue. New sessions are given the second; those that run keep what they began with. What
//! cannot change under a running relay stays as it is, and is named.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tracing::error;

use super::{Relay, operator_allowance, ranges};
use crate::allowance::Allowance;
use crate::classifier;
use crate::config::{Authorised, Config, Destination};
use crate::dkim::Signer;
use crate::inbound::submission_session;
use crate::quarantine::desk::Tools;
use crate::scan::{self, Pipeline};
use crate::tls::ServerTls;

impl Relay {
    /// The relay as `config` has it, and the keys of what stays as it was until the next start. Nothing about `self`
    /// changes but the bounds that both share.
    #[must_use]
    pub fn reconfigured(
        &self,
        mut config: Config,
        tls: Arc<ServerTls>,
        signer: Arc<Signer>,
    ) -> (Arc<Self>, Vec<&'static str>) {
        let stays = keep(&self.config, &mut config);
        let stressed_at = config.session.stressed_at_percent;
        self.learnt.budget(config.splice.learnt_per_customer);
        self.notifier.reconfigure(&config, Arc::clone(&signer));
        let rate = |config: &Config| config.operator_mail.as_ref().map(|it| it.messages_per_hour);
        let operator_allowance = if rate(&config) == rate(&self.config) {
            Arc::clone(&self.operator_allowance)
        } else {
            operator_allowance(&config)
        };
        let unscanned_rate = |config: &Config| config.verdict.unscanned_per_hour;
        let unscanned = if unscanned_rate(&config) == unscanned_rate(&self.config) {
            Arc::clone(&self.unscanned)
        } else {
            Arc::new(Allowance::new(unscanned_rate(&config)))
        };
        let session = config.session.server_config(&config.identity);
        let submission = self.submission.as_ref();
        let submission = submission.map(|(gate, _)| {
            let session = Arc::new(submission_session(&session));
            (Arc::clone(gate), session)
        });
        let classifier = classifier::open(&config, self.classifier.as_ref());
        let classifier = classifier.unwrap_or_else(|error| {
            // It could be read a moment ago.
            error!(%error, "the classifier stays as it was");
            self.classifier.clone()
        });
        if let Some(desk) = &self.desk {
            desk.equip(Tools {
                signer: Arc::clone(&signer),
                classifier: classifier.clone(),
            });
        }
        let scan_means = scan::Means {
            live: classifier.clone(),
            dns: self.router.dns().clone(),
            hostname: config.identity.hostname.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        let behaviour = self.behaviour.under(&config.behaviour);
        let relay = Arc::new(Self {
            newest: self.newest.clone(),
            tls,
            outbound: Arc::clone(&self.outbound),
            scanners: Pipeline::from_config(&config.scanners, &scan_means, &config.verdict)
                .with(behaviour.scanners()),
            classifier,
            desk: self.desk.clone(),
            unscanned,
            connections: self.connections.bounded(&config.limits, stressed_at),
            session: Arc::new(session),
            learnt: Arc::clone(&self.learnt),
            spliced: self.spliced.bounded(&config.spliced_limits(), 100),
            operator_allowance,
            unheard: Arc::clone(&self.unheard),
            queueing: self.queueing.clone(),
            quarantine: self.quarantine.clone(),
            redactor: Arc::clone(&self.redactor),
            egresses: Arc::clone(&self.egresses),
            notifier: Arc::clone(&self.notifier),
            signer,
            tls_reporter: self.tls_reporter.clone(),
            reporter: self.reporter.clone(),
            metrics: Arc::clone(&self.metrics),
            router: self.router.clone(),
            aligning: self.aligning.clone(),
            tokens: self.tokens.clone(),
            ranges: ranges(&config),
            submission,
            behaviour,
            door: Mutex::default(),
            config,
        });
        (relay, stays)
    }
}

/// Puts what cannot change back into `new`; the keys of what would have changed.
fn keep(old: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut stays = Vec::new();
    let mut kept = Kept(&mut stays);
    kept.back("name", &old.name, &mut new.name);
    // It stands in greetings, in EHLO of the queue's own legs and in a certificate: all of them or none.
    kept.back(
        "hostname",
        &old.identity.hostname,
        &mut new.identity.hostname,
    );
    kept.back("listen", &old.rewritten, &mut new.rewritten);
    kept.back("transparent", &old.transparent, &mut new.transparent);
    if listeners(&old.authorised) != listeners(&new.authorised) {
        kept.back("authorised", &old.authorised, &mut new.authorised);
    }
    kept.back("log_format", &old.log.format, &mut new.log.format);
    kept.back("controller", &old.controller, &mut new.controller);
    kept.back("state_dir", &old.state_dir, &mut new.state_dir);
    kept.back(
        "message.spill_dir",
        &old.message.spill_dir,
        &mut new.message.spill_dir,
    );
    kept.back("metrics", &old.metrics, &mut new.metrics);
    kept.back("splice.learnt", &old.splice.learnt, &mut new.splice.learnt);
    kept.back("queue", &old.queue, &mut new.queue);
    kept.back("spool", &old.spool, &mut new.spool);
    kept.back("queue", &old.queue, &mut new.queue);
    kept.back("egress", &old.egress, &mut new.egress);
    kept.back("sandbox", &old.sandbox, &mut new.sandbox);
    kept.back("token", &old.token, &mut new.token);
    kept.back("dmarc", &old.keeps_dmarc, &mut new.keeps_dmarc);
    kept.back("dns", &old.dns, &mut new.dns);
    kept.back("routing", &old.routing, &mut new.routing);
    kept.back("mta_sts", &old.mta_sts, &mut new.mta_sts);
    kept.back("peers", &old.peers, &mut new.peers);
    if old.acme.is_some() || new.acme.is_some() {
        // Where the certificate comes from is one decision.
        kept.back("acme", &old.acme, &mut new.acme);
        new.tls.clone_from(&old.tls);
    }
    kept.back("submission", &old.submission, &mut new.submission);
    kept.back("tls_reports", &old.tls_reports, &mut new.tls_reports);
    let (before, after) = (&old.behaviour, &mut new.behaviour);
    let prefix = "behaviour.ipv6_prefix";
    kept.back(prefix, &before.ipv6_prefix, &mut after.ipv6_prefix);
    let (before, after) = (&before.suspicion, &mut after.suspicion);
    kept.back("behaviour.texts", &before.texts, &mut after.texts);
    kept.back("quarantine", &old.quarantine, &mut new.quarantine);
    kept.back("privacy", &old.privacy, &mut new.privacy);
    stays
}

struct Kept<'a>(&'a mut Vec<&'static str>);

impl Kept<'_> {
    /// What a value shows is what it is: all of the configuration derives it.
    fn back<T: Clone + Debug>(&mut self, key: &'static str, old: &T, new: &mut T) {
        if format!("{old:?}") != format!("{new:?}") {
            self.0.push(key);
        }
        *new = old.clone();
    }
}

/// Where authorised ranges are served, and whether by transparent sockets: what was bound at the start.
fn listeners(authorised: &[Authorised]) -> Vec<(SocketAddr, bool)> {
    let of = |authorised: &Authorised| {
        let transparent = matches!(authorised.destination, Destination::LocalAddress);
        let listen = authorised.listen.clone();
        listen
            .into_iter()
            .map(move |address| (address, transparent))
    };
    let mut listeners: Vec<_> = authorised.iter().flat_map(of).collect();
    listeners.sort_unstable();
    listeners
}
