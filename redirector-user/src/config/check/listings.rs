//! `[listings]`: which lists are asked about customers' addresses.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use ipnetwork::{IpNetwork, Ipv4Network};

use super::{events, precheck, prefix, within};
use crate::{
    config::{
        Listings, Wrong, Zone,
        raw::{RawListings, RawZone},
    },
    dnsbl::Family,
    precheck::Fqdn,
};

pub(super) fn listings(raw: &RawListings) -> Result<Listings, Wrong> {
    let resolvers = raw
        .resolvers
        .iter()
        .enumerate()
        .map(|(index, text)| precheck::resolver(&format!("listings.resolvers[{index}]"), text));
    if raw.zone.len() > ZONES_MAX {
        let problem = format!("too many; at most {ZONES_MAX}");
        return Err(Wrong::new("listings.zone", raw.zone.len(), problem));
    }
    let mut names = BTreeSet::new();
    let zones = raw.zone.iter().enumerate();
    let zones = zones.map(|(index, raw)| zone(&format!("listings.zone[{index}]"), raw, &mut names));
    let rate: u32 = within("listings.rate", raw.rate, RATES)?;
    let listings = Listings {
        zones: zones.collect::<Result<_, _>>()?,
        resolvers: resolvers.collect::<Result<_, _>>()?,
        rate: NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN),
        sweep: time("sweep", &raw.sweep, TIMES)?,
        watch: time("watch", &raw.watch, TIMES)?,
        confirm: time("confirm", &raw.confirm, CONFIRM)?,
        keep: match raw.keep.as_str() {
            events::EVER => None,
            keep => Some(time("keep", keep, KEEP)?),
        },
    };
    Ok(listings)
}

fn zone(key: &str, raw: &RawZone, names: &mut BTreeSet<Fqdn>) -> Result<Zone, Wrong> {
    let named = |problem| Wrong::new(format!("{key}.name"), format!("{:?}", raw.name), problem);
    let name = Fqdn::new(&raw.name).map_err(|_no_name| {
        named("not the name of a list in the DNS; allowed is a full name, as zen.example")
    })?;
    if !names.insert(name.clone()) {
        return Err(named("named twice; one entry per list"));
    }
    let families = raw.families.iter().map(|text| {
        let family = Family::ALL.into_iter().find(|family| family.name() == text);
        family.ok_or_else(|| {
            let problem = "unknown; allowed are ipv4 and ipv6";
            Wrong::new(format!("{key}.families"), format!("{text:?}"), problem)
        })
    });
    let families = families.collect::<Result<BTreeSet<_>, _>>()?;
    if families.is_empty() {
        let problem = "it would be asked about nobody; allowed are ipv4 and ipv6";
        return Err(Wrong::new(format!("{key}.families"), "[]", problem));
    }
    let counts = raw.counts.iter().enumerate();
    let counts = counts.map(|(index, text)| answers(&format!("{key}.counts[{index}]"), text));
    let counts = counts.collect::<Result<Vec<_>, _>>()?;
    if counts.is_empty() {
        let problem = "nothing that it answers would be a listing; allowed are prefixes and addresses in 127.0.0.0/8";
        return Err(Wrong::new(format!("{key}.counts"), "[]", problem));
    }
    Ok(Zone {
        name,
        families,
        counts,
    })
}

/// Answers by which a list says that it names somebody (RFC 5782 section 2.1).
fn answers(key: &str, text: &str) -> Result<Ipv4Network, Wrong> {
    let whole = if text.contains('/') {
        text.to_owned()
    } else {
        format!("{text}/32")
    };
    let outside = || {
        let problem = "not answers of a list; allowed are prefixes and addresses in 127.0.0.0/8 but not in 127.255.255.0/24, by \
                       which lists say that they do not answer";
        Wrong::new(key, format!("{text:?}"), problem)
    };
    match prefix(key, &whole)? {
        IpNetwork::V4(prefix)
            if prefix.ip().is_loopback()
                && prefix.prefix() >= 8
                && !(prefix.prefix() >= 24
                    && prefix.ip().octets().starts_with(&[127, 255, 255])) =>
        {
            Ok(prefix)
        }
        IpNetwork::V4(_) | IpNetwork::V6(_) => Err(outside()),
    }
}

fn time(key: &str, text: &str, (least, most): (&str, &str)) -> Result<Duration, Wrong> {
    events::between(text, (least, most)).ok_or_else(|| {
        let ever = if key == "keep" { ", and \"ever\"" } else { "" };
        let problem = format!(
            "not a time; allowed are {least} to {most}, as \"90s\", \"1h\" or \"2d\"{ever}"
        );
        Wrong::new(format!("listings.{key}"), format!("{text:?}"), problem)
    })
}

/// Each asks about every address.
const ZONES_MAX: usize = 16;
/// Lists ask for less; an own copy of one (rbldnsd) takes that.
const RATES: std::ops::RangeInclusive<i64> = 1..=10_000;
/// A round that takes longer than two months is no watch.
const TIMES: (&str, &str) = ("1s", "60d");
const CONFIRM: (&str, &str) = ("1s", "24h");
/// Whoever asks for mercy is asked how often it was.
const KEEP: (&str, &str) = ("24h", "3660d");
