//! What the queue asks of the rest of the relay: the spool, routes, egress, delivery and notifications.
//!
//! The driver knows nothing of DNS, SMTP or disks; it is tested with a world that has none of them.
//!
//! # Diagnostics
//! Everything is returned. What panics in here costs the one attempt that it was asked for.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use relay_proto::queue::{Fault, Target};
use relay_proto::queued::{Attempt, Cause, Egress, QueueId, Queued, Remote, UnixMillis};
use tokio::time::Instant;

/// The rest of the relay.
pub trait World: Send + Sync + 'static {
    /// The servers of a domain, in the order to try, and what their TLS must show.
    type Route: Send + Sync + 'static;
    /// An address, name or proxy to leave from.
    type Way: Send + Sync + 'static;
    /// A session with a server that takes commands.
    type Connection: Send + 'static;
    /// A message's content.
    type Content: Send + 'static;

    /// A message, to be attempted.
    fn read(
        &self,
        id: QueueId,
    ) -> impl Future<Output = Result<(Queued, Self::Content), Unreadable>> + Send;

    /// A message without its content.
    fn envelope(&self, id: QueueId) -> impl Future<Output = Result<Queued, Unreadable>> + Send;

    /// Ends recipients: they are done in the spool, and who wants to be told (RFC 3461) is told, both durable together
    /// or neither. [`Deferred`](relay_proto::queued::Outcome::Deferred) among the attempts means that their time is up.
    /// Returns the notifications, which are in the spool now. Where there is none to make, this needs no disk.
    fn settle(
        &self,
        queued: &Queued,
        attempts: &[Attempt],
    ) -> impl Future<Output = io::Result<Vec<Stored>>> + Send;

    /// Tells the sender, if it may be told (the queue has looked at the message's age only), that these recipients do not have the message yet, and until when the relay
    /// tries. Called once in the life of a message's domain, at most.
    fn warn(
        &self,
        queued: &Queued,
        attempts: &[Attempt],
        until: UnixMillis,
    ) -> impl Future<Output = io::Result<Vec<Stored>>> + Send;

    /// Ends recipients because a person says so: nobody is told. Durable when it returns.
    fn discard(
        &self,
        id: QueueId,
        recipients: &[usize],
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Where mail for `target` goes.
    fn route(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<Routed<Self::Route>, NoRoute>> + Send;

    /// Where a message leaves from on this route, and the name of that. Two ways with one name are the same: whoever
    /// takes one connection may use it for the other, so the name of a customer's own address tells the customer. Asked
    /// when the message is due, and again when a connection is opened for it, so it takes nothing from an allowance; it
    /// must not block.
    fn way(
        &self,
        departure: &Departure,
        route: &Self::Route,
    ) -> Result<(Arc<str>, Self::Way), Cause>;

    /// A connection to one of the route's servers, with what the route demands of its TLS.
    fn open(
        &self,
        route: &Self::Route,
        way: &Self::Way,
        queued: &Queued,
    ) -> impl Future<Output = Result<Self::Connection, NoConnection>> + Send;

    /// Whether an open connection may carry this message: its server is one of the route's, it shows what the route
    /// demands, and it has what the message needs. The route may be another domain's at the same site.
    fn serves(&self, connection: &Self::Connection, route: &Self::Route, queued: &Queued) -> bool;

    /// One transaction. Yields an attempt for each of `recipients` (indices of [`Queued::recipients`]); one that is
    /// missing counts as deferred.
    fn attempt(
        &self,
        connection: &mut Self::Connection,
        queued: &Queued,
        recipients: &[usize],
        content: Self::Content,
    ) -> impl Future<Output = Attempted> + Send;

    /// A server's words as they may stand in the log: servers like to name the mailbox.
    fn loggable(&self, text: String) -> String {
        text
    }

    /// Takes leave of the server. Bounded in time.
    fn close(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
}

/// Something that the spool has taken on the queue's behalf.
#[derive(Debug, Clone)]
pub struct Stored {
    /// It.
    pub queued: Queued,
    /// Octets of its content.
    pub octets: u64,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Nothing of it is left to do.
    #[error("not in the spool")]
    Gone,
    /// It cannot be read now; text for people.
    #[error("{0}")]
    NotNow(String),
}

/// A route, and how long it holds.
#[derive(Debug)]
pub struct Routed<Route> {
    /// The servers.
    pub route: Route,
    /// Name of the set of servers: limits, back-off and connections are shared by all routes of one site. An original
    /// destination that is none of the domain's servers belongs into the name.
    pub site: Arc<str>,
    /// When it must be looked up again.
    pub until: Instant,
}

/// There is no way to a domain.
#[derive(Debug, Clone)]
pub struct NoRoute {
    /// There never will be; otherwise, not now.
    pub never: bool,
    /// Why.
    pub cause: Cause,
}

/// What an egress is chosen by.
#[derive(Debug, Clone, Copy)]
pub struct Departure {
    /// The message; the same at each attempt, for choices that must stick.
    pub id: QueueId,
    /// Who sent it; `None` = the relay itself.
    pub customer: Option<IpAddr>,
    /// The policy's word.
    pub egress: Egress,
}

/// No server of a route takes commands.
#[derive(Debug, Clone)]
pub struct NoConnection {
    /// Why.
    pub cause: Cause,
    /// It is for good, for this message: a requirement that cannot be met ever.
    pub never: bool,
    /// Who said so, if anybody.
    pub remote: Option<Remote>,
    /// Whose fault it is.
    pub fault: Fault,
}

/// What came of a transaction.
#[derive(Debug)]
pub struct Attempted {
    /// What became of each recipient.
    pub attempts: Vec<Attempt>,
    /// The connection takes another transaction.
    pub reusable: bool,
    /// The server, or the network before it, has shown that it is strained: 421, a time-out, a connection lost. Not what
    /// it says of a message or a mailbox.
    pub fault: Option<Fault>,
}
