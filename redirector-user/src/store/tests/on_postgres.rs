//! The store over a real PostgreSQL: every other test of the store once more, and what several edges do to each other.

use std::{
    process::Command,
    sync::{OnceLock, PoisonError},
};

use super::*;
use crate::{
    config::{SharedStore, StoreUrl},
    store::shared::Fresh,
};

#[path = "../../../tests/control_plane/postgres.rs"]
mod server;

/// Whether this process runs the tests over PostgreSQL.
pub(super) fn is_wanted() -> bool {
    std::env::var(WANTED).is_ok()
}

/// An address of an empty database; the server ends with the process.
pub(super) fn fresh_database() -> String {
    static SERVER: OnceLock<std::sync::Mutex<server::Postgres>> = OnceLock::new();
    let server = SERVER.get_or_init(|| std::sync::Mutex::new(server::Postgres::start()));
    let server = server.lock().unwrap_or_else(PoisonError::into_inner);
    server.database()
}

pub(super) fn edge(url: &str, edge: &str) -> SharedStore {
    SharedStore {
        url: StoreUrl::read(url).unwrap(),
        edge: edge.to_owned(),
    }
}

#[test]
fn every_test_of_the_store_holds_over_postgresql() {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.env(WANTED, "1").args(["store::tests::", "--skip"]);
    // A file: what is wrong with one, copies of it, and what it looks like from outside.
    let said = tests.args(["store::tests::life", "--skip", "store::tests::file"]);
    // And not this one for ever.
    let said = said.args(["--skip", "every_test_of_the_store"]);
    let said = said.output().unwrap();
    assert!(
        said.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

async fn two() -> (Store, Store) {
    let url = fresh_database();
    let open = async |name| {
        let store = Store::open_shared(&edge(&url, name)).await.unwrap();
        store.know(store.load().await.unwrap().head.unwrap());
        store
    };
    (open("a").await, open("b").await)
}

async fn caught_up(store: &Store) -> Fresh {
    let news = store.news().await.unwrap().expect("there is something new");
    let fresh = store.fresh(&news).await.unwrap();
    store.know(news.head);
    fresh
}

#[tokio::test]
async fn an_edge_hears_of_anothers_flag_and_of_nothing_of_its_own() {
    let (a, b) = two().await;
    let added = a.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    assert!(a.news().await.unwrap().is_none(), "it knows what it did");
    let fresh = caught_up(&b).await;
    assert_eq!(fresh.flags, [added.flag]);
    assert!(fresh.all.is_none() && fresh.drained.is_none() && fresh.bypasses.is_none());
    assert!(b.news().await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_judged_without_knowing_of_a_change_is_not_stored() {
    let (a, b) = two().await;
    a.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    let error = b.add(&proposal("192.0.2.10", "refuse")).await.unwrap_err();
    assert!(matches!(error, StoreError::Behind), "{error}");
    assert_eq!(a.flags(true, 0, 10).await.unwrap().len(), 1);
    // What needs no judgement is stored, and hides nothing.
    b.activate(&[FlagId(1)], now()).await.unwrap();
    assert_eq!(caught_up(&b).await.flags.len(), 1);
    let second = b.add(&proposal("192.0.2.10", "refuse")).await.unwrap();
    assert_eq!(second.replaced.map(|flag| flag.id), Some(FlagId(1)));
    // The first edge to have a flag notes it, and no other.
    caught_up(&a).await;
    a.activate(&[FlagId(1)], now()).await.unwrap();
    let rows = a.trail_of("flag:1").await.unwrap();
    let activated = rows.iter().filter(|row| row.kind == "flag activated");
    assert_eq!(activated.count(), 1, "{rows:?}");
}

#[tokio::test]
async fn each_edge_writes_a_chain_of_its_own_and_any_edge_proves_them() {
    let (a, b) = two().await;
    assert_ne!(a.name(), b.name());
    a.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    caught_up(&b).await;
    b.add(&proposal("192.0.2.11", "drop")).await.unwrap();
    assert_eq!(a.writers().await.unwrap().len(), 2);
    assert!(a.prove_trail(Vec::new()).await.unwrap().holds());
}

#[tokio::test]
async fn who_is_too_far_behind_reads_everything() {
    let (a, b) = two().await;
    a.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    for text in ["UPDATE feed SET gone = head", "DELETE FROM changes"] {
        sqlx::query(text).execute(&a.writer).await.unwrap();
    }
    let fresh = caught_up(&b).await;
    assert_eq!(fresh.all.unwrap().flags.values().count(), 1);
}

#[tokio::test]
async fn one_edge_is_the_steward_and_another_when_that_goes() {
    let (a, b) = two().await;
    let mut first = a.watch().await.unwrap().unwrap();
    let mut second = b.watch().await.unwrap().unwrap();
    assert!(first.is_steward().await.unwrap());
    assert!(first.is_steward().await.unwrap(), "and stays it");
    assert!(!second.is_steward().await.unwrap());
    drop(first);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !second.is_steward().await.unwrap() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_ends_is_away_and_back() {
    let mut server = server::Postgres::start();
    let at = edge(&server.database(), "a");
    let store = Store::open_shared(&at).await.unwrap();
    let mut watch = store.watch().await.unwrap().unwrap();
    server.stop();
    let error = watch.heard().await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    let error = store.add(&proposal("192.0.2.10", "drop")).await;
    assert!(matches!(error, Err(StoreError::Away { .. })), "{error:?}");
    assert!(store.watch().await.is_err());
    let error = Store::open_shared(&at).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    server.again();
    let _watch = store.watch().await.unwrap().unwrap();
    store.know(store.load().await.unwrap().head.unwrap());
    store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
}

const WANTED: &str = "OUTGATE_TEST_POSTGRESQL";
