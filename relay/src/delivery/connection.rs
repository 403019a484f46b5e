//! A session with one of a route's servers.
//!
//! The servers are tried in the order of the route, each at all of its addresses, bounded in number and time. What a
//! server must show of its TLS is judged before it hears of a message.

use std::net::SocketAddr;
use std::time::Duration;

use relay_proto::client::LostCause;
use relay_proto::queue::Fault;
use relay_proto::queued::{Cause, Queued, Remote, Source};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{Hosts, Ways};
use crate::egress::Leg;
use crate::origin::OriginalDst;
use crate::outbound::requirement::Demand;
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
    /// It has carried a message, or tried to.
    pub(super) used: bool,
}

impl Connection {
    /// A session with the first server that grants one.
    pub(super) async fn open(
        outbound: &Outbound,
        route: &Hosts,
        ways: &Ways,
        queued: &Queued,
    ) -> Result<Self, NoConnection> {
        let deadline = Instant::now() + OPEN_DEADLINE;
        let ehlo = match &queued.source {
            Source::Customer { ehlo, .. } => ehlo.clone(),
            Source::Relay => None,
        };
        let in_clear = may_be_in_clear(queued);
        let mut servers: Vec<(&Host, SocketAddr)> = Vec::new();
        for host in route {
            servers.extend(host.addresses.iter().map(|&address| (host, address)));
        }
        servers.truncate(SERVERS_MAX);
        let mut failed = None;
        for (host, address) in servers {
            let Some(way) = ways.to(address) else {
                continue;
            };
            let leg = Leg {
                way: way.clone(),
                ehlo: ehlo.clone(),
                destination: OriginalDst::new(address),
                requirement: host.requirement.clone(),
                customer_in_clear: in_clear,
            };
            let remote = Remote {
                name: host.name.as_ref().map(ToString::to_string),
                address,
            };
            let reached = timeout_at(deadline, outbound.reach(&leg)).await;
            match reached.unwrap_or(Err(Unreachable::TimedOut)) {
                Ok(upstream) => {
                    return Ok(Self {
                        upstream,
                        leg,
                        remote,
                        used: false,
                    });
                }
                Err(error) => {
                    debug!(queue.id = %queued.id, %address, %error, "server does not take commands");
                    failed = Some(no_connection(&error, remote));
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| NoConnection {
            cause: Cause::Local {
                status: "4.4.4",
                text: "no server of a family that this relay can send to".into(),
            },
            never: false,
            remote: None,
            fault: Fault::Elsewhere,
        }))
    }

    /// The same again, with the same server: the session was idle for too long.
    pub(super) async fn open_again(
        &mut self,
        outbound: &Outbound,
        queued: &Queued,
    ) -> Result<(), NoConnection> {
        self.leg.customer_in_clear = may_be_in_clear(queued);
        let reached = outbound.reach(&self.leg).await;
        self.upstream = reached.map_err(|error| no_connection(&error, self.remote.clone()))?;
        Ok(())
    }

    /// Whether it may carry a message of this route: the server is one of the route's, and the route demands of it
    /// what it has shown.
    pub(super) fn serves(&self, route: &Hosts) -> bool {
        route.iter().any(|host| {
            host.addresses.contains(&self.remote.address)
                && demands_no_more(&host.requirement.demand, &self.leg.requirement.demand)
        })
    }

    /// Whether the message is no safer than this session: one for which TLS was left out is for those that came in
    /// clear text, and for reports that tell of that.
    pub(super) fn is_safe_for(&self, queued: &Queued) -> bool {
        !self.upstream.leaves_tls_out() || may_be_in_clear(queued)
    }

    /// QUIT.
    pub(super) async fn close(self) {
        self.upstream.quit().await;
    }
}

fn may_be_in_clear(queued: &Queued) -> bool {
    match &queued.source {
        Source::Customer { tls, .. } => !tls,
        Source::Relay => queued.is_tls_report(),
    }
}

fn demands_no_more(demand: &Demand, shown: &Demand) -> bool {
    matches!(demand, Demand::Opportunistic) || demand == shown
}

fn no_connection(error: &Unreachable, remote: Remote) -> NoConnection {
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

/// All of a route's servers together: a message has its whole life for another attempt, and its worker has other
/// messages.
const OPEN_DEADLINE: Duration = Duration::from_secs(300);
const SERVERS_MAX: usize = 10;
