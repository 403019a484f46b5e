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
