//! What becomes of messages.

use std::time::Duration;

use super::scene::Scene;
use super::world::Mood;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn messages_for_one_site_go_by_one_connection_which_takes_leave() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.run();
    for _ in 0..5 {
        scene.arrive(&["a.example"]);
        scene.pass(SECOND).await;
    }
    assert_eq!(scene.world.count("delivered"), 5);
    assert_eq!(scene.world.count("opened"), 1);
    assert_eq!(scene.world.count("routed"), 1);
    scene.pass(10 * SECOND).await;
    assert_eq!(scene.world.count("closed a.example after 5"), 1);
    assert!(scene.world.spool.lock().unwrap().is_empty());
    let stats = scene.queue.stats();
    assert_eq!(stats.totals.delivered, 5);
    assert_eq!(stats.counts.by_state, [0; 5]);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_domain_of_a_message_ends_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("grey.example", Mood::Greylists);
    scene.world.set("no.example", Mood::Refuses);
    scene.world.set("nxdomain.example", Mood::NoSuchDomain);
    scene.run();
    let domains = [
        "a.example",
        "grey.example",
        "no.example",
        "nxdomain.example",
        "A.example",
    ];
    let queued = scene.arrive(&domains);
    scene.pass(30 * SECOND).await;
    // Two recipients of one domain are one transaction.
    assert_eq!(scene.world.count("attempt a.example"), 1);
    assert_eq!(scene.world.count("delivered a.example"), 2);
    assert_eq!(scene.world.count("failed no.example"), 1);
    assert_eq!(scene.world.count("failed nxdomain.example"), 1);
    assert_eq!(scene.world.spool.lock().unwrap()[&queued.id].1, [1]);
    // Two notifications were queued and delivered.
    assert_eq!(scene.world.count("delivered sender.example"), 2);
    scene.world.set("grey.example", Mood::Well);
    scene.pass(HOUR).await;
    assert_eq!(scene.world.count("delivered grey.example"), 1);
    assert!(scene.world.spool.lock().unwrap().is_empty());
    let totals = scene.queue.stats().totals;
    assert_eq!(
        (totals.delivered, totals.failed, totals.deferred),
        (5, 2, 1)
    );
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_domain_is_warned_of_once_and_given_up_after_five_days() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("dead.example", Mood::Unreachable);
    scene.world.set("dns.example", Mood::DnsIsAway);
    scene.run();
    for _ in 0..20 {
        scene.arrive(&["dead.example"]);
    }
    scene.arrive(&["dns.example"]);
    scene.pass(119 * HOUR).await;
    assert_eq!(scene.world.count("warned dead.example 120 h"), 20);
    assert_eq!(scene.world.count("warned dns.example 120 h"), 1);
    assert_eq!(scene.world.count("expired"), 0);
    assert_eq!(scene.queue.stats().counts.dead, 1);
    let age = scene.queue.stats().oldest_age_seconds;
    assert!(
        (119 * 3600 - 60..=119 * 3600).contains(&age) || age >= 119 * 3600,
        "{age}"
    );
    scene.pass(2 * HOUR).await;
    assert_eq!(scene.world.count("expired dead.example"), 20);
    assert_eq!(scene.world.count("expired dns.example"), 1);
    assert_eq!(scene.queue.stats().totals.expired, 21);
    assert_eq!(scene.queue.stats().totals.warned, 21);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_other_domains_of_its_site_only_if_it_serves_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    for domain in ["a.example", "b.example", "strict.example"] {
        let mut shared = scene.world.shared.lock().unwrap();
        shared.insert(domain.into(), "mx.example".into());
    }
    let strict = String::from("strict.example");
    scene.world.particular.lock().unwrap().push(strict);
    scene.run();
    for domain in ["a.example", "b.example", "strict.example", "b.example"] {
        scene.arrive(&[domain]);
        scene.pass(SECOND).await;
    }
    let log = scene.world.log();
    for line in [
        "attempt a.example by a.example",
        "attempt b.example by a.example",
        "closed a.example after 2",
        "attempt strict.example by strict.example",
        "attempt b.example by strict.example",
    ] {
        assert_eq!(
            log.iter().filter(|it| *it == line).count(),
            1,
            "{line}: {log:#?}"
        );
    }
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_given_up_after_so_many_messages() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.run();
    for _ in 0..25 {
        scene.arrive(&["a.example"]);
        scene.pass(SECOND / 10).await;
    }
    assert_eq!(scene.world.count("delivered"), 25);
    assert_eq!(scene.world.count("closed a.example after 10"), 2);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_comes_back_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    *scene.world.attempt_takes.lock().unwrap() = 60 * SECOND;
    scene.run();
    for _ in 0..10 {
        scene.arrive(&["a.example"]);
    }
    scene.pass(SECOND).await;
    let world = scene.world.clone();
    scene.stop().await;
    // Two connections, one message each; the others stay in the spool.
    assert_eq!(world.count("delivered"), 2);
    assert_eq!(world.spool.lock().unwrap().len(), 8);
}
