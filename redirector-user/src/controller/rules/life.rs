//! What happens to a customer when a flag ends that a rule had made, or may be wrong.

use contract::Generation;
use ipnetwork::IpNetwork;

use super::super::{Controller, Problem, clock, state::State};
use super::word;
use crate::{
    policy::{
        dial::{Ended, Flag, FlagId, Proposal},
        rules::{ACTOR_PREFIX, Conduct, Ending, rule_of},
    },
    store::audit::{Kind, OUTGATED},
};

impl Controller {
    /// Something that a relay held under a flag was released by a person: the flag stays, and is on probation.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if no such flag is active, [`Problem::Guard`] without a reason or an actor.
    pub async fn released(&self, flag: FlagId, by: &str, reason: &str) -> Result<(), Problem> {
        let word = word(by, reason)?;
        let mut state = self.lock().await;
        let active = state.flags.get(&flag).filter(|flag| flag.ended.is_none());
        let Some(active) = active else {
            return Err(Problem::NotFound(format!(
                "flag {flag} is not active; `outgate flag show {flag}` says how it ended"
            )));
        };
        let (customer, ends) = (active.terms.prefix, active.terms.expires_at);
        let actor = active.terms.actor.clone();
        let mut conduct = remembered(&state, customer);
        {
            let engine = self.ruling.engine();
            let rule = rule_of(&actor).and_then(|name| engine.rules().named(name));
            let ending = Ending {
                flag,
                rule,
                at: word.at,
                by: &word.by,
                why: &word.reason,
            };
            conduct.released(&ending, ends.at());
        }
        self.store
            .put_on_probation(customer, &conduct, flag, &word)
            .await?;
        tracing::info!(flag.id = flag.0, actor = word.by, "flag on probation");
        state.conduct.insert(customer, conduct);
        Ok(())
    }

    /// What is remembered of a customer whose flag ends like that; `None` if no rule had made it.
    pub(in crate::controller) fn conduct_after(
        &self,
        state: &State,
        flag: &Flag,
        ended: &Ended,
    ) -> Option<(IpNetwork, Conduct)> {
        let rule = rule_of(&flag.terms.actor)?;
        let customer = flag.terms.prefix;
        let mut conduct = remembered(state, customer);
        if by_itself(ended) {
            let engine = self.ruling.engine();
            conduct.ended_by_itself(&Ending {
                flag: flag.id,
                rule: engine.rules().named(rule),
                at: ended.at,
                by: &ended.by,
                why: &ended.reason,
            });
        } else {
            conduct.lifted_by_person(ended.at);
        }
        Some((customer, conduct))
    }

    /// Puts a person's flag back that a rule's has stood in the place of, for the rest of its life.
    pub(in crate::controller) async fn restore_beneath(
        &self,
        state: &mut State,
        flag: &Flag,
        ended: &Ended,
    ) -> Result<Option<Generation>, Problem> {
        let cause = flag.terms.cause.as_deref();
        let beneath = cause.and_then(|cause| cause.beneath.as_ref());
        let now = clock();
        let Some(beneath) = beneath.filter(|beneath| by_itself(ended) && now < beneath.until)
        else {
            return Ok(None);
        };
        let Some(before) = self.store.flag(beneath.flag).await? else {
            return Ok(None);
        };
        if self.guards(state).check(before.terms.prefix).is_err() {
            // It is protected meanwhile.
            return Ok(None);
        }
        let proposal = Proposal {
            created_at: now.into(),
            ..before.terms
        };
        let restored = self
            .store
            .add_as(&proposal, Kind::FlagRestored, OUTGATED)
            .await?;
        let generation = restored.flag.generation;
        tracing::info!(
            flag.id = restored.flag.id.0,
            flag.restores = before.id.0,
            generation = generation.0,
            "flag restored"
        );
        state.flags.insert(restored.flag);
        Ok(Some(generation))
    }
}

fn remembered(state: &State, customer: IpNetwork) -> Conduct {
    let known = state.conduct.get(&customer).cloned();
    known.unwrap_or_else(|| Conduct::fresh(clock()))
}

/// Whether time has ended a flag, or a rule.
fn by_itself(ended: &Ended) -> bool {
    ended.by == OUTGATED || ended.by.starts_with(ACTOR_PREFIX)
}
