//! What the store keeps for rules.

use super::*;
use crate::{
    policy::rules::{Cause, Compared, Conduct, Observation, Probation, Rotation, encode},
    store::{
        drains::Word,
        firings::{Came, Detail, Fired},
    },
};

fn minute(number: i64) -> Timestamp {
    now() + SignedDuration::from_mins(number)
}

fn cause() -> Cause {
    Cause {
        rule: String::from("spray"),
        at: minute(1),
        window_s: 600,
        held_s: 60,
        compared: vec![Compared {
            figure: String::from("rst_share"),
            value: 0.625,
            sense: String::from(">"),
            limit: 0.5,
        }],
        probation_factor: Some(0.5),
        only_by_person: true,
        beneath: None,
    }
}

fn word(number: i64) -> Word {
    Word {
        at: minute(number),
        by: String::from("alice"),
        reason: String::from("r"),
    }
}

async fn kinds(store: &Store, subject: &str) -> Vec<String> {
    let rows = store.trail_of(subject).await.unwrap();
    rows.into_iter().map(|row| row.kind).collect()
}

#[tokio::test]
async fn a_flags_cause_comes_back_and_a_restored_flag_says_so() {
    let fixture = fixture().await;
    let caused = Proposal {
        cause: Some(Box::new(cause())),
        ..proposal("192.0.2.10", "drop")
    };
    let flag = fixture.store.add(&caused).await.unwrap().flag;
    let read = fixture.store.flag(flag.id).await.unwrap().unwrap();
    assert_eq!(read.terms, caused);
    let restored = proposal("192.0.2.20", "limit");
    let restored = fixture
        .store
        .add_as(&restored, Kind::FlagRestored, "outgated")
        .await
        .unwrap();
    let trail = fixture.store.trail_of("flag:2").await.unwrap();
    assert_eq!(
        (trail[0].kind.as_str(), trail[0].actor.as_str()),
        ("flag restored", "outgated")
    );
    assert_eq!(restored.flag.terms.actor, "alice");
    let between = |from, to| fixture.store.flags_between(minute(from), minute(to));
    assert_eq!(between(0, 5).await.unwrap().len(), 2);
    assert_eq!(between(-5, -1).await.unwrap(), []);
}

#[tokio::test]
async fn conduct_changes_with_the_flag_that_ends() {
    let fixture = fixture().await;
    let flag = fixture
        .store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    let customer = flag.terms.prefix;
    let conduct = Conduct {
        lifts: 2,
        probation: Some(Probation {
            rule: Some(String::from("spray")),
            flag: flag.id,
            since: minute(1),
            until: minute(60),
            factor: 0.25,
            by: String::from("outgated"),
            why: String::from("expired"),
        }),
        pardoned_at: Some(minute(-7)),
        changed_at: minute(1),
    };
    let ended = Ended {
        at: minute(1),
        by: String::from("outgated"),
        reason: String::from("expired"),
    };
    let end = || {
        fixture.store.end(
            flag.id,
            Kind::FlagExpired,
            &ended,
            Some((customer, &conduct)),
        )
    };
    end().await.unwrap();
    let loaded = fixture.store.load().await.unwrap();
    assert_eq!(
        loaded.conduct,
        BTreeMap::from([(customer, conduct.clone())])
    );
    // A flag ends once, and nothing is remembered of a second time.
    assert!(matches!(end().await, Err(StoreError::AlreadyEnded(_))));
    let released = Conduct {
        lifts: 0,
        ..conduct.clone()
    };
    fixture
        .store
        .put_on_probation(customer, &released, flag.id, &word(2))
        .await
        .unwrap();
    assert_eq!(
        fixture.store.load().await.unwrap().conduct[&customer].lifts,
        0
    );
    assert!(
        kinds(&fixture.store, "flag:1")
            .await
            .contains(&String::from("flag on probation"))
    );
    fixture.store.forget_conduct([customer]).await.unwrap();
    assert_eq!(fixture.store.load().await.unwrap().conduct, BTreeMap::new());
    assert!(fixture.chain().await.is_ok());
}

#[tokio::test]
async fn a_freeze_outlives_the_controller_and_leaves_a_trail() {
    let fixture = fixture().await;
    let frozen = async || fixture.store.load().await.unwrap().frozen;
    assert_eq!(frozen().await, None);
    fixture.store.freeze_rules(&word(1)).await.unwrap();
    fixture
        .store
        .freeze_rules(&Word {
            by: String::from("bob"),
            ..word(2)
        })
        .await
        .unwrap();
    // Since when is the first word's, who and why the last one's.
    assert_eq!(
        frozen().await,
        Some(Word {
            by: String::from("bob"),
            ..word(1)
        })
    );
    fixture.store.thaw_rules(&word(3)).await.unwrap();
    assert_eq!(frozen().await, None);
    let kinds = kinds(&fixture.store, "rules").await;
    assert_eq!(kinds, ["rules frozen", "rules frozen", "rules thawed"]);
}

#[tokio::test]
async fn rotations_come_back_in_order_and_the_oldest_go_first() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let rotation = |number: i64| {
        let seen = Observation {
            syns: u64::try_from(number).unwrap() + 1,
            spam: 3,
            ..Observation::NOTHING
        };
        Rotation {
            seen: BTreeMap::from([("192.0.2.10/32".parse().unwrap(), seen)]),
            ..Rotation::between(minute(number), minute(number + 1))
        }
    };
    for number in 0..10 {
        let one = rotation(number);
        let octets = encode(&one.seen);
        store
            .keep_rotation(one.from, one.until, one.seen.len(), octets)
            .await
            .unwrap();
    }
    let between = async |after, to, most| {
        store
            .rotations(minute(after), minute(to), most)
            .await
            .unwrap()
    };
    assert_eq!(between(1, 4, 100).await, [1, 2, 3].map(rotation));
    assert_eq!(between(0, 99, 2).await, [0, 1].map(rotation));
    let kept = store.kept_rotations().await.unwrap();
    let each = encode(&rotation(0).seen).len() as u64;
    assert_eq!(
        (kept.rotations, kept.octets, kept.since),
        (10, 10 * each, Some(minute(1)))
    );
    store.forget_rotations(minute(3), u64::MAX).await.unwrap();
    assert_eq!(store.kept_rotations().await.unwrap().rotations, 8);
    store.forget_rotations(minute(0), 3 * each).await.unwrap();
    assert_eq!(between(0, 99, 100).await, [7, 8, 9].map(rotation));
    fixture
        .meddle("UPDATE rotations SET seen = x'01ff'")
        .await
        .unwrap();
    assert!(matches!(
        store.rotations(minute(0), minute(99), 9).await,
        Err(StoreError::Row { .. })
    ));
}

#[tokio::test]
async fn what_rules_wanted_is_counted_and_forgotten() {
    let fixture = fixture().await;
    let fired = |number, outcome| Fired {
        at: minute(number),
        customer: "2001:db8:a:a::/64".parse().unwrap(),
        rule: String::from("spray"),
        outcome,
        detail: Detail {
            dial: String::from("walled"),
            flag: (outcome == Came::Done).then_some(FlagId(7)),
            held_back_by: (outcome == Came::HeldBack).then(|| String::from("a cap")),
            cause: cause(),
        },
    };
    let all = [
        fired(1, Came::Done),
        fired(2, Came::WouldHave),
        fired(3, Came::HeldBack),
        fired(4, Came::Done),
    ];
    fixture.store.note_firings(&all[..2]).await.unwrap();
    fixture.store.note_firings(&all[2..]).await.unwrap();
    let newest = fixture.store.firings(3).await.unwrap();
    assert_eq!(newest, [all[3].clone(), all[2].clone(), all[1].clone()]);
    let counts = fixture.store.count_firings(minute(1)).await.unwrap();
    let key = |came| (String::from("spray"), came);
    let expected = [
        (key(Came::Done), 1),
        (key(Came::WouldHave), 1),
        (key(Came::HeldBack), 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    fixture.store.forget_firings(minute(4)).await.unwrap();
    assert_eq!(fixture.store.firings(9).await.unwrap(), [all[3].clone()]);
}
