//! Terms of flags, and exemptions, come back as they were stored, with their rows in the trail.

use super::*;
use crate::{
    policy::{
        dial::{Flag, term::ForEver},
        exemption::{Exemption, ExemptionId, ExemptionRequest},
    },
    store::{drains::Word, exemptions},
};

fn word(by: &str) -> Word {
    Word {
        at: now() + SignedDuration::from_secs(5),
        by: by.to_owned(),
        reason: String::from("looked at"),
    }
}

async fn reopened(fixture: &Fixture) -> Loaded {
    // No farewell: the other opens what a crash would have left.
    let other = fixture.another().await;
    other.load().await.unwrap()
}

#[tokio::test]
async fn a_term_comes_back_as_it_was_changed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let asked = Proposal {
        for_ever: Some(Box::new(ForEver::asked("30d").unwrap())),
        despite_exemption: Some("a court says so".into()),
        ..proposal("2001:db8:a:a::10", "drop")
    };
    let pending = store.add(&asked).await.unwrap().flag;
    let plain = store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    assert_eq!(
        reopened(&fixture)
            .await
            .flags
            .get(&pending.id)
            .unwrap()
            .clone(),
        pending
    );

    let bob = word("bob");
    let approved = asked.approved("bob", bob.at).unwrap();
    let kind = Kind::FlagApproved;
    let changed = store.change_term(&pending, &approved, kind, &bob).await;
    assert_eq!(changed.unwrap(), Generation(3));
    let flag = Flag {
        terms: approved,
        ..pending
    };
    assert_eq!(
        reopened(&fixture)
            .await
            .flags
            .get(&flag.id)
            .unwrap()
            .clone(),
        flag
    );

    let at = flag.terms.review_at().unwrap();
    store
        .reviews_due(std::slice::from_ref(&flag), at)
        .await
        .unwrap();
    let told = Flag {
        terms: flag.terms.with_review_told(),
        ..flag
    };
    let loaded = reopened(&fixture).await;
    assert_eq!(*loaded.flags.get(&told.id).unwrap(), told);
    assert_eq!(
        *loaded.flags.get(&plain.flag.id).unwrap(),
        plain.flag,
        "bystanders"
    );

    let rejected = asked.rejected("alice", bob.at).unwrap();
    let kind = Kind::FlagRejected;
    store
        .change_term(&told, &rejected, kind, &bob)
        .await
        .unwrap();
    assert_eq!(
        reopened(&fixture).await.flags.get(&told.id).unwrap().terms,
        rejected
    );

    let trail = store.trail_of_prefix(asked.prefix, 100).await.unwrap();
    let kinds: Vec<_> = trail.iter().rev().map(|row| row.kind.as_str()).collect();
    // By time: its review came last.
    let expected = [
        "flag added",
        "flag approved",
        "flag rejected",
        "flag review due",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(
        store.trail_of_prefix(asked.prefix, 1).await.unwrap().len(),
        1
    );
    fixture.chain().await.unwrap();
}

#[tokio::test]
async fn the_term_of_a_flag_that_has_ended_changes_no_more() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let flag = store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    let ended = Ended {
        at: now(),
        by: String::from("bob"),
        reason: String::from("cleaned up"),
    };
    let kind = Kind::FlagLifted;
    store.end(flag.id, kind, &ended, None).await.unwrap();
    let longer = flag.terms.extended("14d", now()).unwrap();
    let kind = Kind::FlagExtended;
    let changed = store.change_term(&flag, &longer, kind, &word("bob")).await;
    assert!(
        matches!(changed, Err(StoreError::AlreadyEnded(_))),
        "{changed:?}"
    );
    let stored = store.flag(flag.id).await.unwrap().unwrap();
    assert_eq!(stored.terms, flag.terms);
}

#[tokio::test]
async fn an_exemption_comes_back_as_it_was_stored_and_ends() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let asked = |target: &str| -> Exemption {
        let request = ExemptionRequest {
            target: target.to_owned(),
            reference: String::from("contract 17"),
            reason: String::from("sends for a bank"),
            actor: String::from("alice"),
            life: Some(String::from("30d")),
            ..ExemptionRequest::default()
        };
        request.read(now()).unwrap()
    };
    let four = store.add_exemption(&asked("192.0.2.10")).await.unwrap();
    let six = store
        .add_exemption(&asked("2001:db8:a:a::10"))
        .await
        .unwrap();
    assert_eq!((four.id.0, six.id.0), (1, 2));
    let again = store.add_exemption(&asked("192.0.2.10")).await;
    assert!(matches!(again, Err(StoreError::Database(_))), "{again:?}");

    let bob = word("bob");
    let six = six.approved("bob", bob.at).unwrap();
    store.approve_exemption(&six, &bob).await.unwrap();
    let standing: Vec<Exemption> = reopened(&fixture)
        .await
        .exemptions
        .iter()
        .cloned()
        .collect();
    assert_eq!(standing, [four.clone(), six.clone()]);

    let kind = Kind::ExemptionLifted;
    store.end_exemption(&four, kind, &bob).await.unwrap();
    let ended = Exemption {
        ended: Some(Ended {
            at: bob.at,
            by: bob.by.clone(),
            reason: bob.reason.clone(),
        }),
        ..four
    };
    assert_eq!(
        store.exemption(ended.id).await.unwrap(),
        Some(ended.clone())
    );
    let standing = store.exemptions(false, 10).await.unwrap();
    assert_eq!(standing, std::slice::from_ref(&six));
    assert_eq!(store.exemptions(true, 10).await.unwrap(), [six, ended]);
    assert!(store.add_exemption(&asked("192.0.2.10")).await.is_ok());
    let subject = exemptions::subject(ExemptionId(1));
    let trail = store.trail_of(&subject).await.unwrap();
    let kinds: Vec<_> = trail.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["exemption asked", "exemption lifted"]);
    fixture.chain().await.unwrap();
}
