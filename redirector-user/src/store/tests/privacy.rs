//! What is held about a customer, and what is left of it.

use contract::event::{Batch, Event, Happening};

use super::*;
use crate::{
    policy::{
        dial::FlagId,
        extent::{Extent, Span},
        rules::{Cause, Conduct, Observation, Rotation, encode},
    },
    store::{
        drains::Word,
        firings::{Came, Detail, Fired},
        privacy::Gone,
    },
};

fn at(second: i64) -> Timestamp {
    now() + SignedDuration::from_secs(second)
}

fn word() -> Word {
    Word {
        at: at(100),
        by: String::from("dpo"),
        reason: String::from("ticket 4711"),
    }
}

fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// A flag that is lifted again if `ended`, and all else that is held about a customer. What names it says "secret".
async fn known(store: &Store, customer: &str, seq: u64, ended: bool) -> FlagId {
    let prefix = net(customer);
    let terms = Proposal {
        reason: format!("spam run of secret-{seq}").into(),
        ticket: Some(format!("secret-ticket-{seq}").into()),
        ..proposal(customer, "drop")
    };
    let flag = store.add(&terms).await.unwrap().flag;
    let conduct = Conduct {
        lifts: 1,
        probation: None,
        pardoned_at: None,
        changed_at: at(1),
    };
    let end = Ended {
        at: at(1),
        by: String::from("bob"),
        reason: format!("secret-{seq} has called"),
    };
    if ended {
        let done = store.end(flag.id, Kind::FlagLifted, &end, Some((prefix, &conduct)));
        done.await.unwrap();
    }
    let happening = Happening::Released {
        record: format!("r{seq}"),
        by: String::from("desk"),
        reason: format!("secret-{seq} wants it"),
    };
    let event = Event {
        seq,
        at: at(2),
        customer: Some(prefix.ip()),
        flag_id: Some(flag.id.0),
        happening,
    };
    let batch = Batch {
        epoch: format!("run{seq}"),
        events: vec![event],
    };
    store.take_events("relay-1", batch, at(2)).await.unwrap();
    let cause = Cause {
        rule: String::from("spray"),
        at: at(1),
        window_s: 600,
        held_s: 60,
        compared: Vec::new(),
        probation_factor: None,
        only_by_person: false,
        beneath: None,
    };
    let detail = Detail {
        dial: String::from("drop"),
        flag: Some(flag.id),
        held_back_by: Some(format!("secret-{seq}")),
        cause,
    };
    let fired = Fired {
        at: at(3),
        customer: prefix,
        rule: String::from("spray"),
        outcome: Came::Done,
        detail,
    };
    store.note_firings(&[fired]).await.unwrap();
    flag.id
}

async fn seen(store: &Store, customers: &[&str]) {
    let seen = customers.iter().map(|customer| {
        (
            net(customer),
            Observation {
                syns: 7,
                ..Observation::NOTHING
            },
        )
    });
    let seen: BTreeMap<_, _> = seen.collect();
    let kept = store.keep_rotation(at(0), at(60), seen.len(), encode(&seen));
    kept.await.unwrap();
}

async fn rotations(store: &Store) -> Vec<Rotation> {
    store
        .rotations(Timestamp::MIN, Timestamp::MAX, 10)
        .await
        .unwrap()
}

#[tokio::test]
async fn all_that_is_held_is_handed_out_and_nothing_of_others() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mine = known(store, "192.0.2.10", 1, true).await;
    known(store, "192.0.2.11", 2, true).await;
    known(store, "192.0.2.0/28", 3, false).await;
    seen(store, &["192.0.2.10/32", "192.0.2.11/32"]).await;
    let held = store
        .held_about(&Extent::always(net("192.0.2.10")))
        .await
        .unwrap();
    let count = |table: &str| held.0[table].as_array().unwrap().len();
    let counts = [
        "flags",
        "events",
        "firings",
        "conduct",
        "assignments",
        "trail",
        "figures",
    ]
    .map(count);
    // Added and lifted, and released; the first two in the trail, too, and the last.
    assert_eq!(counts, [1, 3, 1, 1, 0, 3, 1], "{held:?}");
    let flag = &held.0["flags"][0];
    assert_eq!(
        (&flag["id"], &flag["reason"]),
        (&json!(mine), &json!("spam run of secret-1"))
    );
    assert_eq!(flag["created_at"], json!(now().to_string()));
    assert_eq!(held.0["figures"][0]["syns"], 7);
    let text = Value::Object(held.0).to_string();
    assert!(
        !text.contains("secret-2") && !text.contains("secret-3"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_erased_is_gone_from_the_file_and_the_trail_still_verifies() {
    for customer in ["192.0.2.10", "2001:db8:a:a::10"] {
        let fixture = fixture().await;
        let store = &fixture.store;
        known(store, customer, 1, true).await;
        let other = known(store, "192.0.2.11", 2, true).await;
        let prefix = match store.flag(FlagId(1)).await.unwrap() {
            Some(flag) => flag.terms.prefix,
            None => panic!("the flag is stored"),
        };
        seen(store, &[&prefix.to_string(), "192.0.2.11/32"]).await;
        let erased = store
            .erase(&Extent::always(prefix), &word())
            .await
            .unwrap()
            .unwrap();
        let expected = Gone {
            flags: 1,
            events: 3,
            firings: 1,
            conduct: 1,
            assignments: 0,
            exemptions: 0,
            notices: 0,
            listings: 0,
            customers: 0,
            figures: 1,
            trail: 3,
            answers: 0,
        };
        assert_eq!(erased, expected, "{customer}");
        let flag = store.flag(FlagId(1)).await.unwrap().unwrap();
        assert_eq!(
            (&*flag.terms.reason, &flag.terms.ticket),
            ("(erased)", &None)
        );
        assert_eq!(
            store.held_about(&Extent::always(prefix)).await.unwrap().0["events"],
            json!([])
        );
        let left = rotations(store).await;
        assert_eq!(
            left[0].seen.keys().copied().collect::<Vec<_>>(),
            [net("192.0.2.11")]
        );
        let proof = store.prove_trail(Vec::new()).await.unwrap();
        assert!(proof.holds(), "{proof:?}");
        assert_eq!(proof.writers[0].erased, 3);
        let last = store.trail_of("privacy").await.unwrap();
        let told = last[0].payload.as_deref().unwrap();
        assert_eq!(
            (last[0].kind.as_str(), last[0].actor.as_str()),
            ("erased", "dpo")
        );
        assert!(
            told.contains("\"events\":3") && !told.contains("192.0.2.10"),
            "{told}"
        );
        // The other one's are as they were; a second time there is nothing left but the flag's number.
        let others = store
            .held_about(&Extent::always(net("192.0.2.11")))
            .await
            .unwrap();
        assert_eq!(others.0["flags"][0]["id"], json!(other));
        assert_eq!(others.0["trail"].as_array().unwrap().len(), 3);
        let again = store
            .erase(&Extent::always(prefix), &word())
            .await
            .unwrap()
            .unwrap();
        assert_eq!((again.events, again.trail, again.figures), (0, 0, 0));

        store.close().await;
        if fixture.url.is_some() {
            continue;
        }
        let log = fixture.file.with_extension("db-wal");
        for file in [&fixture.file, &log] {
            let octets = std::fs::read(file).unwrap_or_default();
            let text = String::from_utf8_lossy(&octets);
            assert!(
                !text.contains("secret-1") && !text.contains("secret-ticket-1"),
                "{}",
                file.display()
            );
        }
        let octets = std::fs::read(&fixture.file).unwrap();
        assert!(
            String::from_utf8_lossy(&octets).contains("secret-2"),
            "the other is still there"
        );
    }
}

#[tokio::test]
async fn pages_that_were_split_keep_nothing_of_what_is_erased() {
    let fixture = fixture().await;
    if fixture.url.is_some() {
        // A server's pages are its own.
        return;
    }
    let store = &fixture.store;
    for seq in 100..180 {
        known(store, "192.0.2.10", 5000 + seq, true).await;
        known(store, "192.0.2.11", seq, true).await;
    }
    let extent = Extent::always(net("192.0.2.10"));
    let gone = store.erase(&extent, &word()).await.unwrap().unwrap();
    assert_eq!((gone.flags, gone.firings), (80, 80), "{gone:?}");
    assert!(!store.forget_pages_up_to(0).await, "a large one is left");
    assert!(store.forget_pages().await);
    let octets = std::fs::read(&fixture.file).unwrap();
    let text = String::from_utf8_lossy(&octets);
    let found: Vec<_> = text.match_indices("secret-5").map(|(at, _)| at).collect();
    assert!(found.is_empty(), "of {} octets, at {found:?}", octets.len());
    let log = std::fs::read(fixture.file.with_extension("db-wal")).unwrap();
    assert!(log.is_empty(), "the log was begun anew");
    assert!(text.contains("secret-179 wants it"));
}

#[tokio::test]
async fn nothing_is_erased_while_a_flag_is_in_force_or_of_another_time() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let flag = known(store, "192.0.2.10", 1, false).await;
    // A flag of more than the customer is another's.
    known(store, "192.0.2.0/28", 2, false).await;
    let refused = store
        .erase(&Extent::always(net("192.0.2.10")), &word())
        .await
        .unwrap();
    assert_eq!(refused, Err(vec![flag]));
    assert!(store.trail_of("privacy").await.unwrap().is_empty());
    let held = store
        .held_about(&Extent::always(net("192.0.2.10")))
        .await
        .unwrap();
    assert_eq!(held.0["events"].as_array().unwrap().len(), 2);
    // Somebody else had the address before.
    let before = Extent::new([Span {
        prefix: net("192.0.2.10"),
        from: None,
        to: Some(now()),
    }]);
    let gone = store.erase(&before, &word()).await.unwrap().unwrap();
    assert_eq!(gone, Gone::default());
    assert_eq!(
        store
            .held_about(&Extent::always(net("192.0.2.10")))
            .await
            .unwrap(),
        held
    );
}

#[tokio::test]
async fn what_comes_between_the_look_and_the_erasing_is_erased_too() {
    for customer in ["192.0.2.10", "2001:db8:a:a::10"] {
        let fixture = fixture().await;
        let store = &fixture.store;
        let first = known(store, customer, 1, true).await;
        let prefix = store.flag(first).await.unwrap().unwrap().terms.prefix;
        let extent = Extent::always(prefix);
        seen(store, &[&prefix.to_string()]).await;
        let scanned = store.scan_held(&extent).await.unwrap().unwrap();
        // All of it once more, for the customer and for another; and more about what is known already.
        known(store, customer, 2, true).await;
        known(store, "192.0.2.11", 3, true).await;
        let entry = Entry {
            at: at(5),
            actor: String::from("bob"),
            kind: Kind::Viewed,
            subject: flags::subject(first),
            payload: json!({ "what": "secret-1 was looked at" }),
        };
        store.record(entry).await.unwrap();
        let figures = store.erase_figures_of(&extent).await.unwrap();
        let erased = store
            .erase_scanned(&extent, &word(), &scanned, figures)
            .await;
        let gone = erased.unwrap().unwrap();
        store.forget_pages().await;
        assert_eq!(
            (gone.flags, gone.events, gone.firings),
            (2, 6, 2),
            "{gone:?}"
        );
        assert_eq!(
            (gone.conduct, gone.figures, gone.trail),
            (1, 1, 7),
            "{gone:?}"
        );
        let proof = store.prove_trail(Vec::new()).await.unwrap();
        assert!(proof.holds(), "{proof:?}");
        let held = store.held_about(&extent).await.unwrap();
        assert!(!Value::Object(held.0).to_string().contains("secret-"));
    }
}

#[tokio::test]
async fn a_flag_that_comes_between_the_look_and_the_erasing_keeps_all() {
    let fixture = fixture().await;
    let store = &fixture.store;
    known(store, "192.0.2.10", 1, true).await;
    let extent = Extent::always(net("192.0.2.10"));
    let scanned = store.scan_held(&extent).await.unwrap().unwrap();
    let flag = store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    let held = store.held_about(&extent).await.unwrap();
    let erased = store.erase_scanned(&extent, &word(), &scanned, 0).await;
    assert_eq!(erased.unwrap(), Err(vec![flag.id]));
    assert_eq!(store.held_about(&extent).await.unwrap(), held);
    assert!(store.trail_of("privacy").await.unwrap().is_empty());
}
