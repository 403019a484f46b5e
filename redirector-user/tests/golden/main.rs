//! The golden packet table in the kernel: the real program, run by `BPF_PROG_TEST_RUN` on maps of its
//! own, must give what the host core gives, octet for octet. Needs root; without it every test fails.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what stands between a test and its assertion fails it too"
)]

mod capture;
mod corpus;
mod dry;
mod hook;
mod kernel;
mod tunnel;
mod verifier;

use std::collections::BTreeSet;

use redirector_common::{
    abi::Role,
    cases::{self, Case, Outcome, hex},
    counters::Counter,
    maglev::mix,
};

use self::{
    hook::Hook,
    kernel::{Kernel, Ran, monotonic_s},
};

const ROLES: [Option<Role>; 4] = [
    None,
    Some(Role::Customer),
    Some(Role::Uplink),
    Some(Role::Relay),
];

/// The cases as they are in one second.
struct Golden {
    now_s: u32,
    cases: Vec<Case>,
}

impl Golden {
    fn new() -> Self {
        let now_s = monotonic_s();
        Self {
            now_s,
            cases: cases::all(now_s),
        }
    }

    /// The cases of one role that a kernel can be brought into.
    fn of_role(&self, hook: Hook, role: Option<Role>) -> Vec<usize> {
        let all = self.cases.iter().enumerate();
        all.filter(|(_, case)| case.role == role && is_possible(hook, case))
            .map(|(index, _)| index)
            .collect()
    }

    /// Runs a case on the host and in the kernel, with maps and frame made for the same second.
    fn both(
        &mut self,
        kernel: &mut Kernel,
        index: usize,
        alter: impl Fn(&mut Case),
    ) -> (Case, Outcome, Ran) {
        // The kernel has its own clock; whenever a second began meanwhile, the times in the records
        // say nothing, and the cases are made anew.
        for _ in 0..100 {
            if self.now_s != monotonic_s() {
                *self = Self::new();
            }
            let mut case = self.cases[index].clone();
            alter(&mut case);
            kernel.fill(&case.tables);
            let ran = kernel.run(&case.frame);
            if self.now_s == monotonic_s() {
                let outcome = case.run();
                return (case, outcome, ran);
            }
        }
        panic!("a case never ends in the second that it began in");
    }
}

fn is_possible(hook: Hook, case: &Case) -> bool {
    !case.host_only && hook.takes(&case.frame)
}

fn everywhere() -> impl Iterator<Item = (Hook, Option<Role>)> {
    let hooks = Hook::ALL.into_iter();
    hooks.flat_map(|hook| ROLES.into_iter().map(move |role| (hook, role)))
}

#[track_caller]
fn compare(hook: Hook, name: &str, host: &Outcome, ran: &Ran) {
    let name = format!("{hook:?}, {name}");
    let verdict = host.judged.verdict;
    assert_eq!(ran.verdict, hook.code(verdict), "{name}: verdict");
    let opened = host.tables.counters.contains_key(&Counter::Untunnelled);
    if let Some(octets) = hook.octets(verdict, opened, &host.frame) {
        assert_eq!(hex(&ran.frame), hex(&octets), "{name}: frame");
    }
    assert_eq!(ran.counters, host.tables.counters, "{name}: counters");
    assert_eq!(ran.flows, host.tables.flow_records(), "{name}: entries");
    let events: Vec<_> = host
        .tables
        .events
        .iter()
        .copied()
        .map(kernel::timeless)
        .collect();
    assert_eq!(ran.events, events, "{name}: events");
    let buckets = host
        .tables
        .buckets
        .iter()
        .map(|(key, bucket)| (*key, kernel::tokenless(*bucket)));
    assert_eq!(ran.buckets, buckets.collect(), "{name}: buckets");
    let sightings = host.tables.sighting_records();
    assert_eq!(ran.sightings, sightings, "{name}: sightings");
    assert_eq!(ran.openings, host.tables.openings, "{name}: openings");
}

#[test]
fn the_kernel_answers_every_case_as_the_host_does() {
    let mut golden = Golden::new();
    for hook in Hook::ALL {
        let mut run = 0;
        for role in ROLES {
            let mut kernel = Kernel::load(hook, role, false);
            for index in golden.of_role(hook, role) {
                let (case, host, ran) = golden.both(&mut kernel, index, |_| {});
                case.check(&host);
                compare(hook, &case.name, &host, &ran);
                run += 1;
            }
        }
        let cases = golden.cases.iter();
        let possible = cases.filter(|case| is_possible(hook, case)).count();
        assert_eq!(run, possible, "every case belongs to one of the roles");
    }
}

#[test]
fn the_kernel_answers_damaged_frames_as_the_host_does() {
    let mut golden = Golden::new();
    for (hook, role) in everywhere() {
        let mut kernel = Kernel::load(hook, role, false);
        let of_role = golden.of_role(hook, role);
        for seed in 0..DAMAGED_FRAMES {
            let index = of_role[pick(mix(seed), of_role.len())];
            let (case, host, ran) = golden.both(&mut kernel, index, |case| {
                damage(&mut case.frame, seed);
                if !hook.takes(&case.frame) {
                    // The shortest that it takes.
                    case.frame.resize(14 + 40, 0);
                }
                case.tables.settings.radar_window = u32::try_from(seed % 3).unwrap();
            });
            let name = format!("{}, damaged by {seed}: {}", case.name, hex(&case.frame));
            compare(hook, &name, &host, &ran);
        }
    }
}

#[test]
fn debug_lines_load_and_change_nothing() {
    let mut golden = Golden::new();
    for (hook, role) in everywhere() {
        let mut kernel = Kernel::load(hook, role, true);
        for index in golden.of_role(hook, role) {
            let (case, host, ran) = golden.both(&mut kernel, index, |_| {});
            compare(hook, &case.name, &host, &ran);
        }
    }
}

#[test]
fn a_flood_of_syns_to_refuse_leaves_no_entry() {
    let mut golden = Golden::new();
    let mut kernel = Kernel::load(Hook::Xdp, Some(Role::Customer), false);
    for family in ["IPv4", "IPv6"] {
        let name = format!("refuse answers a SYN with a cookie, {family}");
        let index = golden.cases.iter().position(|case| case.name == name);
        let index = index.unwrap();
        let port_at = if family == "IPv4" { 34 } else { 54 };
        let mut cookies = BTreeSet::new();
        for port in 1024..1024 + FLOOD {
            let (_, host, ran) = golden.both(&mut kernel, index, |case| {
                case.frame[port_at..port_at + 2].copy_from_slice(&port.to_be_bytes());
            });
            compare(Hook::Xdp, &name, &host, &ran);
            assert!(ran.flows.is_empty() && ran.buckets.is_empty());
            cookies.insert(ran.frame[port_at + 4..port_at + 8].to_vec());
        }
        assert_eq!(cookies.len(), usize::from(FLOOD), "each its own cookie");
    }
}

/// Changes up to four octets where the headers are, and now and then the length.
fn damage(frame: &mut Vec<u8>, seed: u64) {
    let mut random = mix(seed ^ 0x0bad_f00d);
    for _ in 0..=(random % 4) {
        random = mix(random);
        let reach = frame.len().min(96);
        let at = pick(random, reach);
        random = mix(random);
        frame[at] = match random % 4 {
            0 => 0,
            1 => 0xff,
            2 => frame[at].wrapping_add(1),
            _ => random.to_be_bytes()[0],
        };
    }
    if random.is_multiple_of(5) {
        // The kernel runs nothing shorter than an Ethernet header.
        let octets = 14 + pick(mix(random), frame.len() - 14);
        frame.truncate(octets);
    }
}

fn pick(random: u64, below: usize) -> usize {
    usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
}

/// For each role.
const DAMAGED_FRAMES: u64 = 400;
/// SYNs of a flood.
const FLOOD: u16 = 200;
