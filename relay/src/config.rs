//! The relay's configuration, valid by construction.
//!
//! [`Config::read`] is the only way to one: it reads the file, and every value in it has been
//! checked before anything binds, opens or connects. Files that the configuration names (the
//! certificate) are opened by their own modules, which report with the same [`Invalid`].
//!
//! # Diagnostics
//! Returned: [`ConfigError`], `FILE: key: value: what is wrong, what is allowed`. Nothing is logged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

mod acme;
mod authorised;
mod behaviour;
mod check;
mod classifier;
mod dkim;
mod dns;
mod egress;
mod error;
mod limits;
mod lists;
mod notifications;
mod operator_mail;
mod peers;
mod quarantine;
mod queue;
mod raw;
mod routing;
mod sandbox;
mod scanner;
mod session;
mod splice;
mod spool;
mod submission;
mod tls_reports;
mod token;
mod verdict;

pub(crate) use acme::literal;
pub use acme::{AcmeConfig, ExternalAccount};
pub use authorised::{Authorised, Destination, Terms};
pub use behaviour::{BehaviourConfig, IdentityBy, IdentityRule, Over, Suspicion};
use check::{
    absolute, delivery, help_url, hostname, listeners, log, metrics_listener, operator, relay_name,
    transparent_listeners, treatment,
};
pub use classifier::ClassifierConfig;
pub use dkim::{DkimKey, DkimSigns};
pub use dns::DnsConfig;
pub use egress::{Egress, EgressEndpoint, EgressPlace, EgressPool, WarmUp};
pub use error::{ConfigError, Invalid};
pub use limits::{Limits, MessageLimits};
pub use lists::{Codes, DnsblConfig, Listed, UriblConfig, Zone};
pub use notifications::Notifications;
pub use operator_mail::{Mailboxes, OperatorMail};
pub use peers::{Fingerprint, NotAFingerprint, PeerRelay, PeersConfig};
pub use quarantine::{KeepDays, Privacy, QuarantineConfig};
pub use queue::QueueConfig;
use raw::{RawConfig, RawController, RawOrigin};
pub use routing::{Domains, Families, FixedRoute, MtaSts, NextHop, RouteTls, Routing};
pub use sandbox::Sandbox;
pub use scanner::{ProgramAddress, ScannerConfig};
pub use session::SessionLimits;
pub use splice::{Splice, SpliceLimits};
pub use spool::SpoolConfig;
use submission::Around;
pub use submission::SubmissionConfig;
pub use tls_reports::TlsReports;
pub use token::TokenTerms;
pub use verdict::VerdictConfig;

/// All that the relay is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this relay in the controller's pools.
    pub name: String,
    /// Who we say that we are.
    pub identity: Identity,
    /// Listeners for connections whose destination the edge rewrites.
    pub rewritten: Option<Rewritten>,
    /// Listeners for connections that the edge steers here as they are; never empty without the others.
    pub transparent: Vec<SocketAddr>,
    /// Filter and format of the log.
    pub log: Log,
    /// Listeners without the edge.
    pub authorised: Vec<Authorised>,
    /// Where the snapshot of the customers comes from; `None` only where all listeners are authorised ones.
    pub controller: Option<Controller>,
    /// Directory of what outlives the relay, but for [`Controller::cache`].
    pub state_dir: PathBuf,
    /// Own certificate; `None` = that of [`Self::acme`], or a self-signed one in memory.
    pub tls: Option<TlsFiles>,
    /// What a message may cost.
    pub message: MessageLimits,
    /// What connections may cost.
    pub limits: Limits,
    /// Scanners, all of which see each message.
    pub scanners: Vec<ScannerConfig>,
    /// What their findings lead to.
    pub verdict: VerdictConfig,
    /// Whom walled customers may still write to; `None` = nobody.
    pub operator_mail: Option<OperatorMail>,
    /// Where the counters are served; a loopback address.
    pub metrics: Option<SocketAddr>,
    /// Sessions whose TLS is not terminated here.
    pub splice: Splice,
    /// What one session may do.
    pub session: SessionLimits,
    /// Where what is queued is kept; `None` = nothing can be queued.
    pub spool: Option<SpoolConfig>,
    /// When that is tried, and by how many connections.
    pub queue: QueueConfig,
    /// What the relay's own legs leave from.
    pub egress: Egress,
    /// DMARC is kept: a message that would fail it from the relay's address, and not from its customer's, leaves from
    /// there, or is refused.
    pub keeps_dmarc: bool,
    /// The trace field by which a complaint leads to the customer.
    pub token: TokenTerms,
    /// What senders are told about queued mail.
    pub notifications: Notifications,
    /// Keys that the relay signs mail with.
    pub dkim: Vec<DkimKey>,
    /// What is given up before anybody is served.
    pub sandbox: Sandbox,
    /// Who is asked about domains.
    pub dns: DnsConfig,
    /// Ways to domains.
    pub routing: Routing,
    /// MTA-STS.
    pub mta_sts: MtaSts,
    /// Other relays, to and from which queued mail is handed over.
    pub peers: Option<PeersConfig>,
    /// Who certifies the relay's own names; never beside [`Self::tls`].
    pub acme: Option<AcmeConfig>,
    /// Listeners for users who log in.
    pub submission: Option<SubmissionConfig>,
    /// Reports about destinations' TLS; `None` = none are sent.
    pub tls_reports: Option<TlsReports>,
    /// What one customer may do, and what is found suspicious.
    pub behaviour: BehaviourConfig,
    /// Where copies of refused messages are kept; `None` = none are.
    pub quarantine: Option<QuarantineConfig>,
    /// What becomes of addresses in them.
    pub privacy: Privacy,
}

/// Who the relay says that it is. Printable ASCII throughout, so that it can stand in replies,
/// header fields and certificates alike.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name of the hosting provider; never contains `(`, `)`, `\` (it stands in a comment of `Received`).
    pub operator: String,
    /// Domain name in greetings, in EHLO towards the MX, and in the certificate.
    pub hostname: String,
    /// Where a refused sender reads on.
    pub help_url: String,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`, as `info,relay=debug`.
    pub filter: String,
    /// One line of text or one object of JSON per event.
    pub format: LogFormat,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The controller, as the relay knows it.
#[derive(Debug, Clone)]
pub struct Controller {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Our copy of the last snapshot: the relay starts from it without the controller.
    pub cache: PathBuf,
}

/// Listeners of this host's own addresses, and what tells where their connections were going.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// At least one.
    pub listen: Vec<SocketAddr>,
    /// Directory of the edge's pinned maps, without the version.
    pub pin_dir: PathBuf,
}

/// Certificate chain and private key, PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Chain, own certificate first.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1 key.
    pub key: PathBuf,
}

impl Config {
    /// Reads and checks `file`.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.into(),
            source,
        })?;
        Self::parse(&text).map_err(|invalid| invalid.in_file(file))
    }

    /// Checks the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let deserializer = toml::Deserializer::parse(text)
            .map_err(|error| Invalid::from_toml(text, ".", &error))?;
        let raw: RawConfig = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| Invalid::from_toml(text, &error.path().to_string(), error.inner()))?;
        Self::try_from(raw)
    }
}

impl Config {
    /// What spliced sessions may have of the connections.
    pub(crate) fn spliced_limits(&self) -> Limits {
        Limits {
            connections_per_customer: self.splice.limits.sessions_per_customer,
            ..self.limits.clone()
        }
    }

    /// Whether a client that asks for this name asks for the relay itself.
    pub(crate) fn is_own_name(&self, name: &str) -> bool {
        let mut certified = self.acme.iter().flat_map(|acme| &acme.domains);
        name.eq_ignore_ascii_case(&self.identity.hostname)
            || certified.any(|domain| name.eq_ignore_ascii_case(domain.as_str()))
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Invalid;

    fn try_from(raw: RawConfig) -> Result<Self, Invalid> {
        if raw.scanner.is_empty() {
            let problem = "must appear at least once; without a scanner every message would pass";
            return Err(Invalid::new("scanner", "[]", problem));
        }
        classifier::at_most_one(&raw.scanner)?;
        let by_the_edge = !raw.listen.is_empty() || !raw.transparent.is_empty();
        if !by_the_edge && raw.authorised.is_empty() && raw.submission.is_none() {
            let problem = "must name at least one ADDRESS:PORT, unless transparent, [[authorised]] or [submission] does";
            return Err(Invalid::new("listen", "[]", problem));
        }
        if by_the_edge && raw.controller.is_none() {
            let problem = "must be there beside listen and transparent: the controller knows whom the edge diverts";
            return Err(Invalid::new("controller", "absent", problem));
        }
        let rewritten = rewritten(&raw.listen, raw.origin)?;
        let operator_mail: Option<OperatorMail> =
            raw.operator_mail.map(TryInto::try_into).transpose()?;
        if let (Some(rewritten), Some(mail)) = (&rewritten, &operator_mail)
            && rewritten.listen.contains(&mail.deliver_to)
        {
            let problem = "is a listener of this relay; the mail server of the operator is meant";
            return Err(Invalid::new(
                "operator_mail.deliver_to",
                mail.deliver_to,
                problem,
            ));
        }
        let controller = raw.controller.map(TryInto::try_into).transpose()?;
        let state_dir = state_dir(raw.state_dir, controller.as_ref())?;
        let splice = raw.splice.check(&state_dir.join("learnt.journal"))?;
        let identity = Identity {
            operator: operator(raw.operator)?,
            hostname: hostname(raw.hostname)?,
            help_url: help_url(raw.help_url)?,
        };
        let notifications = raw.notifications.check(&identity.hostname)?;
        let dkim = dkim::check(raw.dkim, &notifications.from)?;
        let dns: DnsConfig = raw.dns.try_into()?;
        lists::check(&raw.scanner, &dns)?;
        let spool: Option<SpoolConfig> = raw.spool.map(TryInto::try_into).transpose()?;
        let peers = raw.peers.map(|peers| peers.check(spool.is_some()));
        let peers = peers.transpose()?;
        let tls_reports = raw
            .tls_reports
            .map(|raw| raw.check(&identity, &notifications, &dkim, &dns, spool.is_some()));
        let queue = raw.queue.check(notifications.delay_after, &state_dir)?;
        let quarantine = raw.quarantine;
        let quarantine = quarantine.map(|raw| raw.check(&state_dir, spool.is_some()));
        let authorised = raw.authorised.into_iter().map(TryInto::try_into);
        let authorised: Vec<Authorised> = authorised.collect::<Result<_, _>>()?;
        let routing = Routing::check(raw.routing, raw.route)?;
        authorised::check(&authorised, spool.is_some(), &dns, &routing)?;
        if raw.tls.is_some() && raw.acme.is_some() {
            let problem = "cannot stand beside [tls]: remove this table if the certificate comes from files, or that \
                           one if the relay is to get its own";
            return Err(Invalid::new("acme", "present", problem));
        }
        let asks_nobody = dns.servers.as_deref().is_some_and(<[_]>::is_empty);
        let acme = raw
            .acme
            .map(|acme| acme.check(&identity.hostname, asks_nobody));
        let acme = acme.transpose()?;
        let limits: Limits = raw.limits.try_into()?;
        let of_authorised = authorised.iter().flat_map(|listener| &listener.listen);
        let of_edge = rewritten.iter().flat_map(|rewritten| &rewritten.listen);
        let of_acme = acme.iter().flat_map(|acme| &acme.listen);
        let taken = of_edge.chain(of_authorised).chain(of_acme).copied();
        let taken: Vec<SocketAddr> = taken.collect();
        let around = Around {
            limits: &limits,
            has_controller: controller.is_some(),
            has_spool: spool.is_some(),
            finds_servers: finds_servers(&dns, &routing),
            taken: &taken,
        };
        let submission = raw.submission.map(|submission| submission.check(around));
        let submission = submission.transpose()?;
        let behaviour = (raw.behaviour).check(raw.identity, raw.message.max_octets)?;
        Ok(Self {
            name: relay_name(raw.name)?,
            identity,
            rewritten,
            transparent: transparent_listeners(&raw.transparent)?,
            log: log(raw.log, &raw.log_format)?,
            authorised,
            controller,
            state_dir,
            tls: raw.tls.map(|tls| TlsFiles {
                certificate: tls.certificate,
                key: tls.key,
            }),
            message: raw.message.try_into()?,
            limits,
            scanners: raw
                .scanner
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            verdict: raw.verdict.try_into()?,
            operator_mail,
            metrics: raw
                .metrics
                .map(|metrics| metrics_listener(&metrics.listen))
                .transpose()?,
            splice,
            session: raw.session.try_into()?,
            spool,
            egress: egress::check(raw.egress, raw.socks5)?,
            keeps_dmarc: check::dmarc(&raw.dmarc)?,
            token: raw.token.try_into()?,
            sandbox: raw.sandbox,
            dkim,
            queue,
            notifications,
            dns,
            routing,
            mta_sts: raw.mta_sts.try_into()?,
            peers,
            acme,
            submission,
            tls_reports: tls_reports.transpose()?,
            behaviour,
            quarantine: quarantine.transpose()?,
            privacy: raw.privacy,
        })
    }
}

/// Whether a domain's servers can be found at all.
fn finds_servers(dns: &DnsConfig, routing: &Routing) -> bool {
    let asks_nobody = dns.servers.as_ref().is_some_and(Vec::is_empty);
    !asks_nobody || !routing.routes.is_empty()
}

fn rewritten(listen: &[String], origin: Option<RawOrigin>) -> Result<Option<Rewritten>, Invalid> {
    let listen = listeners("listen", listen)?;
    let pin_dir = origin
        .map(|origin| absolute("origin.pin_dir", origin.pin_dir))
        .transpose()?;
    match pin_dir {
        _ if listen.is_empty() => Ok(None),
        Some(pin_dir) => Ok(Some(Rewritten { listen, pin_dir })),
        None => {
            let problem = "must stand beside listen: the edge's flow table tells where its \
                           connections were going";
            Err(Invalid::new("origin.pin_dir", "absent", problem))
        }
    }
}

fn state_dir(named: Option<PathBuf>, controller: Option<&Controller>) -> Result<PathBuf, Invalid> {
    match (named, controller) {
        (Some(directory), _) => absolute("state_dir", directory),
        (None, Some(controller)) => {
            let beside = controller.cache.parent();
            Ok(beside.unwrap_or_else(|| Path::new("/")).to_owned())
        }
        (None, None) => {
            let problem = "must be there without [controller], beside whose cache it is otherwise";
            Err(Invalid::new("state_dir", "absent", problem))
        }
    }
}

impl TryFrom<RawController> for Controller {
    type Error = Invalid;

    fn try_from(raw: RawController) -> Result<Self, Invalid> {
        Ok(Self {
            socket: absolute("controller.socket", raw.socket)?,
            cache: absolute("controller.cache", raw.cache)?,
        })
    }
}
