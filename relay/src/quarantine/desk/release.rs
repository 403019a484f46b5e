//! Sending a refused message after all, as its customer wrote it.

use std::io;

use contract::Egress;
use contract::event::Happening;
use data_encoding::HEXLOWER;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use relay_proto::queued::{self, Queued, Source};
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::{Desk, Refusal, given};
use crate::classifier::Label;
use crate::clock::unix_now;
use crate::message::{Intake, Message};
use crate::metrics::Counter;
use crate::quarantine::audit::{Act, State};
use crate::quarantine::record::{Record, Sealed};
use crate::quarantine::sealed;
use crate::quarantine::shapes::{Did, Opened};
use crate::spool::Kept;
use crate::vouch::Patience;

/// What was sealed, opened by somebody who could.
pub(super) struct Received {
    pub(super) opened: Opened,
    record: Record,
    queued: Queued,
    pub(super) content: Message,
}

/// Takes in what came behind an [`Opened`].
struct Taking {
    sealed: Sealed,
    /// What the envelope is not whole in.
    front: Vec<u8>,
    queued: Option<Queued>,
    intake: Intake,
    hash: Sha256,
    octets: u64,
}

impl Desk {
    /// Reads an [`Opened`] and the text behind it, and proves that this is what was sealed.
    pub(super) async fn receive(&self, mut body: Incoming) -> Result<Received, Refusal> {
        let mut line = Vec::new();
        let (opened, rest) = loop {
            if let Some(end) = memchr::memchr(b'\n', &line) {
                let opened = serde_json::from_slice::<Opened>(&line[..end]);
                let opened = opened.map_err(|error| Refusal::Wrong(error.to_string()))?;
                break (opened, line.split_off(end + 1));
            }
            if line.len() > LINE_OCTETS_MAX {
                return Err(Refusal::Wrong("the first line is too long".into()));
            }
            match next(&mut body).await? {
                Some(octets) => line.extend_from_slice(&octets),
                None => return Err(Refusal::Wrong("the first line is not whole".into())),
            }
        };
        given(&opened.reason)?;
        let (record, _) = self.record(&opened.id).await?;
        let sealed = record.sealed.clone().ok_or_else(|| {
            let what = format!("{}: its content was never kept", opened.id);
            Refusal::Missing(what)
        })?;
        let mut taking = Taking {
            sealed,
            front: Vec::new(),
            queued: None,
            intake: Intake::new(&self.0.limits),
            hash: Sha256::new(),
            octets: 0,
        };
        taking.append(&rest).await?;
        while let Some(octets) = next(&mut body).await? {
            taking.append(&octets).await?;
        }
        let (queued, content) = taking.finish().await?;
        Ok(Received {
            opened,
            record,
            queued,
            content,
        })
    }

    /// Puts it into the queue. Runs to its end, whether anybody waits for it or not.
    pub(super) async fn release(&self, actor: &str, received: Received) -> Result<Did, Refusal> {
        let (desk, actor) = (self.clone(), actor.to_owned());
        let releasing = async move { desk.release_once(&actor, received).await };
        let released = tokio::spawn(Box::pin(releasing)).await;
        released.map_err(io::Error::from)?
    }

    async fn release_once(&self, actor: &str, received: Received) -> Result<Did, Refusal> {
        let (id, reason) = (&received.opened.id, received.opened.reason.trim());
        let was = self.change(id, State::Releasing, &[State::Kept, State::Confirmed])?;
        let (kept, queued) = match self.store(actor, reason, &received).await {
            Ok(stored) => stored,
            Err(error) => {
                // Then it is found out at the next start.
                if let Err(error) = self
                    .quarantine()
                    .note(actor, id, Act::Abandoned, reason)
                    .await
                {
                    error!(record.id = %id, %error, "cannot note that a release has failed");
                }
                self.set_state(id, was);
                return Err(error.into());
            }
        };
        self.set_state(id, State::Released);
        let all: Vec<usize> = (0..queued.recipients.len()).collect();
        self.0.queueing.begin(kept, &queued, &all);
        self.quarantine().metrics.count(Counter::Released);
        info!(record.id = %id, queue.id = %queued.id, customer.addr = %received.record.customer, actor, reason,
            "released from the quarantine");
        let released = Happening::Released {
            record: id.to_string(),
            by: actor.to_owned(),
            reason: reason.to_owned(),
        };
        self.tell(&received.record, released);
        self.learn(id, &received.content, Label::Ham).await;
        Ok(Did {
            id: id.clone(),
            queue_id: Some(queued.id.to_string()),
        })
    }

    /// Makes it durable under a name that was noted before, and notes that. Nothing of it is delivered yet.
    async fn store(
        &self,
        actor: &str,
        reason: &str,
        received: &Received,
    ) -> io::Result<(Kept, Queued)> {
        let (id, content) = (&received.opened.id, &received.content);
        let spool = self.0.queueing.spool();
        let now = unix_now();
        let mut queued = Queued {
            id: spool.next_id(now),
            arrived: now,
            ..received.queued.clone()
        };
        let queue_id = queued.id.to_string();
        let releasing = Act::Releasing {
            queue_id: queue_id.clone(),
        };
        self.quarantine().note(actor, id, releasing, reason).await?;
        self.complete(&mut queued, content).await;
        let kept = spool.store(&queued, content).await;
        let kept = kept.map_err(io::Error::other)?;
        let released = Act::Released { queue_id };
        if let Err(error) = self.quarantine().note(actor, id, released, reason).await {
            // What is not noted could be released again.
            spool.finish_all(queued.id);
            return Err(error);
        }
        Ok((kept, queued))
    }

    /// What is decided when a message goes out: by which way, whose signature is above it, and who is told of its end.
    async fn complete(&self, queued: &mut Queued, content: &Message) {
        let Source::Customer {
            address,
            ehlo,
            user,
            ..
        } = &queued.source
        else {
            return;
        };
        let policy = self.0.newest.borrow().clone();
        if let Some(policy) = policy.as_ref().and_then(|it| it.customer(*address)) {
            queued.egress = match policy.egress {
                Egress::Pool | Egress::PoolOrCustomer => queued::Egress::Pool,
                Egress::Customer => queued::Egress::Customer,
                Egress::Socks5 => queued::Egress::Socks5,
            };
        }
        let voucher = self.0.queueing.voucher();
        let (reverse_path, patience) = (&queued.mail.reverse_path, Patience::default());
        let vouched = voucher.vouches(*address, ehlo.as_ref(), reverse_path, content, &patience);
        queued.may_notify = user.is_some() || vouched.await.is_some();
        match self
            .tools()
            .signer
            .sign_customers(&queued.trace, content)
            .await
        {
            Ok(signatures) => queued.trace.insert_str(0, &signatures),
            Err(error) => {
                self.quarantine().metrics.count(Counter::Unsigned);
                warn!(queue.id = %queued.id, %error, "a released message leaves without the operator's signature");
            }
        }
    }
}

impl Taking {
    async fn append(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        self.octets += octets.len() as u64;
        if self.octets > self.sealed.text_octets {
            return Err(another());
        }
        self.hash.update(octets);
        if self.queued.is_some() {
            self.intake.append(octets).await;
            return Ok(());
        }
        self.front.extend_from_slice(octets);
        let split = sealed::split(&self.front).map_err(|_not_sealed_here| another())?;
        if let Some((queued, end)) = split {
            self.queued = Some(queued);
            self.intake.append(&self.front[end..]).await;
            self.front.clear();
        }
        Ok(())
    }

    async fn finish(self) -> Result<(Queued, Message), Refusal> {
        let is_whole = self.octets == self.sealed.text_octets;
        let hash = HEXLOWER.encode(&self.hash.finalize());
        match self.queued {
            Some(queued) if is_whole && hash == self.sealed.sha256 => {
                Ok((queued, self.intake.finish().await?))
            }
            Some(_) | None => Err(another()),
        }
    }
}

fn another() -> Refusal {
    Refusal::Guarded("this is not what was kept: nothing else can be released".into())
}

async fn next(body: &mut Incoming) -> Result<Option<bytes::Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Failed(io::Error::other(error)))?;
        if let Ok(octets) = frame.into_data() {
            return Ok(Some(octets));
        }
    }
    Ok(None)
}

const LINE_OCTETS_MAX: usize = 64 << 10;
