//! The file of rules as it is written. Nothing is judged here but the shape; `read` turns it into a `RuleSet`.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRules {
    pub(super) caps: RawCaps,
    pub(super) rule: Vec<RawRule>,
}

/// `[caps]` and `[rule.caps]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCaps {
    pub(super) new_flags_per_minute: Option<i64>,
    pub(super) share_of_prefix: Option<f64>,
}

/// `[[rule]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) name: String,
    #[serde(default = "default_window")]
    pub(super) window: String,
    #[serde(rename = "for", default = "at_once")]
    pub(super) held_for: String,
    pub(super) when: RawWhen,
    #[serde(default)]
    pub(super) scope: RawScope,
    pub(super) then: RawThen,
    #[serde(default)]
    pub(super) caps: RawCaps,
    pub(super) probation: Option<String>,
    pub(super) probation_factor: Option<f64>,
    pub(super) max_lifts: Option<i64>,
}

/// `when` of a rule.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWhen {
    pub(super) all: Vec<String>,
    pub(super) any: Vec<String>,
}

/// `[rule.scope]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawScope {
    pub(super) prefixes: Vec<String>,
    pub(super) except: Vec<String>,
    pub(super) present: Vec<String>,
}

/// `[rule.then]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawThen {
    #[serde(default = "default_dial")]
    pub(super) dial: String,
    pub(super) action: Option<String>,
    pub(super) pool: Option<String>,
    pub(super) treatment: Option<String>,
    pub(super) egress: Option<String>,
    pub(super) delivery: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) limits: Option<String>,
    #[serde(default)]
    pub(super) confirmed: bool,
    pub(super) rate: Option<String>,
    pub(super) burst: Option<u16>,
    #[serde(default)]
    pub(super) cut: bool,
    pub(super) ttl: Option<String>,
    pub(super) reason: Option<String>,
}

fn default_window() -> String {
    String::from("10m")
}

fn at_once() -> String {
    String::from("0s")
}

fn default_dial() -> String {
    String::from("raise")
}
