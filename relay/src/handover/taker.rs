//! The taker's side: messages of another relay become ours, batch by batch.
//!
//! For each batch, in this order: what is being taken is written down; what is held is written down; the spool is given
//! the messages; that they are here is written down; the queue is given them; the giver is answered. So whenever this
//! process ends, the next one knows which of them it has, and delivers those and no others.
//!
//! A spool has one connection: the newest. An older one, whose giver may be long gone, ends before the newer one is told
//! what is here, and never in the middle of storing.
//!
//! # Diagnostics
//! Logged: each message that was taken over (`info`), and connections that end early. Returned to the giver: why a message
//! was not taken.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use relay_proto::handover::{
    BATCH_MESSAGES, Frame, Handed, Hello, SpoolName, VERSIONS, Welcome, Why,
};
use relay_proto::queued::{Queued, UnixMillis};
use relay_proto::record::envelope::{self, NoEnvelope};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedMutexGuard, watch};
use tracing::error;

use super::taken::Taken;
use super::wire::{Broken, Wire, kind};
use super::{Shared, blocking};
use crate::config::MessageLimits;
use crate::message::Intake;
use crate::metrics::Metrics;
use crate::queueing::Queueing;

mod store;

use store::Arrived;

/// What takes over other relays' mail.
pub(crate) struct Taker {
    /// Our name, for people.
    pub(crate) relay: String,
    pub(crate) queueing: Queueing,
    pub(crate) taken: Shared<Taken>,
    pub(crate) limits: MessageLimits,
    pub(crate) metrics: Arc<Metrics>,
    /// By spool, who has its connection.
    pub(crate) turns: Mutex<HashMap<SpoolName, Turn>>,
}

/// The right to take from one spool.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    taking: Arc<tokio::sync::Mutex<()>>,
    /// Number of the newest connection.
    newest: watch::Sender<u64>,
}

/// One connection of a giver.
struct Session<'a, S> {
    taker: &'a Taker,
    peer: &'a str,
    wire: Wire<S>,
    /// Ends it: a newer connection, or the relay's end.
    superseded: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    spool: SpoolName,
    tried_until: UnixMillis,
    _turn: OwnedMutexGuard<()>,
}

impl Taker {
    /// Serves one giver, known as `peer`, until it takes leave.
    pub(super) async fn serve<S>(
        &self,
        peer: &str,
        stream: S,
        stop: watch::Receiver<bool>,
    ) -> Result<(), Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut wire = Wire::new(stream);
        let hello = match wire.receive().await? {
            Frame::Hello(hello) => hello,
            other => return Err(Broken::OutOfTurn(kind(&other))),
        };
        let Some(version) = hello.agree() else {
            wire.send(&Frame::Refused(self.other_versions(&hello)))
                .await?;
            wire.flush().await?;
            wire.close().await;
            return Ok(());
        };
        let (turn, superseded) = self.turn(hello.spool).await;
        let kept = self.taken.lock().await.of(hello.spool);
        let health = self.queueing.spool().health();
        let welcome = Frame::Welcome(Welcome {
            version,
            relay: self.relay.clone(),
            room_octets: health.max_octets.saturating_sub(health.octets),
            kept,
        });
        wire.send(&welcome).await?;
        wire.flush().await?;
        let session = Session {
            taker: self,
            peer,
            wire,
            superseded,
            stop,
            spool: hello.spool,
            tried_until: hello.tried_until,
            _turn: turn,
        };
        session.run().await
    }

    fn other_versions(&self, hello: &Hello) -> String {
        let (theirs, ours) = (&hello.versions, VERSIONS);
        let older = if theirs.start() > ours.end() {
            &self.relay
        } else {
            &hello.relay
        };
        format!(
            "{} speaks versions {} to {} of the hand-over, and {} versions {} to {}; upgrade {older} first",
            hello.relay,
            theirs.start(),
            theirs.end(),
            self.relay,
            ours.start(),
            ours.end(),
        )
    }

    /// Waits until nobody else takes from that spool.
    async fn turn(&self, spool: SpoolName) -> (OwnedMutexGuard<()>, watch::Receiver<u64>) {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(&turn.taking) > 1);
            let new = || Turn {
                taking: Arc::default(),
                newest: watch::Sender::new(0),
            };
            turns.entry(spool).or_insert_with(new).clone()
        };
        turn.newest.send_modify(|number| *number += 1);
        let superseded = turn.newest.subscribe();
        (turn.taking.lock_owned().await, superseded)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    async fn run(mut self) -> Result<(), Broken> {
        let mut batch = Vec::new();
        loop {
            match self.next().await? {
                Frame::Message(handed) => {
                    if batch.len() == BATCH_MESSAGES {
                        return Err(Broken::OutOfTurn("more messages than a batch has"));
                    }
                    if batch.iter().any(|it: &Arrived| it.theirs == handed.id) {
                        return Err(Broken::OutOfTurn("the same message again"));
                    }
                    batch.push(self.arrive(handed).await?);
                }
                Frame::Commit => {
                    let batch = std::mem::take(&mut batch);
                    for (theirs, answer) in self.store(batch).await {
                        let frame = match answer {
                            Ok(name) => Frame::Stored { id: theirs, name },
                            Err((why, text)) => Frame::NotStored {
                                id: theirs,
                                why,
                                text,
                            },
                        };
                        self.wire.send(&frame).await?;
                    }
                    self.wire.flush().await?;
                }
                Frame::Finished(id) => {
                    let spool = self.spool;
                    let forgotten = self.taken(move |taken| taken.forget(spool, &[id]));
                    if let Err(error) = forgotten.await {
                        error!(%error, "cannot write down what need not be remembered");
                    }
                }
                Frame::Bye => {
                    self.wire.send(&Frame::Bye).await?;
                    self.wire.flush().await?;
                    self.wire.close().await;
                    return Ok(());
                }
                other => return Err(Broken::OutOfTurn(kind(&other))),
            }
        }
    }

    /// The next frame, unless this connection is to end.
    async fn next(&mut self) -> Result<Frame, Broken> {
        tokio::select! {
            frame = self.wire.receive() => frame,
            _changed = self.superseded.changed() => Err(Broken::Superseded),
            // A switch that is gone says stop, too.
            _stop = self.stop.wait_for(|stop| *stop) => Err(Broken::Stopping),
        }
    }

    /// The message behind its envelope.
    async fn arrive(&mut self, handed: Handed) -> Result<Arrived, Broken> {
        let mut intake = Intake::new(&self.taker.limits);
        let mut left = handed.content_octets;
        while left > 0 {
            let Frame::Content(octets) = self.next().await? else {
                return Err(Broken::OutOfTurn(
                    "something else in the middle of a message",
                ));
            };
            let length = octets.len() as u64;
            let Some(rest) = left.checked_sub(length) else {
                return Err(Broken::OutOfTurn("more content than was announced"));
            };
            left = rest;
            intake.append(&octets).await;
        }
        let failed = |error: io::Error| (Why::Failed, format!("its disk failed: {error}"));
        let content = intake.finish().await.map_err(failed);
        let message = content.and_then(|content| Ok((self.read(&handed)?, content)));
        let done = handed.done.iter();
        Ok(Arrived {
            theirs: handed.id,
            held: handed.held,
            done: done.filter_map(|&it| usize::try_from(it).ok()).collect(),
            message,
        })
    }

    /// The envelope, if all of it is understood here: what is passed over would be lost.
    fn read(&self, handed: &Handed) -> Result<Queued, (Why, String)> {
        let relay = &self.taker.relay;
        let newer = || {
            let text =
                format!("it has something that {relay} does not know: upgrade {relay} first");
            (Why::Unreadable, text)
        };
        let queued = envelope::decode(&handed.envelope).map_err(|error| match error {
            NoEnvelope::Newer => newer(),
            NoEnvelope::Malformed => (Why::Unreadable, "its envelope is damaged".to_owned()),
        })?;
        if envelope::encode(&queued) != handed.envelope {
            return Err(newer());
        }
        let recipients = queued.recipients.len();
        let is_done = |recipient: usize| handed.done.iter().any(|&done| done as usize == recipient);
        if queued.id != handed.id || (0..recipients).all(is_done) {
            return Err((
                Why::Unreadable,
                "its envelope is another message's".to_owned(),
            ));
        }
        Ok(queued)
    }

    /// Has the file changed, on a thread that may block.
    async fn taken(
        &self,
        change: impl FnOnce(&mut Taken) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let mut taken = Arc::clone(&self.taker.taken).lock_owned().await;
        blocking(move || change(&mut taken)).await
    }
}
