//! Terms of standing flags: their ends and reviews, and that some stand for ever.
//!
//! Relays are told when a flag ends, so each change of a term is a new generation.

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{Controller, Problem, clock, state::State, views};
use crate::{
    api::view::{DecisionRequest, ExtensionRequest, FlagChangeView, FlagView},
    policy::dial::{
        Flag, FlagId, Proposal, REASON_OCTETS, Refusal, duration, line, term::read_person,
    },
    store::{audit::Kind, drains::Word},
};

impl Controller {
    /// Moves a flag's end, or the review of one that stands for ever.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if it is not active, [`Problem::Usage`], [`Problem::Guard`] for what it may not be.
    pub async fn extend_flag(&self, id: FlagId, request: &ExtensionRequest) -> Result<(), Problem> {
        let word = decision(&request.actor, &request.reason)?;
        let (life, review) = (request.life.as_deref(), request.review.as_deref());
        self.change_term(id, Kind::FlagExtended, word, |terms, word| {
            match (life, review) {
                (Some(life), None) => terms.extended(life, word.at),
                (None, Some(review)) => terms.reviewed(review, word.at),
                (None, None) | (Some(_), Some(_)) => Err(Refusal::Usage(String::from(
                    "say either --for, how long the flag is to live from now on, or --review, when one that stands for \
                     ever is to be looked at again",
                ))),
            }
        })
        .await
    }

    /// Makes a flag stand for ever, as somebody else has asked for.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if it is not active, [`Problem::Guard`] where nothing waits for it, to whoever has asked for
    /// it, and without a reason or an actor.
    pub async fn approve_flag(&self, id: FlagId, request: &DecisionRequest) -> Result<(), Problem> {
        let word = decision(&request.actor, &request.reason)?;
        self.change_term(id, Kind::FlagApproved, word, |terms, word| {
            terms.approved(&word.by, word.at)
        })
        .await
    }

    /// Leaves a flag its end, although somebody has asked for it to stand for ever.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if it is not active, [`Problem::Guard`] where nothing waits for it, and without a reason or
    /// an actor.
    pub async fn reject_flag(&self, id: FlagId, request: &DecisionRequest) -> Result<(), Problem> {
        let word = decision(&request.actor, &request.reason)?;
        self.change_term(id, Kind::FlagRejected, word, |terms, word| {
            terms.rejected(&word.by, word.at)
        })
        .await
    }

    /// Active flags that end, or are to be looked at again, within a while; the first one first, at most so many.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`] for what is no while.
    pub async fn flags_due(&self, within: &str, at_most: u32) -> Result<Vec<FlagView>, Problem> {
        let until = duration(within).and_then(|while_| clock().checked_add(while_).ok());
        let until = until.ok_or_else(|| {
            Problem::Usage(format!("--due {within}: not a duration, as 24h or 7d"))
        })?;
        let state = self.lock().await;
        let due = state.flags.due_until(until).take(at_most as usize);
        Ok(due
            .map(|flag| views::view(&state, flag.clone(), Vec::new()))
            .collect())
    }

    /// What happened to every flag there ever was of a prefix, the newest first.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if there never was one.
    pub async fn prefix_history(&self, prefix: IpNetwork) -> Result<Vec<FlagChangeView>, Problem> {
        let rows = self.store.trail_of_prefix(prefix, CHANGES_MOST).await?;
        if rows.is_empty() {
            return Err(Problem::NotFound(format!(
                "{prefix} is not flagged and never was; `outgate flag ls` lists who is"
            )));
        }
        let changes = rows.iter().filter_map(|row| {
            let flag = row.subject.strip_prefix("flag:")?.parse().ok()?;
            Some(FlagChangeView {
                flag: FlagId(flag),
                change: views::history(row),
            })
        });
        Ok(changes.collect())
    }

    /// Tells that flags that stand for ever are to be looked at again.
    pub(super) async fn tell_reviews(
        &self,
        state: &mut State,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let due = state.flags.reviews_due(now);
        if due.is_empty() {
            return Ok(());
        }
        let generation = self.store.reviews_due(&due, now).await?;
        for flag in due {
            tracing::warn!(
                flag.id = flag.id.0,
                "a flag that stands for ever is to be looked at again"
            );
            let terms = flag.terms.with_review_told();
            state.flags.insert(Flag { terms, ..flag });
        }
        self.advance(state, generation).await
    }

    async fn change_term(
        &self,
        id: FlagId,
        kind: Kind,
        word: Word,
        change: impl FnOnce(&Proposal, &Word) -> Result<Proposal, Refusal>,
    ) -> Result<(), Problem> {
        self.unless_importing()?;
        let mut state = self.lock().await;
        let flag = self.active_flag(&state, id).await?.clone();
        let terms = change(&flag.terms, &word)?;
        let stored = self.store.change_term(&flag, &terms, kind, &word);
        let generation = stored.await?;
        tracing::info!(
            flag.id = id.0,
            flag.actor = word.by,
            expires_at = %terms.expires_at,
            "{}",
            kind.name()
        );
        state.flags.insert(Flag { terms, ..flag });
        if let Err(error) = self.advance(&mut state, generation).await {
            // It is stored; saying that it was refused would be wrong.
            tracing::error!(flag.id = id.0, %error, "a flag's term is stored, but relays were not told yet");
        }
        Ok(())
    }
}

/// Who decides something, and why.
pub(super) fn decision(actor: &str, reason: &str) -> Result<Word, Problem> {
    let by = read_person(actor)?;
    if reason.trim().is_empty() {
        let text = "this needs a reason, for the trail";
        return Err(Problem::Guard(String::from(text)));
    }
    Ok(Word {
        at: clock(),
        by,
        reason: line("reason", reason, REASON_OCTETS)?,
    })
}

/// So much of a prefix's history is told.
const CHANGES_MOST: u32 = 1000;
