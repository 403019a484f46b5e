//! Messages that are kept from being attempted, and messages of other relays.

use std::time::Duration;

use relay_proto::queue::JobState;
use relay_proto::queued::{QueueId, UnixMillis};

use super::scene::{START_MS, Scene};
use super::world::{Mood, message};
use crate::queue::{Adopted, InHand, Taking};

const MINUTE: Duration = Duration::from_secs(60);

fn take(scene: &Scene, id: QueueId) -> InHand<super::world::Fake> {
    match scene.queue.take_in_hand(id) {
        Taking::InHand(taken) => taken,
        Taking::Busy => panic!("busy"),
        Taking::Gone => panic!("gone"),
    }
}

fn count(scene: &Scene, state: JobState) -> usize {
    let place = JobState::ALL.iter().position(|it| *it == state).unwrap();
    scene.queue.stats().counts.by_state[place]
}

#[tokio::test(start_paused = true)]
async fn a_message_in_hand_is_attempted_by_nobody_until_it_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("grey.example", Mood::Greylists);
    scene.run();
    let id = scene.arrive(&["grey.example", "gray.example"]).id;
    scene.pass(MINUTE).await;
    assert_eq!(scene.world.count("attempt grey.example"), 1);
    let taken = take(&scene, id);
    assert!(matches!(scene.queue.take_in_hand(id), Taking::Busy));
    scene.pass(120 * MINUTE).await;
    assert_eq!(scene.world.count("attempt grey.example"), 1);
    drop(taken);
    scene.pass(MINUTE).await;
    assert_eq!(scene.world.count("attempt grey.example"), 2);
    take(&scene, id).handed_over();
    assert!(matches!(scene.queue.take_in_hand(id), Taking::Gone));
    scene.pass(120 * MINUTE).await;
    assert_eq!(scene.world.count("attempt grey.example"), 2);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_being_attempted_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    *scene.world.attempt_takes.lock().unwrap() = MINUTE;
    scene.run();
    let id = scene.arrive(&["a.example"]).id;
    scene.pass(Duration::from_secs(10)).await;
    assert!(matches!(scene.queue.take_in_hand(id), Taking::Busy));
    scene.pass(2 * MINUTE).await;
    assert!(matches!(scene.queue.take_in_hand(id), Taking::Gone));
    assert_eq!(scene.world.count("delivered a.example"), 1);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_people_say_meanwhile_holds_when_it_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("grey.example", Mood::Greylists);
    scene.run();
    let held = scene.arrive(&["grey.example"]).id;
    let deleted = scene.arrive(&["grey.example"]).id;
    scene.pass(MINUTE).await;
    let key_of = |id: QueueId| scene.queue.state().scheduler.jobs_of(id)[0];
    let (held_key, deleted_key) = (key_of(held), key_of(deleted));
    assert!(scene.queue.state().scheduler.hold(held_key));
    let taken = [held, deleted].map(|id| take(&scene, id));
    assert_eq!(count(&scene, JobState::Held), 0);
    let removed = scene.queue.state().scheduler.remove(deleted_key);
    assert!(removed.is_none(), "not while it is in hand");
    drop(taken);
    scene.pass(120 * MINUTE).await;
    assert_eq!(count(&scene, JobState::Held), 1);
    assert_eq!(scene.world.count("discarded"), 1);
    assert_eq!(scene.world.count("attempt grey.example"), 2);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_for_a_while_ends_unless_people_have_said_the_same() {
    for said in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut scene = Scene::new(directory.path());
        scene.run();
        let pausing = scene.queue.pause_for_a_while();
        scene.arrive(&["a.example"]);
        scene.pass(MINUTE).await;
        assert_eq!(scene.world.count("attempt"), 0);
        if said {
            use crate::queue::admin::Orders;
            let order = crate::queue::admin::shapes::PauseOrder {
                everything: true,
                ..Default::default()
            };
            scene.queue.pause(&order).await.unwrap();
        }
        drop(pausing);
        scene.pass(MINUTE).await;
        assert_eq!(scene.world.count("attempt"), usize::from(!said));
        scene.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_relay_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.run();
    let arrived = UnixMillis(START_MS - 100 * 60_000);
    let adopt = |number: u64, held: bool, tried_until: u64| {
        let id = QueueId::from_number(number).unwrap();
        let mut queued = message(id, arrived, "192.0.2.1", &["x@a.example", "y@a.example"]);
        queued.may_notify = false;
        let mut spool = scene.world.spool.lock().unwrap();
        spool.insert(id, (queued.clone(), vec![1]));
        drop(spool);
        scene.queue.adopt(&Adopted {
            queued: &queued,
            octets: 4096,
            pending: &[1],
            held,
            tried_until: UnixMillis(tried_until),
        });
    };
    let held = [QueueId::from_number(2).unwrap()];
    let ahead = scene.queue.hold_ahead(&held).await.unwrap();
    adopt(1, false, START_MS);
    adopt(2, true, START_MS);
    adopt(3, false, 0);
    drop(ahead);
    scene.pass(MINUTE).await;
    // Nobody has tried the third when its schedule said so.
    assert_eq!(scene.world.count("attempt a.example"), 1);
    scene.pass(120 * MINUTE).await;
    assert_eq!(scene.world.count("delivered a.example"), 2);
    assert_eq!(count(&scene, JobState::Held), 1);
    assert!(scene.queue.holds(held[0]).await);
    scene.stop().await;
}
