//! Any order of arrivals, moods, pauses, commands and time: [`Sim`] asserts at each step that no job is lost, none is
//! in flight twice, none is tried before it is due, and no bound on connections is exceeded.

use proptest::prelude::*;

use super::sim::{Mood, Sim};
use crate::queue::{PaceLimits, Pause, Schedule, Settings};

#[derive(Clone, Debug)]
enum Step {
    Arrive(u8, u8, u64),
    Mood(u8, Mood),
    Pass(u64),
    Pause(u8),
    Resume(u8),
    Hold(prop::sample::Index),
    Release(prop::sample::Index),
    Remove(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mood = prop_oneof![
        4 => (1_u64..2000).prop_map(Mood::Well),
        1 => Just(Mood::Greylists),
        1 => Just(Mood::Strained),
        2 => (1_u64..40_000).prop_map(Mood::Dead),
    ];
    let pass = prop_oneof![0_u64..100, 0_u64..100_000, 0_u64..50_000_000];
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        8 => (0_u8..5, 0_u8..6, 0_u64..200_000).prop_map(|(c, s, o)| Step::Arrive(c, s, o)),
        2 => (0_u8..6, mood).prop_map(|(site, mood)| Step::Mood(site, mood)),
        4 => pass.prop_map(Step::Pass),
        1 => (0_u8..13).prop_map(Step::Pause),
        2 => (0_u8..13).prop_map(Step::Resume),
        1 => index().prop_map(Step::Hold),
        1 => index().prop_map(Step::Release),
        1 => index().prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..150)
}

fn pause(number: u8) -> Pause {
    match number {
        0..6 => Pause::Site(site(number)),
        6..12 => Pause::Domain(site(number - 6)),
        _ => Pause::Everything,
    }
}

fn site(number: u8) -> String {
    format!("s{number}.example")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_job_ends_once_whatever_happens(
        steps in steps(), connections in 1_u32..12, per_site in 1_u32..6, max in 1_u32..8,
    ) {
        let mut sim = Sim::new(Settings {
            schedule: Schedule::new(60_000, 3_600_000, 86_400_000).unwrap(),
            warn_after_ms: Some(14_400_000),
            pace: PaceLimits { initial: 2, max, failures: 3, ..PaceLimits::default() },
            connections,
            connections_per_site: per_site,
        });
        let mut ids = Vec::new();
        for step in steps {
            match step {
                Step::Arrive(customer, to, octets) => {
                    let customer = format!("192.0.2.{customer}");
                    ids.push(sim.arrive(&customer, &site(to), octets));
                }
                Step::Mood(of, mood) => sim.mood(&site(of), mood),
                Step::Pass(ms) => sim.run(ms),
                Step::Pause(number) => {
                    sim.queue.pause(pause(number));
                }
                Step::Resume(number) => {
                    sim.queue.resume(&pause(number));
                }
                Step::Hold(index) if !ids.is_empty() => {
                    for key in sim.queue.jobs_of(*index.get(&ids)) {
                        sim.queue.hold(key);
                    }
                }
                Step::Release(index) if !ids.is_empty() => {
                    for key in sim.queue.jobs_of(*index.get(&ids)) {
                        // A person's word is not a schedule.
                        sim.is_early_allowed |= sim.queue.release(key);
                    }
                }
                Step::Remove(index) if !ids.is_empty() => {
                    let id = *index.get(&ids);
                    for key in sim.queue.jobs_of(id) {
                        if let Some(order) = sim.queue.remove(key) {
                            sim.queue.finish(order.key);
                            sim.removed.insert(id);
                        }
                    }
                }
                Step::Hold(_) | Step::Release(_) | Step::Remove(_) => {}
            }
            sim.drain();
        }
        // At the end everything is well, and everything comes to its end.
        for number in 0..13 {
            sim.queue.resume(&pause(number));
            if number < 6 {
                sim.mood(&site(number), Mood::Well(1));
            }
        }
        for id in &ids {
            for key in sim.queue.jobs_of(*id) {
                sim.is_early_allowed |= sim.queue.release(key);
            }
        }
        sim.run(3 * 3_600_000);
        prop_assert!(sim.queue.is_empty(), "{:?}", sim.queue.counts());
        prop_assert_eq!(sim.queue.counts().connections, 0);
        let mut warned: Vec<_> = sim.warned.iter().map(|(_, id)| *id).collect();
        let all = warned.len();
        warned.sort_unstable();
        warned.dedup();
        prop_assert_eq!(warned.len(), all, "warned twice");
    }
}
