//! The judgement over the file: `TryFrom<RawConfig> for Config`.
//!
//! Each check names the key, the value, what is wrong and what is allowed. The first wrong one is reported.

mod api;
mod events;
mod guards;
mod health;
mod listings;
mod metrics;
mod notices;
mod pools;
mod precheck;
mod protected;
mod refuse;
mod statistics;
mod store;
mod tunnel;
mod webhooks;

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::SignedDuration;
use redirector_common::abi::Role;
use tracing_subscriber::EnvFilter;

use super::{
    Config, Interface, LogFormat, Wrong,
    raw::{RawConfig, RawEdge, RawInterface, RawMode, RawRadar},
};
use crate::edge::{AttachMode, EdgeConfig, Ladder, probe};

impl TryFrom<RawConfig> for Config {
    type Error = Wrong;

    fn try_from(raw: RawConfig) -> Result<Self, Wrong> {
        let (operator, help_url) = (operator(raw.operator)?, url(raw.help_url)?);
        let refuse = refuse::refuse(raw.refuse, &operator, &help_url)?;
        let customer_prefixes = customer_prefixes(&raw.customer_prefixes)?;
        let pools = pools::pools(&raw.pool)?;
        Ok(Self {
            operator,
            help_url,
            socket: absolute("socket", raw.socket)?,
            state_dir: absolute("state_dir", raw.state_dir)?,

            log: log_filter(raw.log)?,
            log_format: log_format(&raw.log_format)?,
            edge: edge(raw.edge, radar_sources_max(&raw.radar)?)?,
            interfaces: interfaces(&raw.interface)?,
            health: health::health(&raw.health, &customer_prefixes, &pools)?,
            pools,
            customer_prefixes,
            radar_window: radar_window(&raw.radar)?,
            refuse,
            rules: raw.rules.map(|file| absolute("rules", file)).transpose()?,
            statistics: statistics::statistics(&raw.statistics)?,
            events: events::events(&raw.events)?,
            audit: events::audit(&raw.audit)?,
            metrics: metrics::listen(&raw.metrics)?,
            api: api::api(raw.api)?,
            shared: store::shared(&raw.store)?,
            backups: store::backups(raw.store)?,
            guards: guards::guards(&raw.guards)?,
            protected: protected::protected(&raw.protected)?,
            webhooks: webhooks::webhooks(raw.webhook)?,
            notices: raw.notices.map(notices::notices).transpose()?,
            contacts: notices::contacts(&raw.contact)?,
            precheck: precheck::precheck(&raw.precheck)?,
            listings: listings::listings(&raw.listings)?,
        })
    }
}

fn operator(operator: String) -> Result<String, Wrong> {
    // It stands in SMTP replies, where a control character would end the line.
    if operator.trim().is_empty() || operator.chars().any(char::is_control) || operator.len() > 100
    {
        let problem = "not a name that fits a mail notice; allowed are 1 to 100 octets without control characters";
        return Err(Wrong::new("operator", format!("{operator:?}"), problem));
    }
    Ok(operator)
}

fn url(url: String) -> Result<String, Wrong> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let printable = url.bytes().all(|octet| octet.is_ascii_graphic());
    if !printable
        || url.len() > 200
        || host.is_none_or(|host| host.is_empty() || host.starts_with('/'))
    {
        let problem = "not an address that a refused customer can open; allowed is http:// or https:// and a host, \
                       at most 200 printable ASCII characters";
        return Err(Wrong::new("help_url", format!("{url:?}"), problem));
    }
    Ok(url)
}

fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, Wrong> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Wrong::new(
        key,
        path.display(),
        "a relative path depends on where outgated starts; give an absolute one",
    ))
}

fn customer_prefixes(raw: &[String]) -> Result<BTreeSet<IpNetwork>, Wrong> {
    let mut prefixes = BTreeSet::new();
    for (index, text) in raw.iter().enumerate() {
        let key = format!("customer_prefixes[{index}]");
        let prefix = prefix(&key, text)?;
        let clash = prefixes
            .iter()
            .find(|other: &&IpNetwork| overlap(**other, prefix));
        if let Some(other) = clash {
            return Err(Wrong::new(
                key,
                text,
                format!("overlaps {other}; keep the wider of the two"),
            ));
        }
        prefixes.insert(prefix);
    }
    if prefixes.is_empty() {
        let problem = "no customer, so nobody could ever be flagged; give at least one prefix";
        return Err(Wrong::new("customer_prefixes", "[]", problem));
    }
    Ok(prefixes)
}

/// A prefix without host bits.
fn prefix(key: &str, text: &str) -> Result<IpNetwork, Wrong> {
    let prefix: IpNetwork = text.parse().map_err(|_malformed| {
        Wrong::new(
            key,
            text,
            "not a prefix; allowed is ADDRESS/LENGTH, as 192.0.2.0/24",
        )
    })?;
    if prefix.ip() != prefix.network() {
        let problem = format!(
            "host bits are set; the prefix is {}/{}",
            prefix.network(),
            prefix.prefix()
        );
        return Err(Wrong::new(key, text, problem));
    }
    Ok(prefix)
}

fn log_filter(filter: String) -> Result<String, Wrong> {
    match EnvFilter::try_new(&filter) {
        Ok(_filter) => Ok(filter),
        Err(_malformed) => {
            let problem = "not a filter; allowed are error, warn, info, debug, trace and directives as crate=level";
            Err(Wrong::new("log", filter, problem))
        }
    }
}

fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(Wrong::new(
            "log_format",
            other,
            "unknown; allowed are text and json",
        )),
    }
}

fn edge(raw: RawEdge, radar_sources_max: u32) -> Result<EdgeConfig, Wrong> {
    let heartbeat_limit = duration(
        "edge.heartbeat_limit",
        &raw.heartbeat_limit,
        HEARTBEAT_LIMITS,
    )?;
    let heartbeat_limit_s = u32::try_from(heartbeat_limit.as_secs()).unwrap_or(u32::MAX);
    Ok(EdgeConfig {
        pin_dir: absolute("edge.pin_dir", raw.pin_dir)?,
        flows_max: within("edge.flows_max", raw.flows_max, FLOWS_MAX)?,
        policies_max: within("edge.policies_max", raw.policies_max, POLICIES_MAX)?,
        syn_rate: within("edge.syn_rate", raw.syn_rate, SYN_RATES)?,
        syn_burst: within("edge.syn_burst", raw.syn_burst, SYN_RATES)?,
        heartbeat_limit_s,
        debug_lines: raw.debug_lines,
        radar_sources_max,
    })
}

fn interfaces(raw: &[RawInterface]) -> Result<Vec<Interface>, Wrong> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for (index, RawInterface { name, role, mode }) in raw.iter().enumerate() {
        let key = |field: &str| format!("interface[{index}].{field}");
        if !is_interface_name(name) {
            let problem =
                "not an interface name; allowed are 1 to 15 octets without '/' and white space";
            return Err(Wrong::new(key("name"), format!("{name:?}"), problem));
        }
        if probe::ENDS.contains(&name.as_str()) {
            let problem = "the controller's own, for probes through the data path; health.through has it made";
            return Err(Wrong::new(key("name"), name, problem));
        }
        if interfaces.iter().any(|other| other.name == *name) {
            return Err(Wrong::new(
                key("name"),
                name,
                "named twice; one entry per interface",
            ));
        }
        let role = parse_role(role).ok_or_else(|| {
            Wrong::new(
                key("role"),
                role,
                "unknown; allowed are customer, uplink and relay",
            )
        })?;
        let modes = ladder(&key("mode"), mode)?;
        interfaces.push(Interface {
            name: name.clone(),
            role,
            modes,
        });
    }
    Ok(interfaces)
}

fn radar_window(raw: &RawRadar) -> Result<Option<Duration>, Wrong> {
    let window = duration("radar.window", &raw.window, RADAR_WINDOWS)?;
    Ok(raw.enabled.then_some(window))
}

fn radar_sources_max(raw: &RawRadar) -> Result<u32, Wrong> {
    within("radar.sources_max", raw.sources_max, RADAR_SOURCES_MAX)
}

fn duration(key: &str, text: &str, (least, most): (&str, &str)) -> Result<Duration, Wrong> {
    let read = |text: &str| {
        text.parse::<SignedDuration>()
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
    };
    let allowed = || format!("allowed are {least} to {most}, as \"90s\" or \"5m\"");
    let duration = read(text)
        .ok_or_else(|| Wrong::new(key, text, format!("not a duration; {}", allowed())))?;
    if read(least).is_some_and(|least| duration < least)
        || read(most).is_some_and(|most| duration > most)
    {
        return Err(Wrong::new(
            key,
            text,
            format!("out of range; {}", allowed()),
        ));
    }
    Ok(duration)
}

fn within<T: TryFrom<i64>>(key: &str, value: i64, range: RangeInclusive<i64>) -> Result<T, Wrong> {
    let problem = || {
        format!(
            "out of range; allowed are {} to {}",
            range.start(),
            range.end()
        )
    };
    let checked = range
        .contains(&value)
        .then(|| T::try_from(value).ok())
        .flatten();
    checked.ok_or_else(|| Wrong::new(key, value, problem()))
}

/// Whether either prefix contains the other.
fn overlap(one: IpNetwork, other: IpNetwork) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}

/// The kernel's rule (`dev_valid_name`); the length leaves room for the terminating zero of `IFNAMSIZ`.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let refused =
        |octet: u8| octet == b'/' || octet == b':' || octet.is_ascii_whitespace() || octet == 0;
    (1..=15).contains(&name.len())
        && !Path::new(name).starts_with(".")
        && name != ".."
        && !name.bytes().any(refused)
}

/// The role of that name.
pub(crate) fn parse_role(name: &str) -> Option<Role> {
    Role::ALL.iter().copied().find(|role| role.name() == name)
}

/// The modes of an interface.
fn ladder(key: &str, raw: &RawMode) -> Result<Ladder, Wrong> {
    let names = match raw {
        RawMode::One(name) => std::slice::from_ref(name),
        RawMode::Several(names) => names.as_slice(),
    };
    let mode = |name: &String| {
        AttachMode::parse(name).ok_or_else(|| {
            let problem = "unknown; allowed are native, generic, tcx and clsact";
            Wrong::new(key, name, problem)
        })
    };
    let modes = names.iter().map(mode).collect::<Result<_, _>>()?;
    Ladder::new(modes).map_err(|error| Wrong::new(key, format!("{names:?}"), error.to_string()))
}

/// Entries of 104 octets and the kernel's overhead: the upper end is about 8 GiB.
const FLOWS_MAX: RangeInclusive<i64> = 1024..=16_777_216;
/// A table takes 16 octets an entry before the first one; the upper end is 64 MiB for each family.
const POLICIES_MAX: RangeInclusive<i64> = 1024..=4_194_304;
/// One customer opening more than a million connections a second is not mail.
const SYN_RATES: RangeInclusive<i64> = 1..=1_000_000;
/// Shorter than a controller's restart would cut customers off; longer than a day is no limit.
const HEARTBEAT_LIMITS: (&str, &str) = ("10s", "24h");
/// Shorter than a second is all rotation; longer than ten minutes is no news.
const RADAR_WINDOWS: (&str, &str) = ("1s", "10m");
/// About 600 octets of kernel memory each: the upper end is about 600 MiB.
const RADAR_SOURCES_MAX: RangeInclusive<i64> = 1024..=1_048_576;
