//! Enhanced status codes of what is told (RFC 3463), and what a person can do about each.

use super::{Action, Told, Words};
use crate::queued::Cause;
use crate::reply::Reply;

impl Told<'_> {
    /// Its `Status`.
    #[must_use]
    pub fn status(&self) -> String {
        match (self.words, self.action) {
            // RFC 3463 section 3.5: the time is up, whatever kept it from being delivered.
            (Words::NotYet(_), Action::Failed) => EXPIRED.to_owned(),
            (Words::Taken(reply), _) => of_reply(reply),
            (Words::Final(cause) | Words::NotYet(cause), _) => match cause {
                Cause::Reply(reply) => of_reply(reply),
                Cause::Local { status, text: _ } => (*status).to_owned(),
            },
        }
    }

    /// Whether its server said so itself.
    fn is_by_reply(&self) -> bool {
        match self.words {
            Words::Taken(_) => true,
            Words::Final(cause) | Words::NotYet(cause) => match cause {
                Cause::Reply(_) => true,
                Cause::Local { .. } => false,
            },
        }
    }

    /// What the sender can do about a failure.
    pub(super) fn advice(&self) -> &'static str {
        let status = self.status();
        let mut parts = status.splitn(2, '.');
        let (class, detail) = (parts.next(), parts.next().unwrap_or(""));
        match (class, detail) {
            (Some("4"), "4.7") => {
                "Its mail server could not be reached, or did not take the message, for all this time. Check the \
                 part of the address behind the @, and send the message again later."
            }
            (_, "1.1" | "1.3" | "1.6" | "2.1") => {
                "There is no such mailbox, or it is closed. Check the address for a misspelling, or ask the \
                 recipient for another one."
            }
            (_, "1.2" | "1.10" | "4.4") => {
                "The part of the address behind the @ is wrong, or takes no mail. Check it for a misspelling."
            }
            (_, "2.2") => {
                "The mailbox is full. Send the message again later, or tell the recipient by another way."
            }
            (_, "2.3" | "3.4") => {
                "The message is too large for the recipient's server. Send it again with smaller attachments, or put \
                 them where the recipient can fetch them."
            }
            (_, "4.6") => {
                "The message went in a circle. Tell the recipient's postmaster: a forwarding there leads back to itself."
            }
            (_, "6.7" | "6.8" | "6.9") => {
                "The recipient's server does not take addresses or headers with characters outside ASCII. Ask the \
                 recipient for an address without them."
            }
            (_, "7.30") => {
                "The message was sent with the demand that it travel encrypted on all of its way (REQUIRETLS), and the \
                 recipient's server does not promise that. Send it without the demand, or tell the recipient by another \
                 way."
            }
            (_, "7.10") if !self.is_by_reply() => {
                "The message was sent with the demand that it travel encrypted on all of its way (REQUIRETLS), and no \
                 such connection to the recipient's servers comes about. Send it without the demand, or tell the \
                 recipient by another way."
            }
            (_, detail) if detail.starts_with("7.") && self.is_by_reply() => {
                "The recipient's server refuses the message by its rules; its words above say which. If you \
                 cannot tell what to change, ask the recipient's postmaster by another way."
            }
            _ => {
                "The words above say what was wrong. When that has been put right, send the message again."
            }
        }
    }
}

fn of_reply(reply: &Reply) -> String {
    match reply.enhanced() {
        Some(enhanced) => enhanced.to_owned(),
        // A server without enhanced codes: the class is all that is known.
        None => format!("{}.0.0", reply.code().value() / 100),
    }
}

const EXPIRED: &str = "4.4.7";
