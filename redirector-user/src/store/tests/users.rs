//! Users come back as they were stored, and the trail tells of them without what one could guess by.

use contract::ScramKeys;

use super::*;
use crate::policy::user::{Credentials, Terms};
use crate::store::users::{Word, subject};

fn terms() -> Terms {
    Terms {
        customer: Some(String::from("account 4711")),
        sender_domains: ["a.example", "b.example"].map(String::from).to_vec(),
        messages_per_hour: 100,
        recipients_per_message: 50,
        disabled: false,
    }
}

fn credentials(scram: bool) -> Credentials {
    Credentials {
        password: String::from("$argon2id$secret"),
        scram: scram.then(|| ScramKeys {
            salt: String::from("salt"),
            iterations: 600_000,
            stored_key: String::from("secret1"),
            server_key: String::from("secret2"),
        }),
    }
}

fn word(reason: &str) -> Word {
    Word {
        at: now(),
        by: String::from("alice"),
        reason: reason.to_owned(),
    }
}

#[tokio::test]
async fn a_user_comes_back_as_it_was_stored_and_goes() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (ann, first) = store
        .add_user("ann", &terms(), &credentials(true), &word(""))
        .await
        .unwrap();
    let (bob, second) = store
        .add_user("bob", &terms(), &credentials(false), &word(""))
        .await
        .unwrap();
    assert_eq!((ann.id, bob.id), (1, 2));
    assert!(first < second);
    let again = store
        .add_user("ann", &terms(), &credentials(true), &word(""))
        .await;
    assert!(matches!(again, Err(StoreError::Database(_))));

    let changed = crate::policy::user::User {
        terms: Terms {
            customer: None,
            sender_domains: vec![],
            messages_per_hour: 1,
            recipients_per_message: 2,
            disabled: true,
        },
        credentials: credentials(false),
        ..ann
    };
    let third = store
        .change_user(&changed, true, &word("stolen"))
        .await
        .unwrap();
    assert!(second < third);
    let other = fixture.another().await;
    let loaded = other.load().await.unwrap();
    assert_eq!(loaded.generation, third);
    let names: Vec<_> = loaded.submission.users.values().collect();
    assert_eq!(names, [&changed, &bob]);
    // As long as the store lives: relays make salts of it.
    assert_eq!(loaded.submission.decoy.len(), 64);
    assert_eq!(
        store.load().await.unwrap().submission.decoy,
        loaded.submission.decoy
    );

    store.remove_user(&bob, &word("left")).await.unwrap();
    let (carl, _) = store
        .add_user("carl", &terms(), &credentials(false), &word(""))
        .await
        .unwrap();
    assert_eq!(carl.id, 3, "the trail names nobody by another's number");
    let loaded = store.load().await.unwrap();
    let names: Vec<_> = loaded.submission.users.into_keys().collect();
    assert_eq!(names, ["ann", "carl"]);
}

#[tokio::test]
async fn the_trail_tells_of_users_and_not_of_passwords() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (ann, _) = store
        .add_user("ann", &terms(), &credentials(true), &word(""))
        .await
        .unwrap();
    store.change_user(&ann, false, &word("more")).await.unwrap();
    store.remove_user(&ann, &word("left")).await.unwrap();
    assert_eq!(fixture.chain().await.unwrap().0, 3);
    let rows = store.trail_of(&subject(ann.id)).await.unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["user added", "user changed", "user removed"]);
    for row in &rows {
        assert_eq!(row.actor, "alice");
        let payload = row.payload.as_deref().unwrap();
        assert!(payload.contains("account 4711"), "{payload}");
        assert!(
            !payload.contains("secret") && !payload.contains("salt"),
            "{payload}"
        );
        assert!(!row.subject.contains("ann"));
    }
}
