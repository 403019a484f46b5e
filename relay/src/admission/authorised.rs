//! Who is served at the listeners of authorised ranges.
//!
//! The range takes the place of the edge's word that a connection was diverted. Where there is a controller
//! its flags hold here, too, and nobody is served before its first snapshot: a walled customer must not be served
//! on the listener's terms meanwhile. The leg to the destination always leaves from the relay, because no edge brings
//! back what is sent to the customer's address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;
use tracing::warn;

use super::{Admission, Admitted, enter, from_the_relay, not_ready, refuse, stranger};
use crate::Relay;
use crate::metrics::Counter;
use crate::origin::{CustomerAddr, NoService, Ranges, Reached};
use crate::snapshot::InForce;

/// Decides about the connection from `peer` that was accepted at `local`, by its listener's ranges, and counts it.
pub(crate) async fn admit(
    relay: &Relay,
    ranges: &Ranges,
    tcp: &mut TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
) -> Admission {
    let reached = ranges.look_up(tcp, peer, local).await;
    let Some((admission, counter)) = decide(relay, ranges, peer, reached) else {
        return Admission::Drop;
    };
    relay.metrics().count(counter);
    admission
}

/// `None`: the connection was lost, and there is nothing to decide.
fn decide(
    relay: &Relay,
    ranges: &Ranges,
    peer: SocketAddr,
    reached: Reached,
) -> Option<(Admission, Counter)> {
    let snapshot = relay.newest.borrow().clone();
    let is_probe = |address: IpAddr| {
        let snapshot = snapshot.as_ref();
        snapshot.is_some_and(|snapshot| snapshot.is_probe(address))
    };
    let decided = match reached {
        Reached::Lost => return None,
        Reached::Probe => (Admission::Probe, Counter::Probes),
        Reached::NoHeader(error) => {
            warn!(%error, proxy.addr = %peer.ip(), "connection dropped");
            (Admission::Drop, Counter::ProxyHeaderInvalid)
        }
        _ if snapshot.is_none() && relay.config.controller.is_some() => not_ready(relay),
        // The controller's, which knows nothing of ranges. Of a proxy only what it says counts, not where it is.
        Reached::Stranger(address) if is_probe(address) => (Admission::Probe, Counter::Probes),
        Reached::Known { customer, .. } | Reached::ToUs { customer } if is_probe(customer.ip()) => {
            (Admission::Probe, Counter::Probes)
        }
        Reached::Stranger(_) if ranges.are_called_on() => {
            let text = "takes mail of the networks that its operator has named alone";
            refuse(relay, 554, "5.7.1", text, Counter::RefusedUnknownOutside)
        }
        Reached::Stranger(address) => {
            let inside = snapshot.as_ref().map(|known| known.is_inside(address));
            stranger(relay, inside == Some(true) || ranges.contain(address))
        }
        Reached::NoDestination => stranger(relay, true),
        Reached::NoService(why) => {
            let (enhanced, text) = match why {
                NoService::Ourselves => ("5.4.6", "does not deliver to itself: routing loop"),
                NoService::Port => ("5.7.1", "serves only connections to port 25"),
                NoService::Unroutable => ("5.4.4", "cannot route to this destination"),
            };
            let counter = Counter::RefusedDestination;
            refuse(relay, 554, enhanced, text, counter)
        }
        Reached::Known {
            customer,
            original_dst,
        } => {
            let admitted = admitted(snapshot.as_deref(), ranges, customer);
            enter(relay, admitted, Some(original_dst))
        }
        Reached::ToUs { customer } => {
            let admitted = admitted(snapshot.as_deref(), ranges, customer);
            enter(relay, admitted, None)
        }
    };
    Some(decided)
}

/// A customer of these ranges, by its flag or the listener's terms.
fn admitted(snapshot: Option<&InForce>, ranges: &Ranges, customer: CustomerAddr) -> Admitted {
    let policy = snapshot.and_then(|snapshot| snapshot.customer(customer.ip()));
    Admitted {
        customer,
        policy: policy.map(|policy| from_the_relay(policy)),
        terms: Some(Arc::clone(ranges.terms())),
    }
}
