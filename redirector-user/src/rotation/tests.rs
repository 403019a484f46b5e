use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::policy::dial::{Action, Ended, FlagId, Proposal, Redirect};

fn flag(id: u32, generation: u64, action: Action) -> Flag {
    Flag {
        id: FlagId(id),
        terms: Proposal {
            prefix: "192.0.2.10/32".parse().unwrap(),
            action,
            reason: "spam run".into(),
            actor: "alice".into(),
            ticket: None,
            quiet: false,
            grace_s: 600,
            created_at: Timestamp::UNIX_EPOCH.into(),
            expires_at: (Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24)).into(),
            cause: None,
            origin: None,
            for_ever: None,
            despite_exemption: None,
        },
        generation: Generation(generation),
        tenant: None,
        replaces: None,
        activated_at: None,
        ended: None,
    }
}

fn redirect() -> Action {
    Action::Redirect(Box::new(Redirect {
        pool: String::from("default"),
        treatment: contract::Treatment::Filter,
        egress: contract::Egress::Pool,
        confirmed: false,
        delivery: contract::Delivery::default(),
        tier: None,
        limits: None,
    }))
}

fn active(flag: Flag) -> Flag {
    Flag {
        activated_at: Some(Timestamp::UNIX_EPOCH.into()),
        ..flag
    }
}

fn replaced(flag: Flag) -> Flag {
    let ended = Ended {
        at: Timestamp::UNIX_EPOCH,
        by: String::from("alice"),
        reason: String::from("replaced"),
    };
    Flag {
        ended: Some(Box::new(ended)),
        ..flag
    }
}

fn relay(health: Health, acknowledged: Option<u64>) -> RelayState {
    RelayState {
        pool: String::from("default"),
        third_party: false,
        drained: false,
        health,
        acknowledged: acknowledged.map(Generation),
        adopted: false,
    }
}

/// The one flag in force: all flags here are of one prefix.
fn in_force_of(flags: &Ledger, standing: &Standing) -> Option<FlagId> {
    let mut prefixes = flags.prefixes();
    prefixes.find_map(|prefix| Some(in_force(flags, standing, prefix)?.id))
}

#[track_caller]
fn check(
    flags: &[Flag],
    relays: &[(&str, RelayState)],
    in_rotation: &[&str],
    in_force: Option<u32>,
    pending: &[(u32, &[&str])],
) {
    let flags: Ledger = flags.iter().cloned().collect();
    let relays = relays
        .iter()
        .map(|(name, relay)| ((*name).to_owned(), relay.clone()))
        .collect();
    let standing = judge(&flags, &relays);
    let rotation: Vec<_> = standing.in_rotation.iter().map(String::as_str).collect();
    assert_eq!(rotation, in_rotation);
    let found = in_force_of(&flags, &standing);
    assert_eq!(found, in_force.map(FlagId));
    let waiting: Vec<_> = flags
        .values()
        .filter(|flag| flag.ended.is_none())
        .map(|flag| (flag.id.0, standing.awaited(flag)))
        .filter(|(_, names)| !names.is_empty())
        .collect();
    let expected: Vec<(u32, Vec<String>)> = pending
        .iter()
        .map(|(id, names)| (*id, names.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(id, names)| (*id, names.as_slice()))
        .collect();
    assert_eq!(waiting, expected);
}

#[test]
fn a_redirect_waits_for_every_relay_in_rotation() {
    let flags = [flag(1, 5, redirect())];
    let up = |acknowledged| relay(Health::Up, acknowledged);
    check(&flags, &[("a", up(None))], &["a"], None, &[(1, &["a"])]);
    check(&flags, &[("a", up(Some(4)))], &["a"], None, &[(1, &["a"])]);
    check(&flags, &[("a", up(Some(5)))], &["a"], Some(1), &[]);
    check(
        &flags,
        &[("a", up(Some(5))), ("b", up(Some(4)))],
        &["a", "b"],
        None,
        &[(1, &["b"])],
    );
    check(
        &flags,
        &[("a", up(Some(5))), ("b", up(Some(6)))],
        &["a", "b"],
        Some(1),
        &[],
    );
}

#[test]
fn a_relay_that_is_down_needs_not_acknowledge() {
    let flags = [flag(1, 5, redirect())];
    let relays = [
        ("a", relay(Health::Up, Some(5))),
        ("b", relay(Health::Down, None)),
    ];
    check(&flags, &relays, &["a"], Some(1), &[]);
    check(
        &flags,
        &[("b", relay(Health::Down, Some(5)))],
        &[],
        Some(1),
        &[],
    );
}

#[test]
fn a_relay_of_which_nothing_is_known_holds_a_redirect_back() {
    let flags = [flag(1, 5, redirect())];
    check(
        &flags,
        &[("a", relay(Health::Unknown, None))],
        &[],
        None,
        &[(1, &["a"])],
    );
}

#[test]
fn a_relay_that_lags_behind_an_active_redirect_is_out_of_rotation() {
    let flags = [active(flag(1, 5, redirect()))];
    let relays = [
        ("a", relay(Health::Up, Some(5))),
        ("b", relay(Health::Up, Some(4))),
    ];
    check(&flags, &relays, &["a"], Some(1), &[]);
    // Even if that leaves nobody: the pool's failure policy is safer than a relay that does not know.
    check(&flags, &relays[1..], &[], Some(1), &[]);
}

#[test]
fn relays_of_other_pools_have_no_say() {
    let mut other = relay(Health::Up, None);
    other.pool = String::from("other");
    let flags = [flag(1, 5, redirect())];
    check(
        &flags,
        &[("a", relay(Health::Up, Some(5))), ("o", other)],
        &["a", "o"],
        Some(1),
        &[],
    );
}

#[test]
fn other_actions_are_in_force_at_once() {
    for action in [Action::Pass, Action::Observe, Action::Reset, Action::Drop] {
        check(
            &[flag(1, 5, action)],
            &[("a", relay(Health::Up, None))],
            &["a"],
            Some(1),
            &[],
        );
    }
}

#[test]
fn a_replaced_flag_keeps_its_place_until_its_successor_is_in_force() {
    let before = replaced(active(flag(1, 3, Action::Drop)));
    let between = Flag {
        replaces: Some(FlagId(1)),
        ..replaced(flag(2, 4, redirect()))
    };
    let after = Flag {
        replaces: Some(FlagId(2)),
        ..flag(3, 5, redirect())
    };
    let flags = [before, between, after];
    let waiting = [("a", relay(Health::Up, Some(4)))];
    check(&flags, &waiting, &["a"], Some(1), &[(3, &["a"])]);
    check(
        &flags,
        &[("a", relay(Health::Up, Some(5)))],
        &["a"],
        Some(3),
        &[],
    );
    // Lifting the successor lifts the prefix.
    check(&flags[..2], &waiting, &["a"], None, &[]);
}

#[test]
fn a_restart_takes_no_relay_out_of_service() {
    let flags = [active(flag(1, 5, redirect()))];
    let adopted = |health, acknowledged| RelayState {
        adopted: true,
        ..relay(health, acknowledged)
    };
    check(
        &flags,
        &[("a", adopted(Health::Unknown, None))],
        &["a"],
        Some(1),
        &[],
    );
    check(
        &flags,
        &[("a", adopted(Health::Up, None))],
        &["a"],
        Some(1),
        &[],
    );
    check(
        &flags,
        &[("a", adopted(Health::Down, None))],
        &[],
        Some(1),
        &[],
    );
    check(
        &flags,
        &[("a", adopted(Health::Up, Some(4)))],
        &[],
        Some(1),
        &[],
    );
}

#[test]
fn of_a_third_partys_relay_only_health_counts() {
    let third = |health| RelayState {
        third_party: true,
        ..relay(health, None)
    };
    let (waiting, in_force) = (flag(1, 5, redirect()), active(flag(1, 5, redirect())));
    for flags in [[waiting], [in_force]] {
        check(&flags, &[("a", third(Health::Up))], &["a"], Some(1), &[]);
        check(&flags, &[("a", third(Health::Unknown))], &[], Some(1), &[]);
        check(&flags, &[("a", third(Health::Down))], &[], Some(1), &[]);
    }
}

#[test]
fn a_drained_relay_takes_nothing_and_nobody_waits_for_it() {
    let drained = |health, acknowledged| RelayState {
        drained: true,
        ..relay(health, acknowledged)
    };
    let flags = [flag(1, 5, redirect())];
    let up = relay(Health::Up, Some(5));
    for health in [Health::Up, Health::Unknown, Health::Down] {
        for acknowledged in [None, Some(4), Some(5)] {
            let relays = [("a", drained(health, acknowledged)), ("b", up.clone())];
            check(&flags, &relays, &["b"], Some(1), &[]);
        }
    }
    // Let back, it must know what is in force by then.
    let flags = [active(flag(1, 5, redirect()))];
    let behind = relay(Health::Up, Some(4));
    let relays = [("a", behind), ("b", up)];
    check(&flags, &relays, &["b"], Some(1), &[]);
}
