//! The giver's side: everything in a [`Source`], batch by batch, until the taker has it.
//!
//! A batch is taken in hand, noted as doubtful, said, and committed; what the taker answers is written down here before
//! it hears so. Only one batch is on its way, so whatever happens at most that one is in doubt, and the next connection
//! begins with asking about it. A connection that is lost is made again a few times. When it is to stop ([`Cancelling`]),
//! what is not committed is given back.
//!
//! # Diagnostics
//! Returned: [`Stopped`]. Logged: each message that was handed over (`info`), each that cannot be (`warn`).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::handover::{Frame, SpoolName, Welcome};
use relay_proto::queued::QueueId;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;
use tracing::{debug, info, warn};

use super::doubts::Doubts;
use super::source::Source;
use super::wire::Wire;
use super::{Cancelling, Peers, Shared, Target, Watched, blocking, shown, spool_name};
use crate::clock::unix_now;
use crate::spool::StoreError;

mod batch;
mod connect;

use connect::out_of_turn;

/// All that one hand-over needs.
pub(super) struct Giver<'a> {
    pub(super) relay: &'a str,
    pub(super) peers: &'a Peers,
    pub(super) source: &'a Source,
    pub(super) target: &'a Target,
    pub(super) doubts: Shared<Doubts>,
    pub(super) progress: &'a Watched,
    pub(super) cancelling: &'a Cancelling,
}

/// Why a hand-over has ended before everything was handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// The other relay cannot be reached, or has gone.
    #[error("{0}")]
    Connection(String),
    /// It does not want us, or says nonsense: trying again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// It has no room.
    #[error(
        "{0}; what is left stays here: make room there (spool.max_octets, its disk) and run it again"
    )]
    Full(String),
    /// Our own disk.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// Something is still being attempted.
    #[error("{0} messages are still being attempted here; run it again")]
    Busy(usize),
    /// Somebody wants it so.
    #[error("cancelled: what is the other's is its own, the rest stays here; it can be run again")]
    Cancelled,
}

type Connection = Wire<TlsStream<TcpStream>>;

impl Giver<'_> {
    /// Hands over all that was there when it began.
    pub(super) async fn give(&self) -> Result<(), Stopped> {
        let dir = self.source.dir.clone();
        let name = blocking(move || spool_name(&dir)).await?;
        let mut names = VecDeque::from(self.source.spool.names());
        let others = self.doubts.lock().await.of_others(self.target);
        names.retain(|id| !others.contains(id));
        if !others.is_empty() {
            warn!(
                messages = others.len(),
                "another relay may have these, and is to be asked first: they stay here"
            );
        }
        self.progress.send_modify(|it| {
            it.total = names.len() as u64;
            it.kept = others.len() as u64;
        });
        let dry_run = self.progress.borrow().dry_run;
        let mut failures = 0;
        loop {
            let before = names.len();
            match self.go_through(name, &mut names, dry_run).await {
                Err(Stopped::Connection(lost)) => {
                    if names.len() < before {
                        failures = 0;
                    }
                    failures += 1;
                    let Some(&pause) = PAUSES.get(failures - 1).filter(|_| !dry_run) else {
                        return Err(Stopped::Connection(lost));
                    };
                    debug!(error = lost, "trying again");
                    let pause = async {
                        sleep(pause).await;
                        Ok(())
                    };
                    self.cancelling.unless(pause).await?;
                }
                Ok(()) if self.cancelling.is_wanted() && !names.is_empty() => {
                    return Err(Stopped::Cancelled);
                }
                ended => return ended,
            }
        }
    }

    /// Asks about what is in doubt, and nothing else.
    pub(super) async fn ask(&self) -> Result<(), Stopped> {
        let dir = self.source.dir.clone();
        let name = blocking(move || spool_name(&dir)).await?;
        self.go_through(name, &mut VecDeque::new(), false).await
    }

    /// One connection. What is done is taken off `names`.
    async fn go_through(
        &self,
        name: SpoolName,
        names: &mut VecDeque<QueueId>,
        dry_run: bool,
    ) -> Result<(), Stopped> {
        let (mut wire, welcome) = self.cancelling.unless(self.connect(name)).await?;
        let room = welcome.room_octets;
        self.progress.send_modify(|it| it.room_octets = Some(room));
        let exchanged = async {
            if !dry_run {
                self.settle(&mut wire, &welcome, names).await?;
                self.all(&mut wire, &welcome, names).await?;
            }
            wire.send(&Frame::Bye).await?;
            wire.flush().await?;
            match wire.receive().await? {
                Frame::Bye => Ok(()),
                other => Err(out_of_turn(other).into()),
            }
        };
        let ended = exchanged.await;
        // In the midst of a message there is no farewell, and nobody waits for what is still to be sent.
        if !matches!(ended, Err(Stopped::Cancelled)) {
            wire.close().await;
        }
        ended
    }

    /// Finds out what became of the messages that are in doubt.
    async fn settle(
        &self,
        wire: &mut Connection,
        welcome: &Welcome,
        names: &mut VecDeque<QueueId>,
    ) -> Result<(), Stopped> {
        let doubtful = self.doubts.lock().await.of(self.target);
        let kept = &welcome.kept;
        for &id in kept {
            // What is not in doubt here, too: the file may be older than the spool.
            self.source.take(id);
        }
        if !kept.is_empty() {
            info!(
                relay = welcome.relay,
                ids = shown(kept),
                "the other relay has these already"
            );
        }
        let here: Vec<QueueId> = kept
            .iter()
            .copied()
            .filter(|id| self.source.spool.has(*id))
            .collect();
        self.finish(wire, kept, &here).await?;
        names.retain(|id| !kept.contains(id));
        self.progress
            .send_modify(|it| it.handed_over += here.len() as u64);
        for id in doubtful.iter().filter(|id| !kept.contains(id)) {
            self.source.release(*id);
        }
        self.doubt(&[]).await
    }

    async fn all(
        &self,
        wire: &mut Connection,
        welcome: &Welcome,
        names: &mut VecDeque<QueueId>,
    ) -> Result<(), Stopped> {
        let mut busy = VecDeque::new();
        let mut waited = 0;
        loop {
            while !self.cancelling.is_wanted()
                && let Some(batch) = self.next_batch(names, &mut busy).await
            {
                self.hand(wire, welcome, names, batch).await?;
            }
            if self.cancelling.is_wanted() {
                names.append(&mut busy);
                return Ok(());
            }
            if busy.is_empty() {
                return Ok(());
            }
            if waited == BUSY_MOMENTS {
                return Err(Stopped::Busy(busy.len()));
            }
            waited += 1;
            self.source.something_returned().await;
            names.append(&mut busy);
        }
    }

    /// These are not ours any more: `here` are those of `all` that are still in the spool. The other may forget them when
    /// that is on the disk.
    pub(super) async fn finish(
        &self,
        wire: &mut Connection,
        all: &[QueueId],
        here: &[QueueId],
    ) -> Result<(), Stopped> {
        for id in here {
            self.source.spool.finish_all(*id);
            self.source.handed_over(*id);
        }
        if !here.is_empty() {
            let flushed = self.source.spool.flush().await;
            flushed.map_err(|error| match error {
                StoreError::Full => io::Error::from(io::ErrorKind::StorageFull),
                StoreError::Io(_) => io::Error::other(error),
            })?;
        }
        for id in all {
            wire.send(&Frame::Finished(*id)).await?;
        }
        Ok(())
    }

    /// These, and no others, are in doubt from now on.
    pub(super) async fn doubt(&self, ids: &[QueueId]) -> Result<(), Stopped> {
        let (ids, target) = (ids.to_vec(), self.target.clone());
        let mut doubts = Arc::clone(&self.doubts).lock_owned().await;
        if ids.is_empty() && doubts.of(&target).is_empty() {
            return Ok(());
        }
        Ok(blocking(move || doubts.set(&target, &ids, unix_now())).await?)
    }

    /// This one stays here.
    pub(super) fn keep(&self, id: QueueId, why: &str) {
        warn!(queue.id = %id, error = why, "cannot be handed over; it stays here");
        self.source.release(id);
        self.progress.send_modify(|it| it.kept += 1);
    }
}

/// A taker that is restarted is back within this.
const PAUSES: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];
/// Moments for which what is being attempted is waited for: an attempt ends within some minutes.
const BUSY_MOMENTS: u32 = 300;
