//! What a bystander's mail costs, with the radar and without it. The best of many rounds in turn: what
//! else the machine does can only add.

use std::time::Duration;

use redirector_common::{
    abi::Role,
    cases::{World, packet::Packet},
};

use crate::kernel::{Kernel, monotonic_s};

/// The best of many rounds, for each frame with the radar off and on.
fn costs(role: Role, frames: &[Packet]) -> Vec<[Duration; 2]> {
    let mut kernel = Kernel::load(Some(role), false);
    let mut best = vec![[Duration::MAX; 2]; frames.len()];
    let mut tables = World::v4(monotonic_s()).tables();
    for _ in 0..ROUNDS {
        for (frame, best) in frames.iter().zip(&mut best) {
            for (window, best) in [0, 2].into_iter().zip(best) {
                tables.settings.radar_window = window;
                kernel.fill(&tables);
                *best = kernel.cost(&frame.octets(), RUNS).min(*best);
            }
        }
    }
    best
}

#[test]
fn looking_at_a_bystander_costs_little() {
    let world = World::v4(monotonic_s());
    let web = Packet {
        ports: [World::PORT, 443],
        ..world.to_mx("A")
    };
    let costs = costs(Role::Customer, &[web, world.to_mx("A"), world.to_mx("S")]);
    let [web, data, syn] = costs[..] else {
        panic!("three frames: {costs:?}")
    };
    eprintln!("without and with the radar: web {web:?}, data to port 25 {data:?}, SYN {syn:?}");
    for [without, with] in [data, syn] {
        let more = with.saturating_sub(without);
        assert!(more <= LOOK, "{more:?} more: {costs:?}");
    }
}

/// What a look may cost: a look-up in a hash table and three atomic additions are about half of it.
const LOOK: Duration = Duration::from_nanos(160);
const ROUNDS: u32 = 20;
const RUNS: u32 = 20_000;
