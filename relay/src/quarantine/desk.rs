//! Where people look at what is kept, and decide about it.
//!
//! Every view and every act is in the audit log, with who and why, before it happens. The sealed part leaves as it is: it
//! is opened where its key is, and what comes back to be released must be what was sealed, octet for octet.
//!
//! A release is in the queue before it is said to be done, and never twice: it is noted under the name that it will have
//! there, stored, noted again, and only then begun. [`Quarantine::settle`] tells after a crash which of it has happened.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use contract::event::Happening;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tracing::info;

use super::Quarantine;
use super::audit::{Act, State};
use super::index::Entry;
use super::record::{Part, Record, RecordId};
use super::shapes::{
    BodyQuestion, Did, Done, Failed, ListQuestion, Listing, Order, ShowQuestion, Shown, Verb,
};
use crate::classifier::Live;
use crate::config::MessageLimits;
use crate::dkim::Signer;
use crate::metrics::Counter;
use crate::queueing::Queueing;
use crate::snapshot::Newest;

pub(crate) mod http;
mod lesson;
mod release;

/// It. Cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Means>);

/// What it needs.
pub(crate) struct Means {
    pub(crate) quarantine: Arc<Quarantine>,
    /// By which released mail goes out.
    pub(crate) queueing: Queueing,
    /// Whose policies say by which way.
    pub(crate) newest: watch::Receiver<Newest>,
    /// What a new configuration may replace.
    pub(crate) tools: Mutex<Tools>,
    /// What released mail may cost on its way.
    pub(crate) limits: MessageLimits,
}

/// What it works with.
#[derive(Clone)]
pub(crate) struct Tools {
    /// What signs customers' mail.
    pub(crate) signer: Arc<Signer>,
    /// What learns from what people say of messages, if it is one of the scanners.
    pub(crate) classifier: Option<Arc<Live>>,
}

/// Why something was not done or shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is no such record, or no such part of it.
    #[error("{0}")]
    Missing(String),
    /// The question makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// It must not be done.
    #[error("{0}")]
    Guarded(String),
    /// It cannot be done.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl Desk {
    pub(crate) fn new(means: Means) -> Self {
        Self(Arc::new(means))
    }

    /// From now on it works with these.
    pub(crate) fn equip(&self, tools: Tools) {
        *self.0.tools.lock().unwrap_or_else(PoisonError::into_inner) = tools;
    }

    fn tools(&self) -> Tools {
        let tools = self.0.tools.lock();
        tools.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn quarantine(&self) -> &Quarantine {
        &self.0.quarantine
    }

    /// Records, by what the index knows of them: nothing that would have to be audited.
    fn list(&self, question: &ListQuestion) -> Result<Listing, Refusal> {
        let limit = question.limit.clamp(1, LIST_MAX);
        let index = self.quarantine().index();
        let records = match question.sample {
            true => Some(index.sample(&question.wanted, limit)),
            false => index.find(&question.wanted, limit),
        };
        let alike = question.wanted.alike.as_ref();
        Ok(Listing {
            records: records.ok_or_else(|| self.missing(alike))?,
            complete: self.quarantine().is_complete(),
        })
    }

    /// One record, and its header section if that is asked for.
    async fn show(&self, actor: &str, question: &ShowQuestion) -> Result<Shown, Refusal> {
        let (record, entry) = self.record(&question.id).await?;
        let part = match question.headers {
            true => "headers",
            false => "metadata",
        };
        self.viewed(actor, &record, part, &question.reason).await?;
        let headers = match question.headers && entry.has_headers {
            true => {
                let path = Part::Headers.path(&record.id, record.at);
                let headers = self.quarantine().store.get(&path).await?;
                Some(String::from_utf8_lossy(&headers).into_owned())
            }
            false => None,
        };
        Ok(Shown {
            record,
            state: entry.state,
            headers,
            has_body: entry.has_body,
        })
    }

    /// The sealed part.
    async fn body(
        &self,
        actor: &str,
        question: &BodyQuestion,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Refusal> {
        let reason = given(&question.reason)?;
        let (record, entry) = self.record(&question.id).await?;
        if !entry.has_body {
            let id = &question.id;
            let what = format!(
                "{id}: its content is not there: it was never kept, dropped, or is too old"
            );
            return Err(Refusal::Missing(what));
        }
        self.viewed(actor, &record, "body", reason).await?;
        let path = Part::Body.path(&record.id, record.at);
        Ok(self.quarantine().store.stream(&path).await?)
    }

    /// Does something to records, one after the other.
    async fn order(&self, actor: &str, order: &Order) -> Result<Done, Refusal> {
        let reason = given(&order.reason)?;
        let mut done = Done::default();
        for id in &order.ids {
            let ordered = match order.verb {
                Verb::Drop => self.drop_content(actor, id, reason).await,
                Verb::Confirm => self.confirm(actor, id, reason).await,
            };
            match ordered {
                Ok(()) => done.done.push(Did {
                    id: id.clone(),
                    queue_id: None,
                }),
                Err(refusal) => done.failed.push(Failed {
                    id: id.clone(),
                    is_missing: matches!(refusal, Refusal::Missing(_)),
                    error: refusal.to_string(),
                }),
            }
        }
        info!(verb = ?order.verb, actor, reason, done = done.done.len(), failed = done.failed.len(), "ordered by a person");
        Ok(done)
    }

    /// Deletes what could be read of a record. Its metadata and what was done with it stay as long as others.
    async fn drop_content(&self, actor: &str, id: &RecordId, reason: &str) -> Result<(), Refusal> {
        let (record, entry) = self.record(id).await?;
        self.change(
            id,
            State::Dropped,
            &[State::Kept, State::Confirmed, State::Released],
        )?;
        if let Err(error) = self
            .quarantine()
            .note(actor, id, Act::Dropped, reason)
            .await
        {
            self.set_state(id, entry.state);
            return Err(error.into());
        }
        for part in [Part::Headers, Part::Body] {
            self.quarantine().remove_part(id, record.at, part).await?;
        }
        self.quarantine().metrics.count(Counter::Dropped);
        Ok(())
    }

    async fn confirm(&self, actor: &str, id: &RecordId, reason: &str) -> Result<(), Refusal> {
        let (record, entry) = self.record(id).await?;
        self.change(id, State::Confirmed, &[State::Kept])?;
        if let Err(error) = self
            .quarantine()
            .note(actor, id, Act::Confirmed, reason)
            .await
        {
            self.set_state(id, entry.state);
            return Err(error.into());
        }
        let confirmed = Happening::Confirmed {
            record: id.to_string(),
            by: actor.to_owned(),
        };
        self.tell(&record, confirmed);
        Ok(())
    }

    /// A view is written down before anything is shown.
    async fn viewed(
        &self,
        actor: &str,
        record: &Record,
        part: &str,
        reason: &str,
    ) -> Result<(), Refusal> {
        let act = Act::View { part: part.into() };
        self.quarantine()
            .note(actor, &record.id, act, reason)
            .await?;
        info!(record.id = %record.id, actor, part, reason, "viewed in the quarantine");
        let viewed = Happening::Viewed {
            record: record.id.to_string(),
            by: actor.to_owned(),
            reason: reason.to_owned(),
            what: part.to_owned(),
        };
        self.tell(record, viewed);
        Ok(())
    }

    /// Tells the controller what a person has done.
    fn tell(&self, record: &Record, happening: Happening) {
        let reporter = &self.quarantine().reporter;
        reporter.happened(record.customer, record.flag_id, happening);
    }

    async fn record(&self, id: &RecordId) -> Result<(Record, Entry), Refusal> {
        let entry = self.quarantine().index().get(id).cloned();
        let record = self.quarantine().read_record(id).await?;
        entry
            .and_then(|entry| Some((record?, entry)))
            .ok_or_else(|| self.missing(Some(id)))
    }

    /// Changes what is said of a record if it was one of `from`; nobody comes between.
    fn change(&self, id: &RecordId, to: State, from: &[State]) -> Result<State, Refusal> {
        let mut index = self.quarantine().index_mut();
        let entry = index.get_mut(id).ok_or_else(|| self.missing(Some(id)))?;
        let was = entry.state;
        if !from.contains(&was) {
            let what = format!("{id}: it is {} already", was.name());
            return Err(Refusal::Guarded(what));
        }
        entry.state = to;
        Ok(was)
    }

    fn set_state(&self, id: &RecordId, state: State) {
        if let Some(entry) = self.quarantine().index_mut().get_mut(id) {
            entry.state = state;
        }
    }

    fn missing(&self, id: Option<&RecordId>) -> Refusal {
        let id = id.map_or_else(String::new, ToString::to_string);
        let what = match self.quarantine().is_complete() {
            true => format!("{id}: not in the quarantine"),
            false => {
                format!("{id}: not found so far; the quarantine is still being read, try again")
            }
        };
        Refusal::Missing(what)
    }
}

/// What cannot be done without a reason.
fn given(reason: &str) -> Result<&str, Refusal> {
    match reason.trim() {
        "" => Err(Refusal::Wrong(
            "it is done for a reason, which is audited (--reason)".into(),
        )),
        reason => Ok(reason),
    }
}

const LIST_MAX: usize = 10_000;
