//! Flags that come and go together.

use super::*;

#[tokio::test]
async fn what_is_changed_together_has_one_generation_and_one_fate() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    let second = store.add(&proposal("192.0.2.20", "drop")).await.unwrap();
    let ended = Ended {
        at: now(),
        by: String::from("bob"),
        reason: String::from("cleaned up"),
    };

    let mut change = store.change().await.unwrap();
    let mut added = Vec::new();
    // More than one statement takes.
    for host in 30..100 {
        let terms = proposal(&format!("192.0.2.{host}"), "drop");
        added.push(change.add(&terms, Kind::FlagAdded, "alice").await.unwrap());
    }
    let again = proposal("192.0.2.10", "observe");
    let again = change.add(&again, Kind::FlagAdded, "alice").await.unwrap();
    change
        .end(
            second.flag.id,
            Some(second.flag.terms.prefix),
            Kind::FlagLifted,
            &ended,
            None,
        )
        .await
        .unwrap();
    assert_eq!(
        store.load().await.unwrap().flags.values().count(),
        2,
        "not seen yet"
    );
    let generation = change.commit().await.unwrap();

    assert_eq!(generation, Generation(3));
    assert_eq!(again.flag.replaces, Some(first.flag.id));
    assert_eq!(again.replaced.unwrap().id, first.flag.id);
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.generation, generation);
    assert!(loaded.flags.get(&second.flag.id).is_none());
    for Added { flag, .. } in &added {
        assert_eq!(loaded.flags.get(&flag.id), Some(flag));
    }
    assert_eq!(added.last().unwrap().flag.id, FlagId(72));
    // Two before, and of these seventy, a replaced one and its successor, and a lift.
    assert_eq!(fixture.chain().await.unwrap().0, 2 + 70 + 2 + 1);
}

#[tokio::test]
async fn a_change_that_is_dropped_leaves_nothing() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut change = store.change().await.unwrap();
    let terms = proposal("192.0.2.10", "drop");
    change.add(&terms, Kind::FlagAdded, "alice").await.unwrap();
    drop(change);
    let loaded = store.load().await.unwrap();
    assert_eq!(
        (loaded.generation, loaded.flags.values().count()),
        (Generation(0), 0)
    );
    assert_eq!(fixture.chain().await.unwrap().0, 0);
    let added = store.add(&terms).await.unwrap();
    assert_eq!(added.flag.id, FlagId(1), "its number was not used");
}
