//! Which flags were in force at a moment, of those that there have been. Pure.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::dial::{Flag, FlagId};

/// Flags that the kernel had at `at`, of those given, the most specific first: at most one of each prefix.
///
/// A flag that waited for its relays had not yet taken the place of the one that it was to replace, as long as it waited
/// ([`crate::rotation`]). So besides the flags that stood at that moment, those are wanted that they were to replace.
#[must_use]
pub fn in_force_at(flags: &[Flag], at: Timestamp) -> Vec<&Flag> {
    let known: BTreeMap<FlagId, &Flag> = flags.iter().map(|flag| (flag.id, flag)).collect();
    let mut found: BTreeMap<IpNetwork, &Flag> = BTreeMap::new();
    for flag in flags.iter().filter(|flag| stood(flag, at)) {
        let mut candidate = Some(flag);
        while let Some(waiting) = candidate.filter(|flag| !had_begun(flag, at)) {
            let before = waiting.replaces.and_then(|id| known.get(&id));
            // A flag replaces an older one, so this ends.
            candidate = before.copied().filter(|before| before.id < waiting.id);
        }
        if let Some(in_force) = candidate {
            found.insert(in_force.terms.prefix, in_force);
        }
    }
    let mut found: Vec<&Flag> = found.into_values().collect();
    found.sort_by_key(|flag| std::cmp::Reverse(flag.terms.prefix.prefix()));
    found
}

/// Whether it was its prefix's flag: asked for, and not ended.
fn stood(flag: &Flag, at: Timestamp) -> bool {
    flag.terms.created_at <= at && flag.ended.as_ref().is_none_or(|ended| ended.at > at)
}

/// Whether the kernel had had it.
fn had_begun(flag: &Flag, at: Timestamp) -> bool {
    flag.activated_at.is_some_and(|begun| begun <= at)
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;
    use crate::policy::dial::{Action, Ended, Proposal};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn flag(id: u32, prefix: &str, asked: i64, begun: Option<i64>, ended: Option<i64>) -> Flag {
        Flag {
            id: FlagId(id),
            terms: Proposal {
                prefix: prefix.parse().unwrap(),
                action: Action::Drop,
                reason: "abuse".into(),
                actor: "anna".into(),
                ticket: None,
                grace_s: 0,
                created_at: at(asked).into(),
                expires_at: at(1_000_000).into(),
                cause: None,
                origin: None,
                for_ever: None,
                despite_exemption: None,
                quiet: false,
            },
            generation: Generation(u64::from(id)),
            replaces: None,
            activated_at: begun.map(|begun| at(begun).into()),
            tenant: None,
            ended: ended.map(|ended| {
                Box::new(Ended {
                    at: at(ended),
                    by: String::from("anna"),
                    reason: String::from("clean"),
                })
            }),
        }
    }

    fn replacing(flag: Flag, id: u32) -> Flag {
        Flag {
            replaces: Some(FlagId(id)),
            ..flag
        }
    }

    #[track_caller]
    fn in_force(flags: &[Flag], second: i64, wanted: &[u32]) {
        let found: Vec<u32> = in_force_at(flags, at(second))
            .iter()
            .map(|flag| flag.id.0)
            .collect();
        assert_eq!(found, wanted, "at {second}");
    }

    #[test]
    fn a_flag_is_in_force_from_when_the_kernel_had_it_to_its_end() {
        let flags = [flag(1, "192.0.2.10/32", 10, Some(12), Some(20))];
        for (second, wanted) in [
            (9, &[][..]),
            (11, &[]),
            (12, &[1]),
            (19, &[1]),
            (20, &[]),
            (99, &[]),
        ] {
            in_force(&flags, second, wanted);
        }
        in_force(&[flag(1, "2001:db8:a::/64", 10, Some(12), None)], 500, &[1]);
    }

    #[test]
    fn the_most_specific_stands_first() {
        let flags = [
            flag(1, "192.0.2.0/24", 1, Some(1), None),
            flag(2, "192.0.2.10/32", 2, Some(2), None),
            flag(3, "192.0.2.0/28", 3, Some(3), Some(5)),
        ];
        in_force(&flags, 4, &[2, 3, 1]);
        in_force(&flags, 5, &[2, 1]);
    }

    #[test]
    fn who_waits_for_its_relays_leaves_the_one_before_in_force() {
        let flags = [
            flag(1, "192.0.2.10/32", 1, Some(1), Some(10)),
            replacing(flag(2, "192.0.2.10/32", 10, None, Some(20)), 1),
            replacing(flag(3, "192.0.2.10/32", 20, Some(30), None), 2),
        ];
        in_force(&flags, 9, &[1]);
        in_force(&flags, 15, &[1]);
        in_force(&flags, 25, &[1]);
        in_force(&flags, 30, &[3]);
        // Lifted before it began: nobody is there any more.
        let mut lifted = flags[..2].to_vec();
        lifted[1].ended = Some(Box::new(Ended {
            at: at(12),
            by: String::from("anna"),
            reason: String::from("mistake"),
        }));
        in_force(&lifted, 11, &[1]);
        in_force(&lifted, 12, &[]);
    }
}
