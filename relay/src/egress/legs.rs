//! The legs by which a destination may be reached, one after another: another way is tried only where one has failed
//! by its own fault, because a destination that refuses one address is not asked again by the next.

use std::net::SocketAddr;

use contract::Egress;
use relay_proto::envelope::EhloName;
use tracing::debug;

use super::{ConnectError, Egresses, Leg, NoWay, Sought, Way};
use crate::origin::{CustomerAddr, OriginalDst};
use crate::outbound::requirement::Requirement;

/// What is sought, and what has failed.
#[derive(Debug)]
pub(crate) struct Legs<'a> {
    egresses: &'a Egresses,
    egress: Egress,
    customer: CustomerAddr,
    ehlo: Option<EhloName>,
    destination: OriginalDst,
    failed: Vec<Way>,
}

impl<'a> Legs<'a> {
    /// Nothing has been tried.
    pub(crate) fn new(
        egresses: &'a Egresses,
        egress: Egress,
        customer: CustomerAddr,
        ehlo: Option<EhloName>,
        destination: OriginalDst,
    ) -> Self {
        Self {
            egresses,
            egress,
            customer,
            ehlo,
            destination,
            failed: Vec::new(),
        }
    }

    /// The best leg of those that have not failed.
    pub(crate) fn best(&self) -> Result<Leg, NoWay> {
        if self.failed.len() >= WAYS_MAX {
            return Err(NoWay::Down);
        }
        let destination: SocketAddr = self.destination.socket_addr();
        let way = self.egresses.choose(&Sought {
            egress: self.egress,
            customer: self.customer,
            destination,
            message: None,
            besides: &self.failed,
        })?;
        Ok(Leg {
            way,
            ehlo: self.ehlo.clone(),
            destination: self.destination,
            requirement: Requirement::default(),
            customer_in_clear: false,
            told: None,
        })
    }

    /// Whether another leg is to be tried after this one, because its way is at fault. [`Legs::best`] then
    /// has another, or says that there is none.
    pub(crate) fn may_go_on(&mut self, leg: Leg, error: &ConnectError) -> bool {
        if !matches!(error, ConnectError::Way(_)) {
            return false;
        }
        debug!(egress.way = %leg.way, "way failed, trying another");
        self.failed.push(leg.way);
        true
    }
}

/// The customer waits meanwhile.
const WAYS_MAX: usize = 3;
