//! Hand-overs of a relay that runs: one at a time, ordered by people, watched by whoever asks; and what is in doubt from
//! an earlier one.
//!
//! # Diagnostics
//! Returned: [`Refused`] to people. Logged: how a hand-over has ended, and doubts that nobody could settle (`error`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::doubts::Doubts;
use super::giver::{Giver, Stopped};
use super::source::Source;
use super::{Cancelling, Peers, Progress, Shared, Target, blocking, shown};
use crate::clock::unix_now;
use crate::metrics::{Counter, Metrics};
use crate::queue::admin::Transfers;
use crate::queue::admin::shapes::{Refused, TransferOrder};

/// Hand-overs of one relay. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    relay: String,
    peers: Option<Peers>,
    source: Source,
    doubts: Shared<Doubts>,
    /// Held by whoever speaks to another relay.
    turn: tokio::sync::Mutex<()>,
    current: Mutex<Option<Current>>,
    metrics: Arc<Metrics>,
}

/// The last hand-over that was ordered.
struct Current {
    progress: watch::Receiver<Progress>,
    cancelling: Cancelling,
    task: JoinHandle<()>,
}

impl Desk {
    /// Of the spool of `source`. Blocks on the disk.
    pub(crate) fn open(
        relay: &str,
        peers: Option<Peers>,
        source: Source,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let doubts = Doubts::open(&source.dir)?;
        Ok(Self(Arc::new(Inner {
            relay: relay.to_owned(),
            peers,
            source,
            doubts: Arc::new(tokio::sync::Mutex::new(doubts)),
            turn: tokio::sync::Mutex::default(),
            current: Mutex::default(),
            metrics,
        })))
    }

    /// The queue has read the spool, and begins only after this: nothing that is in doubt is attempted from here on.
    pub(crate) async fn hold_back(&self) {
        for id in self.0.doubts.lock().await.pending() {
            self.0.source.take(id);
        }
    }

    /// Settles what is in doubt, now and whenever a hand-over leaves something behind.
    pub(crate) async fn tend(self) {
        loop {
            self.tend_once().await;
            sleep(BETWEEN_QUESTIONS).await;
        }
    }

    async fn tend_once(&self) {
        let _turn = self.0.turn.lock().await;
        let targets = self.0.doubts.lock().await.targets();
        if let Some(peers) = &self.0.peers {
            for target in targets {
                let progress = watch::Sender::new(Progress::default());
                let cancelling = Cancelling::default();
                let giver = self.giver(peers, &target, &progress, &cancelling);
                match giver.ask().await {
                    Ok(()) => info!(
                        relay = target.name,
                        "what another relay may have had is settled"
                    ),
                    Err(error) => {
                        debug!(relay = target.name, %error, "cannot ask about messages in doubt");
                    }
                }
                self.count(&progress.borrow());
            }
        }
        let mut doubts = Arc::clone(&self.0.doubts).lock_owned().await;
        let expired = blocking(move || doubts.expire(unix_now())).await;
        match expired {
            Ok(expired) => {
                for (target, ids) in expired {
                    error!(
                        relay = target.name,
                        ids = shown(&ids),
                        "nobody could say whether another relay has these messages: they are delivered from here, and may arrive twice"
                    );
                    for id in ids {
                        self.0.source.release(id);
                    }
                }
            }
            Err(error) => error!(%error, "cannot write down what is in doubt"),
        }
    }

    fn giver<'a>(
        &'a self,
        peers: &'a Peers,
        target: &'a Target,
        progress: &'a watch::Sender<Progress>,
        cancelling: &'a Cancelling,
    ) -> Giver<'a> {
        Giver {
            relay: &self.0.relay,
            peers,
            source: &self.0.source,
            target,
            doubts: Arc::clone(&self.0.doubts),
            progress,
            cancelling,
        }
    }

    fn count(&self, progress: &Progress) {
        self.0
            .metrics
            .add(Counter::HandedOver, progress.handed_over);
    }

    /// Hands everything over, unless it is to stop before.
    async fn hand_over(
        &self,
        target: &Target,
        progress: &watch::Sender<Progress>,
        cancelling: &Cancelling,
    ) {
        let ended = self.give(target, progress, cancelling).await;
        self.count(&progress.borrow());
        conclude(progress, ended);
    }

    async fn give(
        &self,
        target: &Target,
        progress: &watch::Sender<Progress>,
        cancelling: &Cancelling,
    ) -> Result<(), Stopped> {
        let Some(peers) = &self.0.peers else {
            return Err(Stopped::Refused(NO_PEERS.to_owned()));
        };
        // Somebody may be asked about what is in doubt, and take its time.
        let turn = async { Ok(self.0.turn.lock().await) };
        let _turn = cancelling.unless(turn).await?;
        let _pausing = (!progress.borrow().dry_run).then(|| self.0.source.pause());
        self.giver(peers, target, progress, cancelling).give().await
    }

    /// Hands over what is left when the relay ends, within `limit`. The queue must have come to its end.
    pub(crate) async fn on_drain(&self, target: &Target, limit: Duration) {
        let progress = watch::Sender::new(Progress {
            to: target.name.clone(),
            ..Progress::default()
        });
        let cancelling = Cancelling::default();
        let handing = self.hand_over(target, &progress, &cancelling);
        if tokio::time::timeout(limit, handing).await.is_err() {
            warn!(
                relay = target.name,
                handed_over = progress.borrow().handed_over,
                "the time to hand mail over is up (peers.hand_over_limit); the rest stays in the spool"
            );
        }
    }
}

/// Says how a hand-over has ended.
pub(super) fn conclude(progress: &watch::Sender<Progress>, ended: Result<(), Stopped>) {
    progress.send_modify(|it| {
        it.error = ended.as_ref().err().map(ToString::to_string);
        it.ended = true;
    });
    let Progress {
        to,
        handed_over,
        octets,
        kept,
        ..
    } = progress.borrow().clone();
    match ended {
        Ok(()) => info!(relay = to, handed_over, octets, kept, "hand-over has ended"),
        Err(error) => {
            warn!(relay = to, handed_over, octets, kept, %error, "hand-over has ended early");
        }
    }
}

impl Transfers for Desk {
    fn begin(&self, order: &TransferOrder) -> Result<Progress, Refused> {
        let refused = |error: String| Refused { error };
        let Some(peers) = &self.0.peers else {
            return Err(refused(NO_PEERS.to_owned()));
        };
        let target = match order.addresses.is_empty() {
            true => Target::named(&peers.config, &order.to).ok_or_else(|| {
                refused(format!(
                    "{}: no [[peers.relay]] of that name has an address",
                    order.to
                ))
            })?,
            false => Target {
                name: order.to.clone(),
                addresses: order.addresses.clone(),
            },
        };
        let mut current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = current.as_ref().filter(|it| !it.task.is_finished()) {
            let to = running.progress.borrow().to.clone();
            return Err(refused(format!(
                "mail is being handed over to {to}; wait for its end, or stop it by `spool transfer --cancel`"
            )));
        }
        let sender = watch::Sender::new(Progress {
            to: target.name.clone(),
            dry_run: order.dry_run,
            ..Progress::default()
        });
        let progress = sender.subscribe();
        let cancelling = Cancelling::default();
        let (desk, wish) = (self.clone(), cancelling.clone());
        let task = tokio::spawn(async move {
            Box::pin(desk.hand_over(&target, &sender, &wish)).await;
        });
        let begun = progress.borrow().clone();
        *current = Some(Current {
            progress,
            cancelling,
            task,
        });
        Ok(begun)
    }

    fn cancel(&self) -> Option<Progress> {
        {
            let current = self.0.current.lock();
            let current = current.unwrap_or_else(PoisonError::into_inner);
            current.as_ref()?.cancelling.cancel();
        }
        self.progress()
    }

    fn progress(&self) -> Option<Progress> {
        let current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let current = current.as_ref()?;
        let mut progress = current.progress.borrow().clone();
        if current.task.is_finished() && !progress.ended {
            progress.ended = true;
            progress.error = Some("it has ended by a bug of ours; see the log".to_owned());
        }
        Some(progress)
    }
}

const NO_PEERS: &str = "the relay was started without [peers] in its configuration";
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(30);
