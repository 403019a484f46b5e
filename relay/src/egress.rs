//! What the relay's own legs leave from: which [`Way`] a customer's mail takes, and the connection over it.
//!
//! [`Egresses::choose`] says which way; a leg of cut-through and a worker of the queue alike then
//! [`connect`](Egresses::connect) over it, and [`claim`](Egresses::claim) each message that leaves by it. The choice is by
//! the customer's address (rendezvous hashing): it needs no memory, holds over a restart, and moves only
//! the share of a way that comes or goes.
//!
//! # Diagnostics
//! Returned: [`NoWay`] before, [`ConnectError`] after there is one; their texts are part of the reply that the
//! customer reads. Logged: an endpoint that fails by its own fault and one that works again, once each.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use contract::Egress;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use relay_proto::envelope::EhloName;
use relay_proto::proxy::Proxied;
use relay_proto::queued::QueueId;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::config::{Config, EgressPool, Invalid};
use crate::origin::{CustomerAddr, OriginalDst, is_own, source_towards};
use crate::outbound::requirement::Requirement;

mod by;
mod claim;
mod customer;
mod endpoint;
mod error;
mod group;
mod health;
mod legs;
mod pool;
mod socks5;
mod sticky;
#[cfg(test)]
mod tests;
mod warm_up;
mod way;

use by::by;
pub(crate) use claim::Claim;
use claim::Counted;
use endpoint::{Endpoint, Place};
pub(crate) use error::{ConnectError, NoWay};
use group::Group;
pub(crate) use legs::Legs;
use sticky::Sticky;
use warm_up::Tally;
pub(crate) use way::{Family, Way, WayKind};

/// A leg that is to be opened.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) way: Way,
    /// What the customer calls itself.
    pub(crate) ehlo: Option<EhloName>,
    pub(crate) destination: OriginalDst,
    /// What its TLS must show; also says what SNI does.
    pub(crate) requirement: Requirement,
    /// The customer's own leg is in clear text. If nothing is required either, a destination whose TLS never works is
    /// served in clear text.
    pub(crate) customer_in_clear: bool,
    /// What the destination is told of who sends, before anything else; nothing unless it is a server of the operator's
    /// that wants it.
    pub(crate) told: Option<Proxied>,
}

/// All ways out of one relay.
#[derive(Debug)]
pub struct Egresses {
    /// Where nothing is configured.
    routed: Way,
    pools: Vec<Pool>,
    proxies: Vec<Pool>,
    tally: Arc<Tally>,
    sticky: Sticky,
}

/// Endpoints, and whose mail leaves by them.
#[derive(Debug)]
struct Pool {
    /// Empty: of everybody who is in no other.
    customers: Vec<IpNetwork>,
    group: Group,
}

/// What a way is sought for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought<'a> {
    /// By the customer's policy.
    pub(crate) egress: Egress,
    pub(crate) customer: CustomerAddr,
    pub(crate) destination: SocketAddr,
    /// A message that may have been tried before: it takes the way that it took then, while that can be.
    pub(crate) message: Option<QueueId>,
    /// Ways that have just failed.
    pub(crate) besides: &'a [Way],
}

impl Egresses {
    /// Those of the configuration. Reads the files that it names.
    pub fn open(config: &Config) -> Result<Arc<Self>, Invalid> {
        let open = |pools: &[EgressPool]| -> Result<Vec<Pool>, Invalid> {
            pools.iter().map(Pool::open).collect()
        };
        let (pools, proxies) = (open(&config.egress.pools)?, open(&config.egress.proxies)?);
        let endpoints = pools
            .iter()
            .chain(&proxies)
            .flat_map(|pool| &pool.group.endpoints);
        let warming_up = endpoints.filter(|endpoint| endpoint.warm_up.is_some());
        let warming_up: Vec<_> = warming_up
            .map(|endpoint| Arc::clone(&endpoint.key))
            .collect();
        let tally = Tally::open(config.state_dir.join(TALLY_FILE), &warming_up);
        Ok(Arc::new(Self {
            routed: Way::of_pool(Arc::new(Endpoint::routed())),
            pools,
            proxies,
            tally: Arc::new(tally),
            sticky: Sticky::default(),
        }))
    }

    /// Whether this host has all the addresses. To be asked at the start: an address that nothing can leave
    /// from would be found out by customers otherwise.
    pub fn check_host(&self) -> Result<(), Invalid> {
        for endpoint in self.pools.iter().flat_map(|pool| &pool.group.endpoints) {
            let Place::Address(address) = endpoint.place else {
                continue;
            };
            if !matches!(is_own(address), Ok(true)) {
                let problem = "is not an address of this host, so nothing can leave from it; see `ip address`";
                return Err(Invalid::new("egress.addresses.address", address, problem));
            }
        }
        Ok(())
    }

    /// The way that a customer's mail takes.
    pub(crate) fn choose(&self, sought: &Sought<'_>) -> Result<Way, NoWay> {
        let family = Family::of(sought.destination);
        let (pools, of): (_, fn(Arc<Endpoint>) -> Way) = match sought.egress {
            Egress::Customer => {
                let way = Way::of_customer(sought.customer);
                let of_family = Family::of((sought.customer.ip(), 0).into()) == family;
                return if !of_family {
                    Err(NoWay::Family(family))
                } else if sought.besides.contains(&way) {
                    Err(NoWay::Down)
                } else {
                    Ok(way)
                };
            }
            Egress::Pool | Egress::PoolOrCustomer => (&self.pools, Way::of_pool),
            Egress::Socks5 => (&self.proxies, Way::of_socks5),
        };
        match (pool_of(pools, sought.customer), sought.egress) {
            (Some(pool), _) => self.choose_of(&pool.group, sought, family).map(of),
            (None, Egress::Pool | Egress::PoolOrCustomer) => Ok(self.routed.clone()),
            (None, Egress::Socks5 | Egress::Customer) => Err(NoWay::NotConfigured(sought.egress)),
        }
    }

    fn choose_of(
        &self,
        group: &Group,
        sought: &Sought<'_>,
        family: Family,
    ) -> Result<Arc<Endpoint>, NoWay> {
        let (now, today) = (Instant::now(), today());
        let mut preferred = group.by_preference(sought.customer);
        preferred.retain(|endpoint| endpoint.serves(family));
        let Some(&first) = preferred.first() else {
            return Err(NoWay::Family(family));
        };
        let is_tried = |endpoint: &Arc<Endpoint>| {
            let has_failed = |way: &Way| way.endpoint() == Some(&**endpoint);
            sought.besides.iter().any(has_failed) || !endpoint.health.may_try(now)
        };
        let usable = |endpoint: &Arc<Endpoint>| {
            !is_tried(endpoint) && self.left(endpoint, today).is_none_or(|left| left > 0)
        };
        if let Some(taken) = sought.message.and_then(|id| self.sticky.of(id))
            && preferred.contains(&&taken)
            && usable(&taken)
        {
            return Ok(taken);
        }
        let Some(&chosen) = preferred.iter().find(|endpoint| usable(endpoint)) else {
            let all_tried = preferred.iter().all(|endpoint| is_tried(endpoint));
            return Err(if all_tried {
                NoWay::Down
            } else {
                NoWay::WarmingUp
            });
        };
        if let Some(id) = sought.message
            && chosen != first
        {
            self.sticky.keep(id, chosen);
        }
        Ok(Arc::clone(chosen))
    }

    /// How many messages may leave by it today; `None` = any number.
    fn left(&self, endpoint: &Endpoint, today: Date) -> Option<u64> {
        let warm_up = endpoint.warm_up.as_ref()?;
        let allowance = warm_up::allowance(warm_up, today);
        Some(self.tally.left(&endpoint.key, allowance, today))
    }

    /// The address that `destination` sees of what comes by `way`, if that can be known. One that cannot be seen from
    /// outside is none: what is before it on the way is the operator's business.
    pub(crate) fn seen_as(&self, way: &Way, destination: SocketAddr) -> Option<IpAddr> {
        let seen_as = match way.endpoint().map(|endpoint| &endpoint.place) {
            Some(Place::Routed(_)) => source_towards(destination.ip()).ok(),
            Some(Place::Address(_) | Place::Proxy(_)) | None => way.seen_as(),
        };
        seen_as.filter(|address| is_public(*address))
    }

    /// Counts a message that is to leave by `way`; to be asked before MAIL. `None`: it has sent what it may
    /// send today, and another way has to be chosen.
    pub(crate) async fn claim(&self, way: &Way) -> Option<Claim> {
        let Some(endpoint) = way.shared_endpoint() else {
            return Some(Claim(None));
        };
        let mut counted = Counted {
            endpoint: Arc::clone(endpoint),
            tally: None,
        };
        if let Some(warm_up) = &endpoint.warm_up {
            let today = today();
            let allowance = warm_up::allowance(warm_up, today);
            if !self.tally.take(&endpoint.key, allowance, today).await {
                return None;
            }
            counted.tally = Some((Arc::clone(&self.tally), today));
        }
        Some(Claim(Some(counted)))
    }

    /// Connects over `way`. The caller bounds the time.
    pub(crate) async fn connect(
        &self,
        way: &Way,
        destination: SocketAddr,
    ) -> Result<TcpStream, ConnectError> {
        let stream = match way.kind() {
            WayKind::Customer(address) => customer::connect(*address, destination).await?,
            WayKind::Pool(endpoint) | WayKind::Socks5(endpoint) => {
                by(endpoint, way, destination).await?
            }
        };
        // Commands are small and each waits for its reply: Nagle's algorithm would only add a delay.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// What is told to whoever scrapes: by name, how many messages have left by a pool, and how many of its
    /// addresses or proxies are left out now.
    pub(crate) fn figures(&self) -> Vec<Figures<'_>> {
        let now = Instant::now();
        let pools = self.pools.iter().chain(&self.proxies);
        let figures = pools.map(|pool| {
            let endpoints = &pool.group.endpoints;
            Figures {
                pool: &pool.group.name,
                messages: endpoints.iter().map(|endpoint| endpoint.counted()).sum(),
                down: endpoints
                    .iter()
                    .filter(|endpoint| !endpoint.health.may_try(now))
                    .count(),
            }
        });
        figures.collect()
    }
}

/// What has happened in one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures<'a> {
    /// Its name.
    pub pool: &'a str,
    /// Messages that left by it.
    pub messages: u64,
    /// Addresses or proxies that are left out now, because they failed.
    pub down: usize,
}

impl Pool {
    fn open(configured: &EgressPool) -> Result<Self, Invalid> {
        let endpoints = configured.endpoints.iter();
        let endpoints =
            endpoints.map(|endpoint| Endpoint::open(&configured.name, endpoint).map(Arc::new));
        Ok(Self {
            customers: configured.customers.clone(),
            group: Group {
                name: configured.name.clone(),
                endpoints: endpoints.collect::<Result<_, _>>()?,
            },
        })
    }
}

/// The pool with the longest prefix around `customer`, or the one for everybody else.
fn pool_of(pools: &[Pool], customer: CustomerAddr) -> Option<&Pool> {
    let rank = |pool: &Pool| {
        let around = pool.customers.iter();
        let around = around.filter(|prefix| prefix.contains(customer.ip()));
        let longest = around.map(|prefix| i16::from(prefix.prefix())).max();
        longest.or_else(|| pool.customers.is_empty().then_some(-1))
    };
    let ranked = pools.iter().filter_map(|pool| Some((rank(pool)?, pool)));
    ranked.max_by_key(|&(rank, _)| rank).map(|(_, pool)| pool)
}

/// Whether it is nobody's own business (RFC 1918, RFC 6598, RFC 4193).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// In `state_dir`.
const TALLY_FILE: &str = "egress.counts";
