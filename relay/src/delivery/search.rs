//! The first of a route's servers that grants a session for a message.
//!
//! The servers are tried in the order of the route, each at all of its addresses, bounded in number and time. By which
//! standard a server's TLS is judged follows from what the message's sender asks of it (RFC 8689): mail that demands
//! REQUIRETLS goes to servers that are authenticated and offer it; if it is known of all servers of the domain that none
//! does, it comes back at once with `5.7.30`, or `5.7.10` if TLS does not hold. A notification prefers those; mail that says `TLS-Required: No` waives what its recipients' domains demand.
//!
//! # Diagnostics
//! Returned: why there is no session, for good only if each server said so for itself.

use std::net::SocketAddr;
use std::time::Duration;

use relay_proto::client::{LostCause, Stage};
use relay_proto::envelope::TlsTag;
use relay_proto::queue::Fault;
use relay_proto::queued::{Cause, Queued, Remote, Source};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::connection::{Connection, may_go_in_clear, no_connection, told};
use super::{Hosts, Ways};
use crate::egress::{Leg, Way};
use crate::origin::OriginalDst;
use crate::outbound::requirement::Requirement;
use crate::outbound::{Lost, Outbound, Unreachable};
use crate::queue::world::NoConnection;
use crate::routing::{Host, RouteError};

/// One search.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) route: &'a Hosts,
    pub(super) ways: &'a Ways,
    pub(super) queued: &'a Queued,
}

/// How a server is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standard {
    /// By what the recipients' domain demands.
    Usual,
    /// By what REQUIRETLS needs.
    Strict,
    /// By nothing but what the operator demands.
    Waived,
}

impl Search<'_> {
    /// Searches.
    pub(super) async fn run(&self) -> Result<Connection, NoConnection> {
        let deadline = Instant::now() + OPEN_DEADLINE;
        let mail = &self.queued.mail;
        match mail.tls {
            TlsTag::None => self.first(Standard::Usual, deadline).await,
            TlsTag::Optional => self.first(Standard::Waived, deadline).await,
            TlsTag::Required if mail.insists_on_tls() => {
                self.first(Standard::Strict, deadline).await
            }
            // RFC 8689 section 5: it asks for it as well, and is not discarded where there is none.
            TlsTag::Required => match self.first(Standard::Strict, deadline).await {
                Ok(connection) => Ok(connection),
                Err(why) => {
                    debug!(queue.id = %self.queued.id, ?why, "a notification goes on without REQUIRETLS");
                    self.first(Standard::Usual, deadline).await
                }
            },
        }
    }

    async fn first(
        &self,
        standard: Standard,
        deadline: Instant,
    ) -> Result<Connection, NoConnection> {
        let mut failed: Option<NoConnection> = None;
        let mut tried = 0;
        for host in self.route {
            // One that nobody could find matters if all others have said no for good.
            if host.addresses.is_empty() && failed.as_ref().is_some_and(|it| !it.never) {
                continue;
            }
            let requirement = match standard.requirement(host) {
                Ok(requirement) => requirement,
                Err(why) => {
                    failed = Some(later(failed, why));
                    continue;
                }
            };
            for &address in &host.addresses {
                let Some(way) = self.ways.to(address) else {
                    continue;
                };
                if tried == SERVERS_MAX || Instant::now() >= deadline {
                    return Err(failed.map_or_else(nowhere, not_all));
                }
                tried += 1;
                let leg = self.leg(way, host, address, requirement.clone());
                let reached = timeout_at(deadline, self.reach(host, leg, standard)).await;
                let timed_out = || no_connection(&Unreachable::TimedOut, remote(host, address));
                match reached.unwrap_or_else(|_elapsed| Err(timed_out())) {
                    Ok(connection) => return Ok(connection),
                    Err(why) => failed = Some(later(failed, why)),
                }
            }
        }
        Err(failed.unwrap_or_else(nowhere))
    }

    async fn reach(
        &self,
        host: &Host,
        leg: Leg,
        standard: Standard,
    ) -> Result<Connection, NoConnection> {
        let address = leg.destination.socket_addr();
        let remote = remote(host, address);
        let upstream = match self.outbound.reach(&leg).await {
            Ok(upstream) => upstream,
            Err(error) => {
                debug!(queue.id = %self.queued.id, %address, %error, "server does not take commands");
                return Err(judged(&error, standard, remote));
            }
        };
        if standard == Standard::Strict && !upstream.extensions().require_tls {
            upstream.quit().await;
            return Err(without_require_tls(remote));
        }
        Ok(Connection {
            upstream,
            leg,
            remote,
            strict: host.strict.clone().ok(),
            used: false,
        })
    }

    fn leg(&self, way: &Way, host: &Host, address: SocketAddr, requirement: Requirement) -> Leg {
        let ehlo = match &self.queued.source {
            Source::Customer { ehlo, .. } => ehlo.clone(),
            Source::Relay => None,
        };
        Leg {
            way: way.clone(),
            ehlo,
            destination: OriginalDst::new(address),
            requirement,
            customer_in_clear: may_go_in_clear(self.queued),
            told: told(host, address, self.queued),
        }
    }
}

impl Standard {
    /// What the server must show by it; why it need not be tried.
    fn requirement(self, host: &Host) -> Result<Requirement, NoConnection> {
        match (self, &host.withheld) {
            (Self::Waived, _) => Ok(host.requirement.waived()),
            (Self::Usual, None) => Ok(host.requirement.clone()),
            (Self::Usual | Self::Strict, Some(error)) => Err(withheld(error)),
            (Self::Strict, None) => host.strict.clone().map_err(|why| {
                let (status, never) = if why.is_final() {
                    ("5.7.30", true)
                } else {
                    ("4.7.5", false)
                };
                let name = host.name.as_ref().map(ToString::to_string);
                let name = name.unwrap_or_else(|| {
                    host.addresses
                        .first()
                        .map_or_else(String::new, ToString::to_string)
                });
                let text = format!("REQUIRETLS cannot be kept with {name}: {why}");
                local(status, text, never, None)
            }),
        }
    }
}

/// What is told of two servers: what may change, so that another attempt is made.
fn later(earlier: Option<NoConnection>, latest: NoConnection) -> NoConnection {
    match earlier {
        Some(earlier) if latest.never && !earlier.never => earlier,
        Some(_) | None => latest,
    }
}

/// The servers that were not tried may be other than those that were.
fn not_all(failed: NoConnection) -> NoConnection {
    if failed.never {
        let text = "not all of the domain's servers could be tried".to_owned();
        local("4.7.5", text, false, failed.remote)
    } else {
        failed
    }
}

fn judged(error: &Unreachable, standard: Standard, remote: Remote) -> NoConnection {
    if standard == Standard::Strict && shows_no_tls(error) {
        // RFC 8689 section 4.2.1: the sender wants to know at once, also where somebody on the way has made it so.
        let text = format!("REQUIRETLS cannot be kept: {error}");
        return local("5.7.10", text, true, Some(remote));
    }
    no_connection(error, remote)
}

/// Whether it is for want of TLS that holds, and no passing trouble.
fn shows_no_tls(error: &Unreachable) -> bool {
    match error {
        Unreachable::Insecure(_) | Unreachable::OldTls(_) => true,
        Unreachable::Session(Lost { stage, cause }) => {
            *stage == Stage::StartTls
                && match cause {
                    LostCause::TlsFailed => true,
                    // 454: not now (RFC 3207 section 4).
                    LostCause::Refused(reply) => reply.code().is_permanent(),
                    LostCause::HungUp
                    | LostCause::TimedOut
                    | LostCause::Malformed(_)
                    | LostCause::Framing(_)
                    | LostCause::LineTooLong
                    | LostCause::Unsolicited
                    | LostCause::Injected
                    | LostCause::Content(_)
                    | LostCause::OutOfTurn => false,
                }
        }
        Unreachable::NoWay(_)
        | Unreachable::Connect(_)
        | Unreachable::ConnectTimedOut
        | Unreachable::TimedOut => false,
    }
}

/// The server, whose name is authenticated, says that it does not take such mail.
fn without_require_tls(remote: Remote) -> NoConnection {
    let text = "the server does not offer REQUIRETLS, which the message demands".to_owned();
    local("5.7.30", text, true, Some(remote))
}

fn withheld(error: &RouteError) -> NoConnection {
    let (RouteError::Never { status, text } | RouteError::NotNow { status, text }) = error;
    local(status, text.clone(), false, None)
}

fn nowhere() -> NoConnection {
    let text = "no server of a family that this relay can send to".to_owned();
    local("4.4.4", text, false, None)
}

fn local(status: &'static str, text: String, never: bool, remote: Option<Remote>) -> NoConnection {
    NoConnection {
        cause: Cause::Local { status, text },
        never,
        remote,
        fault: Fault::Elsewhere,
    }
}

fn remote(host: &Host, address: SocketAddr) -> Remote {
    Remote {
        name: host.name.as_ref().map(ToString::to_string),
        address,
    }
}

/// All of a route's servers together: a message has its whole life for another attempt, and its worker has other
/// messages.
const OPEN_DEADLINE: Duration = Duration::from_secs(300);
const SERVERS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use relay_proto::reply::Reply;

    use super::*;
    use crate::outbound::requirement::Unsatisfied;

    fn session(stage: Stage, cause: LostCause) -> Unreachable {
        Unreachable::Session(Lost { stage, cause })
    }

    fn refused(code: u16) -> LostCause {
        LostCause::Refused(Reply::new(code, "4.7.0", "no TLS"))
    }

    #[test]
    fn want_of_tls_ends_only_what_demands_it_and_passing_trouble_ends_nothing() {
        let remote = || Remote {
            name: None,
            address: "203.0.113.10:25".parse().unwrap(),
        };
        for (error, ends) in [
            (Unreachable::Insecure(Unsatisfied::ClearText), true),
            (Unreachable::Insecure(Unsatisfied::Expired), true),
            (session(Stage::StartTls, LostCause::TlsFailed), true),
            (session(Stage::StartTls, refused(550)), true),
            (session(Stage::StartTls, refused(454)), false),
            (session(Stage::StartTls, LostCause::HungUp), false),
            (session(Stage::Greeting, refused(554)), false),
            (session(Stage::Ehlo, LostCause::TimedOut), false),
            (Unreachable::ConnectTimedOut, false),
        ] {
            let strict = judged(&error, Standard::Strict, remote());
            assert_eq!(strict.never, ends, "{error}");
            if ends {
                assert!(
                    matches!(&strict.cause, Cause::Local { status: "5.7.10", text } if text.starts_with("REQUIRETLS")),
                    "{strict:?}"
                );
            }
            for standard in [Standard::Usual, Standard::Waived] {
                assert!(!judged(&error, standard, remote()).never, "{error}");
            }
        }
    }
}
