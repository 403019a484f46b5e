//! The pools that a lab may have: one relay each, in the relay's namespace.

use std::net::IpAddr;

use crate::host::Family;

/// A pool of one relay, the same for the controller's configuration and the relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: &'static str,
    /// Its relay's name.
    pub relay: &'static str,
    /// How packets get to the relay.
    pub via: Via,
    /// Last part of the relay's addresses.
    last: u8,
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
        last: 2,
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
        last: 3,
    };

    /// The relay's address; of [`Pool::REWRITE`] and [`Pool::STEER`] it is the host's own.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => [198, 51, 100, self.last].into(),
            Family::V6 => [0x2001, 0xdb8, 2, 0, 0, 0, 0, u16::from(self.last)].into(),
        }
    }

    /// The relay's port, IPv4 and IPv6.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self.via {
            Via::Rewrite => 2525,
            Via::Steer => 25,
        }
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
