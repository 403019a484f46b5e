//! The pools that a lab may have, by their relays: in the relay's namespace, or a third party's on the internet.

use std::net::IpAddr;

use crate::host::{Family, Host};

/// A relay with its pool, the same for the controller's configuration and the relay's. Relays that name one pool
/// share its customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: &'static str,
    /// Its relay's name.
    pub relay: &'static str,
    /// How packets get to the relay.
    pub via: Via,
    /// Where the relay stands.
    site: Site,
    /// Family of the header around packets in the tunnel to the relay, if there is one.
    pub tunnel: Option<Family>,
}

/// Where a relay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// In the relay's namespace; last part of its addresses.
    Own(u8),
    /// A third party's, on mx2's host.
    ThirdParty,
}

/// How a pool's packets get to its relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Their destination becomes the relay's listener.
    Rewrite,
    /// They are sent to the relay's MAC address as they are.
    Steer,
}

impl Pool {
    /// The usual one.
    pub const REWRITE: Self = Self {
        name: "default",
        relay: "relay-1",
        via: Via::Rewrite,
        site: Site::Own(2),
        tunnel: None,
    };
    /// In place of the usual one.
    pub const STEER: Self = Self {
        via: Via::Steer,
        ..Self::REWRITE
    };
    /// Beside the usual one.
    pub const SECOND: Self = Self {
        name: "own-address",
        relay: "relay-2",
        via: Via::Steer,
        site: Site::Own(3),
        tunnel: None,
    };
    /// Three relays that share the usual pool.
    pub const SHARED: [Self; 3] = [
        Self::REWRITE,
        Self {
            relay: "relay-2",
            site: Site::Own(4),
            ..Self::REWRITE
        },
        Self {
            relay: "relay-3",
            site: Site::Own(5),
            ..Self::REWRITE
        },
    ];
    /// Somebody else's filter, a stock mail server on the internet.
    pub const THIRD_PARTY: Self = Self {
        name: "filter",
        relay: "filter-1",
        via: Via::Rewrite,
        site: Site::ThirdParty,
        tunnel: None,
    };

    /// Steered to through a tunnel, whose outer headers are of this family.
    #[must_use]
    pub const fn tunnelled(family: Family) -> Self {
        Self {
            tunnel: Some(family),
            ..Self::STEER
        }
    }

    /// The relay's address; of [`Pool::REWRITE`] and [`Pool::STEER`] it is the host's own.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match (self.site, family) {
            (Site::Own(last), Family::V4) => [198, 51, 100, last].into(),
            (Site::Own(last), Family::V6) => [0x2001, 0xdb8, 2, 0, 0, 0, 0, u16::from(last)].into(),
            (Site::ThirdParty, family) => Host::Mx2.address(family),
        }
    }

    /// The relay's port, IPv4 and IPv6.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match (self.site, self.via) {
            (Site::ThirdParty, _) => 587,
            (Site::Own(_), Via::Rewrite) => 2525,
            (Site::Own(_), Via::Steer) => 25,
        }
    }

    /// Whether somebody else runs the relay.
    #[must_use]
    pub const fn is_third_party(&self) -> bool {
        matches!(self.site, Site::ThirdParty)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::REWRITE
    }
}

impl Via {
    /// The configuration's word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Steer => "steer",
        }
    }
}
