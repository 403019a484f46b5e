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

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use contract::Egress;
use relay_proto::envelope::EhloName;
use relay_proto::queued::QueueId;
use tokio::net::TcpStream;

use crate::config::{Config, Invalid};
use crate::origin::{CustomerAddr, OriginalDst};
use crate::outbound::requirement::Requirement;

mod customer;
mod endpoint;
mod health;
mod pool;
mod way;

use endpoint::Endpoint;
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
}

/// All ways out of one relay.
#[derive(Debug)]
pub struct Egresses {
    routed: Way,
}

/// Why a message cannot leave now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoWay {
    /// The configuration has nothing of that kind for this customer.
    #[error("this relay has no egress {} for you", .0.name())]
    NotConfigured(Egress),
    /// The pool has no address of the destination's family.
    #[error("this relay sends nothing by {0} for you")]
    Family(Family),
    /// Every address has sent what it may send today.
    #[error("all addresses of this relay have sent what they may send today")]
    WarmingUp,
    /// Every address or proxy fails.
    #[error("no address or proxy of this relay works now")]
    Down,
}

impl NoWay {
    /// Enhanced status code (RFC 3463): never a permanent one, because all of it is the operator's to mend.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Self::NotConfigured(_) => "4.3.5",
            Self::Family(_) => "4.4.4",
            Self::WarmingUp => "4.4.5",
            Self::Down => "4.4.0",
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The destination refused, or is not reached.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// As many connections leave from the customer's address to this destination as there can be.
    #[error("all ports that the relay may use of your address are in use")]
    PortsExhausted,
    /// Our own deployment lacks a capability.
    #[error("the relay may not send from your address")]
    NotPermitted,
    /// The way itself fails; the destination was not asked. Another one may work.
    #[error("{0} does not work: {1}")]
    Way(Way, String),
}

impl ConnectError {
    /// Whether the destination has to do with it; otherwise nothing was learnt about it.
    pub(crate) fn blames_destination(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::PortsExhausted | Self::NotPermitted | Self::Way(..) => false,
        }
    }
}

/// A message that is to leave by a way, in the count of that way. Dropped without [`Claim::sent`] it is taken back.
#[derive(Debug)]
pub(crate) struct Claim {
    way: Way,
}

impl Claim {
    /// The destination has been told DATA: the message counts.
    pub(crate) fn sent(self) {
        if let WayKind::Pool(endpoint) | WayKind::Socks5(endpoint) = self.way.kind() {
            endpoint.count();
        }
    }
}

impl Egresses {
    /// Those of the configuration. Reads the files that it names.
    pub fn open(_config: &Config) -> Result<Arc<Self>, Invalid> {
        Ok(Arc::new(Self {
            routed: Way::of_pool(Arc::new(Endpoint::routed())),
        }))
    }

    /// The way that `customer`'s mail takes to `destination`. A message that was tried before names itself by
    /// `again`, and takes the way that it took then while that can be.
    pub(crate) fn choose(
        &self,
        wanted: Egress,
        customer: CustomerAddr,
        _destination: SocketAddr,
        _again: Option<QueueId>,
    ) -> Result<Way, NoWay> {
        match wanted {
            Egress::Pool => Ok(self.routed.clone()),
            Egress::Customer => Ok(Way::of_customer(customer)),
            Egress::Socks5 => Err(NoWay::NotConfigured(wanted)),
        }
    }

    /// Counts a message that is to leave by `way`; to be asked before MAIL. `None`: it has sent what it may
    /// send today, and another way has to be chosen.
    pub(crate) async fn claim(&self, way: &Way) -> Option<Claim> {
        Some(Claim { way: way.clone() })
    }

    /// Connects over `way`. The caller bounds the time.
    pub(crate) async fn connect(
        &self,
        way: &Way,
        destination: SocketAddr,
    ) -> Result<TcpStream, ConnectError> {
        let stream = match way.kind() {
            WayKind::Pool(_) => pool::connect(destination).await?,
            WayKind::Customer(address) => customer::connect(*address, destination).await?,
            WayKind::Socks5(_) => return Err(ConnectError::NotPermitted),
        };
        // Commands are small and each waits for its reply: Nagle's algorithm would only add a delay.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
