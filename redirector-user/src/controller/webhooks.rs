//! Turning webhooks: each endpoint is told the events that it wants, in order, each at least once.
//!
//! Every endpoint has a task of its own that reads the events from the store, as followers do, so one that hangs costs
//! nobody but itself. How far it is, is kept after every few events and whenever there are no more: who is killed tells a
//! few again, and none is left out.

mod hook;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Duration, timeout};

pub(super) use self::hook::Hook;

use super::{Controller, Problem, StartError, clock};
use crate::{
    api::view::{EventView, WebhookAnswerView, WebhookState, WebhookView},
    backoff,
    config::Config,
    feed::Own,
    store::{
        StoreError,
        drains::Word,
        events::{Stored, Wanted},
    },
    webhook::Progress,
};

/// Whether what the configuration names beside itself is there.
pub(crate) fn check_files(config: &Config) -> Result<(), StartError> {
    Hook::load_all(config)?;
    super::notices::Telling::load(config)?;
    Ok(())
}

/// What its task does next.
enum Next {
    /// Everything is told.
    Wait,
    /// It is asked again then.
    At(Timestamp),
    /// It is not asked until somebody says so.
    Stop,
}

impl Controller {
    /// Tells one endpoint what it wants to hear, for ever.
    pub(super) async fn turn_webhook(self: Arc<Self>, hook: Arc<Hook>) {
        let mut newest = self.store.newest_event();
        let mut term = *self.steward.borrow();
        loop {
            newest.mark_unchanged();
            let now_steward = self.until_steward().await;
            if now_steward != term {
                // Another edge has told it events meanwhile.
                match self.store.begin_webhook(hook.name()).await {
                    Ok(mut fresh) => {
                        fresh.configured(&hook.digest());
                        hook.change(|progress| *progress = fresh);
                        term = now_steward;
                    }
                    Err(error) => {
                        tracing::error!(webhook = hook.name(), %error, "a webhook's progress cannot be read");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                }
            }
            let next = self.tell_webhook(&hook).await.unwrap_or_else(|error| {
                tracing::error!(webhook = hook.name(), %error, "a webhook's progress cannot be read or kept");
                let at = clock().checked_add(STORE_RETRY);
                Next::At(at.unwrap_or(Timestamp::MAX))
            });
            tokio::select! {
                () = hook.nudge.notified() => {}
                () = async {
                    match next {
                        // Progress over events that are not wanted is kept now and then.
                        Next::Wait => drop(timeout(KEPT_EVERY, newest.changed()).await),
                        Next::At(at) => {
                            let wait = Duration::try_from(at.duration_since(clock()));
                            // At most that long: the time of day may jump.
                            tokio::time::sleep(wait.unwrap_or_default().min(LONGEST_NAP)).await;
                        }
                        Next::Stop => std::future::pending().await,
                    }
                } => {}
            }
        }
    }

    /// Tells it all that there is, until it does not take something.
    async fn tell_webhook(&self, hook: &Hook) -> Result<Next, StoreError> {
        let mut unkept = 0;
        loop {
            let progress = hook.progress();
            if progress.stopped.is_some() {
                return Ok(Next::Stop);
            }
            if let Some(at) = progress.next_at.filter(|at| clock() < *at) {
                return Ok(Next::At(at));
            }
            let page = self.store.events(&wanted(progress.through)).await?;
            if page.is_empty() {
                if unkept > 0 || hook.is_due().await {
                    hook.keep(&self.store, None).await?;
                }
                return Ok(Next::Wait);
            }
            for event in page {
                if !self.is_steward() {
                    return Ok(Next::Wait);
                }
                self.notice_gap(hook, &event).await?;
                if !hook.endpoint.webhook().events.want(&event.kind) {
                    hook.change(|progress| progress.through = event.seq);
                    continue;
                }
                if !self.tell_event(hook, event).await? {
                    break;
                }
                unkept += 1;
                if unkept == KEPT_AFTER {
                    hook.keep(&self.store, None).await?;
                    unkept = 0;
                }
            }
        }
    }

    /// Tells it one event; whether it is done with.
    async fn tell_event(&self, hook: &Hook, event: Stored) -> Result<bool, StoreError> {
        let (seq, name) = (event.seq, hook.name());
        let kind = event.kind.clone();
        let body = serde_json::to_vec(&EventView::from(event)).unwrap_or_default();
        let now = clock();
        let posted = hook.endpoint.post(seq, body, now).await;
        let answered = posted
            .map_err(|error| error.to_string())
            .and_then(|answer| match answer.status.as_u16() {
                GONE => Ok(false),
                _ => answer.judged().map(|()| true),
            });
        match answered {
            Ok(true) => {
                self.metrics().webhook_asked(name, "delivered");
                hook.change(|progress| progress.taken(seq, clock()));
                tracing::debug!(
                    webhook = name,
                    event.seq = seq,
                    event.kind = kind,
                    "event told"
                );
                Ok(true)
            }
            Ok(false) => {
                self.metrics().webhook_asked(name, "failed");
                hook.change(|progress| progress.gone(hook.digest()));
                tracing::error!(
                    webhook = name,
                    "the endpoint says that it is gone (410); it is told nothing until its configuration changes, or \
                     `outgate webhook retry`"
                );
                let stopped = Own::WebhookStopped { webhook: name };
                hook.keep(&self.store, Some(stopped.at(clock(), None)))
                    .await?;
                Ok(false)
            }
            Err(error) => {
                self.metrics().webhook_asked(name, "failed");
                let chance = backoff::chance().unwrap_or(u16::MAX / 2);
                let before = hook.progress().failures;
                if before == 0 {
                    tracing::warn!(
                        webhook = name,
                        event.seq = seq,
                        error,
                        "an endpoint took no event; it is asked again"
                    );
                }
                hook.change(|progress| progress.failed(error, clock(), chance));
                hook.keep(&self.store, None).await?;
                self.give_up(hook).await?;
                Ok(false)
            }
        }
    }

    /// Passes over what an endpoint has not taken for too long.
    async fn give_up(&self, hook: &Hook) -> Result<(), StoreError> {
        loop {
            let progress = hook.progress();
            let page = self.store.events(&wanted(progress.through)).await?;
            let (now, mut lost, mut through) = (clock(), Vec::new(), progress.through);
            for event in &page {
                let wanted = hook.endpoint.webhook().events.want(&event.kind);
                if wanted && !progress.gives_up(event, now) {
                    break;
                }
                through = event.seq;
                // Nobody is told that nobody was told that something was lost: that would never end.
                if wanted && event.kind != Own::WEBHOOK_LOST {
                    lost.push(event.seq);
                }
            }
            if through == progress.through {
                return Ok(());
            }
            hook.change(|progress| progress.through = through);
            let ends = lost.first().copied().zip(lost.last().copied());
            let own = ends.map(|(first, last)| Own::WebhookLost {
                webhook: hook.name(),
                first,
                last,
                events: u64::try_from(lost.len()).unwrap_or(u64::MAX),
                why: "it took none for three days",
            });
            self.lose(hook, own).await?;
        }
    }

    /// Sees whether events were thrown away before this one, which nobody can say whether it wanted.
    async fn notice_gap(&self, hook: &Hook, event: &Stored) -> Result<(), StoreError> {
        let through = hook.progress().through;
        let missing = event.seq.saturating_sub(through).saturating_sub(1);
        if missing == 0 {
            return Ok(());
        }
        hook.change(|progress| progress.through = event.seq - 1);
        let own = Own::WebhookLost {
            webhook: hook.name(),
            first: through + 1,
            last: event.seq - 1,
            events: missing,
            why: "[events] keep and max in outgated.toml have thrown them away before it took them",
        };
        self.lose(hook, Some(own)).await
    }

    /// Keeps that a webhook is not told some events, and tells it if anybody would miss them.
    async fn lose(&self, hook: &Hook, own: Option<Own<'_>>) -> Result<(), StoreError> {
        if let Some(Own::WebhookLost { events, why, .. }) = &own {
            self.metrics().webhook_lost(hook.name(), *events);
            tracing::error!(
                webhook = hook.name(),
                events,
                why,
                "a webhook was not told events"
            );
        }
        let told = own.map(|own| own.at(clock(), None));
        hook.keep(&self.store, told).await
    }

    /// Every webhook, in the order of the configuration.
    #[must_use]
    pub fn list_webhooks(&self) -> Vec<WebhookView> {
        self.webhooks
            .iter()
            .map(|hook| self.webhook_view(hook))
            .collect()
    }

    /// Tells an endpoint something that is no event, and answers with what it said.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`].
    pub async fn test_webhook(&self, name: &str) -> Result<WebhookAnswerView, Problem> {
        let hook = self.webhook(name)?;
        let now = clock();
        let ping = EventView {
            seq: 0,
            at: now,
            relay: None,
            kind: String::from("ping"),
            customer: None,
            flag: None,
            detail: serde_json::json!({ "webhook": name }),
        };
        let body = serde_json::to_vec(&ping).unwrap_or_default();
        Ok(match hook.endpoint.post(0, body, now).await {
            Ok(answer) => WebhookAnswerView {
                took: answer.status.is_success(),
                status: Some(answer.status.as_u16()),
                elapsed_ms: u64::try_from(answer.took.as_millis()).ok(),
                error: answer.judged().err(),
                answer: Some(answer.text),
            },
            Err(error) => WebhookAnswerView {
                took: false,
                status: None,
                elapsed_ms: None,
                error: Some(error.to_string()),
                answer: None,
            },
        })
    }

    /// Has an endpoint asked now, even one that has said that it is gone.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`], [`Problem::Guard`] without an actor, [`Problem::Store`].
    pub async fn retry_webhook(
        &self,
        name: &str,
        actor: &str,
        reason: &str,
    ) -> Result<WebhookView, Problem> {
        let hook = self.webhook(name)?;
        let (actor, reason) = (actor.trim(), reason.trim());
        if actor.is_empty() {
            let text = "a webhook is retried by somebody; say who, for the trail";
            return Err(Problem::Guard(String::from(text)));
        }
        let word = Word {
            at: clock(),
            by: actor.to_owned(),
            reason: reason.to_owned(),
        };
        let alone = hook.keeping.lock().await;
        hook.change(Progress::hurry);
        self.store
            .retry_webhook(name, &hook.progress(), &word)
            .await?;
        drop(alone);
        tracing::info!(webhook = name, actor = word.by, "webhook retried");
        hook.nudge.notify_one();
        Ok(self.webhook_view(hook))
    }

    fn webhook(&self, name: &str) -> Result<&Arc<Hook>, Problem> {
        let found = self.webhooks.iter().find(|hook| hook.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.webhooks.iter().map(|hook| hook.name()).collect();
            Problem::NotFound(match names.is_empty() {
                true => format!(
                    "no webhook {name:?}: none is configured ([[webhook]] in outgated.toml)"
                ),
                false => format!("no webhook {name:?}; there are: {}", names.join(", ")),
            })
        })
    }

    fn webhook_view(&self, hook: &Hook) -> WebhookView {
        let (webhook, progress) = (hook.endpoint.webhook(), hook.progress());
        let newest = *self.store.newest_event().borrow();
        WebhookView {
            name: webhook.name.clone(),
            endpoint: webhook.url.origin(),
            events: webhook.events.to_string(),
            state: match (&progress.stopped, progress.failures) {
                (Some(_), _) => WebhookState::Stopped,
                (None, 0) => WebhookState::Good,
                (None, _) => WebhookState::Failing,
            },
            through: progress.through,
            lag: newest.saturating_sub(progress.through),
            taken_at: progress.taken_at,
            failures: progress.failures,
            failing_since: progress.failing_since,
            next_at: progress.next_at,
            error: progress.error,
        }
    }
}

/// A page of events after this one.
const fn wanted(after: u64) -> Wanted {
    Wanted {
        after: Some(after),
        limit: PAGE,
        kind: None,
        customer: None,
        since: None,
    }
}

/// 410.
const GONE: u16 = 410;
/// Events that are read at once.
const PAGE: u32 = 100;
/// Events that are told again after a kill, at most.
const KEPT_AFTER: u32 = 16;
const KEPT_EVERY: Duration = Duration::from_secs(60);
const LONGEST_NAP: Duration = Duration::from_secs(60);
const STORE_RETRY: SignedDuration = SignedDuration::from_secs(5);
