//! `[[scanner]] kind = "dnsbl"` and `"uribl"`: lists in the DNS (RFC 5782), and what their answers mean.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use relay_proto::verdict::{Concern, OnError};
use serde::Deserialize;

use super::raw::RawScanner;
use super::scanner::{check_deadline, check_finds, check_on_error};
use super::{DnsConfig, Invalid};
use crate::dns::DnsName;

/// Lists of addresses, which are asked about the customer's.
#[derive(Debug, Clone)]
pub struct DnsblConfig {
    /// At least one.
    pub zones: Vec<Zone>,
    /// How long one message may take.
    pub deadline: Duration,
    /// What becomes of the message if a list cannot tell.
    pub on_error: OnError,
}

/// Lists of domains, which are asked about those that links in a message lead to.
#[derive(Debug, Clone)]
pub struct UriblConfig {
    /// At least one.
    pub zones: Vec<Zone>,
    /// Domains and addresses of one message that are asked about.
    pub hosts_max: usize,
    /// How long one message may take.
    pub deadline: Duration,
    /// What becomes of the message if a list cannot tell.
    pub on_error: OnError,
}

/// One list, and one meaning of what it answers. Lists that say several things have several of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Where in the DNS it is.
    pub name: DnsName,
    /// Answers that have this meaning.
    pub hits: Codes,
    /// Answers by which the list says that it does not serve whoever asks.
    pub errors: Codes,
    /// What a hit means.
    pub means: Listed,
    /// Whether a list of domains is asked about addresses, too; one of addresses always is.
    pub addresses: bool,
}

/// What it means to be listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Listed {
    /// That is enough.
    Found(Concern),
    /// The message is so much likelier spam, as the natural logarithm of the odds.
    LogOdds(f64),
}

/// A set of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    ranges: Vec<RangeInclusive<Ipv4Addr>>,
    /// 127.0.0.X with any of these bits in X.
    bits: u8,
}

impl Codes {
    /// Whether an answer is among them.
    #[must_use]
    pub fn have(&self, answer: Ipv4Addr) -> bool {
        let in_bits = match answer.octets() {
            [127, 0, 0, last] => last & self.bits != 0,
            _ => false,
        };
        in_bits || self.ranges.iter().any(|range| range.contains(&answer))
    }
}

impl Zone {
    /// What the list's answers mean: `Err` for what it, or whoever stands in its place, says instead of an answer, and
    /// else whether one of them is a hit, and which.
    pub fn read(
        &self,
        answers: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Option<Ipv4Addr>, IpAddr> {
        let mut hit = None;
        for answer in answers {
            match answer {
                // RFC 5782 section 2.1: lists answer with addresses of loopback. A domain that has expired and is for sale
                // answers with its seller's, to everything.
                IpAddr::V4(code) if code.is_loopback() && !self.errors.have(code) => {
                    if hit.is_none() && self.hits.have(code) {
                        hit = Some(code);
                    }
                }
                error => return Err(error),
            }
        }
        Ok(hit)
    }
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDnsbl {
    zones: Vec<RawZone>,
    #[serde(default = "default_deadline")]
    deadline: String,
    #[serde(default = "default_on_error")]
    on_error: String,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUribl {
    zones: Vec<RawZone>,
    #[serde(default = "default_hosts_max")]
    hosts_max: usize,
    #[serde(default = "default_deadline")]
    deadline: String,
    #[serde(default = "default_on_error")]
    on_error: String,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawZone {
    name: String,
    hits: Option<String>,
    bits: Option<u8>,
    #[serde(default = "default_errors")]
    errors: String,
    log_odds: Option<f64>,
    finds: Option<String>,
    #[serde(default)]
    addresses: bool,
}

impl TryFrom<RawDnsbl> for DnsblConfig {
    type Error = Invalid;

    fn try_from(raw: RawDnsbl) -> Result<Self, Invalid> {
        if let Some(zone) = raw.zones.iter().find(|zone| zone.addresses) {
            let problem = "is for lists of domains (kind = \"uribl\"); one of addresses is asked about nothing else";
            return Err(Invalid::new("scanner.zones.addresses", &zone.name, problem));
        }
        Ok(Self {
            zones: zones(raw.zones)?,
            deadline: check_deadline(&raw.deadline)?,
            on_error: check_on_error(&raw.on_error)?,
        })
    }
}

impl TryFrom<RawUribl> for UriblConfig {
    type Error = Invalid;

    fn try_from(raw: RawUribl) -> Result<Self, Invalid> {
        if !(1..=HOSTS_MAX).contains(&raw.hosts_max) {
            let problem = format!("must be 1 to {HOSTS_MAX}: each is a question to each list");
            return Err(Invalid::new("scanner.hosts_max", raw.hosts_max, problem));
        }
        Ok(Self {
            zones: zones(raw.zones)?,
            hosts_max: raw.hosts_max,
            deadline: check_deadline(&raw.deadline)?,
            on_error: check_on_error(&raw.on_error)?,
        })
    }
}

fn zones(raw: Vec<RawZone>) -> Result<Vec<Zone>, Invalid> {
    if !(1..=ZONES_MAX).contains(&raw.len()) {
        let problem = format!("must name 1 to {ZONES_MAX} lists");
        return Err(Invalid::new("scanner.zones", raw.len(), problem));
    }
    raw.into_iter().map(TryInto::try_into).collect()
}

impl TryFrom<RawZone> for Zone {
    type Error = Invalid;

    fn try_from(raw: RawZone) -> Result<Self, Invalid> {
        let name = DnsName::new(&raw.name).ok();
        let name = name.filter(|name| name.as_str().len() <= NAME_OCTETS_MAX);
        let name = name.ok_or_else(|| {
            let problem = "must be the domain of a list, as dnsbl.example.net";
            Invalid::new("scanner.zones.name", &raw.name, problem)
        })?;
        let hits = match (raw.hits, raw.bits) {
            (Some(hits), None) => codes("scanner.zones.hits", &hits)?,
            (None, Some(bits)) if bits > 0 => Codes {
                ranges: Vec::new(),
                bits,
            },
            (None, _) => {
                let problem = "must say which answers are hits, as \"127.0.0.2-127.0.0.11\"; or bits must, as 8";
                return Err(Invalid::new("scanner.zones.hits", name, problem));
            }
            (Some(hits), Some(_)) => {
                let problem = "cannot stand beside bits; write two entries of the list's name";
                return Err(Invalid::new("scanner.zones.hits", hits, problem));
            }
        };
        let means = match (raw.log_odds, raw.finds) {
            (Some(odds), None) if (-LOG_ODDS_MAX..=LOG_ODDS_MAX).contains(&odds) => {
                Listed::LogOdds(odds)
            }
            (Some(odds), None) => {
                let problem = format!("must be -{LOG_ODDS_MAX} to {LOG_ODDS_MAX}");
                return Err(Invalid::new("scanner.zones.log_odds", odds, problem));
            }
            (None, Some(word)) => Listed::Found(check_finds(&word)?),
            (Some(_), Some(_)) | (None, None) => {
                let problem = "must have either log_odds, what a hit adds to verdict.spam_log_odds, or finds = \"spam\"";
                return Err(Invalid::new("scanner.zones", name, problem));
            }
        };
        Ok(Self {
            name,
            hits,
            errors: codes("scanner.zones.errors", &raw.errors)?,
            means,
            addresses: raw.addresses,
        })
    }
}

/// `FIRST-LAST` or `ADDRESS`, with commas in between.
fn codes(key: &str, text: &str) -> Result<Codes, Invalid> {
    let invalid = || {
        let problem = "must be addresses of 127.0.0.0/8, as \"127.0.0.2\" or \"127.0.0.2-127.0.0.11, 127.0.0.20\"";
        Invalid::new(key, text, problem)
    };
    let range = |text: &str| -> Option<RangeInclusive<Ipv4Addr>> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: Ipv4Addr = first.trim().parse().ok()?;
        let last: Ipv4Addr = last.trim().parse().ok()?;
        (first <= last && first.is_loopback() && last.is_loopback()).then_some(first..=last)
    };
    let ranges = text.split(',').map(|part| range(part).ok_or_else(invalid));
    Ok(Codes {
        ranges: ranges.collect::<Result<_, _>>()?,
        bits: 0,
    })
}

/// Who asks lists needs a resolver.
pub(super) fn check(scanners: &[RawScanner], dns: &DnsConfig) -> Result<(), Invalid> {
    let asks_nobody = dns.servers.as_deref().is_some_and(<[_]>::is_empty);
    let asks = |raw: &&RawScanner| matches!(raw, RawScanner::Dnsbl(_) | RawScanner::Uribl(_));
    if asks_nobody && scanners.iter().any(|raw| asks(&raw)) {
        let problem = "must name a resolver, or be left out: a [[scanner]] asks lists in the DNS";
        return Err(Invalid::new("dns.servers", "[]", problem));
    }
    Ok(())
}

fn default_deadline() -> String {
    "5s".into()
}

/// A list is somebody else's, and no mail may depend on it.
fn default_on_error() -> String {
    "open".into()
}

/// 127.0.0.1 stands for no listing (RFC 5782 section 5), and some lists refuse by it; others refuse by the last addresses
/// of 127.0.0.0/8: whoever asks too much, or by a public resolver, reads as if everything were listed.
fn default_errors() -> String {
    "127.0.0.1, 127.255.255.0-127.255.255.255".into()
}

fn default_hosts_max() -> usize {
    30
}

const ZONES_MAX: usize = 16;
const HOSTS_MAX: usize = 100;
const LOG_ODDS_MAX: f64 = 20.0;
/// An IPv6 address is 64 octets below it.
const NAME_OCTETS_MAX: usize = 180;

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(hits: &str, bits: Option<u8>) -> Zone {
        let raw = RawZone {
            name: "list.example".into(),
            hits: bits.is_none().then(|| hits.to_owned()),
            bits,
            errors: default_errors(),
            log_odds: Some(1.0),
            finds: None,
            addresses: false,
        };
        raw.try_into().unwrap()
    }

    #[track_caller]
    fn reads(zone: &Zone, answers: &[&str]) -> Result<Option<String>, String> {
        let answers = answers.iter().map(|answer| answer.parse().unwrap());
        let read = zone.read(answers);
        read.map(|hit| hit.map(|code| code.to_string()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn answers_mean_what_the_configuration_says() {
        let hit = |code: &str| Ok(Some(code.to_owned()));
        let some = zone("127.0.0.2-127.0.0.11,127.0.0.20", None);
        assert_eq!(reads(&some, &[]), Ok(None));
        for code in ["127.0.0.2", "127.0.0.11", "127.0.0.20"] {
            assert_eq!(reads(&some, &[code]), hit(code));
        }
        for code in ["127.0.0.12", "127.0.0.19", "127.0.1.2", "127.255.254.255"] {
            assert_eq!(reads(&some, &[code]), Ok(None));
        }
        assert_eq!(reads(&some, &["127.0.0.12", "127.0.0.4"]), hit("127.0.0.4"));

        let bits = zone("", Some(0b1100));
        assert_eq!(reads(&bits, &["127.0.0.8"]), hit("127.0.0.8"));
        assert_eq!(reads(&bits, &["127.0.0.70"]), hit("127.0.0.70"));
        assert_eq!(reads(&bits, &["127.0.0.2"]), Ok(None));
        assert_eq!(reads(&bits, &["127.0.1.8"]), Ok(None));
    }

    #[test]
    fn who_is_not_served_has_no_answer() {
        let all = zone("127.0.0.0-127.255.255.255", None);
        for error in [
            "127.0.0.1",
            "127.255.255.252",
            "127.255.255.254",
            "192.0.2.80",
            "2001:db8::80",
        ] {
            let told = Err(error.to_owned());
            assert_eq!(reads(&all, &[error]), told, "{error}");
            assert_eq!(reads(&all, &["127.0.0.2", error]), told, "{error}");
        }
    }
}
