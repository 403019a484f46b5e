//! What people do.

use super::sim::{Mood, Sim};
use crate::queue::{Arrival, Filter, First, JobState, Pause, Schedule, Scheduler, Settings};
use crate::queued::{Egress, QueueId, UnixMillis};

const MINUTE: u64 = 60_000;
const DAY: u64 = 1440 * MINUTE;

fn states(sim: &Sim) -> Vec<(String, JobState)> {
    let mut states = Vec::new();
    let mut from = Some(0);
    while let Some(start) = from {
        from = sim.queue.scan(start, 2, |_, view| {
            states.push((view.domain.to_owned(), view.state));
        });
    }
    states.sort();
    states
}

#[test]
fn what_is_paused_waits_and_what_is_not_goes_on() {
    let mut sim = Sim::new(Settings::default());
    assert!(sim.queue.pause(Pause::Domain("a.example".into())));
    assert!(!sim.queue.pause(Pause::Domain("a.example".into())));
    sim.queue.pause(Pause::Site("b.example".into()));
    for domain in ["a.example", "b.example", "c.example"] {
        sim.arrive("192.0.2.1", domain, 1);
    }
    sim.run(MINUTE);
    let expected = [
        ("a.example".to_owned(), JobState::Waiting),
        ("b.example".to_owned(), JobState::Ready),
    ];
    assert_eq!(states(&sim), expected);
    sim.queue.pause(Pause::Everything);
    assert!(sim.queue.resume(&Pause::Domain("a.example".into())));
    assert!(sim.queue.resume(&Pause::Site("b.example".into())));
    assert!(!sim.queue.resume(&Pause::Site("c.example".into())));
    sim.arrive("192.0.2.1", "c.example", 1);
    sim.run(MINUTE);
    assert_eq!(sim.delivered.len(), 1);
    assert_eq!(sim.queue.pauses().collect::<Vec<_>>(), [&Pause::Everything]);
    sim.queue.resume(&Pause::Everything);
    sim.run(MINUTE);
    assert_eq!(sim.delivered.len(), 4);
}

#[test]
fn paused_and_held_messages_do_not_end_before_they_were_tried() {
    let mut sim = Sim::new(Settings::default());
    sim.queue.pause(Pause::Domain("a.example".into()));
    sim.queue.pause(Pause::Site("b.example".into()));
    for domain in ["a.example", "b.example", "c.example"] {
        sim.mood(domain, Mood::Greylists);
    }
    let held = sim.arrive("192.0.2.1", "c.example", 1);
    sim.arrive("192.0.2.1", "a.example", 1);
    sim.arrive("192.0.2.1", "b.example", 1);
    sim.run(1000);
    let key = sim.queue.jobs_of(held)[0];
    assert!(sim.queue.hold(key));
    assert!(!sim.queue.hold(key));
    sim.run(9 * DAY);
    assert_eq!((sim.expired.len(), sim.attempts.len()), (0, 1));
    sim.queue.resume(&Pause::Domain("a.example".into()));
    sim.queue.resume(&Pause::Site("b.example".into()));
    assert!(sim.queue.release(key));
    assert!(!sim.queue.release(key));
    sim.run(MINUTE);
    assert_eq!((sim.expired.len(), sim.attempts.len()), (3, 4));
}

#[test]
fn a_flush_is_an_attempt_now_also_at_a_dead_site() {
    let mut sim = Sim::new(Settings::default());
    sim.is_early_allowed = true;
    sim.mood("grey.example", Mood::Greylists);
    sim.mood("dead.example", Mood::Dead(1000));
    let grey = sim.arrive("192.0.2.1", "grey.example", 1);
    let dead: Vec<QueueId> = (0..10)
        .map(|_| sim.arrive("192.0.2.1", "dead.example", 1))
        .collect();
    sim.run(20 * MINUTE);
    for domain in ["grey.example", "dead.example"] {
        sim.mood(domain, Mood::Well(1));
    }
    for id in dead.iter().chain([&grey]) {
        let key = sim.queue.jobs_of(*id)[0];
        sim.queue.flush(key);
        assert!(!sim.queue.flush(key));
    }
    sim.run(1000);
    assert_eq!(sim.delivered.len(), 11);
}

#[test]
fn who_is_in_flight_is_held_or_removed_when_it_comes_back() {
    let mut sim = Sim::new(Settings::default());
    sim.mood("grey.example", Mood::Greylists);
    let ids: Vec<QueueId> = (0..3)
        .map(|_| sim.arrive("192.0.2.1", "grey.example", 1))
        .collect();
    let keys: Vec<_> = ids.iter().map(|id| sim.queue.jobs_of(*id)[0]).collect();
    assert_eq!(sim.queue.counts().by_state, [0, 0, 0, 3, 0]);
    assert!(sim.queue.hold(keys[0]));
    assert_eq!(sim.queue.remove(keys[1]), None);
    assert!(!sim.queue.requeue(keys[2]));
    sim.run(MINUTE);
    assert_eq!(sim.queue.counts().by_state, [1, 0, 0, 0, 1]);
    assert_eq!(sim.removed.iter().collect::<Vec<_>>(), [&ids[1]]);
    // What waits is in hand at once.
    let order = sim.queue.remove(keys[2]).unwrap();
    assert_eq!(sim.queue.remove(keys[2]), None);
    sim.queue.finish(order.key);
    assert_eq!(sim.queue.len(), 1);
}

#[test]
fn a_filter_finds_what_is_in_the_table() {
    let mut sim = Sim::new(Settings::default());
    sim.queue.pause(Pause::Everything);
    sim.arrive("192.0.2.1", "a.example", 1);
    let wanted = sim.arrive("192.0.2.2", "b.example", 1);
    let filter = Filter {
        customer: Some("192.0.2.2".parse().unwrap()),
        state: Some(JobState::Waiting),
        ..Filter::default()
    };
    let mut found = Vec::new();
    let end = sim.queue.scan(0, 100, |key, view| {
        if filter.matches(&view) {
            found.push((key, view.id));
        }
    });
    assert_eq!(end, None);
    assert_eq!(found, [(sim.queue.jobs_of(wanted)[0], wanted)]);
    assert_eq!(
        sim.queue.show(found[0].0).unwrap().sender,
        "customer.example"
    );
}

#[test]
fn a_restart_goes_on_where_the_schedule_is() {
    let now_ms = 1_790_000_000_000;
    let schedule = Schedule::default();
    let mut queue = Scheduler::new(Settings::default(), UnixMillis(now_ms));
    // Age, how long nobody was there, and whether it is tried at once.
    let cases = [
        (MINUTE, MINUTE / 2, true),
        (100 * MINUTE, MINUTE, false),
        (100 * MINUTE, 50 * MINUTE, true),
        (6 * DAY, MINUTE, true),
    ];
    for (number, (age, away, at_once)) in (1..).zip(cases) {
        let id = QueueId::from_number(number).unwrap();
        let arrival = Arrival {
            id,
            arrived: UnixMillis(now_ms - age),
            octets: 1,
            customer: None,
            original_dst: None,
            policies_waived: false,
            egress: Egress::Pool,
            sender: String::new(),
            domains: vec![("a.example".into(), vec![0])],
        };
        let first = First::TriedUntil(UnixMillis(now_ms - away));
        assert_eq!(queue.insert(&arrival, first, UnixMillis(now_ms)), 1);
        assert_eq!(queue.insert(&arrival, First::Now, UnixMillis(now_ms)), 0);
        let view = queue.show(queue.jobs_of(id)[0]).unwrap();
        let due_ms = view.due_ms;
        assert_eq!(view.state == JobState::Waiting, at_once, "age {age}");
        if !at_once {
            let next = schedule.due_ms(id, schedule.attempts(id, age));
            assert_eq!(due_ms / 1000, (now_ms - age + next).div_ceil(1000));
        }
    }
}

#[test]
fn a_clock_that_was_wrong_holds_nothing_up() {
    let mut sim = Sim::new(Settings::default());
    sim.mood("grey.example", Mood::Greylists);
    sim.arrive("192.0.2.1", "grey.example", 1);
    sim.run(1000);
    sim.is_early_allowed = true;
    sim.mood("grey.example", Mood::Well(1));
    sim.now_ms -= 300 * DAY;
    sim.run(5 * 60 * MINUTE);
    assert_eq!(sim.delivered.len(), 1);
}

#[test]
fn what_a_verdict_holds_waits_and_ends_with_its_life() {
    let mut sim = Sim::new(Settings::default());
    sim.queue.pause(Pause::Everything);
    let [held, released] = ["a.example", "b.example"].map(|domain| {
        let id = sim.arrive("192.0.2.1", domain, 1);
        let keys = sim.queue.jobs_of(id);
        assert!(keys.iter().all(|key| sim.queue.hold_until_old(*key)));
        keys
    });
    sim.queue.resume(&Pause::Everything);
    assert!(sim.queue.is_held_until_old(held[0]));
    sim.run(DAY);
    assert_eq!(states(&sim).len(), 2);
    assert!(sim.delivered.is_empty());
    assert!(sim.queue.release(released[0]));
    sim.run(MINUTE);
    assert_eq!(sim.delivered.len(), 1);
    // What a person holds would stay.
    sim.run(Settings::default().schedule.lifetime_ms());
    assert_eq!(states(&sim), []);
    assert_eq!((sim.delivered.len(), sim.expired.len()), (1, 1));
}
