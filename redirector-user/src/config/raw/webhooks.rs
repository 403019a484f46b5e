//! `[[webhook]]` as it is written.

use std::path::PathBuf;

use serde::Deserialize;

/// `[[webhook]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawWebhook {
    pub(in crate::config) name: String,
    pub(in crate::config) url: String,
    pub(in crate::config) events: Vec<String>,
    pub(in crate::config) secret_file: String,
    pub(in crate::config) ca_file: Option<PathBuf>,
    #[serde(default = "default_timeout")]
    pub(in crate::config) timeout: String,
    #[serde(default)]
    pub(in crate::config) insecure: bool,
}

fn default_timeout() -> String {
    String::from("10s")
}
