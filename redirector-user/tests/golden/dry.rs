//! An instance that only judges: it answers as the host core does, and leaves every map as it was.

use redirector_common::{
    abi::{Role, trial::NO_COUNTER},
    cases::{Case, FLOWS_MAX, INGRESS, Outcome, hex},
    counters::Counter,
    maglev::mix,
    tables::Verdict,
};

use crate::{
    DAMAGED_FRAMES, Golden, ROLES, damage,
    hook::Hook,
    kernel::{Kernel, Tried, monotonic_s},
    pick,
};

/// Judges a case dry, with maps and frame made for the same second, as [`Golden::both`] does.
fn try_out(
    golden: &mut Golden,
    kernel: &mut Kernel,
    index: usize,
    alter: impl Fn(&mut Case),
) -> (Case, Outcome, Tried) {
    for _ in 0..100 {
        if golden.now_s != monotonic_s() {
            *golden = Golden::new();
        }
        let mut case = golden.cases[index].clone();
        alter(&mut case);
        kernel.fill(&case.tables);
        let before = kernel.dump();
        let full = case.tables.flows.len() >= FLOWS_MAX;
        let tried = kernel.try_out(&case.frame, INGRESS, full);
        let in_one_second = golden.now_s == monotonic_s();
        assert_eq!(kernel.dump(), before, "{}: the maps", case.name);
        assert!(kernel.has_told_nothing(), "{}: the ring", case.name);
        if in_one_second {
            let outcome = case.run();
            return (case, outcome, tried);
        }
    }
    panic!("a case never ends in the second that it began in");
}

#[track_caller]
fn compare(name: &str, host: &Outcome, tried: &Tried) {
    let (judged, said) = (&host.judged, &tried.said);
    assert_eq!(
        tried.verdict,
        Hook::Xdp.code(judged.verdict),
        "{name}: verdict"
    );
    assert_eq!(hex(&tried.frame), hex(&host.frame), "{name}: frame");
    let counter = judged.counter.map_or(NO_COUNTER, Counter::index);
    assert_eq!(said.counter, counter, "{name}: counter");
    let policy = (said.has_policy != 0).then_some(said.policy);
    assert_eq!(
        policy,
        judged.has_policy.then_some(judged.policy),
        "{name}: policy"
    );
    let relay = judged.relay;
    assert_eq!(said.relay, relay, "{name}: relay");
    if let Verdict::Redirect { ifindex } = judged.verdict {
        assert_eq!(said.leaves_by, ifindex, "{name}: exit");
    }
    for counter in Counter::ALL {
        let counted = host.tables.counters.contains_key(counter);
        assert_eq!(said.has_counted(*counter), counted, "{name}: {counter:?}");
    }
}

#[test]
fn every_case_is_judged_dry_as_it_is_live_and_changes_no_map() {
    let mut golden = Golden::new();
    for role in ROLES {
        let mut kernel = Kernel::load_dry(Hook::Xdp, role);
        for index in golden.of_role(Hook::Xdp, role) {
            let (case, host, tried) = try_out(&mut golden, &mut kernel, index, |_| {});
            compare(&case.name, &host, &tried);
        }
    }
}

#[test]
fn damaged_frames_are_judged_dry_as_they_are_live() {
    let mut golden = Golden::new();
    for role in ROLES {
        let mut kernel = Kernel::load_dry(Hook::Xdp, role);
        let of_role = golden.of_role(Hook::Xdp, role);
        for seed in 0..DAMAGED_FRAMES / 4 {
            let index = of_role[pick(mix(seed), of_role.len())];
            let (case, host, tried) = try_out(&mut golden, &mut kernel, index, |case| {
                damage(&mut case.frame, seed);
            });
            compare(&format!("{}, damaged by {seed}", case.name), &host, &tried);
        }
    }
}

/// The radar keeps no record of a judgement, although it runs.
#[test]
fn the_radar_does_not_see_a_judgement() {
    let mut golden = Golden::new();
    for role in [Role::Customer, Role::Uplink, Role::Relay] {
        let mut kernel = Kernel::load_dry(Hook::Xdp, Some(role));
        for index in golden.of_role(Hook::Xdp, Some(role)) {
            for window in [1, 2] {
                let (case, host, tried) = try_out(&mut golden, &mut kernel, index, |case| {
                    case.tables.settings.radar_window = window;
                });
                compare(&case.name, &host, &tried);
            }
        }
    }
}

/// The constants are data, so that a tag tells builds apart and nothing else.
#[test]
fn one_build_has_one_tag() {
    let live = Kernel::load(Hook::Xdp, Some(Role::Customer), false).tag();
    for role in ROLES {
        assert_eq!(Kernel::load(Hook::Xdp, role, true).tag(), live);
        assert_eq!(Kernel::load_dry(Hook::Xdp, role).tag(), live);
    }
}
