//! What the queue's driver asks of the rest of the relay: the spool, routes, ways out, one attempt, and notifications.
//!
//! [`Delivery`] brings them together and decides little by itself; `attempt` is one transaction with one server, `several`
//! are those that its limits need, `search` is how there comes to be a session with one, `connection` which messages that
//! may carry, and `settle` is the end of a recipient.
//!
//! # Diagnostics
//! Returned to the driver, which logs what became of each recipient.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use relay_proto::address::{Domain, ForwardPath};
use relay_proto::queue::Target;
use relay_proto::queued::{Attempt, Cause, Egress, Outcome, QueueId, Queued, Source, UnixMillis};
use tokio::sync::watch;

use crate::behaviour::Behaviour;
use crate::egress::Egresses;
use crate::message::Message;
use crate::notify::Notifier;
use crate::outbound::Outbound;
use crate::privacy::Redactor;
use crate::queue::World;
use crate::queue::world::{
    Attempted, Departure, NoConnection, NoRoute, Routed, Stored, Unreadable,
};
use crate::routing::{Host, RouteError, Router};
use crate::snapshot::Newest;
use crate::spool::{ReadError, Spool};

mod attempt;
mod connection;
mod search;
mod settle;
mod several;
mod ways;

pub(crate) use connection::Connection;
use search::Search;
pub(crate) use ways::Ways;

/// All that a delivery needs.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) spool: Spool,
    pub(crate) router: Router,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) egresses: Arc<Egresses>,
    pub(crate) notifier: Arc<Notifier>,
    /// Whose address is lent to the relay now.
    pub(crate) newest: watch::Receiver<Newest>,
    /// Is told what servers answer about customers' recipients.
    pub(crate) behaviour: Behaviour,
    /// What becomes of addresses in the log.
    pub(crate) redactor: Arc<Redactor>,
}

/// The servers of a domain, in the order to try.
pub(crate) type Hosts = Vec<Host>;

impl World for Delivery {
    type Route = Hosts;
    type Way = Ways;
    type Connection = Connection;
    type Content = Message;

    async fn read(&self, id: QueueId) -> Result<(Queued, Message), Unreadable> {
        let opened = self.spool.read(id).await.map_err(unreadable)?;
        Ok((opened.queued, opened.content))
    }

    async fn envelope(&self, id: QueueId) -> Result<Queued, Unreadable> {
        let (queued, _pending) = self.spool.envelope(id).await.map_err(unreadable)?;
        Ok(queued)
    }

    async fn settle(&self, queued: &Queued, attempts: &[Attempt]) -> io::Result<Vec<Stored>> {
        self.end(queued, attempts).await
    }

    async fn warn(
        &self,
        queued: &Queued,
        attempts: &[Attempt],
        until: UnixMillis,
    ) -> io::Result<Vec<Stored>> {
        self.tell_of_delay(queued, attempts, until).await
    }

    async fn discard(&self, id: QueueId, recipients: &[usize]) -> io::Result<()> {
        self.spool.finish(id, recipients);
        self.spool.flush().await.map_err(io::Error::other)
    }

    async fn route(&self, target: &Target) -> Result<Routed<Hosts>, NoRoute> {
        let domain = domain(target)?;
        let route = if target.policies_waived {
            self.router.route_whatever_is_demanded(&domain).await
        } else {
            self.router.route(&domain, target.original_dst).await
        };
        let route = route.map_err(|error| match error {
            RouteError::Never { status, text } => no_route(true, status, text),
            RouteError::NotNow { status, text } => no_route(false, status, text),
        })?;
        Ok(Routed {
            site: route.site.as_str().into(),
            route: route.hosts,
            until: route.until,
        })
    }

    fn way(&self, departure: &Departure, route: &Hosts) -> Result<(Arc<str>, Ways), Cause> {
        let departure = Departure {
            egress: self.allowed(departure),
            ..*departure
        };
        let ways = Ways::choose(&self.egresses, &departure, route);
        let ways = ways.map_err(|no_way| Cause::Local {
            status: no_way.status(),
            text: no_way.to_string(),
        })?;
        Ok((ways.name(), ways))
    }

    async fn open(
        &self,
        route: &Hosts,
        way: &Ways,
        queued: &Queued,
    ) -> Result<Connection, NoConnection> {
        let search = Search {
            outbound: &self.outbound,
            route,
            ways: way,
            queued,
        };
        search.run().await
    }

    fn serves(&self, connection: &Connection, route: &Hosts, queued: &Queued) -> bool {
        connection.serves(route, queued) && connection.is_safe_for(queued)
    }

    async fn attempt(
        &self,
        connection: &mut Connection,
        queued: &Queued,
        recipients: &[usize],
        content: Message,
    ) -> Attempted {
        let attempt = attempt::Transaction {
            outbound: &self.outbound,
            egresses: &self.egresses,
            queued,
            recipients,
            content: &content,
        };
        let attempted = attempt.run(connection).await;
        self.tell_of_answers(queued, &attempted.attempts);
        attempted
    }

    async fn close(&self, connection: Connection) {
        connection.close().await;
    }

    fn loggable(&self, text: String) -> String {
        self.redactor.address(&text)
    }
}

impl Delivery {
    fn tell_of_answers(&self, queued: &Queued, attempts: &[Attempt]) {
        let Source::Customer { address, .. } = &queued.source else {
            return;
        };
        let watched = self.behaviour.of(*address);
        for attempt in attempts {
            match &attempt.outcome {
                Outcome::Delivered { reply, .. } | Outcome::Failed(Cause::Reply(reply)) => {
                    watched.answered(reply);
                }
                Outcome::Deferred(_) | Outcome::Failed(Cause::Local { .. }) => {}
            }
        }
    }

    /// The egress that a message may take now. The right to a customer's address ends with its flag, and the edge would
    /// drop what used it; what is still queued then leaves from the relay.
    fn allowed(&self, departure: &Departure) -> Egress {
        let snapshot = self.newest.borrow();
        let (Some(snapshot), Some(customer), Egress::Customer) =
            (snapshot.as_ref(), departure.customer, departure.egress)
        else {
            return departure.egress;
        };
        let policy = snapshot.customer(customer);
        match policy.map(|policy| policy.egress) {
            Some(contract::Egress::Customer | contract::Egress::PoolOrCustomer) => Egress::Customer,
            Some(contract::Egress::Socks5) => Egress::Socks5,
            Some(contract::Egress::Pool) | None => Egress::Pool,
        }
    }
}

/// The domain that `text` names; a target has it as the queue compares it.
fn domain(target: &Target) -> Result<Domain, NoRoute> {
    if let ("", Some(original_dst)) = (target.domain.as_str(), target.original_dst) {
        // `<postmaster>`: whoever the customer was speaking to.
        return Ok(match original_dst.ip().to_canonical() {
            IpAddr::V4(address) => Domain::Ipv4(address),
            IpAddr::V6(address) => Domain::Ipv6(address),
        });
    }
    let path: Result<ForwardPath, _> = format!("<postmaster@{}>", target.domain).parse();
    match path {
        Ok(ForwardPath::Mailbox(mailbox)) => Ok(mailbox.domain().clone()),
        Ok(ForwardPath::Postmaster) | Err(_) => {
            Err(no_route(true, "5.1.2", "the address has no domain".into()))
        }
    }
}

fn no_route(never: bool, status: &'static str, text: String) -> NoRoute {
    NoRoute {
        never,
        cause: Cause::Local { status, text },
    }
}

fn unreadable(error: ReadError) -> Unreadable {
    match error {
        ReadError::NotFound => Unreadable::Gone,
        ReadError::Damaged | ReadError::Newer | ReadError::Io(_) => {
            Unreadable::NotNow(error.to_string())
        }
    }
}
