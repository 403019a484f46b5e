//! What a restart finds.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::queue::Settings;

use super::scene::{START_MS, Scene};
use super::world::{Fake, Mood};

const MINUTE: Duration = Duration::from_secs(60);

/// A queue that goes on with the spool of another, so long after its end.
fn after(directory: &std::path::Path, world: &Arc<Fake>, age: Duration) -> Scene {
    let start_ms = START_MS + u64::try_from(age.as_millis()).unwrap();
    let scene = Scene::with(directory, Arc::clone(world), Settings::default(), start_ms);
    let spool = world.spool.lock().unwrap();
    for (queued, pending) in spool.values() {
        scene.queue.recover(queued, 4096, pending);
    }
    drop(spool);
    scene
}

#[tokio::test(start_paused = true)]
async fn what_was_left_is_tried_when_its_schedule_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(directory.path());
    scene.world.set("grey.example", Mood::Greylists);
    scene.run();
    scene.arrive(&["grey.example", "a.example"]);
    scene.pass(100 * MINUTE).await;
    let world = Arc::clone(&scene.world);
    scene.stop().await;
    let tried = world.count("attempt grey.example");
    assert_eq!(tried, 5);
    // Two minutes later nothing was missed: the sixth attempt is due at 155 minutes.
    let mut scene = after(directory.path(), &world, 102 * MINUTE);
    scene.run();
    scene.pass(40 * MINUTE).await;
    assert_eq!(world.count("attempt grey.example"), tried);
    scene.pass(30 * MINUTE).await;
    assert_eq!(world.count("attempt grey.example"), tried + 1);
    scene.stop().await;
    // After six hours several were: it is tried at once.
    let mut scene = after(directory.path(), &world, 9 * 60 * MINUTE);
    world.set("grey.example", Mood::Well);
    scene.run();
    scene.pass(MINUTE).await;
    assert_eq!(world.count("delivered grey.example"), 1);
    assert_eq!(world.count("attempt a.example"), 1);
    scene.stop().await;
}
