//! What a queue can be asked by people.
//!
//! A million jobs are looked at in pieces, so that deliveries go on meanwhile. What is held or paused is on disk before
//! the answer.

use std::collections::BTreeSet;
use std::future::Future;

use relay_proto::address::{ForwardPath, ReversePath};
use relay_proto::queue::{Filter, JobKey, Order as Job, Pause, View};
use relay_proto::queued::{QueueId, Queued, Source};
use tracing::{error, info};

use super::shapes::{
    Addressed, Done, JobShown, ListQuestion, Listing, MessageShown, Order, PauseDone, PauseOrder,
    Refused, StatsShown, Verb, egress_name, pause_name,
};
use crate::queue::errands::What;
use crate::queue::{Queue, World};

/// What a queue can be asked by people.
pub trait Orders: Clone + Send + Sync + 'static {
    /// Shows jobs.
    fn list(&self, question: &ListQuestion) -> Result<Listing, Refused>;

    /// Shows one message; `None` if it is not in the queue.
    fn show(
        &self,
        id: QueueId,
    ) -> impl Future<Output = Result<Option<MessageShown>, Refused>> + Send;

    /// Numbers.
    fn numbers(&self) -> StatsShown;

    /// Does something to jobs.
    fn order(&self, order: &Order) -> impl Future<Output = Result<Done, Refused>> + Send;

    /// Pauses something, or lets it go on.
    fn pause(&self, order: &PauseOrder) -> impl Future<Output = Result<PauseDone, Refused>> + Send;
}

impl<W: World> Orders for Queue<W> {
    fn list(&self, question: &ListQuestion) -> Result<Listing, Refused> {
        let filter = question.wanted.filter(self.now().0)?;
        let limit = question.limit.clamp(1, LIST_MAX);
        let (mut jobs, mut next) = (Vec::new(), Some(question.after));
        if let Some(id) = filter.id {
            let state = self.state();
            for key in state.scheduler.jobs_of(id) {
                let view = state.scheduler.show(key);
                if let Some(view) = view.filter(|view| filter.matches(view)) {
                    jobs.push(shown(&view, state.reasons.of(key)));
                }
            }
            return Ok(Listing { jobs, next: None });
        }
        while let Some(from) = next
            && jobs.len() < limit
        {
            let state = self.state();
            // Slot by slot near the end, so that the page ends where the next one begins.
            let most = u32::try_from(limit - jobs.len())
                .unwrap_or(1)
                .min(SLOTS_AT_ONCE);
            next = state.scheduler.scan(from, most, |key, view| {
                if filter.matches(&view) {
                    jobs.push(shown(&view, state.reasons.of(key)));
                }
            });
        }
        Ok(Listing { jobs, next })
    }

    async fn show(&self, id: QueueId) -> Result<Option<MessageShown>, Refused> {
        let jobs: Vec<(JobShown, Vec<u32>)> = {
            let state = self.state();
            let keys = state.scheduler.jobs_of(id);
            let views = keys.iter().filter_map(|key| {
                let view = state.scheduler.show(*key)?;
                Some((
                    shown(&view, state.reasons.of(*key)),
                    view.recipients.to_vec(),
                ))
            });
            views.collect()
        };
        if jobs.is_empty() {
            return Ok(None);
        }
        let queued = self.0.world.envelope(id).await;
        let queued = queued.map_err(|error| Refused {
            error: format!("{id}: {error}"),
        })?;
        let lifetime_ms = self.0.options.settings.schedule.lifetime_ms();
        Ok(Some(message(&queued, lifetime_ms, jobs)))
    }

    fn numbers(&self) -> StatsShown {
        let stats = self.stats();
        let [scheduled, waiting, ready, in_flight, held] = stats.counts.by_state;
        let state = self.state();
        StatsShown {
            scheduled,
            waiting,
            ready,
            in_flight,
            held,
            connections: stats.counts.connections,
            dead_sites: stats.counts.dead,
            oldest_age_seconds: stats.oldest_age_seconds,
            delivered: stats.totals.delivered,
            failed: stats.totals.failed,
            expired: stats.totals.expired,
            deferred: stats.totals.deferred,
            paused: state.scheduler.pauses().map(pause_name).collect(),
        }
    }

    async fn order(&self, order: &Order) -> Result<Done, Refused> {
        let filter = order.wanted.filter(self.now().0)?;
        if filter.is_everything() && !order.all {
            let error = "no condition is given; say so if all messages are meant (--all)".into();
            return Err(Refused { error });
        }
        let reason = order.reason.as_deref().map(str::trim).unwrap_or_default();
        if order.verb == Verb::Delete && reason.is_empty() {
            let error = "mail is deleted for a reason, which is logged (--reason)".into();
            return Err(Refused { error });
        }
        let meant = self.meant(&filter);
        let mut done = Done {
            matched: meant.len() as u64,
            ..Done::default()
        };
        if order.dry_run {
            for (_, _, would_change) in &meant {
                done.changed += u64::from(would_change(order.verb));
            }
            return Ok(done);
        }
        self.carry_out(order.verb, &meant, &mut done).await?;
        info!(verb = ?order.verb, wanted = ?order.wanted, reason, matched = done.matched,
            changed = done.changed, in_flight = done.in_flight, "ordered by a person");
        Ok(done)
    }

    async fn pause(&self, order: &PauseOrder) -> Result<PauseDone, Refused> {
        let pause = order.pause()?;
        let mut said = self.0.said.lock().await;
        let change = |paused: &mut BTreeSet<Pause>, _: &mut BTreeSet<QueueId>| {
            match order.resume {
                true => paused.remove(&pause),
                false => paused.insert(pause.clone()),
            };
        };
        said.change(change)
            .await
            .map_err(|error| not_kept(&error))?;
        let mut state = self.state();
        let changed = match order.resume {
            true => state.scheduler.resume(&pause),
            false => state.scheduler.pause(pause.clone()),
        };
        self.step(&mut state);
        info!(
            what = pause_name(&pause),
            resume = order.resume,
            changed,
            "ordered by a person"
        );
        Ok(PauseDone { changed })
    }
}

/// A job that is meant, its message, and what would change it.
type Meant = (JobKey, QueueId, fn(Verb) -> bool);

impl<W: World> Queue<W> {
    /// All jobs that a filter means.
    fn meant(&self, filter: &Filter) -> Vec<Meant> {
        let mut meant = Vec::new();
        let mut see = |key: JobKey, view: &View<'_>| {
            if filter.matches(view) {
                meant.push((key, view.id, would_change(view)));
            }
        };
        if let Some(id) = filter.id {
            let state = self.state();
            for key in state.scheduler.jobs_of(id) {
                if let Some(view) = state.scheduler.show(key) {
                    see(key, &view);
                }
            }
            return meant;
        }
        let mut next = Some(0);
        while let Some(from) = next {
            let state = self.state();
            next = state
                .scheduler
                .scan(from, SLOTS_AT_ONCE, |key, view| see(key, &view));
        }
        meant
    }

    async fn carry_out(&self, verb: Verb, meant: &[Meant], done: &mut Done) -> Result<(), Refused> {
        // On disk first: what is held stays held, whatever happens now.
        let mut said = match verb {
            Verb::Hold | Verb::Release => Some(self.0.said.lock().await),
            Verb::Flush | Verb::Delete | Verb::Requeue => None,
        };
        if let Some(said) = &mut said {
            let ids: Vec<QueueId> = meant.iter().map(|(_, id, _)| *id).collect();
            let change = |_: &mut BTreeSet<Pause>,
                          held: &mut BTreeSet<QueueId>,
                          released: &mut BTreeSet<QueueId>| {
                let state = self.state();
                held.retain(|id| !state.scheduler.jobs_of(*id).is_empty());
                released.retain(|id| !state.scheduler.jobs_of(*id).is_empty());
                for id in ids {
                    if verb == Verb::Hold {
                        held.insert(id);
                        continue;
                    }
                    held.remove(&id);
                    let mut jobs = state.scheduler.jobs_of(id).into_iter();
                    if jobs.any(|key| state.scheduler.is_held_until_old(key)) {
                        released.insert(id);
                    }
                }
            };
            said.change_all(change)
                .await
                .map_err(|error| not_kept(&error))?;
        }
        for some in meant.chunks(JOBS_AT_ONCE) {
            let mut removed = Vec::new();
            {
                let mut state = self.state();
                for (key, _, _) in some {
                    let scheduler = &mut state.scheduler;
                    let is_in_flight = scheduler.is_in_flight(*key);
                    let changed = match verb {
                        Verb::Flush => scheduler.flush(*key),
                        Verb::Hold => scheduler.hold(*key),
                        Verb::Release => scheduler.release(*key),
                        Verb::Delete => {
                            removed.extend(scheduler.remove(*key));
                            is_in_flight
                        }
                        Verb::Requeue => {
                            let target = scheduler.target_of(*key);
                            let changed = scheduler.requeue(*key);
                            if let Some(target) = target.filter(|_| changed) {
                                state.routes.forget(&target);
                            }
                            changed
                        }
                    };
                    let waits = is_in_flight && matches!(verb, Verb::Hold | Verb::Delete);
                    done.in_flight += u64::from(waits);
                    done.changed += u64::from(changed && !waits);
                }
                self.step(&mut state);
            }
            self.remove(removed, done).await;
        }
        Ok(())
    }

    /// Removes jobs that are in hand from the spool.
    async fn remove(&self, jobs: Vec<Job>, done: &mut Done) {
        for job in jobs {
            match self.0.world.discard(job.id, &job.recipients).await {
                Ok(()) => {
                    info!(queue.id = %job.id, recipients = job.recipients.len(), "deleted by a person");
                    self.state().finish(job.key);
                    done.changed += 1;
                }
                Err(error) => {
                    error!(queue.id = %job.id, %error, "cannot remove a message from the spool");
                    done.failed += 1;
                    self.postpone(What::Discard(job));
                }
            }
        }
    }
}

fn would_change(view: &View<'_>) -> fn(Verb) -> bool {
    use relay_proto::queue::JobState;
    match view.state {
        JobState::Scheduled => |verb| verb != Verb::Release,
        JobState::Waiting | JobState::Ready => |verb| !matches!(verb, Verb::Release | Verb::Flush),
        JobState::InFlight => |_| false,
        JobState::Held => |verb| matches!(verb, Verb::Release | Verb::Delete),
    }
}

fn not_kept(error: &std::io::Error) -> Refused {
    Refused {
        error: format!("cannot be written down, so it is not done: {error}"),
    }
}

fn shown(view: &View<'_>, reason: Option<&str>) -> JobShown {
    JobShown {
        id: view.id.to_string(),
        arrived_ms: view.arrived_ms,
        octets: view.octets.into(),
        customer: view.customer,
        sender: view.sender.to_owned(),
        domain: view.domain.to_owned(),
        recipients: view.recipients.len(),
        egress: egress_name(view.egress).to_owned(),
        state: view.state.name().to_owned(),
        due_ms: view.due_ms,
        site: view.site.map(ToOwned::to_owned),
        reason: reason.map(ToOwned::to_owned),
    }
}

fn message(queued: &Queued, lifetime_ms: u64, jobs: Vec<(JobShown, Vec<u32>)>) -> MessageShown {
    let (original_dst, ehlo, flag_id, user) = match &queued.source {
        Source::Customer {
            original_dst,
            ehlo,
            flag_id,
            user,
            ..
        } => (*original_dst, ehlo.as_ref(), *flag_id, user.clone()),
        Source::Relay => (None, None, None, None),
    };
    let to = |indices: Vec<u32>| {
        let indices = indices.into_iter();
        let recipient = |index: u32| queued.recipients.get(index as usize);
        indices
            .filter_map(recipient)
            .map(|it| path(&it.forward_path))
            .collect()
    };
    let jobs = jobs.into_iter().map(|(job, indices)| Addressed {
        job,
        to: to(indices),
    });
    MessageShown {
        id: queued.id.to_string(),
        from: match &queued.mail.reverse_path {
            ReversePath::Null => "<>".into(),
            ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        },
        ehlo: ehlo.map(ToString::to_string),
        original_dst: original_dst.map(|address| address.to_string()),
        flag_id,
        user,
        until_ms: queued.arrived.0.saturating_add(lifetime_ms),
        jobs: jobs.collect(),
    }
}

fn path(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".into(),
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
    }
}

const LIST_MAX: usize = 10_000;
/// Slots that are looked at under one lock.
const SLOTS_AT_ONCE: u32 = 20_000;
const JOBS_AT_ONCE: usize = 1000;
