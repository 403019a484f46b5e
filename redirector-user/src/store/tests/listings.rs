//! Listings: one at a time, told once, and over a restart as they were.

use std::net::IpAddr;

use super::*;
use crate::{
    listings::{Noted, Standing, Step, Sweep},
    policy::extent::Extent,
    precheck::Fqdn,
    store::{
        drains::Word,
        events::Wanted,
        listings::{ClosedBy, Evidence, Mail, Which},
    },
};

fn at(second: i64) -> Timestamp {
    now() + SignedDuration::from_secs(second)
}

fn list() -> Fqdn {
    Fqdn::new("ip.list.example").unwrap()
}

fn standing(opened: Option<i64>) -> Standing {
    Standing {
        first_at: at(0),
        last_at: at(opened.unwrap_or(0)),
        opened_at: opened.map(at),
        absent_at: None,
        codes: vec!["127.0.0.2".parse().unwrap()],
        words: String::from("see https://list.example/why"),
    }
}

fn noted(address: &str, step: Step, standing: Standing, second: i64) -> Noted {
    Noted {
        zone: list(),
        address: address.parse().unwrap(),
        step,
        standing,
        at: at(second),
    }
}

fn evidence(address: &str) -> BTreeMap<IpAddr, Evidence> {
    let evidence = Evidence {
        week: Mail {
            messages: 7,
            refused: 2,
            spam: 1,
        },
        ..Evidence::default()
    };
    BTreeMap::from([(address.parse().unwrap(), evidence)])
}

/// Kinds of events, oldest first.
async fn kinds(store: &Store) -> Vec<String> {
    let wanted = Wanted {
        after: Some(0),
        limit: 100,
        kind: None,
        customer: None,
        since: None,
    };
    let events = store.events(&wanted).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

fn all() -> Which {
    Which {
        prefix: None,
        zone: None,
        open: false,
        since: None,
        limit: 100,
    }
}

/// Lists and confirms.
async fn listed(store: &Store, address: &str) {
    let notes = [
        noted(address, Step::Begins, standing(None), 0),
        noted(address, Step::Opens, standing(Some(600)), 600),
    ];
    store
        .note_listings(&notes, &evidence(address))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_confirmed_is_told_once_and_stands_over_a_restart() {
    for address in ["192.0.2.10", "2001:db8:a:a::10"] {
        let fixture = fixture().await;
        let store = &fixture.store;
        let none = BTreeMap::new();
        let begins = [noted(address, Step::Begins, standing(None), 0)];
        store.note_listings(&begins, &none).await.unwrap();
        assert_eq!(
            store.listings(&all()).await.unwrap(),
            [],
            "nobody is told before the second look"
        );
        let candidates = store.standing_listings().await.unwrap();
        assert_eq!(candidates[0].standing, standing(None));
        let opens = [noted(address, Step::Opens, standing(Some(600)), 600)];
        store
            .note_listings(&opens, &evidence(address))
            .await
            .unwrap();
        let stays = Standing {
            last_at: at(900),
            ..standing(Some(600))
        };
        let stays = [noted(address, Step::Stays, stays, 900)];
        store.note_listings(&stays, &none).await.unwrap();
        assert_eq!(kinds(store).await, ["listed"]);
        // A second one of the same address on the same list cannot be.
        assert!(store.note_listings(&begins, &none).await.is_err());

        let again = fixture.another().await;
        let found = again.standing_listings().await.unwrap();
        let [found] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(found.standing.last_at, at(900));
        assert_eq!(found.evidence.as_ref().unwrap().week.messages, 7);
        again.close().await;

        let closes = [noted(address, Step::Closes, standing(Some(600)), 1200)];
        store.note_listings(&closes, &none).await.unwrap();
        assert_eq!(kinds(store).await, ["listed", "delisted"]);
        assert_eq!(store.standing_listings().await.unwrap(), []);
        let closed = store.listings(&all()).await.unwrap();
        assert_eq!(closed[0].closed, Some((ClosedBy::Delisted, at(1200))));
        assert!(closed[0].evidence.is_some(), "what was sent stays with it");
        // It may be listed anew; and the old one goes in time.
        listed(store, address).await;
        assert_eq!(store.listings(&all()).await.unwrap().len(), 2);
        assert_eq!(store.trim_listings(at(1201)).await.unwrap(), 1);
        let left = store.listings(&all()).await.unwrap();
        assert_eq!(left.iter().map(|it| it.id.0).collect::<Vec<_>>(), [2]);
    }
}

#[tokio::test]
async fn what_was_not_confirmed_leaves_nothing_behind() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let notes = [
        noted("192.0.2.10", Step::Begins, standing(None), 0),
        noted("192.0.2.10", Step::Forgets, standing(None), 600),
        noted("192.0.2.11", Step::Begins, standing(None), 600),
    ];
    store.note_listings(&notes, &BTreeMap::new()).await.unwrap();
    let left = store.standing_listings().await.unwrap();
    assert_eq!(
        (left.len(), left[0].address.to_string().as_str()),
        (1, "192.0.2.11")
    );
    listed(store, "192.0.2.12").await;
    let gone = store.standing_listings().await.unwrap();
    store.unwatch_listings(&gone, at(700)).await.unwrap();
    assert_eq!(kinds(store).await, ["listed", "listing_unwatched"]);
    assert_eq!(store.standing_listings().await.unwrap(), []);
    assert_eq!(store.listings(&all()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn listings_are_found_by_whom_they_name() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for address in ["192.0.2.10", "192.0.2.200", "2001:db8:a:a::10"] {
        listed(store, address).await;
    }
    let found = async |which: Which| -> Vec<String> {
        let found = store.listings(&which).await.unwrap();
        found.into_iter().map(|it| it.address.to_string()).collect()
    };
    let within = |text: &str| Which {
        prefix: Some(text.parse().unwrap()),
        ..all()
    };
    assert_eq!(
        found(all()).await,
        ["2001:db8:a:a::10", "192.0.2.200", "192.0.2.10"]
    );
    assert_eq!(found(within("192.0.2.0/25")).await, ["192.0.2.10"]);
    assert_eq!(found(within("2001:db8:a::/48")).await, ["2001:db8:a:a::10"]);
    let other = Which {
        zone: Some(String::from("other.example")),
        ..all()
    };
    assert_eq!(found(other).await, Vec::<String>::new());
    let closes = [noted("192.0.2.10", Step::Closes, standing(Some(600)), 1200)];
    store
        .note_listings(&closes, &BTreeMap::new())
        .await
        .unwrap();
    let open = Which {
        open: true,
        ..all()
    };
    assert_eq!(found(open).await, ["2001:db8:a:a::10", "192.0.2.200"]);
    let since = |second| Which {
        since: Some(at(second)),
        ..within("192.0.2.10")
    };
    assert_eq!(found(since(1200)).await, ["192.0.2.10"]);
    assert_eq!(found(since(1201)).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_customer_s_are_handed_out_and_erased() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for address in ["192.0.2.10", "192.0.2.11", "192.0.2.12"] {
        listed(store, address).await;
    }
    let closes = [noted("192.0.2.10", Step::Closes, standing(Some(600)), 1200)];
    store
        .note_listings(&closes, &BTreeMap::new())
        .await
        .unwrap();
    let extent = Extent::always("192.0.2.10/31".parse().unwrap());
    let held = store.held_about(&extent).await.unwrap();
    let told = held.0["listings"].as_array().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        (&told[0]["evidence"]["week"]["spam"], &told[0]["closed_by"]),
        (&json!(1), &json!("delisted"))
    );
    let word = Word {
        at: at(2000),
        by: String::from("dpo"),
        reason: String::from("ticket 4711"),
    };
    let gone = store.erase(&extent, &word).await.unwrap().unwrap();
    assert_eq!((gone.listings, gone.events), (2, 3));
    let left = store.listings(&all()).await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|it| (it.address.to_string(), it.evidence.is_some()))
        .collect();
    // An open one is the list's word, not ours; only what we know beside it goes.
    assert_eq!(
        left,
        [
            (String::from("192.0.2.12"), true),
            (String::from("192.0.2.11"), false)
        ]
    );
}

#[tokio::test]
async fn a_round_goes_on_where_it_was_unless_the_ranges_have_changed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let sweep = |place, finished: Option<i64>| {
        let sweep = Sweep {
            began_at: at(0),
            place,
            finished_at: finished.map(at),
        };
        BTreeMap::from([(list(), sweep)])
    };
    for sweep in [sweep(7, None), sweep(9, Some(-5))] {
        store
            .note_listing_sweeps("192.0.2.0/24", &sweep)
            .await
            .unwrap();
        assert_eq!(store.listing_sweeps("192.0.2.0/24").await.unwrap(), sweep);
    }
    assert!(
        store
            .listing_sweeps("192.0.2.0/25")
            .await
            .unwrap()
            .is_empty()
    );
}
