//! What goes wrong, and whom it costs what.

use std::time::Duration;

use super::scene::Scene;
use super::world::Mood;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_panic_costs_the_attempt_that_it_was_in() {
    for mood in [
        Mood::PanicsAtOpening,
        Mood::PanicsAtAttempt,
        Mood::PanicsAtRouting,
        Mood::PanicsAtChoosing,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut scene = Scene::new(directory.path());
        scene.world.set("bug.example", mood);
        scene.run();
        scene.arrive(&["bug.example", "a.example"]);
        scene.pass(SECOND).await;
        assert_eq!(scene.world.count("delivered a.example"), 1, "{mood:?}");
        let counts = scene.queue.stats().counts;
        assert_eq!(counts.by_state, [1, 0, 0, 0, 0], "{mood:?}");
        assert_eq!(scene.queue.stats().totals.deferred, 1, "{mood:?}");
        scene.world.set("bug.example", Mood::Well);
        scene.pass(400 * SECOND).await;
        assert_eq!(scene.world.count("delivered bug.example"), 1, "{mood:?}");
        scene.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_spool_cannot_be_told_is_told_later_and_not_attempted_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("no.example", Mood::Refuses);
    scene.run();
    *scene.world.is_spool_broken.lock().unwrap() = true;
    scene.arrive(&["a.example", "no.example"]);
    scene.pass(1000 * SECOND).await;
    assert_eq!(scene.world.count("attempt"), 2);
    assert!(scene.world.count("unsettled") > 20);
    assert_eq!(scene.queue.stats().totals.delivered, 0);
    *scene.world.is_spool_broken.lock().unwrap() = false;
    scene.pass(31 * SECOND).await;
    assert_eq!(scene.world.count("delivered a.example"), 1);
    assert_eq!(scene.world.count("failed no.example"), 1);
    assert_eq!(scene.world.count("attempt a.example"), 1);
    assert!(scene.world.spool.lock().unwrap().is_empty());
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_cannot_tell_its_spool_stops_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.run();
    *scene.world.is_spool_broken.lock().unwrap() = true;
    scene.arrive(&["a.example"]);
    scene.pass(SECOND).await;
    let world = scene.world.clone();
    scene.stop().await;
    assert_eq!(world.spool.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_gone_from_the_spool_leaves_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    let queued = scene.arrive(&["a.example"]);
    scene.world.spool.lock().unwrap().remove(&queued.id);
    scene.run();
    scene.pass(SECOND).await;
    assert_eq!(scene.queue.stats().counts.by_state, [0; 5]);
    assert_eq!(scene.world.count("attempt"), 0);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_strained_site_is_given_fewer_connections_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("busy.example", Mood::Strained);
    scene.run();
    for _ in 0..20 {
        scene.arrive(&["busy.example"]);
    }
    scene.pass(SECOND).await;
    assert_eq!(scene.queue.stats().counts.by_state[0], 20);
    scene.world.set("busy.example", Mood::Well);
    scene.pass(3600 * SECOND).await;
    assert_eq!(scene.world.count("delivered"), 20);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_moves_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    *scene.world.attempt_takes.lock().unwrap() = 100 * SECOND;
    scene.run();
    for _ in 0..12 {
        scene.arrive(&["a.example"]);
    }
    scene.pass(150 * SECOND).await;
    let moved = (String::from("a.example"), String::from("mx2.example"));
    scene.world.shared.lock().unwrap().extend([moved]);
    // The route holds for five minutes; what waits by the old name then goes by the new one.
    scene.pass(600 * SECOND).await;
    assert_eq!(scene.world.count("delivered"), 12);
    scene.stop().await;
}
