//! One address that legs may leave from, or one proxy that they may go through, with what is known of it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::health::Health;
use super::way::Family;
use crate::config::{EgressEndpoint, EgressPlace, Invalid, WarmUp};

/// An endpoint of a pool. Two are the same if they have one name, because a name holds the pool and the address.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `POOL/ADDRESS`.
    pub(super) name: Arc<str>,
    /// The address alone: what is counted and hashed, so that a pool may be renamed.
    pub(super) key: Arc<str>,
    pub(super) place: Place,
    pub(super) ehlo: Option<Box<str>>,
    /// Its share, beside those of the others.
    pub(super) weight: u32,
    pub(super) warm_up: Option<WarmUp>,
    pub(super) health: Health,
    /// Messages that left by it.
    pub(super) messages: AtomicU64,
}

/// Where it is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// What the routing table chooses, of both families or of one.
    Routed(Option<Family>),
    /// An address of this host.
    Address(IpAddr),
    /// A SOCKS5 proxy.
    Proxy(Proxy),
}

/// A SOCKS5 proxy.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) credentials: Option<Credentials>,
    /// The address that destinations see, if the operator has said so.
    pub(super) leaves_from: Option<IpAddr>,
}

/// RFC 1929.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(super) user: Box<str>,
    pub(super) password: Box<str>,
}

impl Endpoint {
    /// The one that is there without any configuration.
    pub(super) fn routed() -> Self {
        Self {
            name: ROUTED.into(),
            key: ROUTED.into(),
            place: Place::Routed(None),
            ehlo: None,
            weight: 1,
            warm_up: None,
            health: Health::default(),
            messages: AtomicU64::new(0),
        }
    }

    /// That of `pool` in the configuration. Reads its password.
    pub(super) fn open(pool: &str, configured: &EgressEndpoint) -> Result<Self, Invalid> {
        let key = configured.place.to_string();
        Ok(Self {
            name: format!("{pool}/{key}").into(),
            key: key.into(),
            place: Place::open(&configured.place)?,
            ehlo: configured.ehlo.as_deref().map(Into::into),
            weight: configured.weight,
            warm_up: configured.warm_up,
            health: Health::default(),
            messages: AtomicU64::new(0),
        })
    }

    /// Whether it can reach destinations of that family. Of a proxy only itself can tell.
    pub(super) fn serves(&self, family: Family) -> bool {
        match &self.place {
            Place::Routed(None) | Place::Proxy(_) => true,
            Place::Routed(Some(only)) => *only == family,
            Place::Address(address) => Family::of((*address, 0).into()) == family,
        }
    }

    pub(super) fn seen_as(&self) -> Option<IpAddr> {
        match &self.place {
            Place::Routed(_) => None,
            Place::Address(address) => Some(*address),
            Place::Proxy(proxy) => proxy.leaves_from,
        }
    }

    pub(super) fn counted(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }
}

impl Place {
    fn open(configured: &EgressPlace) -> Result<Self, Invalid> {
        Ok(match configured {
            EgressPlace::Address(address) if address.is_unspecified() => {
                Self::Routed(Some(Family::of((*address, 0).into())))
            }
            EgressPlace::Address(address) => Self::Address(*address),
            EgressPlace::Proxy {
                address,
                credentials,
                leaves_from,
            } => Self::Proxy(Proxy {
                address: *address,
                credentials: credentials.as_ref().map(Credentials::read).transpose()?,
                leaves_from: *leaves_from,
            }),
        })
    }
}

impl Credentials {
    /// The password is the first line of its file.
    fn read((user, file): &(String, PathBuf)) -> Result<Self, Invalid> {
        let invalid = |problem: &dyn fmt::Display| {
            Invalid::new("socks5.proxies.password_file", file.display(), problem)
        };
        let text = std::fs::read_to_string(file).map_err(|error| invalid(&error))?;
        let password = text.lines().next().unwrap_or_default();
        // RFC 1929 section 2: one octet holds the length.
        if !(1..=255).contains(&password.len()) {
            return Err(invalid(
                &"must hold a password of 1 to 255 octets in its first line",
            ));
        }
        Ok(Self {
            user: user.as_str().into(),
            password: password.into(),
        })
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password in a log is a password of everybody who reads it.
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

const ROUTED: &str = "relay";
