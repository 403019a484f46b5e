//! `[listings]`, as it is written.

use serde::Deserialize;

/// `[listings]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RawListings {
    pub(in crate::config) resolvers: Vec<String>,
    pub(in crate::config) rate: i64,
    pub(in crate::config) sweep: String,
    pub(in crate::config) watch: String,
    pub(in crate::config) confirm: String,
    pub(in crate::config) keep: String,
    pub(in crate::config) zone: Vec<RawZone>,
}

/// `[[listings.zone]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawZone {
    pub(in crate::config) name: String,
    #[serde(default = "default_families")]
    pub(in crate::config) families: Vec<String>,
    #[serde(default = "default_counts")]
    pub(in crate::config) counts: Vec<String>,
}

impl Default for RawListings {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            rate: 5,
            sweep: String::from("24h"),
            watch: String::from("1h"),
            confirm: String::from("10m"),
            keep: String::from("400d"),
            zone: Vec::new(),
        }
    }
}

fn default_families() -> Vec<String> {
    vec![String::from("ipv4")]
}

fn default_counts() -> Vec<String> {
    vec![String::from("127.0.0.0/8")]
}
