//! The feed of events: taking relays' in, telling the controller's own, and letting others follow.
//!
//! What is told here alone goes with no change of the policy; what does is stored with it. Followers read from the store,
//! a page at a time, so that a slow one costs nothing; one that takes nothing for [`FOLLOWER_PATIENCE`] is cut off.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use contract::event::{Batch, Event, Happening, Taken};
use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::{Controller, Problem, clock, state::State};
use crate::{
    feed::Own,
    store::events::{Seen, Stored, Wanted},
};

impl Controller {
    /// Takes a relay's events, each once; durable when it returns.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] for a relay that is not configured, or is a third party's, [`Problem::Usage`] for a batch
    /// that is not one; nothing is taken then.
    pub async fn take_events(&self, relay: &str, batch: Batch) -> Result<Taken, Problem> {
        let tells = |(pool, known): (&crate::config::Pool, &crate::config::Relay)| {
            known.name == relay && !pool.third_party
        };
        if !self.config.relays().any(tells) {
            return Err(self.no_such_relay(relay));
        }
        if !batch.is_sound() {
            return Err(Problem::Usage(String::from(
                "not a batch: its epoch is 1 to 32 letters and digits, its events are at most 500, and their numbers grow",
            )));
        }
        let taken = self.store.take_events(relay, batch, clock()).await?;
        for event in &taken.fresh {
            self.act_on(relay, event);
            self.rules_hear(event).await;
        }
        Ok(taken.taken)
    }

    /// What follows from a relay's event besides that it is kept.
    fn act_on(&self, relay: &str, event: &Event) {
        match &event.happening {
            Happening::Lost { events } => {
                tracing::warn!(relay.name = relay, events, "a relay has thrown events away");
            }
            Happening::ScannerDown { scanner, error } => {
                tracing::warn!(
                    relay.name = relay,
                    scanner,
                    error,
                    "a relay's scanner is down"
                );
            }
            Happening::DiskFailed { what, error } => {
                tracing::error!(relay.name = relay, what, error, "a relay's disk fails");
            }
            Happening::Verdict(_)
            | Happening::Rates(_)
            | Happening::LimitHit { .. }
            | Happening::Learnt { .. }
            | Happening::Kept { .. }
            | Happening::Released { .. }
            | Happening::Viewed { .. }
            | Happening::Confirmed { .. }
            | Happening::ScannerBack { .. }
            | Happening::DiskBack { .. }
            | Happening::Unknown(_) => {}
        }
    }

    /// Events, oldest first.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn events(&self, wanted: &Wanted) -> Result<Vec<Stored>, Problem> {
        Ok(self.store.events(wanted).await?)
    }

    /// Events as they come, from those after `wanted.after` (`None` = only new ones) until the receiver is dropped or
    /// the controller stops. A `None` in between says that nothing has happened for a while.
    ///
    /// # Errors
    ///
    /// [`Problem::Busy`] if too many follow already.
    pub fn follow(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<mpsc::Receiver<Option<Stored>>, Problem> {
        let place = Arc::clone(&self.followers).try_acquire_owned();
        let place = place.map_err(|_none| {
            Problem::Busy(format!(
                "{FOLLOWERS_MAX} programs follow the events already; end one of them"
            ))
        })?;
        let (items, receiver) = mpsc::channel(FOLLOWER_EVENTS);
        let controller = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = controller.stopped() => {}
                () = controller.feed(wanted, &items, place) => {}
            }
        });
        Ok(receiver)
    }

    async fn feed(
        &self,
        mut wanted: Wanted,
        items: &mpsc::Sender<Option<Stored>>,
        _place: OwnedSemaphorePermit,
    ) {
        let mut newest = self.store.newest_event();
        let mut after = wanted.after.unwrap_or_else(|| *newest.borrow());
        loop {
            let seen = *newest.borrow_and_update();
            loop {
                wanted.after = Some(after);
                let page = match self.store.events(&wanted).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::error!(%error, "events cannot be read");
                        return;
                    }
                };
                let Some(last) = page.last().map(|event| event.seq) else {
                    break;
                };
                for event in page {
                    if !hand_over(items, Some(event)).await {
                        return;
                    }
                }
                after = last;
            }
            // What is not wanted has been passed over.
            after = after.max(seen);
            match timeout(HEARTBEAT, newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_closed)) => return,
                Err(_elapsed) => {
                    if !hand_over(items, None).await {
                        return;
                    }
                }
            }
        }
    }

    /// What relays saw of the customers of a prefix lately.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn seen(&self, prefix: IpNetwork) -> Result<Seen, Problem> {
        Ok(self.store.seen(prefix, clock()).await?)
    }

    /// Tells something that goes with no change. That it cannot be stored is no reason to do anything else.
    pub(super) async fn tell(&self, own: Own<'_>) {
        let item = own.at(clock(), None);
        if let Err(error) = self.store.tell(vec![item]).await {
            tracing::error!(%error, ?own, "an event could not be stored");
        }
    }

    /// Tells which pools have begun, or ceased, to have no relay in rotation since the last time.
    pub(super) async fn tell_failures(&self, state: &mut State) {
        let serves = |pool: &crate::config::Pool| {
            let mut relays = pool.relays.iter();
            relays.any(|relay| state.standing.in_rotation.contains(&relay.name))
        };
        let without: BTreeSet<String> = self
            .config
            .pools
            .iter()
            .filter(|pool| !serves(pool))
            .map(|pool| pool.name.clone())
            .collect();
        let before = std::mem::replace(&mut state.without_relay, without);
        for pool in &self.config.pools {
            let name = pool.name.as_str();
            match (before.contains(name), state.without_relay.contains(name)) {
                (false, true) => {
                    let on_failure = pool.on_failure.name();
                    self.tell(Own::FailurePolicy {
                        pool: name,
                        on_failure,
                    })
                    .await;
                }
                (true, false) => self.tell(Own::FailurePolicyOver { pool: name }).await,
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Throws old events away.
    pub(super) async fn trim_events(&self) -> Result<(), Problem> {
        let keep = SignedDuration::try_from(self.config.events.keep).unwrap_or(SignedDuration::MAX);
        let before = clock().checked_sub(keep).unwrap_or(Timestamp::MIN);
        let gone = self
            .store
            .trim_events(before, self.config.events.max.into())
            .await?;
        self.store.trim_notices(before).await?;
        self.store.trim_feed().await?;
        if gone > 0 {
            tracing::info!(events = gone, "old events thrown away");
        }
        Ok(())
    }
}

/// Whether whoever follows has room for it in time.
async fn hand_over(items: &mpsc::Sender<Option<Stored>>, item: Option<Stored>) -> bool {
    let sent = timeout(FOLLOWER_PATIENCE, items.send(item)).await;
    matches!(sent, Ok(Ok(())))
}

/// Each holds a few events and a connection.
pub(super) const FOLLOWERS_MAX: usize = 64;
/// Events that one may have before it has read them.
const FOLLOWER_EVENTS: usize = 64;
/// Whoever reads nothing for that long is cut off.
const FOLLOWER_PATIENCE: Duration = Duration::from_secs(30);
/// Short enough for whatever stands between.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_reads_nothing_is_cut_off() {
        let (items, mut receiver) = mpsc::channel(2);
        assert!(hand_over(&items, None).await);
        assert!(hand_over(&items, None).await);
        assert!(!hand_over(&items, None).await);
        // One that reads has room again.
        receiver.recv().await.unwrap();
        assert!(hand_over(&items, None).await);
        drop(receiver);
        assert!(!hand_over(&items, None).await);
    }
}
