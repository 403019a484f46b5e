//! Who is served: the decision about a connection before the first octet.
//!
//! Nothing that the peer says enters into it. Whoever was not diverted here gets a reply that is true
//! for both cases: inside a customer prefix the edge and we may merely be out of step, so that mail
//! must not bounce (421); outside of them we are an open relay to nobody (554).

use std::net::SocketAddr;
use std::sync::Arc;

use contract::{CustomerPolicy, Delivery, Egress, LimitsName, Treatment};
use relay_proto::envelope::EhloName;
use relay_proto::reply::Reply;

use crate::Relay;
use crate::config::Terms;
use crate::egress::{Egresses, Legs};
use crate::listen::limits::{Full, Permit};
use crate::metrics::Counter;
use crate::origin::{CustomerAddr, Found, Origin, OriginalDst};

pub(crate) mod authorised;

/// What becomes of a connection.
#[derive(Debug)]
pub(crate) enum Admission {
    /// A customer, and its place among the connections.
    Serve {
        /// Who it is.
        admitted: Admitted,
        /// The server that it chose; `None` = it came to us, and the queue finds its recipients' servers. What speaks
        /// with a destination while the customer waits is only ever given one.
        original_dst: Option<OriginalDst>,
        /// Its place.
        permit: Permit,
    },
    /// The controller's health check: a banner and nothing more.
    Probe,
    /// This greeting, and the end.
    Refuse(Reply),
    /// Not a word: whoever is there does not speak SMTP to us.
    Drop,
}

/// A customer whose connection is served; where that was going stands beside it.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) customer: CustomerAddr,
    /// `None`: the edge diverted it, but its flag is not in our snapshot. The flag has just ended or
    /// just begun; such a connection gets the default treatment, which is to filter.
    pub(crate) policy: Option<Arc<CustomerPolicy>>,
    /// What the listener has for those without a flag, if it is one without the edge.
    pub(crate) terms: Option<Arc<Terms>>,
}

impl Admitted {
    /// What is done with its mail.
    pub(crate) fn treatment(&self) -> Treatment {
        match (&self.policy, &self.terms) {
            (Some(policy), _) => policy.treatment,
            (None, Some(terms)) => terms.treatment,
            (None, None) => Treatment::default(),
        }
    }

    /// When the customer hears 250.
    pub(crate) fn delivery(&self) -> Delivery {
        match (&self.policy, &self.terms) {
            (Some(policy), _) => policy.delivery,
            (None, Some(terms)) => terms.delivery,
            (None, None) => Delivery::default(),
        }
    }

    /// Where the leg to the destination leaves from.
    pub(crate) fn egress(&self) -> Egress {
        self.policy
            .as_ref()
            .map_or(Egress::Pool, |policy| policy.egress)
    }

    /// The legs to `destination`, for a customer that calls itself `ehlo`.
    pub(crate) fn legs<'a>(
        &self,
        egresses: &'a Egresses,
        ehlo: Option<EhloName>,
        destination: OriginalDst,
    ) -> Legs<'a> {
        Legs::new(egresses, self.egress(), self.customer, ehlo, destination)
    }

    /// Why, for the customer to read.
    pub(crate) fn reason(&self) -> Option<&str> {
        match (&self.policy, &self.terms) {
            (Some(policy), _) => Some(&policy.reason),
            (None, Some(terms)) => terms.reason.as_deref(),
            (None, None) => None,
        }
    }

    /// The flag, if there is one.
    pub(crate) fn flag_id(&self) -> Option<u32> {
        self.policy.as_ref().map(|policy| policy.flag_id)
    }

    /// The name of its own limits, if it has some.
    pub(crate) fn limits(&self) -> Option<&LimitsName> {
        self.policy.as_ref()?.limits.as_ref()
    }

    /// The same customer on its way to a place of the operator's, where its own address would only be
    /// in the way of the answers.
    pub(crate) fn to_the_operator(&self) -> Self {
        Self {
            customer: self.customer,
            policy: self.policy.as_deref().map(from_the_relay),
            terms: self.terms.clone(),
        }
    }
}

/// The same policy, with the legs leaving from the relay's own address.
fn from_the_relay(policy: &CustomerPolicy) -> Arc<CustomerPolicy> {
    Arc::new(CustomerPolicy {
        egress: Egress::Pool,
        ..policy.clone()
    })
}

/// Decides about the connection from `peer` that was accepted at `local`, by its listener's origin,
/// and counts it.
pub(crate) fn admit(
    relay: &Relay,
    origin: &dyn Origin,
    peer: SocketAddr,
    local: SocketAddr,
) -> Admission {
    let (admission, counter) = decide(relay, origin, peer, local);
    relay.metrics().count(counter);
    admission
}

fn decide(
    relay: &Relay,
    origin: &dyn Origin,
    peer: SocketAddr,
    local: SocketAddr,
) -> (Admission, Counter) {
    let Some(snapshot) = relay.newest.borrow().clone() else {
        return not_ready(relay);
    };
    if snapshot.is_probe(peer.ip()) {
        return (Admission::Probe, Counter::Probes);
    }
    match origin.look_up(peer, local, &snapshot) {
        Found::Known {
            customer,
            original_dst,
        } => {
            let policy = snapshot.customer(customer.ip()).cloned();
            let admitted = Admitted {
                customer,
                policy,
                terms: None,
            };
            enter(relay, admitted, Some(original_dst))
        }
        Found::Unknown => stranger(relay, snapshot.is_inside(peer.ip())),
    }
}

/// A place for a connection that is to be served, if there is one.
fn enter(
    relay: &Relay,
    admitted: Admitted,
    original_dst: Option<OriginalDst>,
) -> (Admission, Counter) {
    match relay.connections.enter(admitted.customer) {
        Ok(permit) => {
            let watched = (relay.behaviour).under_flag(admitted.customer.ip(), admitted.limits());
            if let Err(reached) = watched.connects() {
                if let Some(happening) = reached.happening() {
                    let (customer, flag_id) = (admitted.customer.ip(), admitted.flag_id());
                    relay.reporter().happened(customer, flag_id, happening);
                }
                let greeting = reached.greeting(&relay.config.identity.help_url);
                return (Admission::Refuse(greeting), Counter::RefusedLimited);
            }
            let served = Admission::Serve {
                admitted,
                original_dst,
                permit,
            };
            (served, Counter::SessionsServed)
        }
        Err(Full::Relay) => {
            let text = "has too many connections, try again";
            refuse(relay, 421, "4.3.2", text, Counter::RefusedFull)
        }
        Err(Full::Customer) => {
            let text = "has too many connections from your address, try again";
            refuse(relay, 421, "4.7.0", text, Counter::RefusedCustomerFull)
        }
    }
}

/// Whoever is not served here; `inside` of a customer prefix, or not.
fn stranger(relay: &Relay, inside: bool) -> (Admission, Counter) {
    if inside {
        let text = "does not know where this connection was going, try again";
        refuse(relay, 421, "4.3.2", text, Counter::RefusedUnknownInside)
    } else {
        let text = "serves only connections that its own network diverted here";
        refuse(relay, 554, "5.7.1", text, Counter::RefusedUnknownOutside)
    }
}

fn not_ready(relay: &Relay) -> (Admission, Counter) {
    let text = "starting up and not yet in touch with its controller, try again";
    refuse(relay, 421, "4.3.2", text, Counter::RefusedNoSnapshot)
}

fn refuse(
    relay: &Relay,
    code: u16,
    enhanced: &str,
    text: &str,
    counter: Counter,
) -> (Admission, Counter) {
    let hostname = &relay.config.identity.hostname;
    let reply = Reply::new(code, enhanced, &format!("{hostname} {text}"));
    (Admission::Refuse(reply), counter)
}
