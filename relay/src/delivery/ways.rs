//! The ways out of one message, by the family of the server's address: a pool may have an address of each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use contract::Egress;
use relay_proto::queued;

use super::Hosts;
use crate::egress::{Egresses, Family, NoWay, Sought, Way};
use crate::origin::CustomerAddr;
use crate::queue::world::Departure;

/// One way or two; equal ones have equal names.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    v4: Option<Way>,
    v6: Option<Way>,
}

impl Ways {
    /// The ways to the servers of a route; of a family that none of them has, none.
    pub(super) fn choose(
        egresses: &Egresses,
        departure: &Departure,
        route: &Hosts,
    ) -> Result<Self, NoWay> {
        let wanted = match departure.egress {
            queued::Egress::Pool => Egress::Pool,
            queued::Egress::Customer => Egress::Customer,
            queued::Egress::Socks5 => Egress::Socks5,
        };
        // The relay's own mail has no customer; it leaves as if it were one of this address, so always by the same way.
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let customer = CustomerAddr::new(departure.customer.unwrap_or(nobody));
        let first = |family| {
            let mut addresses = route.iter().flat_map(|host| &host.addresses);
            addresses.find(|address| Family::of(**address) == family)
        };
        let choose = |family: Family| {
            let address: &SocketAddr = first(family)?;
            Some(egresses.choose(&Sought {
                egress: wanted,
                customer,
                destination: *address,
                message: Some(departure.id),
                besides: &[],
            }))
        };
        let (v4, v6) = (choose(Family::V4), choose(Family::V6));
        match (v4, v6) {
            (Some(Err(no_way)), None | Some(Err(_))) | (None, Some(Err(no_way))) => Err(no_way),
            (None, None) => Err(NoWay::Down),
            (v4, v6) => Ok(Self {
                v4: v4.and_then(Result::ok),
                v6: v6.and_then(Result::ok),
            }),
        }
    }

    /// The way to one server.
    pub(super) fn to(&self, server: SocketAddr) -> Option<&Way> {
        match Family::of(server) {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// Their name.
    pub(super) fn name(&self) -> Arc<str> {
        match (&self.v4, &self.v6) {
            (Some(v4), Some(v6)) if v4 == v6 => Arc::clone(v4.name()),
            (Some(v4), Some(v6)) => format!("{v4}+{v6}").into(),
            (Some(only), None) | (None, Some(only)) => Arc::clone(only.name()),
            (None, None) => Arc::from(""),
        }
    }
}
