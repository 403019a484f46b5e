//! Which lists are asked about the operator's ranges, and how.

use std::{collections::BTreeSet, net::SocketAddr, num::NonZeroU32, time::Duration};

use ipnetwork::Ipv4Network;

use crate::{dnsbl::Family, precheck::Fqdn};

/// `[listings]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listings {
    /// The lists; none = nobody is asked.
    pub zones: Vec<Zone>,
    /// Resolvers; none = those of /etc/resolv.conf.
    pub resolvers: Vec<SocketAddr>,
    /// Queries a second, about all lists together.
    pub rate: NonZeroU32,
    /// How long a round over every IPv4 address takes at least.
    pub sweep: Duration,
    /// From one look at an address that is likely to be listed, or is, to the next.
    pub watch: Duration,
    /// From what was seen first to the second look that confirms it.
    pub confirm: Duration,
    /// How long listings that are over are kept; `None` = for ever.
    pub keep: Option<Duration>,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: Fqdn,
    /// Which addresses it has.
    pub families: BTreeSet<Family>,
    /// Answers that count, within 127.0.0.0/8.
    pub counts: Vec<Ipv4Network>,
}
