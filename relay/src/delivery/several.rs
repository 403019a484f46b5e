//! One transaction, or as many as the server's limits need (RFC 9422).
//!
//! A server that names RCPTMAX is told of no more recipients at once; the others follow in transactions of their own. One
//! whose MAILMAX or RCPTDOMAINMAX is used up is left and connected to again.

use relay_proto::queue::Fault;
use relay_proto::queued::{Attempt, Cause, Outcome};

use super::Connection;
use super::attempt::Transaction;
use crate::queue::world::Attempted;

impl Transaction<'_> {
    /// Runs it for all of its recipients.
    pub(super) async fn run(&self, connection: &mut Connection) -> Attempted {
        let mut whole = Attempted {
            attempts: Vec::new(),
            reusable: true,
            fault: None,
        };
        let mut rest = self.recipients;
        while !rest.is_empty() {
            if !whole.reusable {
                // Another connection would be another attempt, which the queue is to make.
                whole
                    .attempts
                    .extend(rest.iter().map(|&place| not_reached(place)));
                break;
            }
            let at_once = connection.upstream.recipients_at_once();
            let (now, later) = rest.split_at(rest.len().min(at_once));
            let part = Transaction {
                recipients: now,
                ..*self
            };
            let attempted = part.once(connection).await;
            whole.attempts.extend(attempted.attempts);
            whole.reusable = attempted.reusable;
            whole.fault = worse(whole.fault, attempted.fault);
            rest = later;
        }
        whole
    }
}

fn worse(earlier: Option<Fault>, latest: Option<Fault>) -> Option<Fault> {
    latest.or(earlier)
}

fn not_reached(recipient: usize) -> Attempt {
    Attempt {
        recipient,
        outcome: Outcome::Deferred(Cause::Local {
            status: "4.4.2",
            text: "the server went away before this recipient's turn".into(),
        }),
        remote: None,
    }
}
