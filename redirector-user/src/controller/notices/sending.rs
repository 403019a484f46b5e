//! Sending what is due, one at a time.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Duration, timeout};

use super::{LONGEST_NAP, STORE_RETRY, Telling};
use crate::{
    backoff::{self, Backoff},
    config::Notices,
    controller::{Controller, clock},
    feed::{Item, Own},
    notice::{Kind, PostError, Unsent},
    policy::dial::FlagId,
    store::{StoreError, notices::Notice},
};

impl Controller {
    /// Sends notices until the controller stops. It is not cut off on the way: what a server has taken is known to be
    /// taken, so that nobody hears twice of it.
    pub(in crate::controller) async fn send_notices(self: Arc<Self>) {
        let (Some(telling), Some(notices)) = (&self.telling, &self.config.notices) else {
            return self.stopped().await;
        };
        while !*self.stopping.borrow() {
            let wait = match self.send_next_notice(telling, notices).await {
                Ok(Some(at)) => Duration::try_from(at.duration_since(clock())).unwrap_or_default(),
                Ok(None) => LONGEST_NAP,
                Err(error) => {
                    tracing::error!(%error, "the queue of notices cannot be read or kept");
                    STORE_RETRY
                }
            };
            tokio::select! {
                // At most that long: the time of day may jump. What was queued may be due sooner.
                _queued = timeout(wait.min(LONGEST_NAP), telling.queued.notified()) => {}
                () = self.stopped() => {}
            }
        }
    }

    /// Sends what is due; when there is more to do.
    async fn send_next_notice(
        &self,
        telling: &Telling,
        notices: &Notices,
    ) -> Result<Option<Timestamp>, StoreError> {
        loop {
            if !self.is_steward() {
                return Ok(clock().checked_add(STEWARD_RETRY).ok());
            }
            let notice = self.store.next_notice().await?;
            let Some(notice) = notice.filter(|_| !*self.stopping.borrow()) else {
                return Ok(None);
            };
            let now = clock();
            if now < notice.next_at {
                return Ok(Some(notice.next_at));
            }
            if let Some(later) = self.not_before(&notice, notices, now).await? {
                self.store.postpone_notice(notice.id, later).await?;
                continue;
            }
            // What comes meanwhile is another notice.
            let Some(notice) = self.store.try_notice(notice.id).await? else {
                continue;
            };
            if let Some(later) = self.send_notice(telling, notice).await? {
                return Ok(Some(later));
            }
        }
    }

    /// Until when a notice has to wait for others about the same prefix.
    async fn not_before(
        &self,
        notice: &Notice,
        notices: &Notices,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (sent, waiting) = self.store.last_notice(notice.prefix).await?;
        if let Some((_, next_at)) = waiting.filter(|(first, _)| *first < notice.id) {
            return Ok(next_at.max(now).checked_add(IN_TURN).ok());
        }
        let pause = SignedDuration::try_from(notices.at_most_every).unwrap_or(SignedDuration::MAX);
        let until = sent.map(|sent| sent.checked_add(pause).unwrap_or(Timestamp::MAX));
        // One that was tried may have been taken: nobody hears twice of what is tried again.
        Ok(until.filter(|until| now < *until && notice.attempts == 0))
    }

    /// Tries one; until when no other is worth trying, if the server is not there.
    async fn send_notice(
        &self,
        telling: &Telling,
        notice: Notice,
    ) -> Result<Option<Timestamp>, StoreError> {
        let flag = match notice.steps.last() {
            Some(step) => self.store.flag(step.flag).await?,
            None => None,
        };
        let text = flag.as_ref().and_then(|flag| {
            let text = self.facts().text(&telling.templates, &notice.steps, flag);
            text.map(|text| (flag.id, text))
        });
        let Some((flag, text)) = text else {
            // Flags are never deleted: somebody else has written that row.
            let item = lost(
                &notice,
                FlagId(0),
                Kind::Flag,
                "its flag is not there",
                clock(),
            );
            let item = Item { flag: None, ..item };
            self.store
                .notice_done(&notice, Some("its flag is not there"), item)
                .await?;
            return Ok(None);
        };
        let id = format!("notice-{}.{}", notice.id, self.store.name());
        let unsent = Unsent {
            to: &notice.mail,
            text: &text,
            id: &id,
            at: notice.created_at,
        };
        let outcome = match timeout(LONGEST_SEND, telling.post.send(unsent)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(PostError::Unreachable(String::from("no answer in time"))),
        };
        let now = clock();
        let (error, forever, alone) = match outcome {
            Ok(()) => {
                self.metrics().notice("sent");
                tracing::info!(
                    notice = notice.id,
                    flag.id = flag.0,
                    kind = text.kind.name(),
                    "customer told"
                );
                let own = Own::NoticeSent {
                    notice: notice.id,
                    kind: text.kind.name(),
                    flag,
                };
                let item = own.at(now, Some(notice.prefix));
                self.store.notice_done(&notice, None, item).await?;
                return Ok(None);
            }
            Err(PostError::Refused { text, forever }) => (text, forever, true),
            Err(error @ PostError::Message(_)) => (error.to_string(), true, true),
            Err(error @ (PostError::SetUp(_) | PostError::Unreachable(_))) => {
                (error.to_string(), false, false)
            }
        };
        self.metrics().notice("failed");
        if forever || now.duration_since(notice.created_at) >= PATIENCE {
            self.metrics().notice("lost");
            tracing::error!(
                notice = notice.id,
                flag.id = flag.0,
                error,
                "a customer could not be told"
            );
            let item = lost(&notice, flag, text.kind, &error, now);
            self.store.notice_done(&notice, Some(&error), item).await?;
            return Ok(None);
        }
        if notice.attempts == 1 {
            tracing::warn!(
                notice = notice.id,
                error,
                "a customer could not be told yet; it is tried again"
            );
        }
        let chance = backoff::chance().unwrap_or(u16::MAX / 2);
        let wait = SignedDuration::try_from(BACKOFF.after(notice.attempts, chance));
        let wait = wait.unwrap_or(SignedDuration::MAX);
        let next_at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        self.store.notice_failed(notice.id, &error, next_at).await?;
        // The others would meet the same.
        Ok((!alone).then_some(next_at))
    }
}

fn lost(notice: &Notice, flag: FlagId, kind: Kind, error: &str, now: Timestamp) -> Item {
    let own = Own::NoticeLost {
        notice: notice.id,
        kind: kind.name(),
        flag,
        error,
    };
    own.at(now, Some(notice.prefix))
}

/// Whoever stops the controller waits for it.
const LONGEST_SEND: Duration = Duration::from_secs(45);
/// How soon an edge looks again whether it is the one that sends.
const STEWARD_RETRY: SignedDuration = SignedDuration::from_secs(1);
/// How soon a notice looks again whether the one before it is through.
const IN_TURN: SignedDuration = SignedDuration::from_secs(5);
/// A mail server that is restarted is asked soon.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(5),
    longest: Duration::from_secs(3600),
};
/// After that nobody would know what it is about.
const PATIENCE: SignedDuration = SignedDuration::from_hours(48);
