//! The trail, for people: what stands in it, whether it holds, and all of it for somewhere else.
//!
//! Whoever takes it away is written into it first. What is older than `[audit]` keeps goes, once a day.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
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
        let anchors = self.store.anchors().await?;
        let (lines, receiver) = mpsc::channel(LINES);
        let controller = Arc::clone(self);
        tokio::spawn(async move {
            let begin = Line::Begin(Begin {
                format: String::from(FORMAT),
                at,
                since,
                anchors: anchors.iter().map(ToString::to_string).collect(),
            });
            match controller
                .write_export(begin, since, &anchors, &lines)
                .await
            {
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

    /// Lets go what of the trail is older than it is kept, some of it at a time, unless that was done for this day; until
    /// when that is done now.
    pub(super) async fn prune_trail(
        &self,
        done: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, Problem> {
        let now = clock();
        let Some(before) = self.config.audit.keep.map(|keep| day_before(now, keep)) else {
            return Ok(None);
        };
        if done == Some(before) {
            return Ok(done);
        }
        let pruned = self.store.prune_trail(before, now).await?;
        if pruned.rows > 0 {
            tracing::info!(rows = pruned.rows, %before, "the oldest rows of the trail went");
        }
        for broken in &pruned.broken {
            tracing::error!(
                %broken,
                "the audit trail was tampered with, so its oldest rows stay; keep a copy of the store"
            );
        }
        Ok((!pruned.more).then_some(before))
    }

    /// Whoever listens no more ends it.
    async fn write_export(
        &self,
        begin: Line,
        since: Option<Timestamp>,
        anchors: &[Head],
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
        // Rows that went before they were read are missing; a file without an end says that it is to be made anew.
        if self.store.anchors().await? != anchors {
            tracing::warn!("an export of the trail broke off: its oldest rows went meanwhile");
            return Ok(());
        }
        // Whoever has gone does not hear that it was all.
        drop(lines.send(Line::End(End { rows })).await);
        Ok(())
    }
}

/// The first moment of the day on which a row's time is over, so that rows go once a day.
fn day_before(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    let moment = now.checked_sub(keep).unwrap_or(Timestamp::MIN).as_second();
    Timestamp::from_second(moment - moment.rem_euclid(DAY_S)).unwrap_or(Timestamp::MIN)
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
const DAY_S: i64 = 24 * 60 * 60;
/// Lines that are read ahead of whoever takes them.
const LINES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_once_a_day() {
        let day = Duration::from_secs(24 * 3600);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (now, keep, before) in [
            ("2026-11-23T01:40:11Z", 400, "2025-10-19T00:00:00Z"),
            ("2026-11-23T23:59:59Z", 400, "2025-10-19T00:00:00Z"),
            ("2026-11-24T00:00:00Z", 400, "2025-10-20T00:00:00Z"),
            ("1970-01-01T00:00:01Z", 30, "1969-12-02T00:00:00Z"),
        ] {
            assert_eq!(day_before(at(now), keep * day), at(before), "{now}");
        }
    }
}
