//! The file as it is written. Nothing is judged here but the shape; `check` turns it into a `Config`.

mod listings;
mod notices;
mod webhooks;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use serde::Deserialize;

pub(super) use self::{
    listings::{RawListings, RawZone},
    notices::{RawContact, RawNotices},
    webhooks::RawWebhook,
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) operator: String,
    pub(super) help_url: String,
    #[serde(default = "default_socket")]
    pub(super) socket: PathBuf,
    #[serde(default = "default_state_dir")]
    pub(super) state_dir: PathBuf,
    pub(super) customer_prefixes: Vec<String>,
    #[serde(default = "default_log")]
    pub(super) log: String,
    #[serde(default = "default_log_format")]
    pub(super) log_format: String,
    #[serde(default)]
    pub(super) edge: RawEdge,
    #[serde(default)]
    pub(super) interface: Vec<RawInterface>,
    #[serde(default)]
    pub(super) pool: Vec<RawPool>,
    #[serde(default)]
    pub(super) health: RawHealth,
    #[serde(default)]
    pub(super) radar: RawRadar,
    #[serde(default)]
    pub(super) refuse: RawRefuse,
    pub(super) rules: Option<PathBuf>,
    #[serde(default)]
    pub(super) statistics: RawStatistics,
    #[serde(default)]
    pub(super) events: RawEvents,
    #[serde(default)]
    pub(super) audit: RawAudit,
    #[serde(default)]
    pub(super) metrics: RawMetrics,
    #[serde(default)]
    pub(super) api: RawApi,
    #[serde(default)]
    pub(super) store: RawStore,
    #[serde(default)]
    pub(super) guards: RawGuards,
    #[serde(default)]
    pub(super) protected: Vec<RawProtected>,
    #[serde(default)]
    pub(super) webhook: Vec<RawWebhook>,
    pub(super) notices: Option<RawNotices>,
    #[serde(default)]
    pub(super) contact: Vec<RawContact>,
    #[serde(default)]
    pub(super) precheck: RawPrecheck,
    #[serde(default)]
    pub(super) listings: RawListings,
}

/// `[precheck]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPrecheck {
    pub(super) resolvers: Vec<String>,
    pub(super) lists: Vec<String>,
    pub(super) stranger: Option<String>,
}

/// `[[protected]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProtected {
    pub(super) prefix: String,
    pub(super) why: String,
}

/// `[edge]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEdge {
    pub(super) pin_dir: PathBuf,
    pub(super) flows_max: i64,
    pub(super) policies_max: i64,
    pub(super) syn_rate: i64,
    pub(super) syn_burst: i64,
    pub(super) heartbeat_limit: String,
    pub(super) debug_lines: bool,
}

/// `[[interface]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInterface {
    pub(super) name: String,
    pub(super) role: String,
    #[serde(default = "default_mode")]
    pub(super) mode: RawMode,
}

/// `mode` of an interface: one, or several in the order in which they are tried.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawMode {
    One(String),
    Several(Vec<String>),
}

/// `[[pool]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPool {
    pub(super) name: String,
    #[serde(default = "default_via")]
    pub(super) via: String,
    pub(super) on_failure: String,
    #[serde(default)]
    pub(super) third_party: bool,
    #[serde(default)]
    pub(super) relay: Vec<RawRelay>,
}

/// `[[pool.relay]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelay {
    pub(super) name: String,
    pub(super) address: Vec<IpAddr>,
    pub(super) port: i64,
    #[serde(default)]
    pub(super) vlan: Vec<i64>,
    #[serde(default = "default_weight")]
    pub(super) weight: i64,
    pub(super) tunnel: Option<RawTunnel>,
}

/// `tunnel` of `[[pool.relay]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTunnel {
    pub(super) local: IpAddr,
    pub(super) remote: IpAddr,
    pub(super) mtu: Option<i64>,
}

/// `[health]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHealth {
    pub(super) interval: String,
    pub(super) timeout: String,
    pub(super) through: Option<String>,
    pub(super) probe_sources: Vec<String>,
}

/// `[radar]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRadar {
    pub(super) enabled: bool,
    pub(super) window: String,
    pub(super) sources_max: i64,
}

impl Default for RawRadar {
    fn default() -> Self {
        Self {
            enabled: true,
            window: String::from("60s"),
            sources_max: 65_536,
        }
    }
}

/// `[refuse]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRefuse {
    pub(super) text: Option<String>,
    pub(super) unavailable: Option<String>,
}

/// `[statistics]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStatistics {
    pub(super) keep: String,
    pub(super) octets_max: i64,
    pub(super) floor_syns: i64,
}

impl Default for RawStatistics {
    fn default() -> Self {
        Self {
            keep: String::from("30d"),
            octets_max: 4 << 30,
            floor_syns: 3,
        }
    }
}

/// `[audit]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAudit {
    pub(super) keep: String,
}

impl Default for RawAudit {
    fn default() -> Self {
        Self {
            keep: String::from("400d"),
        }
    }
}

/// `[events]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEvents {
    pub(super) keep: String,
    pub(super) max: i64,
}

/// `[metrics]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMetrics {
    pub(super) listen: Option<String>,
}

impl Default for RawEvents {
    fn default() -> Self {
        Self {
            keep: String::from("30d"),
            max: 1_000_000,
        }
    }
}

/// `[store]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStore {
    pub(super) url: Option<String>,
    pub(super) edge: Option<String>,
    pub(super) backup_directory: Option<PathBuf>,
    pub(super) backup_every: String,
    pub(super) backup_keep: i64,
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            url: None,
            edge: None,
            backup_directory: None,
            backup_every: String::from("24h"),
            backup_keep: 7,
        }
    }
}

/// `[guards]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGuards {
    pub(super) import_percent: f64,
    pub(super) import_customers: i64,
}

impl Default for RawGuards {
    fn default() -> Self {
        Self {
            import_percent: 5.0,
            import_customers: 50,
        }
    }
}

/// `[api]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawApi {
    pub(super) listen: Vec<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client: Vec<RawApiClient>,
    pub(super) unix_scopes: BTreeMap<String, String>,
}

/// `[[api.client]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApiClient {
    pub(super) name: String,
    pub(super) scope: String,
}

impl Default for RawEdge {
    fn default() -> Self {
        Self {
            pin_dir: PathBuf::from("/sys/fs/bpf/outgate"),
            flows_max: 262_144,
            policies_max: 262_144,
            syn_rate: 20,
            syn_burst: 100,
            heartbeat_limit: String::from("5m"),
            debug_lines: false,
        }
    }
}

impl Default for RawHealth {
    fn default() -> Self {
        Self {
            interval: String::from("2s"),
            timeout: String::from("1s"),
            through: None,
            probe_sources: Vec::new(),
        }
    }
}

fn default_socket() -> PathBuf {
    PathBuf::from(crate::DEFAULT_SOCKET)
}

fn default_state_dir() -> PathBuf {
    PathBuf::from("/var/lib/outgate")
}

fn default_log() -> String {
    String::from("info")
}

fn default_log_format() -> String {
    String::from("text")
}

fn default_mode() -> RawMode {
    RawMode::One(String::from("native"))
}

const fn default_weight() -> i64 {
    1
}

fn default_via() -> String {
    String::from("rewrite")
}
