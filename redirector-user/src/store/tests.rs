mod bypasses;
mod change;
mod events;
mod file;
mod life;
mod listings;
mod notices;
mod on_postgres;
mod privacy;
mod rules;
mod tenants;
mod terms;
mod tokens;
mod trail;
mod users;
mod webhooks;

use jiff::SignedDuration;
use redirector_common::abi::Via;

use super::*;
use super::{audit::Kind, flags::Added};
use crate::policy::dial::{Ended, Flag, FlagId, FlagRequest, PoolTerms, Proposal};

fn now() -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap()
}

fn proposal(target: &str, action: &str) -> Proposal {
    let request = FlagRequest {
        target: target.to_owned(),
        reason: String::from("spam run"),
        actor: String::from("alice"),
        action: Some(action.to_owned()),
        ticket: Some(String::from("T-1")),
        confirmed: action == "redirect",
        delivery: (action == "redirect").then(|| String::from("cutthrough+spool")),
        tier: (action == "redirect").then(|| String::from("headers")),
        limits: (action == "redirect").then(|| String::from("small")),
        rate: (action == "limit").then(|| String::from("100/h")),
        ..FlagRequest::default()
    };
    let pool = PoolTerms {
        name: String::from("default"),
        via: Via::Rewrite,
        third_party: false,
    };
    Proposal::read(&request, &[pool], now()).unwrap()
}

struct Fixture {
    store: Store,
    file: PathBuf,
    /// The address of the database, if it is no file.
    url: Option<String>,
    _directory: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state/outgate.db");
    let url = on_postgres::is_wanted().then(on_postgres::fresh_database);
    Fixture {
        store: opened(&file, url.as_deref()).await,
        file,
        url,
        _directory: directory,
    }
}

async fn opened(file: &Path, url: Option<&str>) -> Store {
    let Some(url) = url else {
        return Store::open(file).await.unwrap();
    };
    let at = on_postgres::edge(url, "edge-1");
    let store = Store::open_shared(&at).await.unwrap();
    store.know(store.load().await.unwrap().head.unwrap());
    store
}

impl Fixture {
    /// Opens the same store, as the next process does.
    async fn another(&self) -> Store {
        opened(&self.file, self.url.as_deref()).await
    }

    /// Runs a statement as somebody with the database would, past the store.
    async fn meddle(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let mut sql = sql.to_owned();
        if self.url.is_some() {
            // The words of PostgreSQL for the same.
            sql = sql.replace("x'01ff'", "'\\x01ff'");
            if sql.starts_with("DROP TRIGGER audit_anchor") {
                sql.push_str(" ON audit_anchors");
            } else if sql.starts_with("DROP TRIGGER") {
                sql.push_str(" ON audit");
            }
        }
        Ok(sqlx::query(AssertSqlSafe(sql))
            .execute(&self.store.writer)
            .await?
            .rows_affected())
    }

    async fn chain(&self) -> Result<(i64, String), audit::Broken> {
        self.store.verify_trail().await.unwrap()
    }
}

#[tokio::test]
async fn a_flag_comes_back_as_it_was_stored_even_by_another_process() {
    let fixture = fixture().await;
    let redirect = fixture
        .store
        .add(&proposal("192.0.2.10", "redirect"))
        .await
        .unwrap()
        .flag;
    let drop = fixture
        .store
        .add(&proposal("2001:db8:a:a::10", "drop"))
        .await
        .unwrap()
        .flag;
    let limit = fixture
        .store
        .add(&proposal("192.0.2.20", "limit"))
        .await
        .unwrap()
        .flag;
    assert_eq!((redirect.id, drop.id), (FlagId(1), FlagId(2)));
    assert_eq!(
        (redirect.generation, drop.generation),
        (Generation(1), Generation(2))
    );
    fixture.store.activate(&[redirect.id], now()).await.unwrap();

    // No farewell: the other opens what a crash would have left.
    let other = fixture.another().await;
    let loaded = other.load().await.unwrap();
    assert_eq!(loaded.generation, Generation(3));
    let redirect = Flag {
        activated_at: Some(now().into()),
        ..redirect
    };
    let stored: Vec<_> = loaded.flags.values().cloned().collect();
    assert_eq!(stored, [redirect, drop, limit]);
}

#[tokio::test]
async fn a_second_flag_of_a_prefix_replaces_the_first_at_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    store.activate(&[first.id], now()).await.unwrap();
    let second = store
        .add(&proposal("192.0.2.10", "redirect"))
        .await
        .unwrap();
    assert_eq!(second.replaced.as_ref().map(|flag| flag.id), Some(first.id));
    let third = store
        .add(&proposal("192.0.2.10", "redirect"))
        .await
        .unwrap();
    assert_eq!(third.flag.replaces, Some(second.flag.id));

    let active: Vec<_> = store
        .flags(false, 0, u32::MAX)
        .await
        .unwrap()
        .iter()
        .map(|flag| flag.id)
        .collect();
    assert_eq!(active, [third.flag.id]);
    // The third is not in force, nor was the second: the first still is, so it is loaded too.
    let loaded: Vec<_> = store
        .load()
        .await
        .unwrap()
        .flags
        .values()
        .map(|flag| flag.id)
        .collect();
    assert_eq!(loaded, [first.id, second.flag.id, third.flag.id]);
    store.activate(&[third.flag.id], now()).await.unwrap();
    let loaded: Vec<_> = store
        .load()
        .await
        .unwrap()
        .flags
        .values()
        .map(|flag| flag.id)
        .collect();
    assert_eq!(loaded, [third.flag.id]);
}

#[tokio::test]
async fn a_flag_ends_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let flag = store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    let ended = Ended {
        at: now() + SignedDuration::from_secs(9),
        by: String::from("bob"),
        reason: String::from("clean"),
    };
    assert_eq!(
        store
            .end(flag.id, Kind::FlagLifted, &ended, None)
            .await
            .unwrap(),
        Generation(2)
    );
    assert!(matches!(
        store.end(flag.id, Kind::FlagExpired, &ended, None).await,
        Err(StoreError::AlreadyEnded(_))
    ));
    assert_eq!(
        store.load().await.unwrap().generation,
        Generation(2),
        "a refused change leaves no generation"
    );
    assert_eq!(
        store.flag(flag.id).await.unwrap().unwrap().ended,
        Some(Box::new(ended))
    );
    assert_eq!(
        store.newest(flag.terms.prefix).await.unwrap().unwrap().id,
        flag.id
    );
    let trail: Vec<_> = store
        .trail_of("flag:1")
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.kind, row.actor))
        .collect();
    let expected = [("flag added", "alice"), ("flag lifted", "bob")];
    assert_eq!(
        trail,
        expected.map(|(kind, actor)| (kind.to_owned(), actor.to_owned()))
    );
}

#[tokio::test]
async fn a_drain_lasts_until_it_is_taken_back_and_leaves_a_trail() {
    let fixture = fixture().await;
    let word = |reason: &str, second: i64| drains::Word {
        at: Timestamp::from_second(second).unwrap(),
        by: String::from("alice"),
        reason: reason.to_owned(),
    };
    let store = &fixture.store;
    store.drain("relay-1", &word("update", 10)).await.unwrap();
    store.drain("relay-2", &word("update", 11)).await.unwrap();
    store.drain("relay-1", &word("longer", 12)).await.unwrap();
    let other = fixture.another().await;
    let drained = other.load().await.unwrap().drained;
    let expected = [
        (String::from("relay-1"), word("longer", 10)),
        (String::from("relay-2"), word("update", 11)),
    ];
    assert_eq!(drained, expected.into());

    store.resume("relay-1", &word("done", 13)).await.unwrap();
    let left = store.load().await.unwrap().drained;
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["relay-2"]);
    let trail = store.trail_of("relay:relay-1").await.unwrap();
    let kinds: Vec<_> = trail.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["relay drained", "relay drained", "relay resumed"]);
    assert_eq!(fixture.chain().await.unwrap().0, 4);
}

#[tokio::test]
async fn only_a_change_of_what_relays_learn_is_a_generation() {
    let fixture = fixture().await;
    let store = &fixture.store;
    assert_eq!(
        store.publish(&json!(["a"]), now()).await.unwrap(),
        Generation(1)
    );
    assert_eq!(
        store.publish(&json!(["a"]), now()).await.unwrap(),
        Generation(1)
    );
    assert_eq!(
        store.publish(&json!(["b"]), now()).await.unwrap(),
        Generation(2)
    );
    assert_eq!(fixture.chain().await.unwrap().0, 2);
}

#[tokio::test]
async fn many_flags_are_one_generation_and_a_trail_that_holds() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = store
        .add(&proposal("192.0.2.10", "drop"))
        .await
        .unwrap()
        .flag;
    // More than one statement holds.
    let targets = (0..1200).map(|net| format!("2001:db8:a:{net:x}::/64"));
    let terms: Vec<Proposal> = targets
        .chain([String::from("192.0.2.10")])
        .map(|target| proposal(&target, "redirect"))
        .collect();
    let added = store.add_all(terms.clone(), |_| ()).await.unwrap();
    assert_eq!(added.flags.len(), 1201);
    let replaced: Vec<_> = added.replaced.iter().map(|(id, _)| *id).collect();
    assert_eq!(replaced, [first.id]);
    assert!(added.flags.iter().map(|flag| flag.id.0).eq(2..1203));
    assert!(
        added
            .flags
            .iter()
            .all(|flag| flag.generation == Generation(2))
    );
    let ids: Vec<_> = added.flags.iter().map(|flag| flag.id).collect();
    store.activate(&ids, now()).await.unwrap();

    let other = fixture.another().await;
    let loaded = other.load().await.unwrap();
    assert_eq!(loaded.generation, Generation(2));
    let stored: Vec<_> = loaded.flags.values().map(|flag| &flag.terms).collect();
    assert_eq!(stored, terms.iter().collect::<Vec<_>>());
    assert!(
        loaded
            .flags
            .values()
            .all(|flag| flag.activated_at == Some(now().into()))
    );
    // Two adds, a replacement, and each flag's beginning.
    assert_eq!(fixture.chain().await.unwrap().0, 1 + 1 + 1201 * 2);
    assert_eq!(
        store.ended_between(first.id, ids[0]).await.unwrap(),
        [first.id]
    );
}
