//! The audit trail: append-only rows in one hash chain per writer.
//!
//! A row's `hash` covers everything in it but the payload, of which it covers `payload_hash = H(salt,
//! payload)`. Erasing a payload together with its salt therefore keeps the chain verifiable and leaves
//! nothing to guess the payload by; actor, kind and subject stay, and hold no personal data of a customer.
//!
//! What somebody has asked for over the API says in its payload, beside the actor that was claimed, who the caller was
//! ([`crate::caller`]).
//!
//! Rows whose time is over go from the beginning of a chain, and leave an anchor (`anchor`).
//!
//! [`verify`] finds a row that was changed, added, removed or moved. What it cannot see alone is a chain cut
//! off at its end: keep the last hash elsewhere to notice that ([`Head`]).

mod anchor;
mod chain;
mod export;
mod kind;
mod proof;
mod walk;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, any::AnyRow};

pub(super) use self::chain::Chain;
pub use self::{
    anchor::Pruned,
    export::{Begin, End, FORMAT, Line, NoExport, Reading},
    kind::Kind,
    proof::{BrokenRow, From, Head, Proof, Prover, WriterProof},
    walk::Wanted,
};
use super::{Store, StoreError, Transaction};

/// A row to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub kind: Kind,
    /// About what, as `flag:12`; never personal data.
    pub subject: String,
    /// The rest; what may be personal data stands here.
    pub payload: Value,
}

/// A row as it stands in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Row {
    /// Whose chain.
    pub writer: String,
    /// Place in the chain, from 1.
    pub seq: i64,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// Who.
    pub actor: String,
    /// What, as [`Kind::name`] spells it.
    pub kind: String,
    /// About what.
    pub subject: String,
    /// JSON text; `None` once erased.
    pub payload: Option<String>,
    /// Hexadecimal; `None` once erased.
    pub salt: Option<String>,
    /// Of salt and payload.
    pub payload_hash: String,
    /// `hash` of the row before, or [`FIRST`].
    pub prev_hash: String,
    /// Of everything above but payload and salt.
    pub hash: String,
}

/// The first row of a chain that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit trail of {writer}, row {seq}: {what}")]
pub struct Broken {
    /// Whose chain.
    pub writer: String,
    /// Which row.
    pub seq: i64,
    /// What does not hold.
    pub what: &'static str,
}

/// Verifies one writer's chain, given whole and in order; answers with its last hash.
///
/// # Errors
///
/// [`Broken`] names the first row that does not hold.
pub fn verify<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<String, Broken> {
    let mut last = String::from(FIRST);
    for (row, seq) in rows.into_iter().zip(1..) {
        last = verify_row(row, seq, &last)?;
    }
    Ok(last)
}

/// Verifies one row against its place and the hash before it; answers with its own hash.
fn verify_row(row: &Row, seq: i64, last: &str) -> Result<String, Broken> {
    let broken = |what| Broken {
        writer: row.writer.clone(),
        seq: row.seq,
        what,
    };
    if row.seq != seq {
        return Err(broken("a row before it is missing"));
    }
    if row.prev_hash != last {
        return Err(broken("it does not follow from the row before it"));
    }
    match (&row.payload, &row.salt) {
        (None, None) => {}
        (Some(payload), Some(salt)) if payload_hash(salt, payload) == row.payload_hash => {}
        (Some(_), Some(_)) => return Err(broken("its payload was changed")),
        (Some(_), None) | (None, Some(_)) => return Err(broken("its payload was half erased")),
    }
    if row.chained_hash() != row.hash {
        return Err(broken("it was changed"));
    }
    Ok(row.hash.clone())
}

impl Row {
    fn chained_hash(&self) -> String {
        digest(&[
            b"outgate audit row 1",
            self.writer.as_bytes(),
            &self.seq.to_be_bytes(),
            &self.at_us.to_be_bytes(),
            self.actor.as_bytes(),
            self.kind.as_bytes(),
            self.subject.as_bytes(),
            self.payload_hash.as_bytes(),
            self.prev_hash.as_bytes(),
        ])
    }
}

impl Entry {
    /// Something that the controller did by itself.
    #[must_use]
    pub fn by_outgated(kind: Kind, subject: String, payload: Value, at: Timestamp) -> Self {
        Self {
            at,
            actor: String::from(OUTGATED),
            kind,
            subject,
            payload,
        }
    }
}

impl Store {
    /// Rows about one subject, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trail_of(&self, subject: &str) -> Result<Vec<Row>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM audit WHERE subject = $1 ORDER BY at_us, writer, seq")
                .bind(subject.to_owned())
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(read).collect()
    }

    /// How many rows there are about one subject.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn rows_about(&self, subject: &str) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COUNT(*) FROM audit WHERE subject = $1")
            .bind(subject.to_owned())
            .fetch_one(&self.readers)
            .await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// Erases payload and salt of one row of this controller's chain, which stays verifiable.
    ///
    /// # Errors
    ///
    /// [`StoreError::Row`] if there is no such row.
    pub async fn erase_payload(
        &self,
        seq: i64,
        actor: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let done = sqlx::query(
            "UPDATE audit SET payload = NULL, salt = NULL WHERE writer = $1 AND seq = $2",
        )
        .bind(&self.name)
        .bind(seq)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Row {
                table: "audit",
                key: seq.to_string(),
                what: String::from("no such row"),
            });
        }
        let entry = Entry {
            at,
            actor: actor.to_owned(),
            kind: Kind::PayloadErased,
            subject: format!("audit:{seq}"),
            payload: Value::Null,
        };
        append(&mut transaction, &self.name, entry).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Appends to a writer's chain inside the transaction of the change itself.
pub(super) async fn append(
    transaction: &mut Transaction,
    writer: &str,
    entry: Entry,
) -> Result<(), StoreError> {
    let mut chain = Chain::open(transaction, writer).await?;
    chain.append(transaction, entry).await?;
    chain.finish(transaction).await
}

pub(super) fn read(row: &AnyRow) -> Result<Row, StoreError> {
    Ok(Row {
        writer: row.try_get("writer")?,
        seq: row.try_get("seq")?,
        at_us: row.try_get("at_us")?,
        actor: row.try_get("actor")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        payload: row.try_get("payload")?,
        salt: row.try_get("salt")?,
        payload_hash: row.try_get("payload_hash")?,
        prev_hash: row.try_get("prev_hash")?,
        hash: row.try_get("hash")?,
    })
}

fn payload_hash(salt: &str, payload: &str) -> String {
    digest(&[
        b"outgate audit payload 1",
        salt.as_bytes(),
        payload.as_bytes(),
    ])
}

/// Each part is preceded by its length, so that no two lists of parts have the same octets.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    format!("{:x}", hasher.finalize())
}

/// `N` octets of randomness, in hexadecimal.
pub(super) fn random_hex<const N: usize>() -> Result<String, StoreError> {
    let mut octets = [0; N];
    // Up to 256 octets come whole once the kernel's pool is initialised (getrandom(2)).
    rustix::rand::getrandom(&mut octets[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| StoreError::Random(errno.into()))?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// What is wrong with a chain that begins after rows of which nobody says that they went.
const UNTOLD: &str = "no row tells that what was before it was pruned";
/// `prev_hash` of a chain's first row.
pub const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The actor of what the controller does by itself.
pub const OUTGATED: &str = "outgated";
