//! The trail, for people: what stands in it, whether it holds, and all of it for somewhere else.
//!
//! Whoever takes it away is written into it first.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Controller, Problem, clock};
use crate::{
    policy::rules::ACTOR_PREFIX,
    store::{
        StoreError,
        audit::{Begin, End, Entry, FORMAT, Head, Kind, Line, Proof, Row, Wanted},
    },
};

impl Controller {
    /// Rows of the trail, oldest first.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn trail(&self, wanted: &Wanted) -> Result<Vec<Row>, Problem> {
        Ok(self.store.trail(wanted).await?)
    }

    /// Whether the chains of all writers hold, and whether these heads are still in them.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn prove_trail(&self, heads: Vec<Head>) -> Result<Proof, Problem> {
        let proof = self.store.prove_trail(heads).await?;
        for (writer, broken) in proof
            .writers
            .iter()
            .filter_map(|it| Some((it, it.broken.as_ref()?)))
        {
            tracing::error!(
                writer = writer.writer,
                seq = broken.seq,
                what = broken.what,
                "the audit trail was tampered with; keep a copy of the store"
            );
        }
        Ok(proof)
    }

    /// All of the trail, or what is not older, line by line; who takes it away stands in it. An error ends the lines
    /// before their last one.
    ///
    /// # Errors
    ///
    /// [`Problem::Guard`] without an actor, else [`Problem::Store`].
    pub async fn export_trail(
        self: &Arc<Self>,
        since: Option<Timestamp>,
        actor: &str,
    ) -> Result<mpsc::Receiver<Line>, Problem> {
        let said = json!({ "what": "audit export", "since": since });
        let at = self.note_view(actor, "audit", said).await?;
        let (lines, receiver) = mpsc::channel(LINES);
        let controller = Arc::clone(self);
        tokio::spawn(async move {
            let begin = Line::Begin(Begin {
                format: String::from(FORMAT),
                at,
                since,
            });
            match controller.write_export(begin, since, &lines).await {
                Ok(()) => {}
                Err(error) => tracing::error!(%error, "an export of the trail broke off"),
            }
        });
        Ok(receiver)
    }

    /// Writes into the trail that somebody is about to see what is held about people; answers with when.
    pub(super) async fn note_view(
        &self,
        actor: &str,
        subject: &str,
        said: Value,
    ) -> Result<Timestamp, Problem> {
        let actor = actor_of(actor)?;
        let at = clock();
        let entry = Entry {
            at,
            actor,
            kind: Kind::Viewed,
            subject: subject.to_owned(),
            payload: said,
        };
        self.store.record(entry).await?;
        Ok(at)
    }

    /// Whoever listens no more ends it.
    async fn write_export(
        &self,
        begin: Line,
        since: Option<Timestamp>,
        lines: &mpsc::Sender<Line>,
    ) -> Result<(), StoreError> {
        let mut rows = 0;
        if lines.send(begin).await.is_err() {
            return Ok(());
        }
        for writer in self.store.writers().await? {
            let mut after = match since {
                Some(since) => self.store.trail_before(&writer, since).await?,
                None => i64::MIN,
            };
            loop {
                let page = self.store.trail_page(&writer, after).await?;
                let Some(last) = page.last() else {
                    break;
                };
                after = last.seq;
                for row in page {
                    if lines.send(Line::Row(row)).await.is_err() {
                        return Ok(());
                    }
                    rows += 1;
                }
            }
        }
        // Whoever has gone does not hear that it was all.
        drop(lines.send(Line::End(End { rows })).await);
        Ok(())
    }
}

/// A person's name, as the trail takes it.
pub(super) fn actor_of(actor: &str) -> Result<String, Problem> {
    let actor = actor.trim();
    if actor.is_empty() {
        let text = "what is seen or erased needs an actor, for the trail";
        return Err(Problem::Guard(String::from(text)));
    }
    let odd = actor.len() > ACTOR_OCTETS || actor.chars().any(char::is_control);
    if odd || actor.starts_with(ACTOR_PREFIX) {
        return Err(Problem::Usage(format!(
            "actor {actor:?}: allowed is one line of at most {ACTOR_OCTETS} octets that does not begin with {ACTOR_PREFIX}"
        )));
    }
    Ok(actor.to_owned())
}

const ACTOR_OCTETS: usize = 100;
/// Lines that are read ahead of whoever takes them.
const LINES: usize = 256;
