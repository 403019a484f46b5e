//! Sites that die, come back, and are strained.

use super::sim::{Mood, START_MS, Sim};
use crate::queue::{PaceLimits, Schedule, Settings};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[test]
fn what_is_taken_is_delivered_at_once() {
    let mut sim = Sim::new(Settings::default());
    for number in 0..100 {
        sim.arrive("192.0.2.1", &format!("d{}.example", number % 7), 4096);
        sim.run(3);
    }
    sim.run(10);
    assert_eq!(sim.delivered.len(), 100);
    assert!(sim.queue.is_empty());
    sim.run(MINUTE);
    assert_eq!(sim.queue.counts().connections, 0);
}

#[test]
fn a_deferred_message_is_tried_when_its_schedule_says() {
    let mut sim = Sim::new(Settings::default());
    sim.mood("grey.example", Mood::Greylists);
    let id = sim.arrive("192.0.2.1", "grey.example", 1);
    sim.run(2 * HOUR);
    let schedule = Schedule::default();
    let due: Vec<u64> = (0..5).map(|n| START_MS + schedule.due_ms(id, n)).collect();
    assert_eq!(sim.attempts.len(), 5);
    for ((at, _, _), due) in sim.attempts.iter().zip(due) {
        assert!((due..due + 1000).contains(at), "{at} instead of {due}");
    }
    sim.mood("grey.example", Mood::Well(10));
    sim.run(2 * HOUR);
    assert_eq!(sim.delivered.len(), 1);
}

#[test]
fn a_dead_site_is_probed_and_its_messages_wait_for_it() {
    let mut sim = Sim::new(Settings::default());
    sim.mood("dead.example", Mood::Dead(30_000));
    for _ in 0..1000 {
        sim.arrive("192.0.2.1", "dead.example", 1);
    }
    sim.run(6 * HOUR);
    assert_eq!(sim.queue.counts().dead, 1);
    // Five to find out, and then one in ever longer pauses: 30 s, doubling to 30 min, with 30 s each.
    let tried = sim.attempts.len();
    assert!((15..=25).contains(&tried), "{tried}");
    let waiting = sim.queue.counts().by_state[2];
    assert!(waiting >= 970, "{waiting} are ready");
    sim.mood("dead.example", Mood::Well(10));
    sim.run(31 * MINUTE);
    // None has to wait for its next due time, however many there are, but those that were tried.
    assert!(sim.delivered.len() >= 975, "{}", sim.delivered.len());
    let growing = sim.most_open["dead.example"];
    assert!(growing > 5, "{growing}");
    sim.run(5 * HOUR);
    assert_eq!(sim.delivered.len(), 1000);
}

#[test]
fn a_dead_site_costs_the_others_nothing() {
    let mut sim = Sim::new(Settings {
        connections: 20,
        ..Settings::default()
    });
    sim.mood("s0.example", Mood::Dead(30_000));
    for round in 0..200 {
        for site in 0..20 {
            sim.arrive("192.0.2.1", &format!("s{site}.example"), 4096);
        }
        sim.run(50);
        let _ = round;
    }
    sim.run(1000);
    assert_eq!(sim.delivered.len(), 200 * 19);
}

#[test]
fn messages_for_a_dead_site_end_with_their_life_and_their_senders_are_warned_once() {
    let mut sim = Sim::new(Settings {
        warn_after_ms: Some(4 * HOUR),
        ..Settings::default()
    });
    sim.mood("dead.example", Mood::Dead(30_000));
    for _ in 0..50 {
        sim.arrive("192.0.2.1", "dead.example", 1);
    }
    sim.run(5 * DAY - MINUTE);
    assert_eq!(sim.expired.len(), 0);
    let warned: std::collections::HashSet<_> = sim.warned.iter().map(|(_, id)| *id).collect();
    assert_eq!((warned.len(), sim.warned.len()), (50, 50));
    for (at, _) in &sim.warned {
        let age = at - START_MS;
        assert!((4 * HOUR..13 * HOUR).contains(&age), "warned at {age}");
    }
    sim.run(HOUR);
    assert_eq!(sim.expired.len(), 50);
    assert!(sim.queue.is_empty());
}

#[test]
fn a_strained_site_has_fewer_connections() {
    let mut sim = Sim::new(Settings {
        pace: PaceLimits {
            initial: 16,
            max: 16,
            ..PaceLimits::default()
        },
        ..Settings::default()
    });
    sim.mood("busy.example", Mood::Well(1000));
    for _ in 0..400 {
        sim.arrive("192.0.2.1", "busy.example", 1);
    }
    sim.run(1500);
    assert_eq!(sim.queue.counts().connections, 16);
    sim.mood("busy.example", Mood::Strained);
    sim.run(1000);
    // Those that began with the strain are one event; what begins after it halves again.
    let open = sim.queue.counts().connections;
    assert!(open <= 8, "{open}");
    sim.mood("busy.example", Mood::Well(10));
    sim.run(DAY);
    assert_eq!(sim.delivered.len(), 400);
}
