//! Files that are taken whole or not at all: flags, assignments, and policy.
//!
//! A file is compared with what stands ([`plan`]), judged by how much it would change, and stored as one transaction and
//! one generation; the policies that follow from it come into force in the kernel at one instant (those that no relay
//! must acknowledge first). The lock is not held while the file is read and stored, which takes a minute for a million
//! flags: heartbeat, probes and sweeps go on.

mod plan;

use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::{Instant, timeout_at};

use self::plan::{Plan, Standing, plan};
use super::state::State;
use super::{Controller, IN_FORCE_WITHIN, Problem, clock, flags::note_ended, flags::pool_terms};
use crate::{
    api::view::{ImportProgress, ImportStage, ImportView},
    policy::{
        dial::{Flag, line},
        import::{self, Judges, Wanted},
        ledger::Wait,
        rules::ACTOR_PREFIX,
    },
    store::flags::AddedAll,
};

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Flags: CSV or JSON.
    Flags,
    /// Assignments: CSV, JSON, or an export of NetBox.
    Assignments,
    /// Customers, assignments and flags: TOML.
    Policy,
}

/// How a file is to be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Who, for the trail.
    pub actor: String,
    /// Only judge.
    pub dry_run: bool,
    /// Only judge, and say what differs.
    pub diff: bool,
    /// Label of what it brings; it touches nothing else.
    pub origin: Option<String>,
    /// What the origin brought before, and the file does not have any more, ends.
    pub prune: bool,
    /// What another origin holds otherwise is taken over.
    pub take_over: bool,
    /// Why it may change more than the guard allows.
    pub override_guard: Option<String>,
    /// Nobody writes to the customers about it.
    pub quiet: bool,
}

impl Controller {
    /// Imports a file. Returns once all of it is in force, or after `IN_FORCE_WITHIN` from when it was stored.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`] or [`Problem::Guard`] name each bad line, or what the file would change, [`Problem::Busy`] while
    /// another file is being imported: nothing is stored.
    pub async fn import(&self, about: About, file: Bytes, how: How) -> Result<ImportView, Problem> {
        // A short one before it is waited for.
        let turn = timeout_at(Instant::now() + TURN, self.reading_gate.lock());
        let Ok(_only_one) = turn.await else {
            let busy = "another import is running; `outgate status` answers when it is done";
            return Err(Problem::Busy(String::from(busy)));
        };
        let outcome = self.import_alone(about, file, how).await;
        self.importing.send_replace(None);
        outcome
    }

    /// Refuses a change of the store while an import holds it: whoever waited would hold the one lock meanwhile.
    pub(super) fn unless_importing(&self) -> Result<(), Problem> {
        match self.import_gate.available_permits() {
            0 => Err(Problem::Busy(String::from(
                "an import is running; ask again when it is done",
            ))),
            _free => Ok(()),
        }
    }

    /// How far a running import is.
    #[must_use]
    pub fn import_progress(&self) -> Option<ImportProgress> {
        self.importing.borrow().clone()
    }

    async fn import_alone(
        &self,
        about: About,
        file: Bytes,
        how: How,
    ) -> Result<ImportView, Problem> {
        self.at_stage(ImportStage::Reading, 0, 0);
        let mut how = how.read()?;
        let wanted = self.read_file(about, file, &how.actor).await?;
        how.under(wanted.origin.as_deref())?;
        // While it was read, everything else went on.
        // It is never closed.
        let _alone = self.import_gate.acquire().await;
        let mut planned = self.planned(wanted, &how).await?;
        for flag in &mut planned.package.flags {
            flag.quiet |= how.quiet;
        }
        self.refuse_many_notices(&planned.package.flags)?;
        if how.dry_run || planned.changes_nothing() {
            return Ok(planned.view);
        }
        if let Some(said) = &planned.view.guard {
            let Some(reason) = &how.override_guard else {
                return Err(Problem::Guard(format!("nothing was imported: {said}")));
            };
            tracing::warn!(actor = how.actor, reason, said, "a guard was overridden");
            planned.package.overridden = Some((reason.clone(), said.clone()));
        }
        let Plan {
            package, mut view, ..
        } = planned;

        let flags = package.flags.len();
        self.at_stage(ImportStage::Storing, 0, flags);
        let stored = |done| self.at_stage(ImportStage::Storing, done, flags);
        let added = self.store.apply(package, stored).await?;
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let generation = added.generation;
        view.first = added.flags.first().map(|flag| flag.id);
        view.last = added.flags.last().map(|flag| flag.id);
        view.generation = Some(generation);
        view.replaced = added.replaced.len();
        tracing::info!(
            flags,
            flag.actor = how.actor,
            assignments = view.reassigned,
            customers = view.customers,
            lifted = view.lifted,
            generation = generation.0,
            "file imported"
        );

        self.at_stage(ImportStage::Enforcing, 0, flags);
        self.take_over(added).await?;
        let mut passes = self.passes.subscribe();
        loop {
            passes.mark_unchanged();
            (view.pending, view.awaiting) = self.pending_of(generation).await;
            if view.pending == 0 || Instant::now() >= deadline || *self.stopping.borrow() {
                return Ok(view);
            }
            tokio::select! {
                // Either way the flags are looked at once more.
                _pass = timeout_at(deadline, passes.changed()) => {}
                () = self.stopped() => {}
            }
        }
    }

    async fn read_file(&self, about: About, file: Bytes, actor: &str) -> Result<Wanted, Problem> {
        let judges = {
            let state = self.lock().await;
            Judges {
                pools: pool_terms(&self.config),
                guards: self.guards(&state),
                lines_max: self.config.edge.policies_max as usize,
            }
        };
        let actor = actor.to_owned();
        let read = tokio::task::spawn_blocking(move || match about {
            About::Flags => import::read(&file, &actor, &judges, clock()).map(|flags| Wanted {
                flags: Some(flags),
                ..Wanted::default()
            }),
            About::Assignments => import::read_assignments(&file, &judges),
            About::Policy => import::read_policy(&file, &actor, &judges, clock()),
        });
        let read = read.await.map_err(|_panicked| {
            Problem::Usage(String::from(
                "the file could not be read; outgated's log says more",
            ))
        })?;
        read.map_err(|bad| match bad.are_guarded() {
            true => Problem::Guard(bad.to_string()),
            false => Problem::Usage(bad.to_string()),
        })
    }

    /// What the file changes, and what the guards say of it.
    async fn planned(&self, wanted: Wanted, how: &How) -> Result<Plan, Problem> {
        let customers = match wanted.customers.is_empty() && !wanted.all_customers {
            true => std::collections::BTreeMap::new(),
            false => self.store.customers("", u32::MAX).await?,
        };
        let state = self.lock().await;
        let mut planned = self.store.with_tenants(|tenants| {
            let standing = Standing {
                state: &state,
                tenants,
                customers: &customers,
                now: clock(),
            };
            plan(wanted, how, &standing)
        });
        if planned.refused.count > 0 {
            return Err(Problem::Guard(planned.refused.to_string()));
        }
        self.room_for(&state, planned.fresh)?;
        let judged = planned
            .reach
            .judge(&self.config.customer_prefixes, &self.config.guards);
        planned.view.guard = judged.err();
        Ok(planned)
    }

    /// Takes what is stored into the state, and puts it into force.
    pub(super) async fn take_over(&self, added: AddedAll) -> Result<(), Problem> {
        let mut state = self.lock().await;
        state.at_once = true;
        self.absorb(&mut state, added).await
    }

    /// The same, for whoever has the lock.
    pub(super) async fn absorb(&self, state: &mut State, added: AddedAll) -> Result<(), Problem> {
        // Whoever held the lock since they were stored may have ended some of them already.
        let ended = match added.flags.first().zip(added.flags.last()) {
            Some((first, last)) => self.store.ended_between(first.id, last.id).await?,
            None => Vec::new(),
        };
        let mut diverted = false;
        for (id, kind, how) in added.ended {
            if let Some(flag) = state.flags.get(&id).cloned() {
                diverted |= note_ended(state, &flag, &how, kind, None);
            }
        }
        for (id, tenant) in added.moved {
            state.flags.move_to(id, tenant);
        }
        state.conduct.extend(added.conduct);
        for (id, how) in added.replaced {
            if let Some(flag) = state.flags.get(&id).cloned() {
                state.flags.insert(Flag {
                    ended: Some(Box::new(how)),
                    ..flag
                });
            }
        }
        for flag in added.flags {
            if ended.binary_search(&flag.id).is_err() {
                state.flags.insert(flag);
            }
        }
        let generation = added.generation.max(state.generation);
        if let Err(error) = self.enforce(state, generation, diverted).await {
            // They are stored, so they will come into force; saying that they were refused would be wrong.
            tracing::error!(%error, "changes are stored, but the kernel does not have them yet");
        }
        Ok(())
    }

    /// Flags of a generation that are not in force, and the relays that they wait for.
    async fn pending_of(&self, generation: contract::Generation) -> (usize, Vec<String>) {
        let state = self.lock().await;
        let waiting = state.flags.waiting();
        let of_it = waiting.filter(|(wait, _)| wait.generation == generation);
        let (mut pending, mut awaiting) = (0, Vec::new());
        for (wait, ids) in of_it {
            pending += ids.len();
            awaiting.extend(self.awaited_by(&state.standing, wait));
        }
        awaiting.sort();
        awaiting.dedup();
        (pending, awaiting)
    }

    fn awaited_by(&self, standing: &crate::rotation::Standing, wait: &Wait) -> Vec<String> {
        standing.pending.get(wait).cloned().unwrap_or_default()
    }

    fn at_stage(&self, stage: ImportStage, done: usize, of: usize) {
        let progress = ImportProgress { stage, done, of };
        self.importing.send_replace(Some(progress));
    }
}

impl How {
    /// Judges what was said.
    fn read(mut self) -> Result<Self, Problem> {
        self.actor = line("actor", &self.actor, 100)?;
        if self.actor.starts_with(ACTOR_PREFIX) {
            return Err(Problem::Usage(format!(
                "actor {:?}: {ACTOR_PREFIX} names what rules do by themselves; say who you are",
                self.actor
            )));
        }
        self.dry_run |= self.diff;
        if let Some(reason) = &self.override_guard {
            self.override_guard = Some(line("override", reason, 200)?);
        }
        Ok(self)
    }

    /// Takes the origin that the file itself names, and judges what is asked for under it.
    fn under(&mut self, named: Option<&str>) -> Result<(), Problem> {
        if let Some(named) = named {
            self.origin = Some(named.to_owned());
        }
        let letter = |octet: u8| octet.is_ascii_alphanumeric() || b"._-:@".contains(&octet);
        match self.origin.as_deref() {
            Some(origin) if !(1..=64).contains(&origin.len()) || !origin.bytes().all(letter) => {
                Err(Problem::Usage(format!(
                    "origin {origin:?}: allowed are 1 to 64 letters, digits, '.', '_', '-', ':' or '@', as netbox"
                )))
            }
            None if self.prune => Err(Problem::Usage(String::from(
                "prune needs an origin: what people flag one by one is in no file",
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

impl Plan {
    fn changes_nothing(&self) -> bool {
        let package = &self.package;
        package.flags.is_empty()
            && package.ends.is_empty()
            && package.assignments.is_empty()
            && package.customers.is_empty()
    }
}

/// How long a file waits for the one before it.
const TURN: Duration = Duration::from_secs(5);
