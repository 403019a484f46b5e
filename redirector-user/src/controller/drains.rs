//! Draining relays: no new connections, while those that are open stay.

use super::{Controller, Problem, clock, state::State};
use crate::{api::view::PoolView, store::drains::Word};

impl Controller {
    /// Takes a relay out of rotation until [`Controller::resume_relay`], over every restart. Returns once the
    /// kernel has it; answers with the relay's pool as it then is.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] for a relay that is not configured, [`Problem::Guard`] without a reason or an
    /// actor. What the kernel answers is a problem only after the drain is stored.
    pub async fn drain_relay(
        &self,
        relay: &str,
        actor: &str,
        reason: &str,
    ) -> Result<PoolView, Problem> {
        let word = word(actor, reason, "draining")?;
        let mut state = self.lock().await;
        self.known_relay(&state, relay)?;
        self.store.drain(relay, &word).await?;
        tracing::info!(relay.name = relay, actor = word.by, "relay drained");
        let since = state.drained.get(relay).map_or(word.at, |before| before.at);
        let standing = Word { at: since, ..word };
        state.drained.insert(relay.to_owned(), standing);
        self.reconcile(&mut state).await?;
        let pool = self.pool_of(&state, relay)?;
        if pool.relays.iter().all(|relay| !relay.in_rotation) {
            let (name, on_failure) = (&pool.name, &pool.on_failure);
            tracing::warn!(
                pool.name = name,
                on_failure,
                "the pool has no relay in rotation"
            );
        }
        Ok(pool)
    }

    /// Lets a drained relay take connections again, as soon as its health and what it knows allow it; answers
    /// with its pool.
    ///
    /// # Errors
    ///
    /// As [`Controller::drain_relay`]; [`Problem::NotFound`] also for one that is not drained.
    pub async fn resume_relay(
        &self,
        relay: &str,
        actor: &str,
        reason: &str,
    ) -> Result<PoolView, Problem> {
        let word = word(actor, reason, "resuming")?;
        let mut state = self.lock().await;
        self.known_relay(&state, relay)?;
        if !state.drained.contains_key(relay) {
            return Err(Problem::NotFound(format!(
                "relay {relay} is not drained; `outgate relay ls` lists all with their states"
            )));
        }
        self.store.resume(relay, &word).await?;
        tracing::info!(relay.name = relay, actor = word.by, "relay resumed");
        state.drained.remove(relay);
        self.reconcile(&mut state).await?;
        self.pool_of(&state, relay)
    }

    fn known_relay(&self, state: &State, relay: &str) -> Result<(), Problem> {
        match state.relays.contains_key(relay) {
            true => Ok(()),
            false => Err(self.no_such_relay(relay)),
        }
    }

    /// What is said of a relay that is not configured.
    pub(super) fn no_such_relay(&self, relay: &str) -> Problem {
        let names = self.config.relays().map(|(_, relay)| relay.name.as_str());
        let names: Vec<&str> = names.collect();
        Problem::NotFound(format!(
            "no relay {relay} is configured; the relays are: {}",
            names.join(", ")
        ))
    }

    fn pool_of(&self, state: &State, relay: &str) -> Result<PoolView, Problem> {
        let mut relays = self.config.relays();
        let pool = relays.find(|(_, configured)| configured.name == relay);
        let (pool, _) = pool.ok_or_else(|| self.no_such_relay(relay))?;
        Ok(super::views::pool_view(state, &self.config, pool))
    }
}

fn word(actor: &str, reason: &str, what: &str) -> Result<Word, Problem> {
    let (actor, reason) = (actor.trim(), reason.trim());
    if reason.is_empty() || actor.is_empty() {
        return Err(Problem::Guard(format!(
            "{what} a relay needs a reason and an actor, for the trail"
        )));
    }
    Ok(Word {
        at: clock(),
        by: actor.to_owned(),
        reason: reason.to_owned(),
    })
}
