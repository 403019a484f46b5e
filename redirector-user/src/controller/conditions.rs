//! Changes that say what they take for granted, and changes that may be asked for twice.
//!
//! What is taken for granted is judged under the one lock, together with the change itself.

use tokio::time::{Instant, timeout_at};

use super::{Controller, IN_FORCE_WITHIN, NewFlag, Problem, clock, flags::pool_terms};
use crate::{
    policy::{
        condition::{Condition, Revision},
        dial::{Flag, FlagId, FlagRequest, Proposal},
    },
    store::flags::subject,
};

/// What became of a wish.
#[derive(Clone, Debug)]
pub struct SetFlag {
    /// The flag that stands now.
    pub new: NewFlag,
    /// What was done for it.
    pub done: Done,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// There was no flag.
    Added,
    /// There was another.
    Replaced,
    /// It was so already.
    Nothing,
}

impl Controller {
    /// Sees to it that a prefix has this flag. One that says the same already stays as it is, and does not live longer.
    ///
    /// # Errors
    ///
    /// As [`Controller::add_flag`], and [`Problem::Changed`] if the condition does not hold.
    pub async fn set_flag(
        &self,
        request: &FlagRequest,
        condition: &Condition,
    ) -> Result<SetFlag, Problem> {
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let pools = pool_terms(&self.config);
        let (id, done) = {
            self.unless_importing()?;
            let mut state = self.lock().await;
            let proposal = Proposal::read(request, &pools, clock())?;
            let standing = state.flags.on(proposal.prefix).cloned();
            let id = standing.as_ref().map(|flag| flag.id);
            self.must_hold(condition, id).await?;
            match standing {
                Some(flag) if says_the_same(&flag, &proposal) => (flag.id, Done::Nothing),
                Some(_) => (self.put_flag(&mut state, &proposal).await?, Done::Replaced),
                None => (self.put_flag(&mut state, &proposal).await?, Done::Added),
            }
        };
        let new = self.in_force_by(id, deadline).await?;
        Ok(SetFlag { new, done })
    }

    /// Waits until a stored flag is in force, or the time is over.
    async fn in_force_by(&self, id: FlagId, deadline: Instant) -> Result<NewFlag, Problem> {
        let mut passes = self.passes.subscribe();
        loop {
            passes.mark_unchanged();
            let new = self.standing_of(id).await?;
            if new.flag.activated_at.is_some()
                || Instant::now() >= deadline
                || *self.stopping.borrow()
            {
                return Ok(new);
            }
            tokio::select! {
                // Either way the flag is looked at once more.
                _pass = timeout_at(deadline, passes.changed()) => {}
                () = self.stopped() => {}
            }
        }
    }

    /// Which state a flag is in.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn revision(&self, flag: FlagId) -> Result<Revision, Problem> {
        let rows = self.store.rows_about(&subject(flag)).await?;
        Ok(Revision { flag, rows })
    }

    /// Judges a condition; `standing` is the flag that there is. The caller holds the lock.
    pub(super) async fn must_hold(
        &self,
        condition: &Condition,
        standing: Option<FlagId>,
    ) -> Result<(), Problem> {
        if *condition == Condition::Always {
            return Ok(());
        }
        let revision = match standing {
            Some(id) => Some(self.revision(id).await?),
            None => None,
        };
        if condition.holds(revision) {
            return Ok(());
        }
        Err(Problem::Changed(match standing {
            Some(id) => format!(
                "flag {id} is not what the condition says, so nothing was done; look at /v1/flags/{id} again, and send \
                 its ETag"
            ),
            None => String::from(
                "there is no such flag any more, so nothing was done; leave the condition out to flag anew",
            ),
        }))
    }
}

/// Whether a flag is what a proposal would make of it, but for when and by whom it was asked for.
pub(super) fn says_the_same(flag: &Flag, proposal: &Proposal) -> bool {
    // One that stands for ever has another end than one that is to, and is asked for alike.
    let life = |terms: &Proposal| match &terms.for_ever {
        Some(for_ever) => Err(for_ever.review_s),
        None => Ok(terms.expires_at.at().duration_since(terms.created_at.at())),
    };
    does_the_same(flag, proposal) && life(&flag.terms) == life(proposal)
}

/// The same, however long either stands. A rule's is not a person's: it may be lifted by itself.
pub(super) fn does_the_same(flag: &Flag, proposal: &Proposal) -> bool {
    let terms = &flag.terms;
    terms.cause.is_none()
        && terms.action == proposal.action
        && terms.reason == proposal.reason
        && terms.ticket == proposal.ticket
        && terms.quiet == proposal.quiet
        && terms.grace_s == proposal.grace_s
}
