//! `[notices]` and `[[contact]]` as they are written.

use std::path::PathBuf;

use serde::Deserialize;

/// `[notices]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawNotices {
    pub(in crate::config) from: String,
    pub(in crate::config) reply_to: Option<String>,
    pub(in crate::config) submit: String,
    pub(in crate::config) user: Option<String>,
    pub(in crate::config) password_file: Option<String>,
    pub(in crate::config) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(in crate::config) insecure: bool,
    pub(in crate::config) templates: Option<PathBuf>,
    #[serde(default = "default_language")]
    pub(in crate::config) language: String,
    #[serde(default = "default_at_most_every")]
    pub(in crate::config) at_most_every: String,
}

/// `[[contact]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawContact {
    pub(in crate::config) prefix: String,
    pub(in crate::config) mail: String,
}

fn default_language() -> String {
    String::from("en")
}

fn default_at_most_every() -> String {
    String::from("1h")
}
