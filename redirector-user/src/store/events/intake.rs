//! Taking relays' events: each once, and what a person did or saw with a row of the trail.

use contract::event::{Batch, Event, Happening, Taken};
use jiff::Timestamp;
use serde_json::json;
use sqlx::Row as _;

use super::{Store, StoreError, Told, Transaction};
use crate::{
    feed::Item,
    store::audit::{Chain, Entry, Kind},
};

/// What came of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenIn {
    /// For the relay.
    pub taken: Taken,
    /// Those that were not there before, in order.
    pub fresh: Vec<Event>,
}

impl Store {
    /// Takes those events of a sound batch that were not taken before; durable when it returns. `now` is when the
    /// relay was heard.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is taken then.
    pub async fn take_events(
        &self,
        relay: &str,
        batch: Batch,
        now: Timestamp,
    ) -> Result<TakenIn, StoreError> {
        let Batch { epoch, mut events } = batch;
        let mut transaction = self.writer.begin().await?;
        let before = through(&mut transaction, relay, &epoch).await?;
        events.retain(|event| event.seq > before);
        let taken = Taken {
            through: events.last().map_or(before, |last| last.seq),
            epoch,
        };
        if events.is_empty() {
            return Ok(TakenIn {
                taken,
                fresh: events,
            });
        }
        note_through(&mut transaction, relay, &taken, now).await?;
        let mut told = Told::default();
        let mut trail = Vec::new();
        for event in &events {
            told.note(Item::of_relay(relay, event));
            trail.extend(by_a_person(relay, event));
        }
        let told = told.store(&mut transaction).await?;
        if !trail.is_empty() {
            let mut chain = Chain::open(&mut transaction, &self.name).await?;
            for entry in trail {
                chain.append(&mut transaction, entry).await?;
            }
            chain.finish(&mut transaction).await?;
        }
        transaction.commit().await?;
        self.announce(told);
        Ok(TakenIn {
            taken,
            fresh: events,
        })
    }
}

async fn through(transaction: &mut Transaction, relay: &str, run: &str) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT through FROM event_runs WHERE relay = $1 AND run = $2")
        .bind(relay.to_owned())
        .bind(run.to_owned())
        .fetch_optional(&mut **transaction)
        .await?;
    let through = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    Ok(u64::try_from(through.unwrap_or_default()).unwrap_or_default())
}

async fn note_through(
    transaction: &mut Transaction,
    relay: &str,
    taken: &Taken,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO event_runs (relay, run, through, last_us) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (relay, run) DO UPDATE SET through = excluded.through, last_us = excluded.last_us",
    )
    .bind(relay.to_owned())
    .bind(taken.epoch.clone())
    .bind(i64::try_from(taken.through).unwrap_or(i64::MAX))
    .bind(now.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The row of the trail of what a person did with a kept message, or saw of it.
fn by_a_person(relay: &str, event: &Event) -> Option<Entry> {
    let (kind, record, by, detail) = match &event.happening {
        Happening::Released { record, by, reason } => {
            let detail = json!({ "reason": reason });
            (Kind::MessageReleased, record, by, detail)
        }
        Happening::Viewed {
            record,
            by,
            reason,
            what,
        } => {
            let detail = json!({ "reason": reason, "what": what });
            (Kind::MessageViewed, record, by, detail)
        }
        Happening::Confirmed { record, by } => (Kind::MessageConfirmed, record, by, json!({})),
        Happening::Verdict(_)
        | Happening::Rates(_)
        | Happening::LimitHit { .. }
        | Happening::Learnt { .. }
        | Happening::Kept { .. }
        | Happening::ScannerDown { .. }
        | Happening::ScannerBack { .. }
        | Happening::DiskFailed { .. }
        | Happening::DiskBack { .. }
        | Happening::Lost { .. }
        | Happening::Unknown(_) => return None,
    };
    let mut payload = detail;
    if let Some(payload) = payload.as_object_mut() {
        payload.insert(String::from("relay"), json!(relay));
        payload.insert(String::from("customer"), json!(event.customer));
        payload.insert(String::from("flag"), json!(event.flag_id));
    }
    Some(Entry {
        at: event.at,
        actor: by.clone(),
        kind,
        subject: format!("record:{record}"),
        payload,
    })
}
