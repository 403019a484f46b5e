//! One address on one list, from the first look that found it to the one that confirmed that it is gone.

use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};

use super::Heard;

/// What stands of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was first found there.
    pub first_at: Timestamp,
    /// When it was last.
    pub last_at: Timestamp,
    /// When that was confirmed; `None` = a second look is due.
    pub opened_at: Option<Timestamp>,
    /// Since when it is not found there any more; `None` = it was at the last look.
    pub absent_at: Option<Timestamp>,
    /// Codes of the last look that found it.
    pub codes: Vec<Ipv4Addr>,
    /// The list's words at that look.
    pub words: String,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// It is there for the first time: somebody is to look again.
    Begins,
    /// It is there still, or again.
    Stays,
    /// It is there at the second look, too.
    Opens,
    /// It was not there at the second look.
    Forgets,
    /// It is gone for the first time: somebody is to look again.
    Doubts,
    /// It is gone at the second look, too.
    Closes,
}

impl Standing {
    /// What follows from what was heard; nothing is changed by it yet.
    #[must_use]
    pub fn hear(
        standing: Option<&Self>,
        heard: &Heard,
        at: Timestamp,
        confirm: SignedDuration,
    ) -> Step {
        let confirmed = |since: Timestamp| at.duration_since(since) >= confirm;
        match (standing, heard) {
            (_, Heard::Silent(_)) | (None, Heard::Absent) => Step::Nothing,
            (None, Heard::Named { .. }) => Step::Begins,
            (Some(it), Heard::Named { .. }) => match it.opened_at {
                None if confirmed(it.first_at) => Step::Opens,
                None | Some(_) => Step::Stays,
            },
            (Some(it), Heard::Absent) => match (it.opened_at, it.absent_at) {
                (None, _) => Step::Forgets,
                (Some(_), None) => Step::Doubts,
                (Some(_), Some(since)) if confirmed(since) => Step::Closes,
                (Some(_), Some(_)) => Step::Nothing,
            },
        }
    }

    /// When the look that confirms is due; `None` = nothing is to be confirmed.
    #[must_use]
    pub fn second_look(&self, confirm: SignedDuration) -> Option<Timestamp> {
        let since = match self.opened_at {
            None => self.first_at,
            Some(_) => self.absent_at?,
        };
        Some(since.checked_add(confirm).unwrap_or(Timestamp::MAX))
    }
}
