//! Bypasses come back as they were stored, and end.

use super::*;
use crate::{
    policy::bypass::{Bypass, BypassRequest},
    store::drains::Word,
};

#[tokio::test]
async fn a_bypass_comes_back_as_it_was_stored_and_ends() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let asked = |destination: &str, life: &str| -> Bypass {
        let request = BypassRequest {
            destination: destination.to_owned(),
            why: String::from("smarthost"),
            actor: String::from("alice"),
            life: Some(life.to_owned()),
        };
        request.read(now()).unwrap()
    };
    let four = store
        .add_bypass(&asked("203.0.113.0/24", "ever"))
        .await
        .unwrap();
    let six = store
        .add_bypass(&asked("2001:db8:b::25", "1d"))
        .await
        .unwrap();
    assert_eq!((four.id.0, six.id.0), (1, 2));
    let again = store.add_bypass(&asked("203.0.113.0/24", "1d")).await;
    assert!(matches!(again, Err(StoreError::Database(_))), "{again:?}");
    // No farewell: the other opens what a crash would have left.
    let other = fixture.another().await;
    let loaded = other.load().await.unwrap().bypasses;
    let standing: Vec<Bypass> = loaded.in_force(now()).cloned().collect();
    assert_eq!(standing, [four.clone(), six.clone()]);

    let word = Word {
        at: now() + SignedDuration::from_secs(5),
        by: String::from("bob"),
        reason: String::from("moved"),
    };
    store
        .end_bypass(&four, Kind::BypassLifted, &word)
        .await
        .unwrap();
    let standing = store.bypasses(false, 10).await.unwrap();
    assert_eq!(standing, std::slice::from_ref(&six));
    let ended = Bypass {
        ended: Some(Ended {
            at: word.at,
            by: word.by.clone(),
            reason: word.reason.clone(),
        }),
        ..four
    };
    assert_eq!(store.bypasses(true, 10).await.unwrap(), [six, ended]);
    let trail = store.trail_of("bypass:1").await.unwrap();
    let kinds: Vec<_> = trail.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["bypass added", "bypass lifted"]);
    fixture.chain().await.unwrap();
}
