use contract::Egress;
use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::policy::dial::{Action, FlagId, Proposal, Redirect};

fn flag(id: u32, prefix: &str, action: Action) -> Flag {
    Flag {
        id: FlagId(id),
        terms: Proposal {
            prefix: prefix.parse().unwrap(),
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
        generation: Generation(1),
        tenant: None,
        replaces: None,
        activated_at: None,
        ended: None,
    }
}

fn redirect(pool: &str) -> Action {
    Action::Redirect(Box::new(Redirect {
        pool: pool.to_owned(),
        treatment: contract::Treatment::Filter,
        egress: Egress::Pool,
        confirmed: false,
        delivery: contract::Delivery::default(),
        tier: None,
        limits: None,
    }))
}

fn plan(name: &str, relays: &[u32]) -> PoolPlan {
    let relays = relays.iter().map(|number| planned(*number, 1)).collect();
    PoolPlan {
        name: name.to_owned(),
        via: Via::Rewrite,
        on_failure: OnFailure::Closed,
        relays,
    }
}

fn planned(number: u32, weight: u8) -> PlannedRelay {
    PlannedRelay {
        number,
        name: format!("relay-{number}"),
        weight: NonZeroU8::new(weight).unwrap(),
        in_rotation: true,
    }
}

/// What the maps hold after these flags, starting from `previous`.
fn state(flags: &[Flag], live: &[&str], previous: &EdgeState) -> EdgeState {
    let customers = ["192.0.2.0/24", "2001:db8:a::/48"]
        .map(|prefix| prefix.parse().unwrap())
        .into();
    let live_customers = live
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    let decisions = Decisions {
        generation: Generation(7),
        customers: &customers,
        pools: &[plan("default", &[0, 1]), plan("other", &[])],
        relays: BTreeMap::from([(0, abi::Relay::default())]),
        live_customers: &live_customers,
        is_covered: &|prefix| {
            flags.iter().any(|flag| {
                let flagged = flag.terms.prefix;
                flagged.prefix() <= prefix.prefix() && flagged.contains(prefix.network())
            })
        },
        probes: BTreeMap::from([(PROBE, PROBED)]),
        bypasses: BTreeSet::new(),
        spared: &[SPARED, SPARED6]
            .map(|prefix| prefix.parse().unwrap())
            .into(),
    };
    let flags = flags.iter().map(|flag| (flag, 1600));
    desired(flags, &decisions, previous)
}

const SPARED: &str = "192.0.2.240/28";
const SPARED6: &str = "2001:db8:a:25::/64";
const PROBE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 225));
const PROBED: Probe = Probe { pool: 1, relay: 9 };

fn action(state: &EdgeState, prefix: &str) -> Option<abi::Action> {
    let policy = state.policies.get(&prefix.parse().unwrap())?;
    abi::Action::from_number(policy.action)
}

#[test]
fn a_flag_becomes_a_policy_of_its_pool() {
    let state = state(
        &[flag(3, "192.0.2.10/32", redirect("other"))],
        &[],
        &EdgeState::default(),
    );
    let policy = state.policies[&"192.0.2.10/32".parse().unwrap()];
    assert_eq!(
        (
            policy.flag_id,
            policy.pool,
            policy.prefix_len,
            policy.grace_until_s
        ),
        (3, 1, 32, 1600)
    );
    assert_eq!(state.generation, 7);
    assert_eq!(state.pools.len(), 2);
    assert!(state.pools[&1].slots.iter().all(|slot| *slot == NO_RELAY));
}

#[test]
fn the_order_of_the_configuration_moves_no_customer() {
    let relays = |numbers: [u32; 3]| numbers.map(|number| planned(number, 1));
    assert_eq!(slots(&relays([3, 1, 2])), slots(&relays([1, 2, 3])));
}

#[test]
fn a_lifted_redirect_lingers_while_its_customer_has_flows() {
    let flags = [flag(3, "192.0.2.10/32", redirect("default"))];
    let before = state(&flags, &["192.0.2.10"], &EdgeState::default());
    let lifted = state(&[], &["192.0.2.10"], &before);
    assert_eq!(action(&lifted, "192.0.2.10/32"), Some(abi::Action::Linger));
    let later = state(&[], &["192.0.2.10"], &lifted);
    assert_eq!(later, lifted, "a lingering entry lingers on");
    assert_eq!(
        action(&state(&[], &["192.0.2.11"], &later), "192.0.2.10/32"),
        None
    );
}

#[test]
fn what_never_diverted_does_not_linger() {
    let before = state(
        &[flag(3, "192.0.2.10/32", Action::Drop)],
        &[],
        &EdgeState::default(),
    );
    assert_eq!(
        action(&state(&[], &["192.0.2.10"], &before), "192.0.2.10/32"),
        None
    );
}

#[test]
fn a_lent_address_is_lent_as_long_as_connections_linger() {
    let prefix = "192.0.2.10/32";
    let lends = |state: &EdgeState| {
        let policy = state.policies.get(&prefix.parse().unwrap());
        policy.is_some_and(abi::Policy::lends_address)
    };
    let lent = flag(3, prefix, {
        Action::Redirect(Box::new(Redirect {
            pool: String::from("default"),
            treatment: contract::Treatment::Filter,
            egress: Egress::Customer,
            confirmed: false,
            delivery: contract::Delivery::default(),
            tier: None,
            limits: None,
        }))
    });
    let own = flag(4, prefix, redirect("default"));
    let live: &[&str] = &["192.0.2.10"];
    let before = state(&[lent], live, &EdgeState::default());
    assert!(lends(&before));
    assert!(!lends(&state(
        std::slice::from_ref(&own),
        live,
        &EdgeState::default()
    )));
    for next in [vec![], vec![own], vec![flag(5, prefix, Action::Drop)]] {
        let after = state(&next, live, &before);
        assert!(lends(&after), "{after:?}");
        assert!(lends(&state(&next, live, &after)), "a lease is passed on");
        assert!(!lends(&state(&next, &[], &after)), "until nobody needs it");
    }
}

#[test]
fn a_pool_says_how_frames_get_to_its_relays() {
    let via = |via| {
        pool(&PoolPlan {
            via,
            ..plan("default", &[0])
        })
        .pool
    };
    assert!(via(Via::Steer).steers());
    assert!(!via(Via::Rewrite).steers());
}

#[test]
fn a_lingering_entry_never_hides_a_wider_flag() {
    let wide = flag(2, "192.0.2.0/24", redirect("default"));
    let narrow = flag(3, "192.0.2.10/32", redirect("default"));
    let before = state(&[wide.clone(), narrow], &[], &EdgeState::default());
    let after = state(&[wide], &["192.0.2.10"], &before);
    assert_eq!(action(&after, "192.0.2.10/32"), None);
    assert_eq!(action(&after, "192.0.2.0/24"), Some(abi::Action::Redirect));
}

#[test]
fn neither_a_restart_nor_a_reboot_extends_the_grace() {
    let fresh = flag(3, "192.0.2.10/32", Action::Drop);
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(200);
    assert_eq!(grace_until_s(&fresh, None, now, 1000), 1600);
    // Restarted: the maps still say when.
    let held = state(std::slice::from_ref(&fresh), &[], &EdgeState::default());
    let activated = Flag {
        activated_at: Some(Timestamp::UNIX_EPOCH.into()),
        ..fresh.clone()
    };
    assert_eq!(
        grace_until_s(
            &activated,
            held.policies.get(&fresh.terms.prefix),
            now,
            1200
        ),
        1600
    );
    // Rebooted: the maps are empty and the monotonic clock has begun anew.
    assert_eq!(grace_until_s(&activated, None, now, 50), 450);
    let late = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(601);
    assert_eq!(grace_until_s(&activated, None, late, 50), 0);
    let mut cut = fresh;
    cut.terms.grace_s = 0;
    assert_eq!(grace_until_s(&cut, None, now, 1000), 0);
}

#[test]
fn a_flag_that_tightens_another_grants_no_new_grace() {
    let held = |action| {
        state(
            &[flag(3, "192.0.2.10/32", action)],
            &[],
            &EdgeState::default(),
        )
    };
    let next = flag(4, "192.0.2.10/32", Action::Drop);
    let until = |held: &EdgeState| {
        let standing = held.policies.get(&next.terms.prefix);
        grace_until_s(&next, standing, Timestamp::UNIX_EPOCH, 1500)
    };
    assert_eq!(until(&held(redirect("default"))), 1600);
    assert_eq!(until(&held(Action::Observe)), 2100);
}

fn prefixes() -> impl Strategy<Value = IpNetwork> {
    (0_u8..8, 24_u8..=32).prop_map(|(host, length)| {
        let network = IpNetwork::new([192, 0, 2, host].into(), length).unwrap();
        IpNetwork::new(network.network(), length).unwrap()
    })
}

proptest! {
    /// Whatever is flagged and was lifted before: a look-up for the longest prefix finds the most specific
    /// flag, and nothing that is not one unless no flag covers the address at all.
    #[test]
    fn the_most_specific_flag_wins(
        lifted in prop::collection::btree_set(prefixes(), 0..6),
        flagged in prop::collection::btree_set(prefixes(), 0..6),
        host in 0_u8..8,
    ) {
        let flags = |prefixes: &BTreeSet<IpNetwork>, action: &Action| -> Vec<Flag> {
            let numbered = prefixes.iter().zip(1..);
            numbered.map(|(prefix, id)| flag(id, &prefix.to_string(), action.clone())).collect()
        };
        let host = format!("192.0.2.{host}");
        let before = state(&flags(&lifted, &redirect("default")), &[&host], &EdgeState::default());
        let flags = flags(&flagged, &Action::Drop);
        let after = state(&flags, &[&host], &before);
        let address: IpAddr = host.parse().unwrap();
        let most_specific = |(prefix, _): &(&IpNetwork, &abi::Policy)| (prefix.contains(address), prefix.prefix());
        let found = after.policies.iter().filter(|(prefix, _)| prefix.contains(address)).max_by_key(most_specific);
        let expected = flags.iter().filter(|flag| flag.terms.prefix.contains(address));
        let expected = expected.max_by_key(|flag| flag.terms.prefix.prefix());
        match (expected, found) {
            (Some(flag), Some((prefix, policy))) => {
                prop_assert_eq!(*prefix, flag.terms.prefix);
                prop_assert_eq!(policy.flag_id, flag.id.0);
                prop_assert_eq!(policy.action, abi::Action::Drop as u8);
            }
            (None, Some((_, policy))) => prop_assert_eq!(policy.action, abi::Action::Linger as u8),
            (None, None) => {}
            (Some(flag), None) => prop_assert!(false, "{} is not in force", flag.terms.prefix),
        }
    }
}

proptest! {
    #[test]
    fn a_relay_out_of_rotation_moves_its_own_share_and_no_other(
        weights in prop::collection::vec(1..=maglev::WEIGHT_MAX, 1..6),
        out in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut relays: Vec<_> = (0..)
            .zip(weights)
            .map(|(number, weight)| planned(number, weight))
            .collect();
        let before = slots(&relays);
        for (relay, out) in relays.iter_mut().zip(&out) {
            relay.in_rotation = !out;
        }
        let serves = |number: u32| relays.iter().any(|relay| relay.number == number && relay.in_rotation);
        let nobody = relays.iter().all(|relay| !relay.in_rotation);
        for (before, after) in before.iter().zip(slots(&relays)) {
            if serves(*before) {
                prop_assert_eq!(after, *before);
            } else if nobody {
                prop_assert_eq!(after, NO_RELAY);
            } else {
                prop_assert!(serves(after));
            }
        }
        relays.reverse();
        relays.iter_mut().for_each(|relay| relay.in_rotation = true);
        prop_assert_eq!(slots(&relays), before, "back again, in another order");
    }
}

#[test]
fn the_share_of_a_lost_relay_goes_to_the_others_by_weight() {
    let mut relays = [planned(0, 2), planned(1, 1), planned(2, 3)];
    relays[2].in_rotation = false;
    let slots = slots(&relays);
    let share = slots.iter().filter(|slot| **slot == 0).count();
    assert!(share.abs_diff(slots.len() * 2 / 3) <= 4, "{share}");
}

#[test]
fn a_probe_goes_to_its_relay_whatever_is_flagged_around_it() {
    let flags = [flag(3, "192.0.2.0/24", redirect("default"))];
    let state = state(&flags, &[], &EdgeState::default());
    let policy = state.policies[&IpNetwork::from(PROBE)];
    let expected = abi::Policy {
        pool: 1,
        flags: abi::Policy::DIRECT,
        action: abi::Action::Redirect as u8,
        prefix_len: 32,
        limit_per_hour: 9,
        ..abi::Policy::default()
    };
    assert_eq!(policy, expected);
    assert_eq!(action(&state, "192.0.2.0/24"), Some(abi::Action::Redirect));
}

#[test]
fn probes_keep_nothing_in_force() {
    let flags = [flag(3, "192.0.2.0/24", redirect("default"))];
    let flagged = state(&flags, &[], &EdgeState::default());
    let lifted = state(&[], &["192.0.2.225"], &flagged);
    assert_eq!(action(&lifted, "192.0.2.0/24"), None);
    let lingering = state(&[], &["192.0.2.225", "192.0.2.10"], &flagged);
    assert_eq!(
        action(&lingering, "192.0.2.0/24"),
        Some(abi::Action::Linger)
    );

    // A probe of a relay that is gone ends at once, although its last connection is still in the table.
    let gone: IpNetwork = "192.0.2.226/32".parse().unwrap();
    let mut before = flagged;
    let probe = before.policies[&IpNetwork::from(PROBE)];
    Arc::make_mut(&mut before.policies).insert(gone, probe);
    let after = state(&[], &["192.0.2.226"], &before);
    assert!(!after.policies.contains_key(&gone));
}

#[test]
fn what_is_protected_stays_free_in_a_wider_flag() {
    let flags = [
        flag(3, "192.0.2.0/24", redirect("default")),
        flag(4, "2001:db8:a::/48", Action::Drop),
    ];
    let held = state(&flags, &[], &EdgeState::default());
    for spared in [SPARED, SPARED6] {
        let prefix: IpNetwork = spared.parse().unwrap();
        let expected = abi::Policy {
            action: abi::Action::Pass as u8,
            prefix_len: prefix.prefix(),
            ..abi::Policy::default()
        };
        assert_eq!(held.policies[&prefix], expected, "{spared}");
    }
}

#[test]
fn what_was_diverted_before_it_was_protected_keeps_its_relay() {
    let flagged: IpNetwork = SPARED.parse().unwrap();
    let mut before = state(&[], &[], &EdgeState::default());
    let redirected = abi::Policy {
        flag_id: 3,
        action: abi::Action::Redirect as u8,
        prefix_len: 28,
        ..abi::Policy::default()
    };
    Arc::make_mut(&mut before.policies).insert(flagged, redirected);
    let lifted = state(&[], &["192.0.2.241"], &before);
    assert_eq!(action(&lifted, SPARED), Some(abi::Action::Linger));
    let over = state(&[], &[], &lifted);
    assert_eq!(action(&over, SPARED), Some(abi::Action::Pass));
}

#[test]
fn what_comes_in_order_is_all_there() {
    let of = |count: usize| in_order((0..count).map(|number| (number, 2 * number)));
    for count in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 1] {
        let whole: BTreeMap<usize, usize> = (0..count).map(|number| (number, 2 * number)).collect();
        assert_eq!(of(count), whole);
    }
}
