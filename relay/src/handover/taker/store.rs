//! A batch on its way into the spool and the queue.

use std::collections::HashMap;
use std::io;

use relay_proto::handover::Why;
use relay_proto::queued::{QueueId, Queued, UnixMillis};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tracing::{error, info};

use super::super::taken::Entry;
use super::Session;
use crate::clock::unix_now;
use crate::message::Message;
use crate::metrics::Counter;
use crate::queue::Adopted;
use crate::spool::StoreError;

/// A message that has arrived whole.
pub(super) struct Arrived {
    pub(super) theirs: QueueId,
    pub(super) held: bool,
    pub(super) done: Vec<usize>,
    pub(super) message: Result<(Queued, Message), (Why, String)>,
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

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Stores a batch; the answers, in its order.
    pub(super) async fn store(&self, batch: Vec<Arrived>) -> Vec<(QueueId, Answer)> {
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
}
