//! The trail tells of its own damage, and lets a payload go.

use super::*;

/// Each change of the trail, with the row that must be found and why; `None` = refused by the database.
#[tokio::test]
async fn a_tampered_trail_is_found() {
    let cases: &[(&str, Option<(i64, &str)>)] = &[
        (
            "UPDATE audit SET actor = 'mallory' WHERE seq = 2",
            Some((2, "it was changed")),
        ),
        (
            "UPDATE audit SET at_us = at_us - 1 WHERE seq = 3",
            Some((3, "it was changed")),
        ),
        (
            "UPDATE audit SET payload = '{}' WHERE seq = 1",
            Some((1, "its payload was changed")),
        ),
        (
            "DELETE FROM audit WHERE seq = 2",
            Some((3, "a row before it is missing")),
        ),
        (
            "DELETE FROM audit WHERE seq = 1",
            Some((2, "a row before it is missing")),
        ),
        (
            "UPDATE audit SET payload_hash = (SELECT payload_hash FROM audit WHERE seq = 1), payload = NULL, \
             salt = NULL WHERE seq = 2",
            Some((2, "it was changed")),
        ),
    ];
    for (sql, expected) in cases {
        let fixture = fixture().await;
        for target in ["192.0.2.10", "192.0.2.11", "192.0.2.12"] {
            fixture.store.add(&proposal(target, "drop")).await.unwrap();
        }
        assert_eq!(fixture.chain().await.unwrap().0, 3);
        let refused = fixture.meddle(sql).await.unwrap_err().to_string();
        assert!(
            refused.contains("the audit trail is append-only"),
            "{sql}: {refused}"
        );
        // Whoever owns the file can drop the trigger, so the chain must tell by itself.
        fixture
            .meddle("DROP TRIGGER audit_is_append_only")
            .await
            .unwrap();
        fixture
            .meddle("DROP TRIGGER audit_is_never_deleted")
            .await
            .unwrap();
        assert_eq!(fixture.meddle(sql).await.unwrap(), 1, "{sql}");
        let found = fixture
            .chain()
            .await
            .err()
            .map(|broken| (broken.seq, broken.what));
        assert_eq!(found, *expected, "{sql}");
    }
}

#[tokio::test]
async fn an_erased_payload_leaves_the_chain_valid_and_nothing_to_guess_by() {
    let fixture = fixture().await;
    fixture
        .store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap();
    fixture
        .store
        .add(&proposal("192.0.2.11", "drop"))
        .await
        .unwrap();
    fixture.store.erase_payload(1, "dpo", now()).await.unwrap();
    assert_eq!(fixture.chain().await.unwrap().0, 3);
    let rows = fixture.store.trail_of("flag:1").await.unwrap();
    assert_eq!((&rows[0].payload, &rows[0].salt), (&None, &None));
    assert_eq!(audit::verify(&rows), Ok(rows[0].hash.clone()));
    assert!(matches!(
        fixture.store.erase_payload(99, "dpo", now()).await,
        Err(StoreError::Row { .. })
    ));
}

/// A row of that age, about nothing.
async fn told_of(store: &Store, at: Timestamp) {
    let entry = Entry {
        at,
        actor: String::from("alice"),
        kind: Kind::Viewed,
        subject: String::from("audit"),
        payload: serde_json::json!({ "what": "of a test" }),
    };
    store.record(entry).await.unwrap();
}

fn day(day: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * day)
}

/// Days 0 to 9, of which the first four have gone: rows 5 to 10, and row 11 that tells of it.
async fn pruned() -> Fixture {
    let fixture = fixture().await;
    for of in 0..10 {
        told_of(&fixture.store, day(of)).await;
    }
    let pruned = fixture.store.prune_trail(day(4), day(10)).await.unwrap();
    assert_eq!((pruned.rows, pruned.more), (4, false));
    fixture
}

async fn begins(store: &Store) -> i64 {
    let proof = store.prove_trail(Vec::new()).await.unwrap();
    assert!(proof.holds(), "{proof:?}");
    proof.writers[0].first
}

#[tokio::test]
async fn the_oldest_rows_go_and_the_rest_holds_from_where_it_begins() {
    let fixture = pruned().await;
    let store = &fixture.store;
    assert_eq!(fixture.chain().await.unwrap().0, 11);
    assert_eq!(begins(store).await, 5);
    // A head of the last row that went is where the chain begins; one of a row before it cannot be proved any more.
    let anchor = store.anchors().await.unwrap().remove(0);
    assert!(
        store
            .prove_trail(vec![anchor.clone()])
            .await
            .unwrap()
            .holds()
    );
    // Nothing that is due, and nothing is written.
    assert_eq!(
        store.prune_trail(day(4), day(10)).await.unwrap(),
        audit::Pruned::default()
    );
    assert_eq!(fixture.chain().await.unwrap().0, 11);
    // What comes later hangs on what was there; a year later all goes but the last row, which another tells of.
    store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    let pruned = store.prune_trail(day(400), day(400)).await.unwrap();
    assert_eq!(pruned.rows, 7);
    assert_eq!(begins(store).await, 12);
    let pruned = store.prune_trail(day(800), day(800)).await.unwrap();
    assert_eq!(pruned.rows, 1);
    assert_eq!(begins(store).await, 13);
    // Over a restart, too.
    let other = fixture.another().await;
    assert_eq!(begins(&other).await, 13);
    let rows = other.trail(&everything()).await.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["trail pruned"; 2]);
}

fn everything() -> audit::Wanted {
    audit::Wanted {
        limit: 100,
        ..audit::Wanted::default()
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_what_stands_behind_a_younger_row() {
    let fixture = fixture().await;
    for of in [0, 9, 1, 2] {
        told_of(&fixture.store, day(of)).await;
    }
    let pruned = fixture.store.prune_trail(day(4), day(10)).await.unwrap();
    assert_eq!(pruned.rows, 1);
    assert_eq!(begins(&fixture.store).await, 2);
}

#[tokio::test]
async fn many_rows_go_in_steps_and_every_step_holds() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let targets = (0..2600).map(|host| format!("2001:db8:a:{host:x}::10"));
    let flags: Vec<_> = targets.map(|target| proposal(&target, "drop")).collect();
    for flags in [&flags, &flags] {
        let package = crate::store::tenants::Package {
            by: String::from("alice"),
            at: now(),
            flags: flags.clone(),
            ..Default::default()
        };
        store.apply(package, |_| {}).await.unwrap();
    }
    let mut steps = 0;
    loop {
        let pruned = store.prune_trail(day(1), day(2)).await.unwrap();
        assert!(begins(store).await > 1);
        steps += 1;
        if !pruned.more {
            break;
        }
    }
    assert!(steps > 1, "{steps}");
    let left = store.trail(&everything()).await.unwrap();
    assert_eq!(
        left.iter().filter(|row| row.kind == "trail pruned").count(),
        steps
    );
}

/// What was done to a trail of which the oldest rows had gone: the row that must be found and why.
#[tokio::test]
async fn tampering_is_found_where_the_oldest_rows_have_gone() {
    let anchors = "UPDATE audit_anchors SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5); DELETE FROM audit WHERE seq = 5";
    for (sql, seq, what) in [
        (
            "UPDATE audit SET actor = 'mallory' WHERE seq = 5",
            5,
            "it was changed",
        ),
        (
            "UPDATE audit SET payload = '{}' WHERE seq = 7",
            7,
            "its payload was changed",
        ),
        (
            "DELETE FROM audit WHERE seq = 5",
            6,
            "a row before it is missing",
        ),
        (
            "DELETE FROM audit WHERE seq = 8",
            9,
            "a row before it is missing",
        ),
        ("DELETE FROM audit_anchors", 5, "a row before it is missing"),
        (
            "UPDATE audit_anchors SET hash = 'another'",
            5,
            "it does not follow from the row before it",
        ),
        // Whoever moves the anchor himself must say so in the trail, in his own name and for all to see.
        (
            anchors,
            6,
            "no row tells that what was before it was pruned",
        ),
        (
            "DELETE FROM audit WHERE seq = 11",
            5,
            "no row tells that what was before it was pruned",
        ),
        (
            "DELETE FROM audit",
            5,
            "it and every row after it are missing",
        ),
    ] {
        let fixture = pruned().await;
        // What stands at the beginning may go, as the store itself does it.
        if sql != anchors {
            let refused = fixture.meddle(sql).await.unwrap_err().to_string();
            assert!(
                refused.contains("the audit trail is append-only"),
                "{sql}: {refused}"
            );
        }
        // Whoever owns the file can drop the triggers.
        for trigger in TRIGGERS {
            fixture.meddle(trigger).await.unwrap();
        }
        for sql in sql.split("; ") {
            fixture.meddle(sql).await.unwrap();
        }
        let proof = fixture.store.prove_trail(Vec::new()).await.unwrap();
        let broken = proof.writers[0].broken.clone();
        let broken = broken.unwrap_or_else(|| panic!("{sql}: not found: {proof:?}"));
        assert_eq!((broken.seq, broken.what.as_str()), (seq, what), "{sql}");
        assert!(fixture.chain().await.is_err(), "{sql}");
        // What is evidence does not go, nor is it told of as if it were ours.
        let before = fixture.store.trail(&everything()).await.unwrap();
        let later = fixture.store.prune_trail(day(9), day(20)).await.unwrap();
        assert_eq!((later.rows, later.broken.len()), (0, 1), "{sql}: {later:?}");
        let after = fixture.store.trail(&everything()).await.unwrap();
        assert_eq!(after, before, "{sql}");
    }
}

const TRIGGERS: [&str; 5] = [
    "DROP TRIGGER audit_is_append_only",
    "DROP TRIGGER audit_is_never_deleted",
    "DROP TRIGGER audit_anchor_is_a_row",
    "DROP TRIGGER audit_anchor_only_moves_on",
    "DROP TRIGGER audit_anchor_stays",
];
