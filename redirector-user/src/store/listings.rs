//! Listings in the store: what stands, and what has.
//!
//! What opens or closes is stored with its event. A row is there from the first look on, so that a restart neither forgets
//! what was to be confirmed nor tells twice what was.

mod evidence;
mod row;

use std::{collections::BTreeMap, net::IpAddr};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use utoipa::ToSchema;

pub use self::evidence::{Evidence, Mail, OfFlag, Sent};
use self::row::{begin, forget, read, update, wrong};
use super::{Store, StoreError, events::Told};
use crate::{
    feed::{self, Counts, Listing as Event},
    listings::{Noted, Standing, Step, Sweep},
    precheck::Fqdn,
};

/// Number of a listing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct ListingId(pub u64);

/// Why a listing is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClosedBy {
    /// The list does not name the address any more.
    Delisted,
    /// Nobody asks any more: the list is not configured, or the address is no customer's.
    Unwatched,
}

/// One listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its number.
    pub id: ListingId,
    /// Which list.
    pub zone: Fqdn,
    /// Whom it names.
    pub address: IpAddr,
    /// What it has said.
    pub standing: Standing,
    /// What was sent from there until it was opened.
    pub evidence: Option<Evidence>,
    /// Why it is over, and when that was.
    pub closed: Option<(ClosedBy, Timestamp)>,
}

/// Which listings.
#[derive(Clone, Debug)]
pub struct Which {
    /// Of addresses in this prefix.
    pub prefix: Option<IpNetwork>,
    /// On this list.
    pub zone: Option<String>,
    /// Open ones alone.
    pub open: bool,
    /// Those that were open then, or later.
    pub since: Option<Timestamp>,
    /// At most so many, the newest first.
    pub limit: u32,
}

impl Store {
    /// What has not ended, confirmed or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn standing_listings(&self) -> Result<Vec<Listing>, StoreError> {
        let rows = sqlx::query("SELECT * FROM listings WHERE closed_us IS NULL ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Confirmed listings, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn listings(&self, which: &Which) -> Result<Vec<Listing>, StoreError> {
        let (first, last) = which.prefix.map(feed::keys).unwrap_or_default();
        // What is not asked for is a parameter that lets everything through: one text, one plan.
        let rows = sqlx::query(
            "SELECT * FROM listings WHERE opened_us IS NOT NULL AND ($1 = '' OR (address_key >= $1 AND address_key <= $2)) \
             AND ($3 = '' OR zone = $3) AND ($4 = 0 OR closed_us IS NULL) AND (closed_us IS NULL OR closed_us >= $5) \
             ORDER BY id DESC LIMIT $6",
        )
        .bind(first)
        .bind(last)
        .bind(which.zone.clone().unwrap_or_default())
        .bind(i64::from(which.open))
        .bind(which.since.map_or(i64::MIN, Timestamp::as_microsecond))
        .bind(i64::from(which.limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// One confirmed listing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn listing(&self, id: ListingId) -> Result<Option<Listing>, StoreError> {
        let row = sqlx::query("SELECT * FROM listings WHERE id = $1 AND opened_us IS NOT NULL")
            .bind(i64::try_from(id.0).unwrap_or(i64::MAX))
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Stores what has happened, with the events of what opens or closes; `evidence` is of what opens.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is stored then.
    pub async fn note_listings(
        &self,
        notes: &[Noted],
        evidence: &BTreeMap<IpAddr, Evidence>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let mut told = Told::default();
        for noted in notes {
            let Noted {
                zone,
                address,
                step,
                standing,
                at,
            } = noted;
            let event = |id, evidence, closed| {
                let event = Event {
                    id,
                    zone: zone.as_str(),
                    address: *address,
                    standing,
                    evidence,
                    closed,
                };
                event.at(*at)
            };
            match step {
                Step::Nothing => {}
                Step::Begins => begin(&mut transaction, noted).await?,
                Step::Stays | Step::Doubts => {
                    update(&mut transaction, noted, None, None).await?;
                }
                Step::Opens => {
                    let seen = evidence.get(address);
                    if let Some(id) = update(&mut transaction, noted, seen, None).await? {
                        told.note(event(id, seen, None));
                    }
                }
                Step::Closes => {
                    let by = ClosedBy::Delisted;
                    if let Some(id) = update(&mut transaction, noted, None, Some(by)).await? {
                        told.note(event(id, None, Some(by)));
                    }
                }
                Step::Forgets => forget(&mut transaction, zone, *address).await?,
            }
        }
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// Closes what nobody asks about any more; what was not confirmed is forgotten.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`]; nothing is stored then.
    pub async fn unwatch_listings(
        &self,
        gone: &[Listing],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let mut told = Told::default();
        for listing in gone {
            let Listing {
                zone,
                address,
                standing,
                ..
            } = listing;
            if standing.opened_at.is_none() {
                forget(&mut transaction, zone, *address).await?;
                continue;
            }
            let noted = Noted {
                zone: zone.clone(),
                address: *address,
                step: Step::Closes,
                standing: standing.clone(),
                at,
            };
            let by = ClosedBy::Unwatched;
            if let Some(id) = update(&mut transaction, &noted, None, Some(by)).await? {
                let event = Event {
                    id,
                    zone: zone.as_str(),
                    address: *address,
                    standing,
                    evidence: None,
                    closed: Some(by),
                };
                told.note(event.at(at));
            }
        }
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// How far each round over these ranges was.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn listing_sweeps(&self, ranges: &str) -> Result<BTreeMap<Fqdn, Sweep>, StoreError> {
        let rows = sqlx::query("SELECT * FROM listing_sweeps WHERE ranges = $1")
            .bind(ranges.to_owned())
            .fetch_all(&self.readers)
            .await?;
        let mut sweeps = BTreeMap::new();
        for row in &rows {
            let zone: String = row.try_get("zone")?;
            let wrong = |what: &str| wrong("listing_sweeps", zone.clone(), what);
            let (began, place): (i64, i64) = (row.try_get("began_us")?, row.try_get("place")?);
            let finished: Option<i64> = row.try_get("finished_us")?;
            let time = |us| Timestamp::from_microsecond(us).map_err(|_range| wrong("a time"));
            let sweep = Sweep {
                began_at: time(began)?,
                place: place.unsigned_abs(),
                finished_at: finished.map(time).transpose()?,
            };
            sweeps.insert(Fqdn::new(&zone).map_err(|_no_name| wrong("zone"))?, sweep);
        }
        Ok(sweeps)
    }

    /// Notes how far each round is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn note_listing_sweeps(
        &self,
        ranges: &str,
        sweeps: &BTreeMap<Fqdn, Sweep>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        for (zone, sweep) in sweeps {
            sqlx::query(
                "INSERT INTO listing_sweeps (zone, ranges, began_us, place, finished_us) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (zone) DO UPDATE SET ranges = excluded.ranges, began_us = excluded.began_us, \
                 place = excluded.place, finished_us = excluded.finished_us",
            )
            .bind(zone.to_string())
            .bind(ranges.to_owned())
            .bind(sweep.began_at.as_microsecond())
            .bind(i64::try_from(sweep.place).unwrap_or(i64::MAX))
            .bind(sweep.finished_at.map(Timestamp::as_microsecond))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Throws away what was over before `before`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trim_listings(&self, before: Timestamp) -> Result<u64, StoreError> {
        let gone = sqlx::query("DELETE FROM listings WHERE closed_us < $1")
            .bind(before.as_microsecond())
            .execute(&self.writer)
            .await?;
        Ok(gone.rows_affected())
    }

    /// What relays saw of the addresses of a prefix since then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn mail_since(
        &self,
        prefix: IpNetwork,
        since: Timestamp,
    ) -> Result<Mail, StoreError> {
        let (first, last) = feed::keys(prefix);
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(messages), 0) AS BIGINT), CAST(COALESCE(SUM(refused), 0) AS BIGINT), \
             CAST(COALESCE(SUM(spam), 0) AS BIGINT) \
             FROM events WHERE first_key >= $1 AND first_key <= $2 AND at_us > $3 AND messages IS NOT NULL",
        )
        .bind(first)
        .bind(last)
        .bind(since.as_microsecond())
        .fetch_one(&self.readers)
        .await?;
        let sum = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        Ok(Mail::from(Counts {
            messages: sum(0)?,
            refused: sum(1)?,
            spam: sum(2)?,
        }))
    }

    /// Whom relays' events after a number, and not before a time, are about; and the number of the newest event.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn heard_of(
        &self,
        after: u64,
        since: Timestamp,
    ) -> Result<(Vec<IpNetwork>, u64), StoreError> {
        let newest = *self.newest_event.borrow();
        let rows = sqlx::query(
            "SELECT DISTINCT customer FROM events WHERE seq > $1 AND seq <= $2 AND at_us >= $3 AND relay IS NOT NULL \
             AND customer IS NOT NULL",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(newest).unwrap_or(i64::MAX))
        .bind(since.as_microsecond())
        .fetch_all(&self.readers)
        .await?;
        let mut heard = Vec::new();
        for row in rows {
            let text: String = row.try_get(0)?;
            heard.extend(text.parse::<IpNetwork>());
        }
        Ok((heard, newest))
    }
}

impl From<Counts> for Mail {
    fn from(counts: Counts) -> Self {
        Self {
            messages: counts.messages,
            refused: counts.refused,
            spam: counts.spam,
        }
    }
}

impl ClosedBy {
    /// As it is stored, and told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delisted => "delisted",
            Self::Unwatched => "unwatched",
        }
    }
}
