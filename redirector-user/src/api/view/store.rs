//! Copies of the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::life::Backup;

/// A copy that somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// Where to, on the controller's host: an absolute path of a file that is not there yet. None: into
    /// `store.backup_directory`, under a name that says when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Who, for the trail.
    #[serde(default)]
    pub actor: String,
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// Where it is, on the controller's host.
    pub file: String,
    /// Its octets.
    pub octets: u64,
    /// When it was begun.
    pub at: Timestamp,
}

impl From<Backup> for BackupView {
    fn from(made: Backup) -> Self {
        Self {
            file: made.file.display().to_string(),
            octets: made.octets,
            at: made.at,
        }
    }
}
