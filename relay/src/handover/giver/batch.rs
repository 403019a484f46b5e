//! One batch: taken in hand, said, committed, and what becomes of each of its messages.

use std::collections::VecDeque;

use relay_proto::handover::{
    BATCH_MESSAGES, CONTENT_OCTETS, ENVELOPE_OCTETS, Frame, Handed, Welcome, Why,
};
use relay_proto::queued::{QueueId, Queued};
use relay_proto::record::envelope;
use tracing::info;

use super::super::source::Took;
use super::super::wire::Broken;
use super::connect::out_of_turn;
use super::{Connection, Giver, Stopped};
use crate::message::Message;
use crate::spool::{Opened, ReadError};

impl Giver<'_> {
    /// Messages that are in hand now. What is taken off `names` is in it, in `busy`, or needs nothing.
    pub(super) async fn next_batch(
        &self,
        names: &mut VecDeque<QueueId>,
        busy: &mut VecDeque<QueueId>,
    ) -> Option<Vec<(QueueId, Opened)>> {
        let mut batch = Vec::new();
        let mut octets = 0;
        while batch.len() < BATCH_MESSAGES && octets < BATCH_OCTETS {
            let Some(id) = names.pop_front() else {
                break;
            };
            match self.source.take(id) {
                Took::Taken => {}
                Took::Busy => {
                    busy.push_back(id);
                    continue;
                }
                Took::Gone if self.source.spool.has(id) => {
                    self.keep(id, "the queue has not read it");
                    continue;
                }
                Took::Gone => {
                    self.progress.send_modify(|it| it.total -= 1);
                    continue;
                }
            }
            match self.source.spool.read(id).await {
                Ok(opened) => {
                    octets += opened.content.octets();
                    batch.push((id, opened));
                }
                Err(ReadError::NotFound) => {
                    self.source.handed_over(id);
                    self.progress.send_modify(|it| it.total -= 1);
                }
                Err(error) => self.keep(id, &error.to_string()),
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Says a batch, and acts upon the answers.
    pub(super) async fn hand(
        &self,
        wire: &mut Connection,
        welcome: &Welcome,
        names: &mut VecDeque<QueueId>,
        batch: Vec<(QueueId, Opened)>,
    ) -> Result<(), Stopped> {
        let ids: Vec<QueueId> = batch.iter().map(|(id, _)| *id).collect();
        let said = self.cancelling.unless(self.say(wire, &batch)).await;
        let sent = match said {
            Ok(sent) => sent,
            Err(stopped) => {
                // Nothing was committed, so nothing is there.
                for id in &ids {
                    self.source.release(*id);
                }
                give_back(names, &ids);
                return Err(stopped);
            }
        };
        // Before the word that the other acts upon.
        if let Err(stopped) = self.doubt(&sent).await {
            for id in &ids {
                self.source.release(*id);
            }
            return Err(stopped);
        }
        let answered = self.commit(wire, &sent).await;
        let answers = match answered {
            Ok(answers) => answers,
            Err(broken) => {
                // In doubt: they stay in hand until somebody has asked.
                give_back(names, &ids);
                return Err(broken.into());
            }
        };
        let mut stored = Vec::new();
        let mut full = None;
        for ((id, opened), answer) in batch
            .iter()
            .filter(|(id, _)| sent.contains(id))
            .zip(answers)
        {
            match answer {
                Ok(name) => {
                    stored.push(*id);
                    let octets = opened.content.octets();
                    info!(queue.id = %id, name = %name, relay = welcome.relay, octets, "handed over");
                    self.progress.send_modify(|it| it.octets += octets);
                }
                Err((Why::Full, text)) => {
                    self.source.release(*id);
                    full = Some(text);
                }
                Err((_, text)) => self.keep(*id, &text),
            }
        }
        self.finish(wire, &stored, &stored).await?;
        self.progress
            .send_modify(|it| it.handed_over += stored.len() as u64);
        self.doubt(&[]).await?;
        match full {
            Some(text) => {
                wire.flush().await?;
                Err(Stopped::Full(format!(
                    "{} is full: {text}",
                    self.target.name
                )))
            }
            None => Ok(()),
        }
    }

    /// Says all messages of a batch that can be said; which were.
    async fn say(
        &self,
        wire: &mut Connection,
        batch: &[(QueueId, Opened)],
    ) -> Result<Vec<QueueId>, Stopped> {
        let mut sent = Vec::new();
        for (id, opened) in batch {
            let envelope = match opened.queued.held.is_some() && self.source.has_released(*id).await
            {
                // Else a person would have to do it again there.
                true => envelope::encode(&Queued {
                    held: None,
                    ..opened.queued.clone()
                }),
                false => envelope::encode(&opened.queued),
            };
            if envelope.len() > ENVELOPE_OCTETS as usize {
                self.keep(*id, "it has too many recipients to be handed over");
                continue;
            }
            let recipients = 0..opened.queued.recipients.len();
            let done = recipients.filter(|recipient| !opened.pending.contains(recipient));
            let handed = Frame::Message(Handed {
                id: *id,
                held: self.source.holds(*id).await,
                done: done.filter_map(|it| u32::try_from(it).ok()).collect(),
                content_octets: opened.content.octets(),
                envelope: envelope.into(),
            });
            wire.send(&handed).await?;
            self.content(wire, &opened.content).await?;
            sent.push(*id);
        }
        Ok(sent)
    }

    async fn content(&self, wire: &mut Connection, content: &Message) -> Result<(), Stopped> {
        let mut reader = content.reader();
        while let Some(mut block) = reader.next().await? {
            while !block.is_empty() {
                let length = block.len().min(CONTENT_OCTETS as usize);
                wire.send(&Frame::Content(block.split_to(length))).await?;
            }
        }
        Ok(())
    }

    /// The answers, one for each that was sent.
    async fn commit(
        &self,
        wire: &mut Connection,
        sent: &[QueueId],
    ) -> Result<Vec<Result<QueueId, (Why, String)>>, Broken> {
        wire.send(&Frame::Commit).await?;
        wire.flush().await?;
        let mut answers = Vec::with_capacity(sent.len());
        for expected in sent {
            answers.push(match wire.receive().await? {
                Frame::Stored { id, name } if id == *expected => Ok(name),
                Frame::NotStored { id, why, text } if id == *expected => Err((why, text)),
                other => return Err(out_of_turn(other)),
            });
        }
        Ok(answers)
    }
}

/// These come next again.
fn give_back(names: &mut VecDeque<QueueId>, ids: &[QueueId]) {
    for &id in ids.iter().rev() {
        names.push_front(id);
    }
}

/// A batch ends with the message that takes it beyond this.
const BATCH_OCTETS: u64 = 8 << 20;
