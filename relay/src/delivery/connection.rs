//! A session with one of a route's servers, and which messages it may carry.
//!
//! What a server must show of its TLS is judged before it hears of a message; for one that demands REQUIRETLS (RFC 8689)
//! that is more than for others, and the session is then one that was opened for such a message or shows the same.

use std::net::SocketAddr;

use relay_proto::client::LostCause;
use relay_proto::envelope::TlsTag;
use relay_proto::proxy::Proxied;
use relay_proto::queue::Fault;
use relay_proto::queued::{Cause, Queued, Remote, Source};

use super::Hosts;
use crate::egress::Leg;
use crate::outbound::requirement::{Demand, Requirement};
use crate::outbound::{Lost, Outbound, Unreachable, Upstream};
use crate::queue::world::NoConnection;
use crate::routing::Host;

/// A session that takes commands.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) upstream: Upstream,
    /// How it was opened, to open it again.
    pub(super) leg: Leg,
    pub(super) remote: Remote,
    /// What it must show for mail that demands REQUIRETLS; `None` = nobody authenticates its name.
    pub(super) strict: Option<Requirement>,
    /// It has carried a message, or tried to.
    pub(super) used: bool,
}

impl Connection {
    /// The same again, with the same server: the session was idle for too long, or takes no more.
    pub(super) async fn open_again(
        &mut self,
        outbound: &Outbound,
        queued: &Queued,
    ) -> Result<(), NoConnection> {
        self.leg.customer_in_clear = may_go_in_clear(queued);
        if let (true, Some(strict)) = (queued.mail.insists_on_tls(), &self.strict) {
            self.leg.requirement = strict.clone();
        }
        let reached = outbound.reach(&self.leg).await;
        self.upstream = reached.map_err(|error| no_connection(&error, self.remote.clone()))?;
        self.used = false;
        Ok(())
    }

    /// The same, taking leave of the server before.
    pub(super) async fn renew(
        &mut self,
        outbound: &Outbound,
        queued: &Queued,
    ) -> Result<(), NoConnection> {
        self.upstream.take_leave().await;
        self.open_again(outbound, queued).await
    }

    /// Whether it may carry a message of this route: the server is one of the route's, and the route and the message
    /// demand of it what it has shown; and what it was told of who sends is so of this message, too.
    pub(super) fn serves(&self, route: &Hosts, queued: &Queued) -> bool {
        let server = self.remote.address;
        route.iter().any(|host| {
            host.addresses.contains(&server)
                && told(host, server, queued) == self.leg.told
                && self.shows_what_is_usual(host, queued)
                && self.shows_what_is_strict(host, queued)
        })
    }

    fn shows_what_is_usual(&self, host: &Host, queued: &Queued) -> bool {
        if queued.mail.tls == TlsTag::Optional {
            return true;
        }
        let (demand, leg) = (&host.requirement.demand, &self.leg.requirement);
        host.withheld.is_none()
            && (matches!(demand, Demand::Opportunistic) || (*demand == leg.demand && !leg.waived))
    }

    fn shows_what_is_strict(&self, host: &Host, queued: &Queued) -> bool {
        if queued.mail.tls != TlsTag::Required {
            return true;
        }
        // The route may be another domain's, by which the server has no name that counts.
        self.strict.as_ref() == host.strict.as_ref().ok()
            && (!queued.mail.insists_on_tls() || self.keeps_require_tls())
    }

    /// Whether REQUIRETLS may be said here (RFC 8689 section 2).
    pub(super) fn keeps_require_tls(&self) -> bool {
        let shown = |strict: &Requirement| self.upstream.satisfies(strict).is_ok();
        self.upstream.extensions().require_tls && self.strict.as_ref().is_some_and(shown)
    }

    /// Whether the message is no safer than this session: one for which TLS was left out is for those that came in
    /// clear text, or whose senders say that it may be.
    pub(super) fn is_safe_for(&self, queued: &Queued) -> bool {
        !self.upstream.leaves_tls_out() || may_go_in_clear(queued)
    }

    /// QUIT.
    pub(super) async fn close(self) {
        self.upstream.quit().await;
    }
}

/// Whether the message may go in clear text where TLS never works and nobody demands it.
pub(super) fn may_go_in_clear(queued: &Queued) -> bool {
    queued.mail.tls == TlsTag::Optional
        || matches!(&queued.source, Source::Customer { tls: false, .. })
}

/// What a server is told of who sends a message, if it wants that.
pub(super) fn told(host: &Host, server: SocketAddr, queued: &Queued) -> Option<Proxied> {
    let told = match &queued.source {
        Source::Customer { address, .. } => Proxied::on_behalf(*address, server),
        Source::Relay => Proxied::Local,
    };
    host.send_proxy.then_some(told)
}

pub(super) fn no_connection(error: &Unreachable, remote: Remote) -> NoConnection {
    let local = |status| Cause::Local {
        status,
        text: error.to_string(),
    };
    let (cause, fault) = match error {
        Unreachable::Session(Lost {
            cause: LostCause::Refused(reply),
            ..
        }) => (Cause::Reply(reply.clone()), Fault::Unreachable),
        Unreachable::Session(_) => (local("4.4.2"), Fault::Unreachable),
        Unreachable::OldTls(_) => (local("4.7.5"), Fault::Unreachable),
        // The policy of the domain, not the server's strength.
        Unreachable::Insecure(_) => (local("4.7.5"), Fault::Elsewhere),
        Unreachable::Connect(error) if !error.blames_destination() => {
            (local("4.4.0"), Fault::Elsewhere)
        }
        Unreachable::NoWay(no_way) => (local(no_way.status()), Fault::Elsewhere),
        Unreachable::Connect(_) | Unreachable::ConnectTimedOut | Unreachable::TimedOut => {
            (local("4.4.1"), Fault::Unreachable)
        }
    };
    NoConnection {
        cause,
        never: false,
        remote: Some(remote),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::envelope::Mail;
    use relay_proto::queued::{Egress, QueueId, UnixMillis};

    use super::*;
    use crate::routing::Unauthenticated;

    fn queued(source: Source) -> Queued {
        Queued {
            id: QueueId::from_number(1).unwrap(),
            arrived: UnixMillis(0),
            source,
            egress: Egress::Pool,
            mail: Mail::new("<a@customer.example>".parse().unwrap()),
            recipients: Vec::new(),
            trace: String::new(),
            may_notify: false,
            held: None,
        }
    }

    #[test]
    fn who_wants_it_is_told_who_sends_and_nobody_else_is() {
        let server: SocketAddr = "203.0.113.10:25".parse().unwrap();
        let host = |send_proxy| Host {
            name: None,
            addresses: vec![server],
            requirement: Requirement::default(),
            strict: Err(Unauthenticated::Unverified),
            withheld: None,
            send_proxy,
        };
        let customer = queued(Source::Customer {
            address: "192.0.2.10".parse().unwrap(),
            original_dst: Some("203.0.113.99:25".parse().unwrap()),
            ehlo: None,
            tls: false,
            flag_id: None,
            user: None,
        });
        let own = queued(Source::Relay);
        let for_customer = Proxied::For {
            source: "192.0.2.10:0".parse().unwrap(),
            destination: server,
        };
        for (queued, expected) in [(&customer, for_customer), (&own, Proxied::Local)] {
            assert_eq!(told(&host(true), server, queued), Some(expected));
            assert_eq!(told(&host(false), server, queued), None);
        }
    }
}
