//! What is held about a customer: all of it to be handed out, and most of it to be erased.
//!
//! A customer is an [`Extent`]. What is about a wider prefix is about others, too, and is neither handed out nor erased.
//! Erased are events, firings, conduct, figures, ended assignments, notices, listings that are over (of open ones what was sent
//! from there; the lists themselves are not ours), and answers that were kept for a day; of flags and
//! exemptions that have ended the free texts; of a customer that is asked for by its key the name and the contact; of the
//! trail the payloads, of which the chain keeps hashes that say nothing without their salts. What stays are numbers, times,
//! keys, actions and who acted.

mod erase;
mod figures;
mod row;
mod scanned;

use futures_util::TryStreamExt as _;
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use self::scanned::Marks;
pub use self::{erase::Gone, scanned::Scanned};
use super::{Line, Store, StoreError, exemptions, flags::subject, tenants};
use crate::policy::{dial::FlagId, exemption::ExemptionId, extent::Extent};

/// All that is held, by table: each row with its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held(pub Map<String, Value>);

/// Which rows are a customer's.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rows {
    /// Flags, those that have not ended too.
    flags: Vec<FlagId>,
    /// Of these, those that have not ended.
    standing: Vec<FlagId>,
    firings: Vec<i64>,
    conduct: Vec<String>,
    exemptions: Vec<i64>,
    /// Of these, those that have ended.
    ended_exemptions: Vec<i64>,
    notices: Vec<i64>,
    listings: Vec<i64>,
    /// Numbers of the customer itself.
    customers: Vec<i64>,
    /// By prefix and beginning; those that have ended.
    assignments: Vec<(String, i64)>,
    /// Of the trail, by writer and number, whose payload is still there.
    trail: Vec<(String, i64)>,
}

impl Store {
    /// All that is held about a customer.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn held_about(&self, extent: &Extent) -> Result<Held, StoreError> {
        let mut connection = self.readers.begin().await?;
        let rows = rows_of(&mut connection, extent, None).await?;
        let mut held = Map::new();
        let mut flags = Vec::new();
        for id in &rows.flags {
            let row = sqlx::query("SELECT * FROM flags WHERE id = $1").bind(i64::from(id.0));
            flags.push(row::told(&row.fetch_one(&mut *connection).await?)?);
        }
        held.insert(String::from("flags"), flags.into());
        let mut events = Vec::new();
        for span in extent.spans() {
            let (from, to, first, last) = erase::bounds(span);
            let query = sqlx::query(
                "SELECT * FROM events WHERE first_key >= $1 AND last_key <= $2 AND at_us >= $3 AND at_us < $4 \
                 ORDER BY seq",
            );
            let query = query.bind(first).bind(last).bind(from).bind(to);
            for row in query.fetch_all(&mut *connection).await? {
                events.push(row::told(&row)?);
            }
        }
        held.insert(String::from("events"), events.into());
        let mut firings = Vec::new();
        for id in &rows.firings {
            let row = sqlx::query("SELECT * FROM firings WHERE id = $1").bind(*id);
            firings.push(row::told(&row.fetch_one(&mut *connection).await?)?);
        }
        held.insert(String::from("firings"), firings.into());
        for (table, key, ids) in [
            ("exemptions", "id", &rows.exemptions),
            ("notices", "id", &rows.notices),
            ("listings", "id", &rows.listings),
            ("customers", "number", &rows.customers),
        ] {
            let mut told = Vec::new();
            for id in ids {
                // Only our own names went into the text.
                let text = format!("SELECT * FROM {table} WHERE {key} = $1");
                let row = sqlx::query(AssertSqlSafe(text)).bind(*id);
                told.push(row::told(&row.fetch_one(&mut *connection).await?)?);
            }
            held.insert(String::from(table), told.into());
        }
        let mut conduct = Vec::new();
        for customer in &rows.conduct {
            let row =
                sqlx::query("SELECT * FROM conduct WHERE customer = $1").bind(customer.clone());
            conduct.push(row::told(&row.fetch_one(&mut *connection).await?)?);
        }
        held.insert(String::from("conduct"), conduct.into());
        let mut assignments = Vec::new();
        let mut all =
            sqlx::query("SELECT * FROM assignments ORDER BY from_us").fetch(&mut *connection);
        while let Some(row) = all.try_next().await? {
            if is_held(extent, &row, "prefix", "from_us")? {
                assignments.push(row::told(&row)?);
            }
        }
        drop(all);
        held.insert(String::from("assignments"), assignments.into());
        let mut trail = Vec::new();
        for (writer, seq) in &rows.trail {
            let row = sqlx::query(
                "SELECT writer, seq, at_us, actor, kind, subject, payload FROM audit WHERE writer = $1 AND seq = $2",
            );
            let row = row.bind(writer.clone()).bind(*seq);
            trail.push(row::told(&row.fetch_one(&mut *connection).await?)?);
        }
        held.insert(String::from("trail"), trail.into());
        drop(connection);
        held.insert(
            String::from("figures"),
            self.figures_of(extent).await?.into(),
        );
        Ok(Held(held))
    }
}

/// Finds a customer's rows but for those that are found by keys. With what an earlier look has found, of the tables that
/// only grow what came after it is looked at alone.
async fn rows_of(
    connection: &mut Line,
    extent: &Extent,
    scanned: Option<&Scanned>,
) -> Result<Rows, StoreError> {
    let mut rows = Rows::default();
    let nothing = Marks::default();
    let marks = scanned.map_or(&nothing, |scanned| &scanned.marks);
    if let Some(scanned) = scanned {
        rows.flags.clone_from(&scanned.rows.flags);
        rows.firings.clone_from(&scanned.rows.firings);
        rows.notices.clone_from(&scanned.rows.notices);
        rows.trail.clone_from(&scanned.rows.trail);
        for id in &rows.flags {
            let row = sqlx::query("SELECT COUNT(*) FROM flags WHERE id = $1 AND ended_us IS NULL");
            let row = row
                .bind(i64::from(id.0))
                .fetch_one(&mut *connection)
                .await?;
            let stands = row.try_get::<i64, _>(0)? > 0;
            rows.standing.extend(stands.then_some(*id));
        }
    }
    let text = "SELECT id, prefix, created_us, ended_us FROM flags WHERE id > $1 ORDER BY id";
    let mut flags = sqlx::query(text).bind(marks.flags).fetch(&mut *connection);
    while let Some(row) = flags.try_next().await? {
        if is_held(extent, &row, "prefix", "created_us")? {
            let id = FlagId(u32::try_from(row.try_get::<i64, _>("id")?).unwrap_or_default());
            rows.flags.push(id);
            let ended: Option<i64> = row.try_get("ended_us")?;
            rows.standing.extend(ended.is_none().then_some(id));
        }
    }
    drop(flags);
    // Where all were forgotten meanwhile, numbers begin anew.
    let text = "SELECT id, customer, at_us FROM firings WHERE id > $1 OR at_us >= $2";
    let firings = sqlx::query(text).bind(marks.firings).bind(marks.at_us);
    let mut firings = firings.fetch(&mut *connection);
    while let Some(row) = firings.try_next().await? {
        if is_held(extent, &row, "customer", "at_us")? {
            rows.firings.push(row.try_get("id")?);
        }
    }
    drop(firings);
    let mut conduct =
        sqlx::query("SELECT customer, changed_us FROM conduct").fetch(&mut *connection);
    while let Some(row) = conduct.try_next().await? {
        if is_held(extent, &row, "customer", "changed_us")? {
            rows.conduct.push(row.try_get("customer")?);
        }
    }
    drop(conduct);
    let mut ended = sqlx::query("SELECT prefix, from_us FROM assignments WHERE to_us IS NOT NULL")
        .fetch(&mut *connection);
    while let Some(row) = ended.try_next().await? {
        if is_held(extent, &row, "prefix", "from_us")? {
            rows.assignments
                .push((row.try_get("prefix")?, row.try_get("from_us")?));
        }
    }
    drop(ended);
    others_of(connection, extent, marks, &mut rows).await?;
    let number = |id: &i64| u32::try_from(*id).unwrap_or_default();
    let flags = rows.flags.iter().map(|id| subject(*id));
    let exempt = rows.ended_exemptions.iter().map(number);
    let exempt = exempt.map(|id| exemptions::subject(ExemptionId(id)));
    let customers = rows.customers.iter().map(number).map(tenants::subject);
    for subject in flags.chain(exempt).chain(customers) {
        let of_it = sqlx::query("SELECT writer, seq FROM audit WHERE subject = $1 AND payload IS NOT NULL ORDER BY at_us, seq")
            .bind(subject)
            .fetch_all(&mut *connection)
            .await?;
        for row in of_it {
            rows.trail.push((row.try_get(0)?, row.try_get(1)?));
        }
    }
    let mut named = Vec::new();
    if marks.trail.is_empty() {
        let mut others = sqlx::query(NAMES_CUSTOMER).fetch(&mut *connection);
        while let Some(row) = others.try_next().await? {
            named.extend(named_in(extent, &row)?);
        }
    }
    for (writer, seq) in &marks.trail {
        let since = sqlx::query(NAMES_CUSTOMER_SINCE).bind(writer.clone());
        let mut others = since.bind(*seq).fetch(&mut *connection);
        while let Some(row) = others.try_next().await? {
            named.extend(named_in(extent, &row)?);
        }
    }
    rows.trail.append(&mut named);
    if scanned.is_some() {
        // What was found twice is there once.
        rows.firings.sort_unstable();
        rows.firings.dedup();
        rows.trail.sort_unstable();
        rows.trail.dedup();
    }
    Ok(rows)
}

/// Exemptions, notices, and the customer itself.
async fn others_of(
    connection: &mut Line,
    extent: &Extent,
    marks: &Marks,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    let mut exempt =
        sqlx::query("SELECT id, prefix, created_us, ended_us FROM exemptions ORDER BY id")
            .fetch(&mut *connection);
    while let Some(row) = exempt.try_next().await? {
        if is_held(extent, &row, "prefix", "created_us")? {
            let (id, ended): (i64, Option<i64>) = (row.try_get("id")?, row.try_get("ended_us")?);
            rows.exemptions.push(id);
            rows.ended_exemptions.extend(ended.map(|_| id));
        }
    }
    drop(exempt);
    let text = "SELECT id, prefix, created_us FROM notices WHERE id > $1 ORDER BY id";
    let mut notices = sqlx::query(text)
        .bind(marks.notices)
        .fetch(&mut *connection);
    while let Some(row) = notices.try_next().await? {
        if is_held(extent, &row, "prefix", "created_us")? {
            rows.notices.push(row.try_get("id")?);
        }
    }
    drop(notices);
    for span in extent.spans() {
        let (from, to, first, last) = erase::bounds(span);
        let of_span = sqlx::query(
            "SELECT id FROM listings WHERE address_key >= $1 AND address_key <= $2 AND first_us >= $3 AND first_us < $4 ORDER BY id",
        );
        let of_span = of_span.bind(first).bind(last).bind(from).bind(to);
        for row in of_span.fetch_all(&mut *connection).await? {
            rows.listings.push(row.try_get(0)?);
        }
    }
    if let Some(customer) = extent.customer() {
        let itself = sqlx::query("SELECT number FROM customers WHERE id = $1")
            .bind(customer.to_string())
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(row) = itself {
            rows.customers.push(row.try_get(0)?);
        }
    }
    Ok(())
}

/// Writer and number of a row of the trail that names the customer.
fn named_in(extent: &Extent, row: &AnyRow) -> Result<Option<(String, i64)>, StoreError> {
    let payload: String = row.try_get("payload")?;
    let at = time(row.try_get("at_us")?);
    let names = customer_in(&payload).is_some_and(|customer| extent.holds(customer, at));
    Ok(match names {
        true => Some((row.try_get("writer")?, row.try_get("seq")?)),
        false => None,
    })
}

/// Whom a payload of the trail names.
fn customer_in(payload: &str) -> Option<IpNetwork> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    payload.get("customer")?.as_str()?.parse().ok()
}

fn is_held(extent: &Extent, row: &AnyRow, prefix: &str, at: &str) -> Result<bool, StoreError> {
    let text: String = row.try_get(prefix)?;
    let at = time(row.try_get(at)?);
    // What is no prefix was not written by us, and is nobody's.
    let prefix: Option<IpNetwork> = text.parse().ok();
    Ok(prefix.is_some_and(|prefix| extent.holds(prefix, at)))
}

fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or_default()
}

/// Rows of the trail that are about no flag, and name a customer in their payloads.
const NAMES_CUSTOMER: &str = "SELECT writer, seq, at_us, payload FROM audit WHERE payload LIKE '%\"customer\":\"%' \
                              AND subject NOT LIKE 'flag:%' ORDER BY at_us, seq";
/// The same, of one writer after a number.
const NAMES_CUSTOMER_SINCE: &str = "SELECT writer, seq, at_us, payload FROM audit WHERE writer = $1 AND seq > $2 \
                                    AND payload LIKE '%\"customer\":\"%' AND subject NOT LIKE 'flag:%' ORDER BY seq";
