//! Turning the dial: adding, lifting and ending flags.

use std::sync::Arc;

use contract::Generation;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    Controller, IN_FORCE_WITHIN, Problem,
    changes::{TOGETHER_MAX, Wish},
    clock, since,
    state::State,
    views::told,
};
use crate::{
    api::view::FlagView,
    config::Config,
    metrics::Change,
    policy::{
        condition::Condition,
        dial::{Ended, Flag, FlagId, FlagRequest, PoolTerms, Proposal},
        guards::Guards,
        rules::{ACTOR_PREFIX, Conduct},
    },
    store::{
        StoreError,
        audit::{Kind, OUTGATED},
        flags::Added,
    },
};

/// What became of a request for a flag.
#[derive(Clone, Debug)]
pub struct NewFlag {
    /// The flag; in force if it has been activated.
    pub flag: Flag,
    /// The same as it is told, without its history: who asked for a change waits for nobody else to hear of it.
    pub view: FlagView,
}

/// A flag that is about to end, and what is remembered of its customer then.
type Ending = (Flag, Option<(IpNetwork, Conduct)>);

impl NewFlag {
    pub(super) fn of(state: &State, flag: Flag) -> Self {
        let view = told(state, flag.clone(), Vec::new());
        Self { flag, view }
    }
}

impl Controller {
    /// Stores a flag and puts it into force. Returns once the kernel has it, or after
    /// `IN_FORCE_WITHIN`: the flag is stored then, and comes into force as soon as it can.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`]: nothing is stored. What the kernel answers is a problem only
    /// after the flag is stored, and is tried again with the next pass.
    pub async fn add_flag(&self, request: &FlagRequest) -> Result<NewFlag, Problem> {
        self.add_flag_after(request, None).await
    }

    /// The same, with what was seen of the customer before it was let out: a row of the trail, stored with the flag.
    pub(super) async fn add_flag_after(
        &self,
        request: &FlagRequest,
        prechecked: Option<serde_json::Value>,
    ) -> Result<NewFlag, Problem> {
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let mut passes = self.passes.subscribe();
        self.unless_importing()?;
        let wish = Wish::Add(Box::new(request.clone()), prechecked);
        let mut new = self.fulfil(wish).await?;
        loop {
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
            new = self.standing_of(new.flag.id).await?;
        }
    }

    /// The way of one flag into store and kernel: judges it by the guards, stores it, and begins to put it into force.
    pub(super) async fn put_flag(
        &self,
        state: &mut State,
        proposal: &Proposal,
    ) -> Result<FlagId, Problem> {
        self.admit(state, proposal, 0)?;
        let added = self.store.add(proposal).await?;
        let generation = added.flag.generation;
        let id = note_added(state, added);
        if let Err(error) = self.advance(state, generation).await {
            // It is stored, so it will come into force; saying that it was refused would be wrong.
            tracing::error!(flag.id = id.0, %error, "flag stored, but the kernel does not have it yet");
        }
        Ok(id)
    }

    /// Judges a flag by the guards, where so many more prefixes are about to be flagged.
    pub(super) fn admit(
        &self,
        state: &State,
        proposal: &Proposal,
        more: usize,
    ) -> Result<(), Problem> {
        self.guards(state).check_flag(proposal)?;
        match state.flags.on(proposal.prefix) {
            Some(_) => Ok(()),
            None => self.room_for(state, more + 1),
        }
    }

    /// Lifts a flag. Its connections keep their relay until they end; new ones go free at once.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if it never was, or has ended, [`Problem::Guard`] without a reason, [`Problem::Changed`] if the
    /// condition does not hold.
    pub async fn lift_flag(
        &self,
        id: FlagId,
        actor: &str,
        reason: &str,
        condition: &Condition,
    ) -> Result<NewFlag, Problem> {
        let (actor, reason) = (actor.trim(), reason.trim());
        if reason.is_empty() || actor.is_empty() {
            return Err(Problem::Guard(String::from(
                "lifting a flag needs a reason and an actor, for the trail",
            )));
        }
        if actor.starts_with(ACTOR_PREFIX) {
            return Err(Problem::Usage(format!(
                "actor {actor:?}: {ACTOR_PREFIX} names what rules do by themselves; say who you are"
            )));
        }
        self.unless_importing()?;
        let wish = Wish::Lift(id, actor.to_owned(), reason.to_owned(), condition.clone());
        self.fulfil(wish).await
    }

    /// A flag that has not ended.
    pub(super) async fn active_flag<'state>(
        &self,
        state: &'state State,
        id: FlagId,
    ) -> Result<&'state Flag, Problem> {
        let active = state.flags.get(&id).filter(|flag| flag.ended.is_none());
        if let Some(flag) = active {
            return Ok(flag);
        }
        Err(Problem::NotFound(match self.store.flag(id).await? {
            Some(_) => {
                format!("flag {id} has ended already; `outgate flag show {id}` says how")
            }
            None => format!("no flag {id}; `outgate flag ls` lists the active ones"),
        }))
    }

    /// Ends the flags and exemptions whose time has come, and tells of reviews; answers with the next time to look.
    pub(super) async fn expire_flags(&self) -> Result<Option<Timestamp>, Problem> {
        if self.unless_importing().is_err() {
            // A little later is soon enough.
            return Ok(None);
        }
        let mut state = self.lock().await;
        let now = clock();
        let expired = |id| {
            let ended = Ended {
                at: now,
                by: String::from(OUTGATED),
                reason: String::from("expired"),
            };
            (id, ended)
        };
        // What came with one file ends at one moment, and may be a million: in between, others get the lock.
        let due = state.flags.due(now).take(TOGETHER_MAX);
        let due = due.map(expired).collect();
        self.end_flags(&mut state, due, Kind::FlagExpired).await?;
        self.tell_reviews(&mut state, now).await?;
        let next_end = self.end_exemptions(&mut state, now).await?;
        let next_bypass = self.end_bypasses(&mut state, now).await?;
        let (expiry, review) = (state.flags.next_expiry(), state.flags.next_review());
        let next = [expiry, review, next_end, next_bypass];
        Ok(next.into_iter().flatten().min())
    }

    pub(super) async fn end_flag(
        &self,
        state: &mut State,
        id: FlagId,
        kind: Kind,
        ended: Ended,
    ) -> Result<(), Problem> {
        self.end_flags(state, vec![(id, ended)], kind).await
    }

    /// Ends flags, at most [`TOGETHER_MAX`], in one change and one pass over the kernel.
    pub(super) async fn end_flags(
        &self,
        state: &mut State,
        ends: Vec<(FlagId, Ended)>,
        kind: Kind,
    ) -> Result<(), Problem> {
        if ends.is_empty() {
            return Ok(());
        }
        let ending = |(id, ended): &(FlagId, Ended)| {
            let flag = state.flags.get(id).cloned()?;
            let conduct = self.conduct_after(state, &flag, ended);
            Some((flag, conduct))
        };
        let ending: Vec<Option<Ending>> = ends.iter().map(ending).collect();
        let mut newest = match self.store_ends(&ends, &ending, kind).await {
            Ok(generation) => generation,
            // Stored by an attempt whose answer was lost: what is left to do is the kernel's part.
            Err(StoreError::AlreadyEnded(_)) if ends.len() == 1 => state.generation,
            // The others are not to suffer for one.
            Err(StoreError::AlreadyEnded(_)) => {
                for one in ends {
                    Box::pin(self.end_flags(state, vec![one], kind)).await?;
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut diverted = false;
        for ((_, ended), known) in ends.iter().zip(ending) {
            if let Some((flag, conduct)) = known {
                diverted |= note_ended(state, &flag, ended, kind, conduct);
                let restored = self.restore_beneath(state, &flag, ended).await?;
                newest = restored.unwrap_or(newest);
            }
        }
        self.enforce(state, newest, diverted).await?;
        let now = clock();
        let after = ends.iter().map(|(_, ended)| since(ended.at, now));
        self.metrics().in_force(Change::Lift, after);
        Ok(())
    }

    async fn store_ends(
        &self,
        ends: &[(FlagId, Ended)],
        known: &[Option<Ending>],
        kind: Kind,
    ) -> Result<Generation, StoreError> {
        let mut change = self.store.change().await?;
        for ((id, ended), known) in ends.iter().zip(known) {
            let prefix = known.as_ref().map(|(flag, _)| flag.terms.prefix);
            let conduct = known.as_ref().and_then(|(_, conduct)| conduct.as_ref());
            let conduct = conduct.map(|(customer, conduct)| (*customer, conduct));
            change.end(*id, prefix, kind, ended, conduct).await?;
        }
        change.commit().await
    }

    /// A new generation, after flags have come and gone. Of customers that were diverted, those with open connections
    /// decide what lingers, and the last sweep may be seconds old.
    pub(super) async fn enforce(
        &self,
        state: &mut State,
        generation: Generation,
        diverted: bool,
    ) -> Result<(), Problem> {
        if diverted {
            let report = self.kernel.call(|edge| edge.sweep()).await??;
            state.live_customers = report.customers;
            state.relay_flows = report.by_relay;
            state.flows = report.live;
        }
        self.advance(state, generation).await
    }

    /// Whether so many more prefixes can be flagged.
    pub(super) fn room_for(&self, state: &State, more: usize) -> Result<(), Problem> {
        let (active, policies_max) = (state.flags.active(), self.config.edge.policies_max);
        if active + more + state.spared.len() <= policies_max as usize {
            return Ok(());
        }
        Err(Problem::Guard(format!(
            "{active} prefixes are flagged, and {more} more are beyond edge.policies_max, which is {policies_max}; \
             raise it and restart outgated"
        )))
    }

    pub(super) fn guards(&self, state: &State) -> Guards {
        Guards {
            customer_prefixes: self.config.customer_prefixes.clone(),
            protected: Arc::clone(&state.protected),
            reserved: self.config.health.reserved.clone(),
            exemptions: Arc::clone(&state.exemptions),
            now: clock(),
        }
    }

    pub(super) async fn standing_of(&self, id: FlagId) -> Result<NewFlag, Problem> {
        let state = self.lock().await;
        match state.flags.get(&id).filter(|flag| flag.ended.is_none()) {
            Some(flag) => Ok(NewFlag::of(&state, flag.clone())),
            None => Err(Problem::Busy(format!(
                "flag {id} was lifted or replaced while it was coming into force"
            ))),
        }
    }
}

/// Takes a stored flag into the state.
pub(super) fn note_added(state: &mut State, added: Added) -> FlagId {
    let flag = added.flag;
    let (id, generation) = (flag.id, flag.generation);
    tracing::info!(
        flag.id = id.0, flag.prefix = %flag.terms.prefix, flag.action = flag.terms.action.name(),
        flag.actor = &*flag.terms.actor, generation = generation.0, "flag added"
    );
    if let Some(replaced) = added.replaced {
        state.flags.insert(replaced);
    }
    state.flags.insert(flag);
    id
}

/// Takes an ended flag out of the state, and what is remembered of its customer in; whether it diverted.
pub(super) fn note_ended(
    state: &mut State,
    flag: &Flag,
    ended: &Ended,
    kind: Kind,
    conduct: Option<(IpNetwork, Conduct)>,
) -> bool {
    tracing::info!(
        flag.id = flag.id.0,
        flag.actor = ended.by,
        "{}",
        kind.name()
    );
    state.forget(flag.id);
    state.conduct.extend(conduct);
    flag.terms.action.redirect().is_some()
}

/// The configured pools, as far as a flag depends on them.
pub(crate) fn pool_terms(config: &Config) -> Vec<PoolTerms> {
    let pools = config.pools.iter().map(|pool| PoolTerms {
        name: pool.name.clone(),
        via: pool.via,
        third_party: pool.third_party,
    });
    pools.collect()
}
