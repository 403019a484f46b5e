//! The trail.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::audit::Row;

/// One row of the trail, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Who has written it.
    pub writer: String,
    /// Its place in that writer's chain, from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub kind: String,
    /// About what.
    pub subject: String,
    /// The rest; `null` once erased.
    pub payload: Option<Value>,
    /// Of the row, as the next one covers it.
    pub hash: String,
}

/// What somebody takes away of the trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditExportRequest {
    /// Not older than this time, or than so long ago, as `30d`; none = all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

impl From<Row> for AuditView {
    fn from(row: Row) -> Self {
        // What is no time, or no JSON, was not written by outgated; `outgate audit verify` says so.
        let payload = row.payload.map(|text| {
            let read: Result<Value, _> = serde_json::from_str(&text);
            read.unwrap_or(Value::String(text))
        });
        Self {
            at: Timestamp::from_microsecond(row.at_us).unwrap_or_default(),
            writer: row.writer,
            seq: row.seq,
            actor: row.actor,
            kind: row.kind,
            subject: row.subject,
            payload,
            hash: row.hash,
        }
    }
}
