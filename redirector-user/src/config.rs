//! The configuration of `outgated`, read and judged whole before anything binds.
//!
//! [`Config::load`] reads a file, [`Config::parse`] a text; both go through the private mirror of the file in
//! `raw` and the checks in `check`, so a [`Config`] that exists is one that can be served.
//!
//! # Diagnostics
//!
//! [`ConfigError`] names file, key and value, what is wrong and what is allowed; it is the whole of what
//! `outgated --check` prints. Nothing here touches the network or the kernel.

mod check;
mod listings;
mod locate;
mod notices;
mod probe;
mod raw;
mod shared;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::{NonZeroU8, NonZeroU16},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnetwork::IpNetwork;
use redirector_common::abi::{self, OnFailure, Role, Via};

pub(crate) use self::{
    check::{is_interface_name, parse_role},
    locate::describe as key_of,
};
pub use self::{
    listings::{Listings, Zone},
    notices::{Notices, Submit, SubmitTls},
    probe::Through,
    shared::{SharedStore, StoreUrl},
    webhook::{Webhook, WebhookUrl},
};
use crate::{
    edge::{EdgeConfig, Ladder},
    notice::Contacts,
    policy::{guards::reach::Bounds, prefixes::Prefixes, refusal::Words, token::Scope},
    precheck::Fqdn,
};

/// All that an operator decides in the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Operator's name, in notices and banners.
    pub operator: String,
    /// Where a refused customer reads on.
    pub help_url: String,
    /// The API's Unix socket.
    pub socket: PathBuf,
    /// Directory of the store.
    pub state_dir: PathBuf,
    /// Prefixes of the operator's customers; network bits only, none inside another.
    pub customer_prefixes: BTreeSet<IpNetwork>,
    /// Filter of log lines, as `tracing_subscriber::EnvFilter` reads it.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The kernel side.
    pub edge: EdgeConfig,
    /// Interfaces to attach at start.
    pub interfaces: Vec<Interface>,
    /// Pools; the number of a pool is its position.
    pub pools: Vec<Pool>,
    /// How relays are probed.
    pub health: Health,
    /// Length of the radar's windows; `None` = it is off. How many sources it remembers is in `edge`.
    pub radar_window: Option<Duration>,
    /// What the edge itself says.
    pub refuse: Refuse,
    /// The file of rules; `None` = there are none.
    pub rules: Option<PathBuf>,
    /// What is kept of customers' figures.
    pub statistics: Statistics,
    /// How long events are kept.
    pub events: Events,
    /// How long the trail is kept.
    pub audit: Audit,
    /// Where figures are scraped, beside the API; `None` = nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where the API listens besides its socket, and who may do what.
    pub api: Api,
    /// The store that other controllers share; `None` = a file of this one alone.
    pub shared: Option<SharedStore>,
    /// Copies of the store that are made by themselves; `None` = none are.
    pub backups: Option<Backups>,
    /// How much a file may change.
    pub guards: Bounds,
    /// Addresses that nobody can flag, and why.
    pub protected: Prefixes<String>,
    /// Who is told events.
    pub webhooks: Vec<Webhook>,
    /// How customers are told; `None` = they are not.
    pub notices: Option<Notices>,
    /// Who is told.
    pub contacts: Contacts,
    /// Who is asked about customers that want port 25.
    pub precheck: Precheck,
    /// Which lists are asked about customers' addresses.
    pub listings: Listings,
}

/// Who is asked about customers that want port 25.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precheck {
    /// Resolvers; none = those of /etc/resolv.conf.
    pub resolvers: Vec<SocketAddr>,
    /// Lists of addresses in the DNS.
    pub lists: Vec<Fqdn>,
    /// A mailbox that no customer has business with, to which a server must not relay.
    pub stranger: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One interface to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// What stands at its other end.
    pub role: Role,
    /// Where in the kernel the program sits, in the order in which it is tried.
    pub modes: Ladder,
}

/// Relays that share customers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name, as flags say it.
    pub name: String,
    /// How frames get to its relays.
    pub via: Via,
    /// What happens to new connections when no relay can take them.
    pub on_failure: OnFailure,
    /// Whether its relays are a third party's: they are told nothing, so they acknowledge nothing.
    pub third_party: bool,
    /// Its relays, at least one.
    pub relays: Vec<Relay>,
}

/// One relay: a listener on at most one address of each family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Name, as the relay's own configuration says it.
    pub name: String,
    /// IPv4 listener.
    pub address4: Option<Ipv4Addr>,
    /// IPv6 listener.
    pub address6: Option<Ipv6Addr>,
    /// Port of both.
    pub port: NonZeroU16,
    /// VLAN identifiers that the edge must write, outer first; at most two.
    pub vlan: Vec<u16>,
    /// Its share of the pool's customers, relative to the others' weights; 1 to 100.
    pub weight: NonZeroU8,
    /// How it is reached where it is on no link of ours.
    pub tunnel: Option<Tunnel>,
}

/// A tunnel to a relay: packets travel whole behind another IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The edge's end.
    pub local: IpAddr,
    /// The relay's end, of the same family.
    pub remote: IpAddr,
    /// Octets of the longest packet that fits in.
    pub mtu: u16,
}

/// How relays are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Time from one probe of a relay to the next.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// The way that probes take.
    pub through: Through,
    /// Prefixes inside the customers' that are kept for probes: no host is in them.
    pub reserved: Vec<IpNetwork>,
}

/// What the edge itself says, behind the reply code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// With 554, to a customer under action `refuse`.
    pub text: Words,
    /// With 421, where a pool without a relay fails to `refuse`.
    pub unavailable: Words,
}

/// What is kept of customers' figures, so that rules can be tried on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// For how long.
    pub keep: Duration,
    /// Octets at most, whatever their age.
    pub octets_max: u64,
    /// SYNs in a window of the radar below which a source is left out, also for rules.
    pub floor_syns: u64,
}

/// How long the audit trail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Since something was done; `None` = for ever.
    pub keep: Option<Duration>,
}

/// How long events are kept: until either bound is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// Since they happened.
    pub keep: Duration,
    /// How many.
    pub max: u32,
}

/// Copies of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backups {
    /// Where they are.
    pub directory: PathBuf,
    /// From one to the next.
    pub every: Duration,
    /// How many, the newest.
    pub keep: usize,
}

/// Where the API listens besides its socket, and who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// Addresses and ports of TCP.
    pub listen: Vec<SocketAddr>,
    /// What it shows there; there whenever `listen` has any.
    pub tls: Option<TlsFiles>,
    /// Clients that show a certificate.
    pub clients: Vec<ApiClient>,
    /// What users may do over the socket, by name; others may do everything.
    pub unix_scopes: BTreeMap<String, Scope>,
}

/// Files of TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities that vouch for clients; `None` = no client shows a certificate.
    pub client_ca: Option<PathBuf>,
}

/// A client that shows a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiClient {
    /// A name of the certificate: a DNS name, else the common name of its subject. The actor of all that it does.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{}: {source}; pass another file with --config", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key has a value that is not allowed, is unknown, or is missing.
    #[error("{}: {key}: {value}: {problem}", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Path of the key, as `pool[0].relay[1].port`.
        key: String,
        /// Its value as written.
        value: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}

impl Config {
    /// Reads and judges a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which names the key.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(file, &text)
    }

    /// Judges a text; `file` is only named in errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Key`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let Wrong {
            key,
            value,
            problem,
        } = match toml::from_str::<raw::RawConfig>(text) {
            Ok(raw) => match Self::try_from(raw) {
                Ok(config) => return Ok(config),
                Err(wrong) => wrong,
            },
            Err(error) => locate::key_of(text, &error),
        };
        Err(ConfigError::Key {
            file: file.to_owned(),
            key,
            value,
            problem,
        })
    }

    /// Every relay with its pool, in the order of the file.
    pub fn relays(&self) -> impl Iterator<Item = (&Pool, &Relay)> {
        self.pools
            .iter()
            .flat_map(|pool| pool.relays.iter().map(move |relay| (pool, relay)))
    }

    /// The store's database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("outgate.db")
    }
}

impl Relay {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let four = self.address4.map(IpAddr::V4);
        four.into_iter().chain(self.address6.map(IpAddr::V6))
    }

    /// Where frames for one of its addresses go: there, or to the far end of its tunnel.
    #[must_use]
    pub fn towards(&self, address: IpAddr) -> IpAddr {
        self.tunnel.map_or(address, |tunnel| tunnel.remote)
    }
}

impl Tunnel {
    /// What fits where links carry 1500 octets.
    #[must_use]
    pub const fn usual_mtu(remote: IpAddr) -> u16 {
        1500 - Self::header_octets(remote)
    }

    /// Octets of the header around each packet.
    #[must_use]
    pub const fn header_octets(remote: IpAddr) -> u16 {
        if remote.is_ipv4() { 20 } else { 40 }
    }
}

impl From<Tunnel> for abi::Tunnel {
    fn from(Tunnel { local, remote, mtu }: Tunnel) -> Self {
        Self::new(local.into(), remote.into(), mtu)
    }
}

/// [`ConfigError::Key`] before the file's name is known.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    key: String,
    value: String,
    problem: String,
}

impl Wrong {
    fn new(key: impl Into<String>, value: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            problem: problem.into(),
        }
    }
}

#[cfg(test)]
mod tests;
