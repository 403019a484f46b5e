//! Which targets there are, and what they compare.

use anyhow::{Context as _, Result};

use super::{MANY, MILLION, RivalPlan};
use crate::{
    alone::Alone,
    live::{Measured, Subject, Variant},
    rivals::Kind,
    scene::{Deed, Size},
    targets::{Target, Wanted, differences, ratios},
    traffic::Family,
};

/// Two variants that a target compares.
pub(super) struct Comparison {
    name: &'static str,
    times: f64,
    pub(super) dear: Side,
    pub(super) cheap: Side,
}

/// One of them.
pub(super) struct Side {
    rival: Option<Kind>,
    deed: Option<Deed>,
    flows: bool,
    spread: bool,
}

impl Side {
    pub(super) const fn floor() -> Self {
        Self::rival(Kind::Discard, false)
    }

    const fn rival(kind: Kind, spread: bool) -> Self {
        Self {
            rival: Some(kind),
            deed: None,
            flows: false,
            spread,
        }
    }

    const fn ours(deed: Deed, flows: bool, spread: bool) -> Self {
        Self {
            rival: None,
            deed: Some(deed),
            flows,
            spread,
        }
    }

    /// Whether a variant is this one: IPv4, with the most policies and flows that there are.
    pub(super) fn is(&self, scenes: &[Size], rivals: &[RivalPlan], variant: &Variant) -> bool {
        if variant.spread != self.spread {
            return false;
        }
        match variant.subject {
            Subject::Ours { scene, deed, .. } => {
                let most = scenes.iter().map(|size| size.policies).max();
                scenes.get(scene).is_some_and(|size| {
                    self.rival.is_none()
                        && deed == self.deed
                        && size.family == Family::V4
                        && Some(size.policies) == most
                        && size.flows.is_some() == self.flows
                })
            }
            Subject::Other(at) => {
                let of_kind = rivals
                    .iter()
                    .enumerate()
                    .filter(|(_, (kind, family, ..))| {
                        Some(*kind) == self.rival && *family == Family::V4
                    })
                    .max_by_key(|(_, (_, _, policies, flows))| (*policies, *flows));
                of_kind.is_some_and(|(most, _)| most == at)
            }
        }
    }
}

/// All that the targets compare on the live path, with hot caches on both sides; the cold ones stand beside
/// them in the table.
pub(super) fn comparisons() -> [Comparison; 3] {
    [
        Comparison {
            name: "drop, against nft ingress set drop",
            times: 10.0,
            dear: Side::rival(Kind::NftDrop, false),
            cheap: Side::ours(Deed::Drop, false, false),
        },
        Comparison {
            name: "rewrite of established flows, against nft DNAT + conntrack",
            times: 6.0,
            dear: Side::rival(Kind::NftDnat, false),
            cheap: Side::ours(Deed::Rewrite, true, false),
        },
        Comparison {
            name: "steer of established flows, against nft DNAT + conntrack",
            times: 7.0,
            dear: Side::rival(Kind::NftDnat, false),
            cheap: Side::ours(Deed::Steer, true, false),
        },
    ]
}

/// Targets of the live path.
pub(crate) fn live_targets(
    scenes: &[Size],
    rivals: &[RivalPlan],
    all: &[Measured],
) -> Result<Vec<Target>> {
    let find = |side: &Side| {
        all.iter()
            .find(|measured| side.is(scenes, rivals, &measured.variant))
            .context("a variant that a target compares was not measured")
    };
    let floor = find(&Side::floor())?;
    comparisons()
        .iter()
        .map(|comparison| {
            let (dear, cheap) = (find(&comparison.dear)?, find(&comparison.cheap)?);
            let ratios = ratios(&dear.added(floor), &cheap.added(floor));
            let lost = [dear, cheap]
                .into_iter()
                .find(|side| side.ended_percent() < DELIVERED_PERCENT);
            let lost = lost.map(|side| {
                format!(
                    "only {:.1} % of {} delivered",
                    side.ended_percent(),
                    side.variant.name
                )
            });
            let name = comparison.name;
            Ok(
                Target::by_rounds(name, "x", Wanted::AtLeast, comparison.times, &ratios)
                    .but(lost)
                    .but(fewer(cheap.policies, cheap.flows, comparison.cheap.flows)),
            )
        })
        .collect()
}

/// Targets of the program alone.
pub(crate) fn alone_targets(scenes: &[Size], all: &[Alone]) -> Result<Vec<Target>> {
    let rounds = |name: &str| {
        let found = all.iter().find(|alone| alone.case.name == name);
        found
            .map(|alone| alone.rounds.as_slice())
            .with_context(|| name.to_owned())
    };
    let policies = scenes.get(MANY).context("the largest scene")?.policies;
    let few = || fewer(policies, 0, false);
    let empty = rounds("empty program")?;
    let not_ours = differences(rounds("not port 25")?, empty);
    let growth = ratios(
        rounds("dropped, most policies")?,
        rounds("dropped, 1,000 policies")?,
    );
    Ok(vec![
        Target::by_rounds(
            "not port 25, above the empty program",
            "ns",
            Wanted::AtMost,
            5.0,
            &not_ours,
        ),
        Target::by_rounds(
            "port 25 of an unflagged source, without radar",
            "ns",
            Wanted::AtMost,
            100.0,
            rounds("unflagged, without radar")?,
        )
        .but(few()),
        Target::by_rounds(
            "port 25 of an unflagged source, with radar",
            "ns",
            Wanted::AtMost,
            180.0,
            rounds("unflagged, with radar")?,
        )
        .but(few()),
        Target::by_rounds(
            "hot cost, from 10^3 to 10^6 policies",
            "x",
            Wanted::AtMost,
            1.3,
            &growth,
        )
        .but(few()),
    ])
}

/// That it was less than a million of what the target asks a million of.
pub(crate) fn fewer(policies: u32, flows: u32, with_flows: bool) -> Option<String> {
    if policies < MILLION {
        Some(format!("with {policies} policies, not a million"))
    } else if with_flows && flows < MILLION {
        Some(format!("with {flows} flows, not a million"))
    } else {
        None
    }
}

/// Below, what was measured is not what was meant.
const DELIVERED_PERCENT: f64 = 99.0;

#[cfg(test)]
mod tests {
    use super::{
        super::{Most, rivals, scenes, variants},
        *,
    };

    const FULL: Most = Most {
        policies: MILLION,
        flows: MILLION,
    };

    #[test]
    fn whatever_a_target_compares_is_measured_once_and_longer() {
        let (scenes, rivals) = (scenes(FULL), rivals(FULL));
        let variants = variants(&scenes, &rivals);
        for comparison in comparisons() {
            for side in [comparison.dear, comparison.cheap, Side::floor()] {
                let found: Vec<&Variant> = variants
                    .iter()
                    .filter(|variant| side.is(&scenes, &rivals, variant))
                    .collect();
                assert!(
                    found.len() == 1 && found[0].checked,
                    "{}: {found:?}",
                    comparison.name
                );
            }
        }
    }

    #[test]
    fn less_than_a_million_is_said() {
        assert_eq!(fewer(MILLION, 0, false), None);
        assert_eq!(fewer(MILLION, MILLION, true), None);
        assert!(
            fewer(262_144, MILLION, true)
                .unwrap()
                .contains("262144 policies")
        );
        assert!(fewer(MILLION, 5, true).unwrap().contains("5 flows"));
    }
}
