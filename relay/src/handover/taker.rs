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
use relay_proto::queued::{QueueId, Queued, UnixMillis};
use relay_proto::record::envelope::{self, NoEnvelope};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::task::JoinSet;
use tracing::{error, info};

use super::taken::{Entry, Taken};
use super::wire::{Broken, Wire, kind};
use super::{Shared, blocking};
use crate::clock::unix_now;
use crate::config::MessageLimits;
use crate::message::{Intake, Message};
use crate::metrics::{Counter, Metrics};
use crate::queue::Adopted;
use crate::queueing::Queueing;
use crate::spool::StoreError;

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

/// A message that has arrived whole.
struct Arrived {
    theirs: QueueId,
    held: bool,
    done: Vec<usize>,
    message: Result<(Queued, Message), (Why, String)>,
}

/// A message on its way into the spool.
struct Storing {
    theirs: QueueId,
    held: bool,
    done: Vec<usize>,
    queued: Queued,
    content: Message,
}

/// What the giver is answered.
type Answer = Result<QueueId, (Why, String)>;

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

    /// Stores a batch; the answers, in its order.
    async fn store(&self, batch: Vec<Arrived>) -> Vec<(QueueId, Answer)> {
        let now = unix_now();
        let mut answers = Vec::with_capacity(batch.len());
        let mut storing = Vec::new();
        {
            let taken = self.taker.taken.lock().await;
            let has_room = taken.has_room(self.spool);
            for arrived in batch {
                let Arrived {
                    theirs,
                    held,
                    done,
                    message,
                } = arrived;
                let answer = match (taken.name_of(self.spool, theirs), message) {
                    (Some(ours), _) => Some(Ok(ours)),
                    (None, Err(why)) => Some(Err(why)),
                    (None, Ok(_)) if !has_room => {
                        let text =
                            "it waits for word about messages of an earlier batch".to_owned();
                        Some(Err((Why::Failed, text)))
                    }
                    (None, Ok((mut queued, content))) => {
                        queued.id = self.taker.queueing.spool().adopted_id(theirs, now);
                        storing.push(Storing {
                            theirs,
                            held,
                            done,
                            queued,
                            content,
                        });
                        None
                    }
                };
                answers.push((theirs, answer));
            }
        }
        let mut stored = match self.store_new(storing, now).await {
            Ok(stored) => stored,
            Err(error) => {
                error!(%error, "cannot take over mail of another relay");
                let text = format!("its disk failed: {error}");
                HashMap::from_iter(
                    answers
                        .iter()
                        .map(|(id, _)| (*id, Err((Why::Failed, text.clone())))),
                )
            }
        };
        let answers = answers.into_iter().map(|(theirs, answer)| {
            let lost = || Err((Why::Failed, "nothing became of it".to_owned()));
            let answer = answer.unwrap_or_else(|| stored.remove(&theirs).unwrap_or_else(lost));
            (theirs, answer)
        });
        answers.collect()
    }

    async fn store_new(
        &self,
        storing: Vec<Storing>,
        now: UnixMillis,
    ) -> io::Result<HashMap<QueueId, Answer>> {
        if storing.is_empty() {
            return Ok(HashMap::new());
        }
        let (spool, queue) = (self.taker.queueing.spool(), self.taker.queueing.queue());
        let entries = storing.iter().map(|it| Entry {
            theirs: it.theirs,
            ours: it.queued.id,
            at: now,
            done: it.done.clone(),
            have: false,
        });
        let entries: Vec<Entry> = entries.collect();
        let name = self.spool;
        self.taken(move |taken| taken.taking(name, &entries))
            .await?;
        let held = storing.iter().filter(|it| it.held).map(|it| it.queued.id);
        let held: Vec<QueueId> = held.collect();
        let _held = match held.is_empty() {
            true => None,
            false => Some(queue.hold_ahead(&held).await?),
        };
        let mut writing = JoinSet::new();
        for it in storing {
            let spool = spool.clone();
            writing.spawn(async move {
                let kept = spool.store(&it.queued, &it.content).await;
                if kept.is_ok() {
                    spool.finish(it.queued.id, &it.done);
                }
                (it, kept)
            });
        }
        let mut answers = HashMap::new();
        let mut here = Vec::new();
        let mut refused = Vec::new();
        while let Some(written) = writing.join_next().await {
            let (it, kept) = written?;
            match kept {
                Ok(_) => here.push(it),
                Err(error) => {
                    let why = match &error {
                        StoreError::Full => {
                            refused.push(it.theirs);
                            Why::Full
                        }
                        // It may be there in spite of it, so it is remembered.
                        StoreError::Io(_) => Why::Failed,
                    };
                    answers.insert(it.theirs, Err((why, error.to_string())));
                }
            }
        }
        let theirs: Vec<QueueId> = here.iter().map(|it| it.theirs).collect();
        if let Err(error) = self.are_here(&theirs, &refused, &here).await {
            // Nobody was told of them, and nothing was begun.
            for it in &here {
                spool.finish_all(it.queued.id);
            }
            return Err(error);
        }
        here.sort_unstable_by_key(|it| it.theirs);
        for it in here {
            self.begin(&it);
            answers.insert(it.theirs, Ok(it.queued.id));
        }
        Ok(answers)
    }

    /// Makes sure that what is here is known to be here.
    async fn are_here(
        &self,
        theirs: &[QueueId],
        refused: &[QueueId],
        here: &[Storing],
    ) -> io::Result<()> {
        if here.iter().any(|it| !it.done.is_empty()) {
            let flushed = self.taker.queueing.spool().flush().await;
            flushed.map_err(io::Error::other)?;
        }
        let (name, theirs, refused) = (self.spool, theirs.to_vec(), refused.to_vec());
        self.taken(move |taken| {
            if !refused.is_empty() {
                taken.forget(name, &refused)?;
            }
            taken.have(name, &theirs)
        })
        .await
    }

    fn begin(&self, it: &Storing) {
        let recipients = 0..it.queued.recipients.len();
        let pending: Vec<usize> = recipients
            .filter(|index| !it.done.contains(index))
            .collect();
        let octets = it.content.octets();
        self.taker.queueing.queue().adopt(&Adopted {
            queued: &it.queued,
            octets,
            pending: &pending,
            held: it.held,
            tried_until: self.tried_until,
        });
        self.taker.metrics.count(Counter::TakenOver);
        info!(queue.id = %it.queued.id, former = %it.theirs, peer = self.peer, octets,
            recipients = pending.len(), held = it.held, "taken over");
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
