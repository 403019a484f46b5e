//! Several flags in one request: each for itself, or all of them or none.
//!
//! All or none is one transaction, and in force in the kernel at one instant, as a file is
//! ([`Controller::import_flags`]). A dry run judges and stores nothing.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use tokio::time::{Instant, timeout_at};

use super::{Controller, IN_FORCE_WITHIN, Problem, clock, flags::pool_terms, state::State};
use crate::policy::dial::{FlagId, FlagRequest, PoolTerms, Proposal};

/// How a batch is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Only judge.
    pub dry_run: bool,
    /// All or none.
    pub atomic: bool,
}

/// What became of one flag of a batch.
#[derive(Debug)]
pub enum Item {
    /// It is stored under this number; whether it is in force.
    Added(FlagId, bool),
    /// It would be stored.
    WouldAdd,
    /// It is refused.
    Refused(Problem),
    /// It would be stored, but another one of the same batch is refused.
    HeldBack,
}

impl Controller {
    /// Adds flags; answers in their order. Returns once those that are stored are in force, or after `IN_FORCE_WITHIN`.
    ///
    /// # Errors
    ///
    /// [`Problem::Busy`] while something else holds the store; problems of single flags are in the answer.
    pub async fn add_flags(
        &self,
        requests: &[FlagRequest],
        how: How,
    ) -> Result<Vec<Item>, Problem> {
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let mut items = match (how.dry_run, how.atomic) {
            (true, _) => {
                let state = self.lock().await;
                let judged = self.judge_flags(&state, requests);
                judged
                    .into_iter()
                    .map(|it| it.map_or_else(Item::Refused, |_| Item::WouldAdd))
                    .collect()
            }
            (false, true) => self.add_all_or_none(requests).await?,
            (false, false) => self.add_each(requests).await?,
        };
        self.until_in_force(&mut items, deadline).await;
        Ok(items)
    }

    /// What each of them would be, judged as if all of them were added.
    fn judge_flags(
        &self,
        state: &State,
        requests: &[FlagRequest],
    ) -> Vec<Result<Proposal, Problem>> {
        let (pools, guards, now) = (pool_terms(&self.config), self.guards(state), clock());
        let mut seen = BTreeMap::new();
        let mut fresh = 0;
        let judged = requests
            .iter()
            .enumerate()
            .map(|(index, request)| -> Result<_, Problem> {
                let proposal = Proposal::read(request, &pools, now)?;
                guards.check_flag(&proposal)?;
                once(&mut seen, proposal.prefix, index)?;
                if state.flags.on(proposal.prefix).is_none() {
                    fresh += 1;
                    self.room_for(state, fresh)?;
                }
                Ok(proposal)
            });
        judged.collect()
    }

    async fn add_all_or_none(&self, requests: &[FlagRequest]) -> Result<Vec<Item>, Problem> {
        // As an import does: whoever changes flags meanwhile is told to come again, instead of being overtaken.
        let Ok(_only_one) = self.import_gate.try_acquire() else {
            let busy = "an import is running; ask again when it is done";
            return Err(Problem::Busy(String::from(busy)));
        };
        let judged = self.judge_flags(&*self.lock().await, requests);
        if judged.iter().any(Result::is_err) {
            let held_back = |it: Result<Proposal, Problem>| match it {
                Ok(_sound) => Item::HeldBack,
                Err(problem) => Item::Refused(problem),
            };
            return Ok(judged.into_iter().map(held_back).collect());
        }
        let terms: Vec<Proposal> = judged.into_iter().filter_map(Result::ok).collect();
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let actor = terms
            .first()
            .map(|terms| terms.actor.clone())
            .unwrap_or_default();
        let added = self.store.add_all(terms, |_stored| {}).await?;
        let ids: Vec<FlagId> = added.flags.iter().map(|flag| flag.id).collect();
        tracing::info!(
            flags = ids.len(),
            flag.actor = &*actor,
            "flags added together"
        );
        self.take_over(added).await?;
        Ok(ids.into_iter().map(|id| Item::Added(id, false)).collect())
    }

    async fn add_each(&self, requests: &[FlagRequest]) -> Result<Vec<Item>, Problem> {
        let pools = pool_terms(&self.config);
        let mut seen = BTreeMap::new();
        let mut items = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            let mut added = self.add_one(request, index, &pools, &mut seen).await;
            if added.as_ref().is_err_and(Problem::is_behind) {
                self.catch_up().await?;
                seen.retain(|_, of| *of != index);
                added = self.add_one(request, index, &pools, &mut seen).await;
            }
            items.push(match added {
                Ok(id) => Item::Added(id, false),
                // What the machine does to the first it does to all.
                Err(problem @ (Problem::Store(_) | Problem::KernelGone)) if items.is_empty() => {
                    return Err(problem);
                }
                Err(problem) => Item::Refused(problem),
            });
        }
        Ok(items)
    }

    async fn add_one(
        &self,
        request: &FlagRequest,
        index: usize,
        pools: &[PoolTerms],
        seen: &mut BTreeMap<IpNetwork, usize>,
    ) -> Result<FlagId, Problem> {
        self.unless_importing()?;
        let mut state = self.lock().await;
        let proposal = Proposal::read(request, pools, clock())?;
        once(seen, proposal.prefix, index)?;
        self.put_flag(&mut state, &proposal).await
    }

    /// Waits until all of them are in force, or the time is over.
    async fn until_in_force(&self, items: &mut [Item], deadline: Instant) {
        let mut passes = self.passes.subscribe();
        loop {
            passes.mark_unchanged();
            let mut waiting = false;
            {
                let state = self.lock().await;
                for item in &mut *items {
                    if let Item::Added(id, in_force) = item {
                        let flag = state.flags.get(id).filter(|flag| flag.ended.is_none());
                        *in_force = flag.is_some_and(|flag| flag.activated_at.is_some());
                        // One that has ended meanwhile is not waited for.
                        waiting |= flag.is_some() && !*in_force;
                    }
                }
            }
            if !waiting || Instant::now() >= deadline || *self.stopping.borrow() {
                return;
            }
            tokio::select! {
                // Either way they are looked at once more.
                _pass = timeout_at(deadline, passes.changed()) => {}
                () = self.stopped() => {}
            }
        }
    }
}

/// A prefix that is there twice would end its own flag.
fn once(
    seen: &mut BTreeMap<IpNetwork, usize>,
    prefix: IpNetwork,
    index: usize,
) -> Result<(), Problem> {
    match seen.insert(prefix, index) {
        None => Ok(()),
        Some(first) => Err(Problem::Usage(format!(
            "flags[{first}] is about {prefix} already; name each prefix once"
        ))),
    }
}
