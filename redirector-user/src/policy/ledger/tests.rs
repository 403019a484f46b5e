//! Every index against a walk over the flags, after arbitrary changes.

use contract::{Egress, Treatment};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::policy::dial::{Action, Ended, Proposal, Redirect};

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

/// Flags of few prefixes, pools and generations, so that they meet in all ways.
fn flags() -> impl Strategy<Value = Flag> {
    let prefixes = prop_oneof![
        Just("192.0.2.10/32"),
        Just("192.0.2.0/24"),
        Just("192.0.2.255/32"),
        Just("192.0.3.0/24"),
        Just("0.0.0.0/0"),
        Just("2001:db8:a::/64"),
    ];
    let pools = prop::option::of(prop_oneof![Just("one"), Just("two")]);
    let of = (
        1..6_u32,
        prefixes,
        pools,
        0..3_u64,
        1..5_i64,
        any::<[bool; 2]>(),
    );
    of.prop_map(
        |(id, prefix, pool, generation, expires, [activated, ended])| Flag {
            id: FlagId(id),
            terms: Proposal {
                prefix: prefix.parse().unwrap(),
                action: pool.map_or(Action::Drop, |pool| {
                    Action::Redirect(Box::new(Redirect {
                        pool: pool.to_owned(),
                        treatment: Treatment::Filter,
                        egress: Egress::Pool,
                        confirmed: false,
                        delivery: contract::Delivery::default(),
                        tier: None,
                        limits: None,
                    }))
                }),
                reason: "r".into(),
                actor: "a".into(),
                ticket: None,
                quiet: false,
                grace_s: 0,
                created_at: at(0).into(),
                expires_at: at(expires).into(),
                cause: None,
                origin: None,
                for_ever: None,
                despite_exemption: None,
            },
            generation: Generation(generation),
            tenant: None,
            replaces: None,
            activated_at: activated.then(|| at(1).into()),
            ended: ended.then(|| {
                Box::new(Ended {
                    at: at(2),
                    by: String::from("b"),
                    reason: String::from("r"),
                })
            }),
        },
    )
}

#[derive(Clone, Debug)]
enum Change {
    Insert(Box<Flag>),
    Remove(u32),
    Activate(u32),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => flags().prop_map(|flag| Change::Insert(Box::new(flag))),
        1 => (1..6_u32).prop_map(Change::Remove),
        1 => (1..6_u32).prop_map(Change::Activate),
    ]
}

proptest! {
    #[test]
    fn every_index_says_what_a_walk_would(changes in prop::collection::vec(changes(), 0..24)) {
        let mut ledger = Ledger::default();
        for change in changes {
            match change {
                // The store has one standing flag a prefix.
                Change::Insert(flag) if flag.ended.is_none() => {
                    if let Some(before) = ledger.on(flag.terms.prefix).map(|flag| flag.id) {
                        ledger.remove(before);
                    }
                    ledger.insert(*flag);
                }
                Change::Insert(flag) => ledger.insert(*flag),
                Change::Remove(id) => drop(ledger.remove(FlagId(id))),
                Change::Activate(id) => drop(ledger.activate(FlagId(id), at(3))),
            }
        }
        // What was gathered is what came one by one.
        let gathered: Ledger = ledger.values().cloned().collect();
        prop_assert_eq!(&gathered.flags, &ledger.flags);
        prop_assert_eq!(&gathered.standing, &ledger.standing);
        prop_assert_eq!(&gathered.waiting, &ledger.waiting);
        prop_assert_eq!(&gathered.expiries, &ledger.expiries);
        prop_assert_eq!(&gathered.reviews, &ledger.reviews);
        prop_assert_eq!(&gathered.automatic, &ledger.automatic);
        let in_use = ledger.in_use.clone().into_iter().filter(|(_, generations)| !generations.is_empty());
        prop_assert_eq!(&gathered.in_use, &in_use.collect());
        let by_action = ledger.by_action.clone().into_iter().filter(|(_, count)| *count > 0);
        prop_assert_eq!(&gathered.by_action, &by_action.collect());
        prop_assert!(gathered.touched.is_empty());

        let standing: Vec<&Flag> = ledger.values().filter(|flag| flag.ended.is_none()).collect();
        let waiting: BTreeSet<FlagId> =
            standing.iter().filter(|flag| flag.activated_at.is_none()).map(|flag| flag.id).collect();
        prop_assert_eq!(ledger.active(), standing.len());
        prop_assert_eq!(ledger.pending(), waiting.len());
        for (wait, ids) in ledger.waiting() {
            prop_assert!(!ids.is_empty());
            for id in ids {
                prop_assert!(waiting.contains(id));
                prop_assert_eq!(&Wait::of(ledger.get(id).unwrap()), wait);
            }
        }
        for flag in &standing {
            prop_assert_eq!(ledger.on(flag.terms.prefix), Some(*flag));
        }
        for now in 0..6 {
            let due: BTreeSet<FlagId> =
                standing.iter().filter(|flag| flag.terms.expires_at <= at(now)).map(|flag| flag.id).collect();
            prop_assert_eq!(ledger.due(at(now)).collect::<BTreeSet<_>>(), due);
        }
        prop_assert_eq!(ledger.next_expiry(), standing.iter().map(|flag| flag.terms.expires_at.at()).min());
        for pool in ["one", "two"] {
            let newest = ledger.values().filter(|flag| pool_in_use(flag) == Some(pool)).map(|flag| flag.generation);
            prop_assert_eq!(ledger.needed(pool), newest.max().unwrap_or_default());
        }
        for target in ["192.0.2.10/32", "192.0.2.0/24", "198.51.100.1/32", "2001:db8:a::1/128", "0.0.0.0/0", "::/0"] {
            let target: IpNetwork = target.parse().unwrap();
            let mut covering: Vec<&Flag> = standing.iter().copied()
                .filter(|flag| flag.terms.prefix.contains(target.network()) && flag.terms.prefix.prefix() <= target.prefix())
                .collect();
            covering.sort_by_key(|flag| std::cmp::Reverse(flag.terms.prefix.prefix()));
            prop_assert_eq!(ledger.over(target).collect::<Vec<_>>(), covering);
            let inside: BTreeSet<IpNetwork> = standing.iter()
                .map(|flag| flag.terms.prefix)
                .filter(|prefix| target.contains(prefix.network()) && target.prefix() <= prefix.prefix())
                .collect();
            prop_assert_eq!(ledger.within(target).map(|flag| flag.terms.prefix).collect::<BTreeSet<_>>(), inside);
        }
    }
}

#[test]
fn what_lies_in_a_prefix_is_found() {
    let flag = |id, prefix: &str| Flag {
        id: FlagId(id),
        terms: Proposal {
            prefix: prefix.parse().unwrap(),
            action: Action::Drop,
            reason: "r".into(),
            actor: "a".into(),
            ticket: None,
            grace_s: 0,
            created_at: at(0).into(),
            expires_at: at(1).into(),
            cause: None,
            origin: None,
            for_ever: None,
            despite_exemption: None,
            quiet: false,
        },
        generation: Generation(1),
        tenant: None,
        replaces: None,
        activated_at: None,
        ended: None,
    };
    let all = [
        (1, "192.0.2.0/24"),
        (2, "192.0.2.0/28"),
        (3, "192.0.2.0/32"),
        (4, "192.0.2.15/32"),
        (5, "192.0.2.16/32"),
        (6, "2001:db8:a::/48"),
        (7, "2001:db8:a::/64"),
        (8, "2001:db8:a:ffff:ffff:ffff:ffff:ffff/128"),
        (9, "2001:db8:b::/48"),
    ];
    let ledger: Ledger = all.iter().map(|(id, prefix)| flag(*id, prefix)).collect();
    let within = |prefix: &str| -> Vec<u32> {
        let found = ledger.within(prefix.parse().unwrap());
        found.map(|flag| flag.id.0).collect()
    };
    assert_eq!(within("192.0.2.0/28"), [2, 3, 4]);
    assert_eq!(within("192.0.2.16/32"), [5]);
    assert_eq!(within("2001:db8:a::/48"), [6, 7, 8]);
    assert!(within("203.0.113.0/24").is_empty());
}
