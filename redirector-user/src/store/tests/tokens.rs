//! Tokens come back as they were stored, without what one could be let in by; keys of requests are known for a day.

use super::*;
use crate::{
    caller::{Caller, Door},
    policy::token::{Scope, Secret, Token},
    store::{drains::Word, requests::Known, tokens::subject},
};

fn token(name: &str, octet: u8) -> Token {
    Token {
        name: name.to_owned(),
        scope: Scope::Flag,
        digest: Secret::new(&[octet; 32]).digest(),
        created_at: now(),
        created_by: String::from("alice"),
        expires_at: now() + SignedDuration::from_hours(24),
        used_on: None,
    }
}

#[tokio::test]
async fn a_token_comes_back_as_it_was_stored_and_goes() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (billing, desk) = (token("billing", 1), token("desk", 2));
    store.add_token(&desk).await.unwrap();
    store.add_token(&billing).await.unwrap();
    for again in [token("desk", 3), token("other", 2)] {
        let refused = store.add_token(&again).await;
        assert!(matches!(refused, Err(StoreError::Database(_))), "{again:?}");
    }
    store.token_used("desk", now()).await.unwrap();
    let desk = Token {
        used_on: Some(now()),
        ..desk
    };
    // No farewell: the other opens what a crash would have left.
    let other = fixture.another().await;
    assert_eq!(other.tokens().await.unwrap(), [billing, desk.clone()]);

    let word = Word {
        at: now(),
        by: String::from("bob"),
        reason: String::from("lost"),
    };
    store.remove_token("billing", &word).await.unwrap();
    assert_eq!(store.tokens().await.unwrap(), [desk]);
    let trail = store.trail_of(&subject("billing")).await.unwrap();
    let rows: Vec<_> = trail
        .iter()
        .map(|row| (row.kind.as_str(), row.actor.as_str()))
        .collect();
    assert_eq!(rows, [("token added", "alice"), ("token removed", "bob")]);
    let secret = Secret::new(&[1; 32]);
    for row in &trail {
        let payload = row.payload.as_deref().unwrap();
        assert!(!payload.contains(&secret.digest().to_hex()), "{payload}");
    }
    fixture.chain().await.unwrap();
}

#[tokio::test]
async fn the_trail_names_the_caller_beside_the_actor_that_was_claimed() {
    let fixture = fixture().await;
    let caller = Caller {
        name: String::from("root"),
        scope: Scope::Admin,
        door: Door::Socket,
    };
    let flag = proposal("192.0.2.10", "drop");
    let added = caller.along(fixture.store.add(&flag)).await.unwrap();
    fixture
        .store
        .activate(&[added.flag.id], now())
        .await
        .unwrap();
    let trail = fixture.store.trail_of("flag:1").await.unwrap();
    let payload = |row: &audit::Row| -> Value {
        serde_json::from_str(row.payload.as_deref().unwrap()).unwrap()
    };
    assert_eq!(trail[0].actor, "alice");
    assert_eq!(payload(&trail[0])["caller"], "user root");
    assert_eq!(payload(&trail[1]).get("caller"), None);
    fixture.chain().await.unwrap();
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_caller_for_a_day() {
    let fixture = fixture().await;
    let begin = async |caller: &str, digest: &str, at| {
        let known = fixture.store.begin_request(caller, "k1", digest, at).await;
        known.unwrap()
    };
    assert_eq!(begin("a", "d1", now()).await, Known::Fresh);
    assert_eq!(begin("a", "d1", now()).await, Known::Begun);
    assert_eq!(begin("a", "d2", now()).await, Known::Other);
    assert_eq!(begin("b", "d2", now()).await, Known::Fresh);
    let store = &fixture.store;
    store.answer_request("a", "k1", 201, "{}").await.unwrap();
    let answered = Known::Answered {
        status: 201,
        body: String::from("{}"),
    };
    assert_eq!(begin("a", "d1", now()).await, answered);
    assert_eq!(begin("a", "d2", now()).await, Known::Other);
    store.forget_request("b", "k1").await.unwrap();
    assert_eq!(begin("b", "d3", now()).await, Known::Fresh);
    let later = now() + SignedDuration::from_hours(25);
    assert_eq!(begin("a", "d2", later).await, Known::Fresh);
}
