//! Who gets how many connections, and whose turn it is.

use super::sim::{Mood, Sim};
use crate::envelope::{Mail, Recipient};
use crate::queue::{Action, Arrival, First, PaceLimits, Scheduler, Settings, Target};
use crate::queued::{Egress, QueueId, Queued, Source, UnixMillis};

fn narrow() -> Settings {
    Settings {
        connections: 4,
        connections_per_site: 3,
        pace: PaceLimits {
            initial: 10,
            max: 10,
            ..PaceLimits::default()
        },
        ..Settings::default()
    }
}

#[test]
fn a_busy_site_keeps_nobody_out() {
    let mut sim = Sim::new(narrow());
    for site in 0..3 {
        sim.mood(&format!("busy{site}.example"), Mood::Well(100));
        for _ in 0..2000 {
            sim.arrive("192.0.2.1", &format!("busy{site}.example"), 1);
        }
    }
    sim.run(500);
    let late: Vec<QueueId> = (0..20)
        .map(|site| sim.arrive("192.0.2.2", &format!("late{site}.example"), 1))
        .collect();
    // Each of four connections has its turn of 20 messages at 100 ms, and lanes have theirs one after the other.
    sim.run(60_000);
    let delivered: std::collections::HashSet<_> = sim.delivered.iter().map(|it| it.1).collect();
    assert!(late.iter().all(|id| delivered.contains(id)));
    assert!(delivered.len() > 2000, "{}", delivered.len());
    assert!(sim.most_open.values().all(|most| *most <= 3));
    sim.run(600_000);
    assert_eq!(sim.delivered.len(), 6020);
}

#[test]
fn lanes_of_one_site_share_what_it_may_have() {
    let mut queue = Scheduler::new(narrow(), UnixMillis(1_000_000));
    for number in 1..=20 {
        let arrival = Arrival {
            id: QueueId::from_number(number).unwrap(),
            arrived: UnixMillis(1_000_000),
            octets: 1,
            customer: Some("2001:db8::1".parse().unwrap()),
            original_dst: None,
            policies_waived: false,
            egress: Egress::Pool,
            sender: String::new(),
            domains: vec![(format!("d{number}.example"), vec![0, 3])],
        };
        queue.insert(&arrival, First::Now, UnixMillis(1_000_000));
    }
    let (mut workers, mut ways, mut served) = (Vec::new(), 0, 0);
    loop {
        match queue.poll(UnixMillis(1_000_000)) {
            Some(Action::Place(order)) => {
                assert_eq!(order.recipients, [0, 3]);
                ways += 1;
                queue.place(order.key, &format!("way-{}", ways % 5), "mx.example");
            }
            Some(Action::Begin(worker)) => workers.push(worker),
            Some(other) => panic!("{other:?}"),
            None => {
                assert!(workers.len() <= 3);
                let Some(mut worker) = workers.pop() else {
                    break;
                };
                while let crate::queue::Take::Job(order) =
                    queue.take(&mut worker, UnixMillis(1_000_000))
                {
                    queue.finish(order.key);
                    served += 1;
                }
                queue.leave(worker);
            }
        }
    }
    assert_eq!(served, 20);
    assert!(queue.is_empty());
}

#[test]
fn customers_of_one_site_have_equal_shares_and_a_v6_network_is_one_customer() {
    let mut sim = Sim::new(Settings {
        pace: PaceLimits {
            initial: 1,
            max: 1,
            ..PaceLimits::default()
        },
        ..Settings::default()
    });
    for host in 1..=500 {
        sim.arrive(&format!("2001:db8:a:a::{host:x}"), "mx.example", 4096);
        sim.arrive("192.0.2.1", "mx.example", 4096);
    }
    let last = sim.arrive("192.0.2.2", "mx.example", 4096);
    sim.run(10 * 40);
    assert!(sim.delivered.iter().any(|it| it.1 == last));
    sim.run(20_000);
    assert_eq!(sim.delivered.len(), 1001);
}

#[test]
fn a_report_about_tls_has_a_route_of_its_own() {
    let now = UnixMillis(1_000_000);
    let mut queue = Scheduler::new(narrow(), now);
    let reverse_paths = ["<>", "<tls-reports@example.net>"];
    for (number, reverse_path) in (1..).zip(reverse_paths) {
        let to = "<b@a.example>".parse().unwrap();
        let queued = Queued {
            id: QueueId::from_number(number).unwrap(),
            arrived: now,
            source: Source::Relay,
            egress: Egress::Pool,
            mail: Mail::new(reverse_path.parse().unwrap()),
            recipients: vec![Recipient::new(to)],
            trace: String::new(),
            may_notify: false,
            held: None,
        };
        let arrival = Arrival::of(&queued, 1, None);
        assert_eq!(arrival.policies_waived, queued.is_tls_report());
        queue.insert(&arrival, First::Now, now);
    }
    let mut waived = Vec::new();
    let mut parked = 0;
    while let Some(action) = queue.poll(now) {
        let Action::Place(order) = action else {
            continue;
        };
        let target = queue.target(order.target).unwrap();
        assert_eq!(target.domain, "a.example");
        if parked < 2 {
            // What is news of one route is none of the other.
            parked += 1;
            queue.park(order.key);
            if parked == 2 {
                queue.routed(&target);
            }
            continue;
        }
        waived.push((order.id.get(), target.policies_waived));
        let other = Target {
            policies_waived: !target.policies_waived,
            ..target
        };
        queue.place(order.key, "way", "mx.example");
        queue.routed(&other);
    }
    waived.sort_unstable();
    assert_eq!(waived, [(1, false), (2, true)]);
}
