//! Many flags at once: a file that is taken whole or not at all.
//!
//! The file is stored as one transaction and one generation, and the policies that follow from it come into
//! force in the kernel at one instant (those that no relay must acknowledge first). The lock is not held while
//! the file is read and stored, which takes a minute for a million flags: heartbeat, probes and sweeps go on.

use hyper::body::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{Controller, IN_FORCE_WITHIN, Problem, clock, flags::pool_terms};
use crate::{
    api::view::{ImportProgress, ImportStage, ImportView},
    policy::{
        dial::Flag,
        import::{self, Judges},
        ledger::Wait,
    },
    store::flags::AddedAll,
};

/// How a file is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Importing {
    /// It is only judged.
    pub dry_run: bool,
    /// Nobody writes to the customers about it.
    pub quiet: bool,
}

impl Controller {
    /// Imports a file; it may only be judged. Returns once all of it is in force, or after
    /// `IN_FORCE_WITHIN` from when it was stored.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`] or [`Problem::Guard`] name each bad line, [`Problem::Busy`] while another file is
    /// being imported: nothing is stored.
    pub async fn import_flags(
        &self,
        file: Bytes,
        actor: String,
        how: Importing,
    ) -> Result<ImportView, Problem> {
        let Ok(_only_one) = self.import_gate.try_lock() else {
            let busy = "another import is running; `outgate status` answers when it is done";
            return Err(Problem::Busy(String::from(busy)));
        };
        let outcome = self.import_alone(file, actor, how).await;
        self.importing.send_replace(None);
        outcome
    }

    /// Refuses a change of the store while an import holds it: whoever waited would hold the one lock meanwhile.
    pub(super) fn unless_importing(&self) -> Result<(), Problem> {
        match self.import_gate.try_lock() {
            Ok(_free) => Ok(()),
            Err(_held) => Err(Problem::Busy(String::from(
                "an import is running; ask again when it is done",
            ))),
        }
    }

    /// How far a running import is.
    #[must_use]
    pub fn import_progress(&self) -> Option<ImportProgress> {
        self.importing.borrow().clone()
    }

    async fn import_alone(
        &self,
        file: Bytes,
        actor: String,
        Importing { dry_run, quiet }: Importing,
    ) -> Result<ImportView, Problem> {
        self.at_stage(ImportStage::Reading, 0, 0);
        let judges = {
            let state = self.lock().await;
            Judges {
                pools: pool_terms(&self.config),
                guards: self.guards(&state),
                lines_max: self.config.edge.policies_max as usize,
            }
        };
        let read =
            tokio::task::spawn_blocking(move || import::read(&file, &actor, &judges, clock()));
        let terms = read.await.map_err(|_panicked| {
            Problem::Usage(String::from(
                "the file could not be read; outgated's log says more",
            ))
        })?;
        let mut terms = terms.map_err(|bad| match bad.are_guarded() {
            true => Problem::Guard(bad.to_string()),
            false => Problem::Usage(bad.to_string()),
        })?;
        for terms in &mut terms {
            terms.quiet |= quiet;
        }
        self.refuse_many_notices(&terms)?;
        let (lines, replaced) = {
            let state = self.lock().await;
            let standing = |terms: &&_| -> bool {
                let terms: &crate::policy::dial::Proposal = terms;
                state.flags.on(terms.prefix).is_some()
            };
            let replaced = terms.iter().filter(standing).count();
            self.room_for(&state, terms.len() - replaced)?;
            (terms.len(), replaced)
        };
        let mut view = ImportView {
            dry_run,
            flags: lines,
            replaced,
            pending: 0,
            awaiting: Vec::new(),
            generation: None,
            first: None,
            last: None,
        };
        if dry_run || lines == 0 {
            return Ok(view);
        }

        self.at_stage(ImportStage::Storing, 0, lines);
        let stored = |done| self.at_stage(ImportStage::Storing, done, lines);
        let added = self.store.add_all(terms, stored).await?;
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        let ends = (added.flags.first(), added.flags.last());
        let (Some(first), Some(last)) = ends else {
            return Ok(view);
        };
        let (first, last, generation) = (first.id, last.id, last.generation);
        tracing::info!(
            flag.first = first.0,
            flag.last = last.0,
            flag.actor = last_actor(&added),
            flags = lines,
            generation = generation.0,
            "flags imported"
        );
        (view.first, view.last) = (Some(first), Some(last));
        view.generation = Some(generation);
        view.replaced = added.replaced.len();

        self.at_stage(ImportStage::Enforcing, 0, lines);
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

    /// Takes stored flags into the state, and puts them into force.
    pub(super) async fn take_over(&self, added: AddedAll) -> Result<(), Problem> {
        let mut state = self.lock().await;
        let Some((first, last)) = added.flags.first().zip(added.flags.last()) else {
            return Ok(());
        };
        let (first, last, generation) = (first.id, last.id, last.generation);
        // Whoever held the lock since they were stored may have ended some of them already.
        let ended = self.store.ended_between(first, last).await?;
        for (id, how) in added.replaced {
            if let Some(flag) = state.flags.get(&id).cloned() {
                state.flags.insert(Flag {
                    ended: Some(how),
                    ..flag
                });
            }
        }
        for flag in added.flags {
            if ended.binary_search(&flag.id).is_err() {
                state.flags.insert(flag);
            }
        }
        state.at_once = true;
        let generation = generation.max(state.generation);
        if let Err(error) = self.advance(&mut state, generation).await {
            // They are stored, so they will come into force; saying that they were refused would be wrong.
            tracing::error!(%error, "flags stored, but the kernel does not have them yet");
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

fn last_actor(added: &AddedAll) -> &str {
    added
        .flags
        .last()
        .map_or("", |flag| flag.terms.actor.as_str())
}
