//! What a verdict holds waits for a person, and no longer than the queue keeps anything.

use contract::Delivery;
use relay::metrics::Counter;

use super::scene::{Scene, heard};
use super::spam;
use crate::gate::delivered_by;
use crate::host::wait_until;
use crate::sink::Sink;

const HOLD: &str = "[verdict]\nspam = \"hold\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_is_taken_and_waits_over_a_restart_until_it_is_released() {
    let sink = Sink::start();
    let scene = Scene::of(sink.address, delivered_by(Delivery::Queue), HOLD);
    let content = spam(1);
    for _ in 0..2 {
        scene.send(content.as_bytes()).await.assert_accepted();
    }
    scene.gate.wait_for_count(Counter::Held, 2).await;
    scene.gate.assert_counted(Counter::Queued, 0);
    let queue = |scene: &Scene, words: &[&str]| heard(words, scene.program("queue", words));
    let jobs = |scene: &Scene| -> Vec<serde_json::Value> {
        serde_json::from_str(&queue(scene, &["ls", "--state", "held", "-j"])).unwrap()
    };
    let held = jobs(&scene);
    assert_eq!(held.len(), 2);
    assert!(
        held[0]["reason"].as_str().unwrap().contains("held: "),
        "{held:?}"
    );

    let scene = scene.restart().await;
    let held = jobs(&scene);
    assert_eq!(held.len(), 2);
    assert!(
        held[0]["reason"].as_str().unwrap().contains("held: "),
        "{held:?}"
    );
    queue(&scene, &["release", held[0]["id"].as_str().unwrap()]);
    wait_until("the message to arrive", || sink.written() == 1);
    assert!(sink.only().content() == content.as_bytes());

    // One that was released is not held again; the other still is.
    let scene = scene.restart().await;
    assert_eq!(jobs(&scene).len(), 1);
    assert_eq!(sink.written(), 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_wait_it_is_refused_and_kept() {
    let sink = Sink::start();
    for delivery in [Delivery::Cutthrough, Delivery::CutthroughSpool] {
        let scene = Scene::of(sink.address, delivered_by(delivery), HOLD);
        scene.refused(spam(1).as_bytes()).await;
        scene.gate.assert_counted(Counter::Kept, 1);
        assert_eq!(sink.taken().len(), 0);
        scene.stop().await;
    }
}
