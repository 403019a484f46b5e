//! `[[egress]]` and `[[socks5]]`: what the relay's own legs leave from.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use jiff::civil::Date;
use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, hostname};

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// `[[egress]]`: addresses of this host.
    pub pools: Vec<EgressPool>,
    /// `[[socks5]]`: proxies.
    pub proxies: Vec<EgressPool>,
}

/// Several endpoints, over which customers are spread.
#[derive(Debug, Clone)]
pub struct EgressPool {
    /// Its name, unique among all of them.
    pub name: String,
    /// Whose mail leaves by it; empty = everybody's who is in no other.
    pub customers: Vec<IpNetwork>,
    /// At least one, no two with the same place.
    pub endpoints: Vec<EgressEndpoint>,
}

/// One address or proxy.
#[derive(Debug, Clone)]
pub struct EgressEndpoint {
    /// Which.
    pub place: EgressPlace,
    /// What EHLO says there; `None` = `hostname`.
    pub ehlo: Option<String>,
    /// Its share of the customers, beside those of the others.
    pub weight: u32,
    /// How many messages a day may leave by it; `None` = any number.
    pub warm_up: Option<WarmUp>,
}

/// Where an endpoint is.
#[derive(Debug, Clone)]
pub enum EgressPlace {
    /// An address of this host; an unspecified one stands for what the routing table chooses.
    Address(IpAddr),
    /// A SOCKS5 proxy.
    Proxy {
        /// Where it listens.
        address: SocketAddr,
        /// User name, and the file that holds the password.
        credentials: Option<(String, PathBuf)>,
        /// The address that destinations see.
        leaves_from: Option<IpAddr>,
    },
}

/// How many messages a day may leave by a new address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// On the first day.
    pub per_day: u32,
    /// So many times as many each day as on the day before; at least 1.
    pub growth: f64,
    /// The first day, in UTC. Before it nothing leaves.
    pub since: Date,
}

/// One `[[egress]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEgress {
    name: String,
    #[serde(default, rename = "for")]
    customers: Vec<String>,
    addresses: Vec<RawAddress>,
}

/// One of its addresses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAddress {
    address: IpAddr,
    ehlo: Option<String>,
    #[serde(default = "default_weight")]
    weight: u32,
    warm_up: Option<RawWarmUp>,
}

/// One `[[socks5]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSocks5 {
    name: String,
    #[serde(default, rename = "for")]
    customers: Vec<String>,
    proxies: Vec<RawProxy>,
}

/// One of its proxies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProxy {
    address: SocketAddr,
    user: Option<String>,
    password_file: Option<PathBuf>,
    leaves_from: Option<IpAddr>,
    ehlo: Option<String>,
    #[serde(default = "default_weight")]
    weight: u32,
    warm_up: Option<RawWarmUp>,
}

/// `warm_up` of either.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarmUp {
    per_day: u32,
    #[serde(default = "default_growth")]
    growth: f64,
    since: String,
}

fn default_weight() -> u32 {
    1
}

fn default_growth() -> f64 {
    1.5
}

/// Checks both kinds.
pub(super) fn check(egress: Vec<RawEgress>, socks5: Vec<RawSocks5>) -> Result<Egress, Invalid> {
    let pools = egress.into_iter().map(|raw| {
        let addresses = raw.addresses.into_iter();
        let endpoints = addresses.map(address).collect::<Result<_, _>>()?;
        pool("egress", "addresses", raw.name, &raw.customers, endpoints)
    });
    let pools: Vec<EgressPool> = pools.collect::<Result<_, _>>()?;
    let proxies = socks5.into_iter().map(|raw| {
        let proxies = raw.proxies.into_iter();
        let endpoints = proxies.map(proxy).collect::<Result<_, _>>()?;
        pool("socks5", "proxies", raw.name, &raw.customers, endpoints)
    });
    let proxies: Vec<EgressPool> = proxies.collect::<Result<_, _>>()?;
    distinct("egress", &pools)?;
    distinct("socks5", &proxies)?;
    let mut names = HashSet::new();
    for pool in pools.iter().chain(&proxies) {
        if !names.insert(&pool.name) {
            let problem = "is the name of two; it stands in the log, so it must tell them apart";
            return Err(Invalid::new("egress.name", &pool.name, problem));
        }
    }
    Ok(Egress { pools, proxies })
}

fn pool(
    table: &str,
    list: &str,
    name: String,
    customers: &[String],
    endpoints: Vec<EgressEndpoint>,
) -> Result<EgressPool, Invalid> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // The names of ways that need no table.
    let reserved = ["relay", "customer"].contains(&name.as_str());
    if reserved || name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let problem =
            "must be 1 to 64 letters, digits, '-', '_' or '.', and neither relay nor customer";
        return Err(Invalid::new(&format!("{table}.name"), name, problem));
    }
    if endpoints.is_empty() || endpoints.len() > ENDPOINTS_MAX {
        let problem = format!("must hold 1 to {ENDPOINTS_MAX}");
        let key = format!("{table}.{list}");
        return Err(Invalid::new(&key, endpoints.len(), problem));
    }
    let customers = customers.iter().map(|text| {
        text.parse::<IpNetwork>().map_err(|_parse| {
            let problem = "must be a prefix of customers, as 192.0.2.0/24 or 2001:db8:a::/48";
            Invalid::new(&format!("{table}.for"), text, problem)
        })
    });
    Ok(EgressPool {
        name,
        customers: customers.collect::<Result<_, _>>()?,
        endpoints,
    })
}

/// No endpoint and no prefix of customers may stand twice among those of a kind, and only one may be for everybody.
fn distinct(table: &str, pools: &[EgressPool]) -> Result<(), Invalid> {
    let (mut places, mut prefixes, mut for_all) = (HashSet::new(), HashSet::new(), None);
    for pool in pools {
        for endpoint in &pool.endpoints {
            let place = endpoint.place.to_string();
            if !places.insert(place.clone()) {
                let problem = "stands twice: its messages could not be counted for both";
                return Err(Invalid::new(&format!("{table}.address"), place, problem));
            }
        }
        for prefix in &pool.customers {
            if !prefixes.insert(*prefix) {
                let problem = "stands twice, and only one can be meant";
                return Err(Invalid::new(&format!("{table}.for"), prefix, problem));
            }
        }
        if pool.customers.is_empty()
            && let Some(first) = for_all.replace(&pool.name)
        {
            let problem =
                format!("names no customers, as {first} does: only one can be for the rest");
            return Err(Invalid::new(&format!("{table}.for"), &pool.name, problem));
        }
    }
    Ok(())
}

fn address(raw: RawAddress) -> Result<EgressEndpoint, Invalid> {
    let key = "egress.addresses.address";
    if raw.address.is_multicast() {
        return Err(Invalid::new(key, raw.address, "is a multicast address"));
    }
    let place = EgressPlace::Address(raw.address.to_canonical());
    endpoint("egress.addresses", place, raw.ehlo, raw.weight, raw.warm_up)
}

fn proxy(raw: RawProxy) -> Result<EgressEndpoint, Invalid> {
    if raw.address.port() == 0 || raw.address.ip().is_unspecified() {
        let problem =
            "must be ADDRESS:PORT of a proxy, as 198.51.100.30:1080 or [2001:db8:2::30]:1080";
        return Err(Invalid::new("socks5.proxies.address", raw.address, problem));
    }
    let credentials = match (raw.user, raw.password_file) {
        (None, None) => None,
        (Some(user), Some(file)) => {
            // RFC 1929 section 2: one octet holds the length.
            if !(1..=255).contains(&user.len()) {
                let problem = "must be 1 to 255 octets long";
                return Err(Invalid::new("socks5.proxies.user", user, problem));
            }
            Some((user, absolute("socks5.proxies.password_file", file)?))
        }
        (Some(user), None) => {
            let problem = "must stand beside user";
            return Err(Invalid::new("socks5.proxies.password_file", user, problem));
        }
        (None, Some(file)) => {
            let problem = "must stand beside password_file";
            return Err(Invalid::new("socks5.proxies.user", file.display(), problem));
        }
    };
    let place = EgressPlace::Proxy {
        address: raw.address,
        credentials,
        leaves_from: raw.leaves_from.map(|address| address.to_canonical()),
    };
    endpoint("socks5.proxies", place, raw.ehlo, raw.weight, raw.warm_up)
}

fn endpoint(
    key: &str,
    place: EgressPlace,
    ehlo: Option<String>,
    weight: u32,
    warm_up: Option<RawWarmUp>,
) -> Result<EgressEndpoint, Invalid> {
    if !(1..=1000).contains(&weight) {
        let problem = "must be between 1 and 1000";
        return Err(Invalid::new(&format!("{key}.weight"), weight, problem));
    }
    let ehlo = ehlo.map(|name| {
        hostname(name).map_err(|invalid| Invalid {
            key: format!("{key}.ehlo"),
            ..invalid
        })
    });
    Ok(EgressEndpoint {
        place,
        ehlo: ehlo.transpose()?,
        weight,
        warm_up: warm_up.map(|raw| raw.check(key)).transpose()?,
    })
}

impl RawWarmUp {
    fn check(self, key: &str) -> Result<WarmUp, Invalid> {
        if self.per_day == 0 {
            let problem = "must be at least 1; leave the address out to send nothing from it";
            return Err(Invalid::new(&format!("{key}.warm_up.per_day"), 0, problem));
        }
        if !(1.0..=10.0).contains(&self.growth) {
            let problem = "must be between 1 and 10";
            return Err(Invalid::new(
                &format!("{key}.warm_up.growth"),
                self.growth,
                problem,
            ));
        }
        let since = self.since.parse().map_err(|_parse| {
            let problem = "must be the first day, as \"2026-11-01\"";
            Invalid::new(&format!("{key}.warm_up.since"), &self.since, problem)
        })?;
        Ok(WarmUp {
            per_day: self.per_day,
            growth: self.growth,
            since,
        })
    }
}

impl std::fmt::Display for EgressPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Proxy { address, .. } => address.fmt(f),
        }
    }
}

/// Far more than anybody warms up, and few enough to be looked at one by one.
const ENDPOINTS_MAX: usize = 256;
