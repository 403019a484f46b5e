//! When a notification is due (RFC 3461 sections 4.1, 5.2 and 6).

use core::time::Duration;

use super::{Action, Notice, Told, Words};
use crate::address::Mailbox;
use crate::envelope::{Notify, Recipient};
use crate::queued::{Attempt, Outcome, Queued, UnixMillis};

/// Why there is no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Untold {
    /// There is nothing that the sender wants to be told.
    NothingToTell,
    /// The reverse-path is null: it is a notification itself, or its sender wants none.
    NullReversePath,
    /// Nobody vouches for the reverse-path, so whoever stands there may never have sent anything. What would have been
    /// told is an event for the log.
    NotVouched,
}

/// Whether the attempt at `age` is the one whose failure makes the warning of delay, which is sent once: the first at
/// or behind `after`. `previous` is the age at the attempt before it by the schedule. Nothing is kept about a warning
/// that was sent; the schedule follows from the age alone, so this holds over restarts.
#[must_use]
pub fn delay_is_due(after: Duration, previous: Duration, age: Duration) -> bool {
    previous < after && after <= age
}

impl<'a> Notice<'a> {
    /// What the sender is told at the end of these recipients. [`Outcome::Deferred`] among `attempts` means that
    /// the time is up: there will be no further attempt.
    pub fn of_the_end(queued: &'a Queued, attempts: &'a [Attempt]) -> Result<Self, Untold> {
        Self::of(queued, attempts, |notify, outcome| match outcome {
            Outcome::Delivered { reply, dsn: false } if notify.success => {
                Some((Action::Relayed, Words::Taken(reply)))
            }
            // Its server promised to tell, or the sender did not ask.
            Outcome::Delivered { .. } => None,
            Outcome::Failed(cause) => notify
                .failure
                .then_some((Action::Failed, Words::Final(cause))),
            Outcome::Deferred(cause) => notify
                .failure
                .then_some((Action::Failed, Words::NotYet(cause))),
        })
    }

    /// What the sender is told while the relay still tries, until `until`. Only [`Outcome::Deferred`] counts.
    pub fn of_delay(
        queued: &'a Queued,
        attempts: &'a [Attempt],
        until: UnixMillis,
    ) -> Result<Self, Untold> {
        Self::of(queued, attempts, |notify, outcome| match outcome {
            Outcome::Deferred(cause) => notify
                .delay
                .then_some((Action::Delayed { until }, Words::NotYet(cause))),
            Outcome::Delivered { .. } | Outcome::Failed(_) => None,
        })
    }

    fn of(
        queued: &'a Queued,
        attempts: &'a [Attempt],
        judge: impl Fn(Notify, &'a Outcome) -> Option<(Action, Words<'a>)>,
    ) -> Result<Self, Untold> {
        let told: Vec<_> = attempts
            .iter()
            .filter_map(|attempt| {
                let recipient = queued.recipients.get(attempt.recipient)?;
                let (action, words) = judge(wanted(recipient), &attempt.outcome)?;
                Some(Told {
                    recipient,
                    action,
                    words,
                    remote: attempt.remote.as_ref(),
                })
            })
            .collect();
        if told.is_empty() {
            return Err(Untold::NothingToTell);
        }
        let sender: &Mailbox = queued
            .mail
            .reverse_path
            .mailbox()
            .ok_or(Untold::NullReversePath)?;
        if !queued.may_notify {
            return Err(Untold::NotVouched);
        }
        Ok(Self {
            queued,
            sender,
            told,
        })
    }
}

/// Without NOTIFY, failures and delays may be told (RFC 3461 section 4.1).
fn wanted(recipient: &Recipient) -> Notify {
    recipient.notify.unwrap_or(Notify {
        success: false,
        failure: true,
        delay: true,
    })
}
