//! A listing as a row of its table.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use sqlx::{Row as _, any::AnyRow};

use super::{ClosedBy, Evidence, Listing, ListingId};
use crate::{
    feed,
    listings::{Noted, Standing},
    precheck::Fqdn,
    store::{StoreError, Transaction},
};

/// Writes the first look that found an address on a list.
pub(super) async fn begin(transaction: &mut Transaction, noted: &Noted) -> Result<(), StoreError> {
    let row = sqlx::query(
        "UPDATE listing_state SET last_id = last_id + 1 WHERE one = 1 RETURNING last_id",
    )
    .fetch_one(&mut **transaction)
    .await?;
    let id: i64 = row.try_get(0)?;
    let (key, _) = feed::keys(IpNetwork::from(noted.address));
    sqlx::query(
        "INSERT INTO listings (id, zone, address, address_key, codes, words, first_us, last_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id)
    .bind(noted.zone.to_string())
    .bind(noted.address.to_string())
    .bind(key)
    .bind(codes(&noted.standing))
    .bind(noted.standing.words.clone())
    .bind(noted.standing.first_at.as_microsecond())
    .bind(noted.standing.last_at.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Brings the row that stands up to date; its number, if there is one.
pub(super) async fn update(
    transaction: &mut Transaction,
    noted: &Noted,
    evidence: Option<&Evidence>,
    closed: Option<ClosedBy>,
) -> Result<Option<ListingId>, StoreError> {
    let standing = &noted.standing;
    let evidence = evidence.map(|it| serde_json::to_string(it).unwrap_or_default());
    let row = sqlx::query(
        "UPDATE listings SET codes = $1, words = $2, last_us = $3, opened_us = $4, absent_us = $5, \
         evidence = COALESCE($6, evidence), closed_us = $7, closed_by = $8 \
         WHERE zone = $9 AND address = $10 AND closed_us IS NULL RETURNING id",
    )
    .bind(codes(standing))
    .bind(standing.words.clone())
    .bind(standing.last_at.as_microsecond())
    .bind(standing.opened_at.map(Timestamp::as_microsecond))
    .bind(standing.absent_at.map(Timestamp::as_microsecond))
    .bind(evidence)
    .bind(closed.map(|_| noted.at.as_microsecond()))
    .bind(closed.map(ClosedBy::name))
    .bind(noted.zone.to_string())
    .bind(noted.address.to_string())
    .fetch_optional(&mut **transaction)
    .await?;
    let id = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
    Ok(id.map(|id| ListingId(id.unsigned_abs())))
}

/// What was never confirmed leaves nothing behind.
pub(super) async fn forget(
    transaction: &mut Transaction,
    zone: &Fqdn,
    address: IpAddr,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM listings WHERE zone = $1 AND address = $2 AND opened_us IS NULL")
        .bind(zone.to_string())
        .bind(address.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn codes(standing: &Standing) -> String {
    serde_json::to_string(&standing.codes).unwrap_or_default()
}

/// Reads a row.
pub(super) fn read(row: &AnyRow) -> Result<Listing, StoreError> {
    let id: i64 = row.try_get("id")?;
    let wrong = |what: &str| wrong("listings", id.to_string(), what);
    let text = |column: &str| row.try_get::<String, _>(column);
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|_range| wrong("a time"));
    let maybe = |column: &str| -> Result<Option<Timestamp>, StoreError> {
        let us: Option<i64> = row.try_get(column)?;
        us.map(time).transpose()
    };
    let evidence: Option<String> = row.try_get("evidence")?;
    let evidence = evidence.map(|text| serde_json::from_str(&text));
    let closed_by: Option<String> = row.try_get("closed_by")?;
    let closed_by = closed_by.map(|text| {
        let known = [ClosedBy::Delisted, ClosedBy::Unwatched];
        let known = known.into_iter().find(|it| it.name() == text);
        known.ok_or_else(|| wrong("closed_by"))
    });
    Ok(Listing {
        id: ListingId(id.unsigned_abs()),
        zone: Fqdn::new(&text("zone")?).map_err(|_no_name| wrong("zone"))?,
        address: text("address")?
            .parse()
            .map_err(|_malformed| wrong("address"))?,
        standing: Standing {
            first_at: time(row.try_get("first_us")?)?,
            last_at: time(row.try_get("last_us")?)?,
            opened_at: maybe("opened_us")?,
            absent_at: maybe("absent_us")?,
            codes: serde_json::from_str(&text("codes")?).map_err(|_malformed| wrong("codes"))?,
            words: text("words")?,
        },
        evidence: evidence
            .transpose()
            .map_err(|_malformed| wrong("evidence"))?,
        closed: closed_by.transpose()?.zip(maybe("closed_us")?),
    })
}

pub(super) fn wrong(table: &'static str, key: String, what: &str) -> StoreError {
    StoreError::Row {
        table,
        key,
        what: what.to_owned(),
    }
}
