//! Events: taken once, found again, and thrown away in time.

use contract::event::{Batch, Event, Happening, Rates};

use super::*;
use crate::{
    feed::{Counts, Own},
    store::events::{Seen, Wanted},
};

fn event(seq: u64, at: Timestamp, customer: &str, happening: Happening) -> Event {
    Event {
        seq,
        at,
        customer: Some(customer.parse().unwrap()),
        flag_id: Some(7),
        happening,
    }
}

fn kept(seq: u64) -> Event {
    let record = format!("r{seq}");
    event(seq, now(), "192.0.2.10", Happening::Kept { record })
}

fn batch(events: Vec<Event>) -> Batch {
    Batch {
        epoch: String::from("run1"),
        events,
    }
}

const ALL: Wanted = Wanted {
    after: None,
    limit: 10_000,
    kind: None,
    customer: None,
    since: None,
};

impl Fixture {
    async fn seqs(&self, wanted: &Wanted) -> Vec<u64> {
        let events = self.store.events(wanted).await.unwrap();
        events.iter().map(|event| event.seq).collect()
    }
}

#[tokio::test]
async fn events_are_taken_once_and_those_who_wait_hear_of_them() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut newest = store.newest_event();
    assert_eq!(*newest.borrow_and_update(), 0);
    let first = batch((1..=40).map(kept).collect());
    let taken = store
        .take_events("relay-1", first.clone(), now())
        .await
        .unwrap();
    assert_eq!((taken.taken.through, taken.fresh.len()), (40, 40));
    assert_eq!(*newest.borrow_and_update(), 40);
    let again = store
        .take_events("relay-1", first.clone(), now())
        .await
        .unwrap();
    assert_eq!((again.taken.through, again.fresh), (40, vec![]));
    assert!(!newest.has_changed().unwrap());
    // Another relay may have a run of the same name.
    let other = store.take_events("relay-2", first, now()).await.unwrap();
    assert_eq!(other.fresh.len(), 40);
    assert_eq!(fixture.seqs(&ALL).await, (1..=80).collect::<Vec<_>>());
    let wanted = Wanted {
        after: Some(38),
        limit: 4,
        ..ALL
    };
    let page = store.events(&wanted).await.unwrap();
    let page: Vec<_> = page
        .iter()
        .map(|it| (it.seq, it.relay.as_deref()))
        .collect();
    let (one, two) = (Some("relay-1"), Some("relay-2"));
    assert_eq!(page, [(39, one), (40, one), (41, two), (42, two)]);
    // No farewell: the other opens what a crash would have left.
    let other = fixture.another().await;
    assert_eq!(*other.newest_event().borrow(), 80);
}

#[tokio::test]
async fn a_flags_life_is_told_with_its_changes() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let flag = store
        .add(&proposal("192.0.2.0/28", "drop"))
        .await
        .unwrap()
        .flag;
    store.activate(&[flag.id], now()).await.unwrap();
    let ended = Ended {
        at: now(),
        by: String::from("bob"),
        reason: String::from("over"),
    };
    store
        .end(flag.id, Kind::FlagLifted, &ended, None)
        .await
        .unwrap();
    let imported: Vec<_> = (0..150)
        .map(|host| proposal(&format!("192.0.2.{host}"), "drop"))
        .collect();
    let imported = store.add_all(imported, |_| {}).await.unwrap().flags;
    let ids: Vec<_> = imported.iter().map(|flag| flag.id).collect();
    store.activate(&ids, now()).await.unwrap();
    store
        .tell(vec![Own::RelayUp("relay-1").at(now(), None)])
        .await
        .unwrap();
    let events = store.events(&ALL).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|it| (it.kind.as_str(), it.flag))
        .collect();
    let one = Some(FlagId(1));
    let expected = [
        ("flag_added", one),
        ("flag_in_force", one),
        ("flag_lifted", one),
        ("flags_imported", None),
        ("flag_in_force", None),
        ("relay_up", None),
    ];
    assert_eq!(told, expected);
    assert_eq!(events[0].customer, Some("192.0.2.0/28".parse().unwrap()));
    assert_eq!(events[3].detail["flags"], 150);
    assert_eq!(events[4].detail["ids"].as_array().unwrap().len(), 100);
    // Whoever asks for a host is shown what is about the prefix that it is in, and not about its neighbour.
    let about = |customer: &str| Wanted {
        customer: Some(customer.parse().unwrap()),
        ..ALL
    };
    assert_eq!(fixture.seqs(&about("192.0.2.3/32")).await, [1, 2, 3]);
    assert_eq!(
        fixture.seqs(&about("192.0.2.77/32")).await,
        Vec::<u64>::new()
    );
}

#[tokio::test]
async fn figures_add_up() {
    let fixture = fixture().await;
    let ago = |minutes: i64| now() - SignedDuration::from_mins(minutes);
    let rates = |messages| {
        Happening::Rates(Rates {
            messages,
            refused: 2,
            spam: 1,
            ..Rates::default()
        })
    };
    let events = vec![
        event(1, ago(24 * 60 + 1), "2001:db8:a:a::", rates(10_000)),
        event(2, ago(61), "2001:db8:a:a::", rates(1000)),
        event(3, ago(59), "2001:db8:a:a::", rates(100)),
        event(4, ago(1), "2001:db8:a:a::", rates(10)),
        event(5, ago(1), "2001:db8:a:b::", rates(1)),
    ];
    fixture
        .store
        .take_events("relay-1", batch(events), now())
        .await
        .unwrap();
    let counts = |messages, events| Counts {
        messages,
        refused: 2 * events,
        spam: events,
    };
    let seen = Seen {
        hour: counts(110, 2),
        day: counts(1110, 3),
    };
    let customer = "2001:db8:a:a::/64".parse().unwrap();
    assert_eq!(fixture.store.seen(customer, now()).await.unwrap(), seen);
    let wider = "2001:db8:a::/48".parse().unwrap();
    let hour = fixture.store.seen(wider, now()).await.unwrap().hour;
    assert_eq!(hour, counts(111, 3));
}

#[tokio::test]
async fn what_people_saw_and_did_is_in_the_trail() {
    let fixture = fixture().await;
    let (record, by, reason) = (String::from("r1"), String::from("ann"), String::from("T-7"));
    let happenings = [
        Happening::Viewed {
            record: record.clone(),
            by: by.clone(),
            reason: reason.clone(),
            what: String::from("body"),
        },
        Happening::Released {
            record: record.clone(),
            by: by.clone(),
            reason,
        },
        Happening::Confirmed { record, by },
        Happening::Kept {
            record: String::from("r2"),
        },
    ];
    let events = (1..).zip(happenings);
    let events = events.map(|(seq, it)| event(seq, now(), "192.0.2.10", it));
    let batch = batch(events.collect());
    for _ in 0..2 {
        fixture
            .store
            .take_events("relay-1", batch.clone(), now())
            .await
            .unwrap();
    }
    let trail = fixture.store.trail_of("record:r1").await.unwrap();
    let rows: Vec<_> = trail
        .iter()
        .map(|row| (row.actor.as_str(), row.kind.as_str()))
        .collect();
    let expected = [
        ("ann", "message viewed"),
        ("ann", "message released"),
        ("ann", "message confirmed"),
    ];
    assert_eq!(rows, expected);
    let viewed: Value = serde_json::from_str(trail[0].payload.as_ref().unwrap()).unwrap();
    let expected = json!({ "reason": "T-7", "what": "body", "relay": "relay-1", "customer": "192.0.2.10", "flag": 7 });
    assert_eq!(viewed, expected);
    assert_eq!(fixture.chain().await.unwrap().0, 3);
}

#[tokio::test]
async fn the_old_and_the_many_go_and_numbers_are_never_used_twice() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let day = SignedDuration::from_hours(24);
    let mut events: Vec<_> = (1..=3000).map(kept).collect();
    for old in &mut events[..1500] {
        old.at = now() - day * 2;
    }
    for events in events.chunks(500) {
        store
            .take_events("relay-1", batch(events.to_vec()), now())
            .await
            .unwrap();
    }
    assert_eq!(store.trim_events(now() - day, 10_000).await.unwrap(), 1500);
    assert_eq!(fixture.seqs(&ALL).await.first(), Some(&1501));
    assert_eq!(store.trim_events(now() - day, 100).await.unwrap(), 1400);
    assert_eq!(fixture.seqs(&ALL).await, (2901..=3000).collect::<Vec<_>>());
    assert_eq!(store.trim_events(now() - day, 100).await.unwrap(), 0);
    // Whom the controller has heard since then is remembered: nothing is taken again.
    let again = store
        .take_events("relay-1", batch(vec![kept(3000)]), now())
        .await
        .unwrap();
    assert_eq!(again.fresh, []);
    assert_eq!(store.trim_events(now() + day, 100).await.unwrap(), 100);
    let next = store
        .take_events("relay-1", batch(vec![kept(3001)]), now())
        .await
        .unwrap();
    assert_eq!(next.fresh.len(), 1);
    assert_eq!(fixture.seqs(&ALL).await, [3001]);
}
