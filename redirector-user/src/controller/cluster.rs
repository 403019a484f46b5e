//! What this controller does because others share its store: it hears of what they change, and puts it into force here.
//!
//! What another edge has stored is taken in under the one lock, as if somebody had asked for it here, and the pass after
//! it looks at those prefixes alone. A flag that comes from elsewhere is in force here once this kernel has it, and this
//! edge's relays know of it: when another edge had it says nothing about that.
//!
//! While the store is away the kernel keeps what it has, and relays, flows and the heart are looked after as ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Controller, Problem, keeping::Trouble, state::State};
use crate::{
    feed::Own,
    policy::{
        dial::{Flag, FlagId},
        ledger::Ledger,
    },
    store::{Store, StoreError, shared::Watch},
};

impl Controller {
    /// Hears of changes for as long as the controller lives.
    pub(super) async fn follow_feed(self: Arc<Self>) {
        let mut trouble = Trouble::new("what other edges have changed could not be taken in");
        let (mut pause, mut away_since) = (FIRST_PAUSE, None);
        loop {
            let first = self
                .watch
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let watch = match first {
                Some(first) => Ok(Some(first)),
                None => self.store.watch().await,
            };
            let mut watch = match watch {
                Ok(Some(watch)) => watch,
                Ok(None) => return std::future::pending().await,
                Err(error) => {
                    away_since = away_since.or_else(|| self.store.is_away_since());
                    trouble.report(Err(error));
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    continue;
                }
            };
            pause = FIRST_PAUSE;
            if let Some(since) = away_since.take() {
                tracing::info!(%since, "the store is back");
                let edge = self
                    .config
                    .shared
                    .as_ref()
                    .map(|shared| shared.edge.as_str());
                let edge = edge.unwrap_or_default();
                self.tell(Own::StoreWasAway { edge, since }).await;
            }
            loop {
                let outcome = self.look(&mut watch).await;
                let away = outcome.as_ref().is_err_and(Problem::is_away);
                trouble.report(outcome);
                if away {
                    break;
                }
                tokio::select! {
                    heard = watch.heard() => if heard.is_err() {
                        break;
                    },
                    // A message may be lost, and a connection may be dead without saying so.
                    () = sleep(LOOK) => {}
                }
            }
            away_since = self.store.is_away_since();
            self.steward.send_replace(None);
            // One that takes connections and breaks them is not asked without end.
            sleep(pause).await;
        }
    }

    async fn look(&self, watch: &mut Watch) -> Result<(), Problem> {
        let steward = watch.is_steward().await?;
        self.steward
            .send_if_modified(|term| match (steward, term.is_some()) {
                (true, false) => {
                    tracing::info!("this edge does what one edge does for all");
                    *term = Some(Instant::now());
                    true
                }
                (false, true) => {
                    *term = None;
                    true
                }
                (true, true) | (false, false) => false,
            });
        self.store.hear_events().await?;
        self.catch_up().await
    }

    /// Takes in what other edges have changed, if they have.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`]; what the kernel answers is tried again with the next pass.
    pub(crate) async fn catch_up(&self) -> Result<(), Problem> {
        if self.store.news().await?.is_none() {
            return Ok(());
        }
        let mut state = self.lock().await;
        // What an import was judged by must be what it is stored after.
        if self.unless_importing().is_err() {
            return Ok(());
        }
        let Some(news) = self.store.news().await? else {
            return Ok(());
        };
        let mut fresh = self.store.fresh(&news).await?;
        if let Some(all) = fresh.all.take() {
            let gone = state
                .flags
                .values()
                .filter(|flag| all.flags.get(&flag.id).is_none());
            let gone: Vec<FlagId> = gone.map(|flag| flag.id).collect();
            fresh.flags = self.store.flags_numbered(&gone).await?;
            fresh.flags.extend(all.flags.values().cloned());
            fresh.drained = Some(all.drained);
            fresh.submission = Some(all.submission);
            fresh.conduct = Some(all.conduct);
            fresh.frozen = Some(all.frozen);
            fresh.exemptions = Some(all.exemptions);
            fresh.bypasses = Some(all.bypasses);
        }
        let flags = fresh.flags.len();
        let diverted = take_in(&mut state, fresh.flags);
        let State {
            drained,
            submission,
            conduct,
            frozen,
            bypasses,
            ..
        } = &mut *state;
        put(drained, fresh.drained);
        put(submission, fresh.submission);
        put(conduct, fresh.conduct);
        put(frozen, fresh.frozen);
        put(bypasses, fresh.bypasses);
        put(&mut state.exemptions, fresh.exemptions.map(Arc::new));
        if let Some(tokens) = fresh.tokens {
            self.tokens.replace(tokens);
        }
        self.store.know(news.head);
        tracing::debug!(
            flags,
            generation = news.generation.0,
            "changes of other edges taken in"
        );
        self.enforce(&mut state, news.generation, diverted).await
    }

    /// Whether this edge does what one edge does for all.
    pub(super) fn is_steward(&self) -> bool {
        self.steward.borrow().is_some()
    }

    /// Waits until it is; answers with since when.
    pub(super) async fn until_steward(&self) -> Option<Instant> {
        let mut steward = self.steward.subscribe();
        // The sender lives in `self`.
        let term = steward.wait_for(Option::is_some).await;
        term.ok().and_then(|term| *term)
    }
}

/// Tells the store that this edge is there; the connection of one that was killed a moment ago may not have ended yet.
pub(super) async fn take_name(store: &Store) -> Result<Option<Watch>, StoreError> {
    let begun = Instant::now();
    loop {
        match store.watch().await {
            Err(StoreError::EdgeTaken { .. }) if begun.elapsed() < NAME_WITHIN => {
                sleep(FIRST_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Takes flags as they are stored into what stands here; whether a redirect has ended.
fn take_in(state: &mut State, flags: Vec<Flag>) -> bool {
    let mut ended = BTreeMap::new();
    let mut standing = Vec::new();
    for mut flag in flags {
        // In force is what this kernel has.
        flag.activated_at = state.flags.get(&flag.id).and_then(|it| it.activated_at);
        if flag.ended.is_some() {
            ended.insert(flag.id, flag);
        } else {
            standing.push(flag);
        }
    }
    // What waits here keeps what it replaces, down to what is in force.
    for flag in &standing {
        let mut waiting = flag.activated_at.is_none();
        let mut before = flag.replaces;
        while let Some(id) = before.filter(|_| waiting) {
            let Some(replaced) = ended.remove(&id).or_else(|| state.flags.get(&id).cloned()) else {
                break;
            };
            waiting = replaced.activated_at.is_none();
            before = replaced.replaces;
            if replaced.ended.is_some() {
                keep(&mut state.flags, replaced);
            }
        }
    }
    let mut diverted = false;
    for id in ended.into_keys() {
        if let Some(flag) = state.flags.get(&id).filter(|flag| flag.ended.is_none()) {
            diverted |= flag.terms.action.redirect().is_some();
            state.forget(id);
        }
    }
    for flag in standing {
        keep(&mut state.flags, flag);
    }
    diverted
}

/// What is as it was has not been touched.
fn keep(flags: &mut Ledger, flag: Flag) {
    if flags.get(&flag.id) != Some(&flag) {
        flags.insert(flag);
    }
}

fn put<T>(place: &mut T, fresh: Option<T>) {
    if let Some(fresh) = fresh {
        *place = fresh;
    }
}

/// How soon a store that is away is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const NAME_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks without a message.
const LOOK: Duration = Duration::from_millis(500);
