//! Which scenes, rivals and variants there are, and which of them a target compares.

mod targets;

use self::targets::{Side, comparisons};
pub(crate) use self::targets::{alone_targets, fewer, live_targets};
use crate::{
    alone::Case,
    live::{Subject, Variant},
    rivals::Kind,
    scene::{Deed, Size},
    traffic::Family,
};

/// A rival to be set up: kind, family, members of its set, connections.
pub(crate) type RivalPlan = (Kind, Family, u32, u32);

/// How many of what, at the large end; a map may have less room than the targets ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Policies of single addresses.
    pub(crate) policies: u32,
    /// Connections.
    pub(crate) flows: u32,
}

/// Scenes, by the constants below.
pub(crate) fn scenes(most: Most) -> Vec<Size> {
    let size = |policies, flows| Size {
        family: Family::V4,
        policies,
        prefixes: 0,
        flows,
        radar_sources: RADAR_SOURCES,
    };
    vec![
        size(1, None),
        size(THOUSAND, None),
        Size {
            prefixes: PREFIXES,
            // Every source that sends cold has its place.
            radar_sources: MILLION.next_power_of_two(),
            ..size(most.policies, None)
        },
        size(1, Some((Deed::Rewrite, most.flows))),
        size(THOUSAND, Some((Deed::Rewrite, most.flows))),
        size(most.policies, Some((Deed::Rewrite, most.flows))),
        size(most.policies, Some((Deed::Steer, most.flows))),
        Size {
            family: Family::V6,
            ..size(most.policies, Some((Deed::Rewrite, most.flows)))
        },
        Size {
            prefixes: most.policies,
            ..size(0, None)
        },
    ]
}

/// Rivals, by their place.
pub(crate) fn rivals(most: Most) -> Vec<RivalPlan> {
    use Family::{V4, V6};
    let many = most.policies;
    vec![
        (Kind::Discard, V4, 0, 0),
        (Kind::Pass, V4, 0, 0),
        (Kind::Forward, V4, 0, 0),
        (Kind::Kernel, V4, 0, 0),
        (Kind::NftDrop, V4, 1, 0),
        (Kind::NftDrop, V4, THOUSAND, 0),
        (Kind::NftDrop, V4, many, 0),
        (Kind::NftDnat, V4, 1, 1),
        (Kind::NftDnat, V4, many, most.flows),
        (Kind::TcU32, V4, 1, 0),
        (Kind::TcProgram, V4, 0, 0),
        (Kind::NftDrop, V6, many, 0),
        (Kind::NftDnat, V6, many, most.flows),
    ]
}

/// Everything that is measured on the live path.
pub(crate) fn variants(scenes: &[Size], rivals: &[RivalPlan]) -> Vec<Variant> {
    let mut variants = Vec::new();
    for (at, (kind, family, policies, _)) in rivals.iter().enumerate() {
        let words = match kind {
            Kind::Discard => FLOOR,
            Kind::Pass => "empty XDP pass, kernel forwards",
            Kind::Forward => "XDP redirect only",
            Kind::Kernel => "kernel forwarding",
            Kind::NftDrop => "nft ingress set drop",
            Kind::NftDnat => "nft DNAT + conntrack",
            Kind::TcU32 => "tc u32 + mirred redirect",
            Kind::TcProgram => "tc program, redirect only",
        };
        for spread in [false, true] {
            // Without a set there is nothing to be spread over.
            if spread && *policies <= 1 {
                continue;
            }
            variants.push(Variant {
                name: named(words, *family, spread),
                subject: Subject::Other(at),
                spread,
                checked: false,
            });
        }
    }
    for (scene, size) in scenes.iter().enumerate() {
        variants.extend(ours(scene, size));
    }
    // The targets' own are measured longer.
    for comparison in comparisons() {
        for side in [&comparison.dear, &comparison.cheap, &Side::floor()] {
            for variant in &mut variants {
                variant.checked |= side.is(scenes, rivals, variant);
            }
        }
    }
    variants
}

fn ours(scene: usize, size: &Size) -> Vec<Variant> {
    let variant = |words: &str, deed, port, radar, spread| Variant {
        name: named(&format!("outgate {words}"), size.family, spread),
        subject: Subject::Ours {
            scene,
            deed,
            port,
            radar,
        },
        spread,
        checked: false,
    };
    let deeds: &[(&str, Deed)] = match size.flows {
        None if size.policies == 0 => &[("drop by a prefix", Deed::Drop)],
        None => &[
            ("drop", Deed::Drop),
            ("reset", Deed::Reset),
            ("refuse", Deed::Refuse),
            ("limit", Deed::Limit),
            ("pass", Deed::Pass),
            ("observe", Deed::Observe),
            ("rewrite", Deed::Rewrite),
            ("steer", Deed::Steer),
        ],
        Some((Deed::Steer, _)) => &[("steer", Deed::Steer)],
        Some(_) if size.family == Family::V6 => &[("rewrite", Deed::Rewrite), ("drop", Deed::Drop)],
        Some(_) => &[("rewrite", Deed::Rewrite)],
    };
    let mut variants = Vec::new();
    for spread in [false, true] {
        for (words, deed) in deeds {
            let diverts = matches!(deed, Deed::Rewrite | Deed::Steer);
            // Cold, a diversion needs its flows, and the buckets of a limit would be pushed out and full.
            let few = size.policies == 1 || diverts || *deed == Deed::Limit;
            if spread && size.flows.is_none() && few {
                continue;
            }
            variants.push(variant(words, Some(*deed), SMTP, false, spread));
        }
        if size.flows.is_none() && size.policies > 0 && (size.policies > 1 || !spread) {
            for (words, port, radar) in [
                ("unflagged", SMTP, false),
                ("unflagged, radar", SMTP, true),
                ("not port 25", HTTPS, false),
            ] {
                variants.push(variant(words, None, port, radar, spread));
            }
        }
    }
    variants
}

fn named(words: &str, family: Family, spread: bool) -> String {
    let family = match family {
        Family::V4 => "",
        Family::V6 => ", IPv6",
    };
    let spread = if spread { ", cold" } else { "" };
    format!("{words}{family}{spread}")
}

/// What is measured by test runs: the empty program first.
pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, scene, deed, port, radar| Case {
        name: name.to_owned(),
        scene,
        deed,
        port,
        radar,
    };
    vec![
        case("empty program", None, None, HTTPS, false),
        case("not port 25", Some(MANY), None, HTTPS, false),
        case("unflagged, without radar", Some(MANY), None, SMTP, false),
        case("unflagged, with radar", Some(MANY), None, SMTP, true),
        case("unflagged, 1,000 policies", Some(SOME), None, SMTP, false),
        case(
            "dropped, 1,000 policies",
            Some(SOME),
            Some(Deed::Drop),
            SMTP,
            false,
        ),
        case(
            "dropped, most policies",
            Some(MANY),
            Some(Deed::Drop),
            SMTP,
            false,
        ),
    ]
}

/// The name of the floor.
pub(crate) const FLOOR: &str = "XDP drop at once (the floor)";
/// Place of the scene with a thousand policies.
pub(crate) const SOME: usize = 1;
/// Place of the scene with the most policies, and prefixes beside them.
pub(crate) const MANY: usize = 2;
/// Place of a scene with the most flows.
pub(crate) const FLOWING: usize = 5;
const THOUSAND: u32 = 1000;
/// What the targets speak of.
pub(crate) const MILLION: u32 = 1_000_000;
const PREFIXES: u32 = 10_000;
/// The default of `radar.sources_max`.
const RADAR_SOURCES: u32 = 65_536;
const SMTP: u16 = 25;
const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Most = Most {
        policies: MILLION,
        flows: MILLION,
    };

    #[test]
    fn no_two_variants_are_the_same() {
        let variants = variants(&scenes(FULL), &rivals(FULL));
        for (at, variant) in variants.iter().enumerate() {
            let same = |other: &Variant| {
                (other.subject, other.spread) == (variant.subject, variant.spread)
            };
            assert!(!variants[..at].iter().any(same), "{variant:?}");
        }
    }
}
