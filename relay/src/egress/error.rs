//! Why a message does not leave: there is no way for it, or the way that it has does not connect.

use std::io;

use contract::Egress;
use relay_proto::reply::Reply;

use super::way::Family;

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

    /// What a customer hears that waits.
    pub(crate) fn reply(&self) -> Reply {
        Reply::new(421, self.status(), &format!("{self}; try again later"))
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
    /// The way itself fails, and how; the destination was not asked. Another one may work. What is wrong is the
    /// operator's business, so it is logged and not told.
    #[error("an address or proxy of this relay does not work now")]
    Way(String),
}

impl ConnectError {
    /// Whether the destination has to do with it; otherwise nothing was learnt about it.
    pub(crate) fn blames_destination(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::PortsExhausted | Self::NotPermitted | Self::Way(_) => false,
        }
    }
}
