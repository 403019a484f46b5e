//! The whole of it on a real disk.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use relay_proto::queued::UnixMillis;

use super::queued;
use crate::config::SpoolConfig;
use crate::message::Message;
use crate::spool::inspect::Inspected;
use crate::spool::{Accepting, Living, OpenError, ReadError, Spool, StoreError};

fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        dir: dir.into(),
        segment_octets: 1 << 20,
        large_octets: 100_000,
        max_octets: 16 << 20,
        linger: Duration::from_millis(1),
    }
}

/// An open spool in which nothing was.
fn fresh(dir: &Path) -> Spool {
    let (spool, recovered) = Spool::open(&config(dir)).unwrap();
    assert_eq!(recovered.count(), 0);
    spool
}

fn reopen(dir: &Path) -> (Spool, Vec<Living>) {
    let (spool, recovered) = Spool::open(&config(dir)).unwrap();
    let living = recovered.collect::<Result<_, _>>().unwrap();
    (spool, living)
}

fn message(octets: usize) -> Message {
    let content: Vec<u8> = (0..=250).cycle().take(octets).collect();
    Bytes::from(content).into()
}

async fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < until, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_read_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let mut stored = Vec::new();
    for octets in [0, 1, 4096, 70_000, 100_000, 100_001, 3_000_000] {
        let queued = queued(spool.next_id(UnixMillis(1)), 3);
        let content = message(octets);
        let kept = spool.store(&queued, &content).await.unwrap();
        assert_eq!((kept.id, kept.octets), (queued.id, octets as u64));
        stored.push((queued, content));
    }
    let large = || fs::read_dir(dir.path().join("large")).unwrap().count();
    assert_eq!(large(), 2);
    spool.finish(stored[2].0.id, &[1]);
    spool.finish_all(stored[3].0.id);
    spool.finish_all(stored[6].0.id);
    wait_until("the large file to go", || large() == 1).await;
    let dones = spool.health();
    assert_eq!((dones.stored, dones.refused, dones.messages), (7, 0, 5));
    drop(spool);

    let (spool, living) = reopen(dir.path());
    assert_eq!(living.len(), 5);
    for (queued, content) in &stored {
        let read = spool.read(queued.id).await;
        let expected = living.iter().find(|it| it.kept.id == queued.id);
        let Some(living) = expected else {
            assert!(matches!(read, Err(ReadError::NotFound)));
            continue;
        };
        let read = read.unwrap();
        assert_eq!((&read.queued, &living.queued), (queued, queued));
        assert_eq!(read.pending, living.pending);
        let octets = read.content.read_whole().await.unwrap();
        assert_eq!(octets, content.read_whole().await.unwrap());
        assert_eq!(
            spool.envelope(queued.id).await.unwrap(),
            (read.queued, read.pending)
        );
    }
    assert_eq!(living[2].pending, [0, 2]);
    assert!(spool.next_id(UnixMillis(0)) > stored[6].0.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let writers = (0..32).map(|_| {
        let spool = spool.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let queued = queued(spool.next_id(UnixMillis(1)), 1);
                spool.store(&queued, &message(1000)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let health = spool.health();
    assert_eq!((health.stored, health.messages), (640, 640));
    assert!(health.groups < 640, "{health:?}");
    drop(spool);
    assert_eq!(reopen(dir.path()).1.len(), 640);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_takes_again_when_something_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let mut ids = Vec::new();
    let error = loop {
        let queued = queued(spool.next_id(UnixMillis(1)), 1);
        match spool.store(&queued, &message(60_000)).await {
            Ok(kept) => ids.push(kept.id),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full));
    let health = spool.health();
    assert_eq!((health.accepting, health.refused), (Accepting::Full, 1));
    assert!(health.octets <= health.max_octets && ids.len() > 100);
    for id in &ids {
        spool.finish_all(*id);
    }
    spool.flush().await.unwrap();
    wait_until("room", || spool.health().accepting == Accepting::Yes).await;
    wait_until("segments to be freed", || spool.health().octets <= 6 << 20).await;
    let queued = queued(spool.next_id(UnixMillis(1)), 1);
    spool.store(&queued, &message(60_000)).await.unwrap();
    drop(spool);
    assert_eq!(reopen(dir.path()).1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_segments_is_moved_together() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let mut left = Vec::new();
    for number in 0..600 {
        let queued = queued(spool.next_id(UnixMillis(1)), 2);
        spool.store(&queued, &message(10_000)).await.unwrap();
        if number % 50 == 0 {
            spool.finish(queued.id, &[1]);
            left.push(queued.id);
        } else {
            spool.finish_all(queued.id);
        }
    }
    wait_until("moves", || spool.health().octets <= 6 << 20).await;
    for id in &left {
        let opened = spool.read(*id).await.unwrap();
        assert_eq!(opened.pending, [0]);
        assert_eq!(opened.content.octets(), 10_000);
    }
    drop(spool);
    let (_spool, living) = reopen(dir.path());
    let found: Vec<_> = living
        .iter()
        .map(|it| (it.kept.id, &it.pending[..]))
        .collect();
    let expected: Vec<_> = left.iter().map(|&id| (id, &[0][..])).collect();
    assert_eq!(found.len(), expected.len());
    assert!(expected.iter().all(|it| found.contains(it)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_is_there_before_what_it_is_about_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let about = queued(spool.next_id(UnixMillis(1)), 2);
    spool.store(&about, &message(10)).await.unwrap();
    let notification = queued(spool.next_id(UnixMillis(1)), 1);
    let new = [(notification.clone(), message(20))];
    let kept = spool
        .store_and_finish(&new, &[(about.id, Some(&[0])), (about.id, None)])
        .await
        .unwrap();
    assert_eq!(kept[0].id, notification.id);
    assert!(matches!(
        spool.read(about.id).await,
        Err(ReadError::NotFound)
    ));
    spool.flush().await.unwrap();
    drop(spool);
    let living = reopen(dir.path()).1;
    assert_eq!(living.len(), 1);
    assert_eq!(living[0].queued, notification);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_takes_its_message_back() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    for octets in [10, 200_000] {
        for polls in 0..6 {
            let queued = queued(spool.next_id(UnixMillis(1)), 1);
            let content = message(octets);
            let mut store = std::pin::pin!(spool.store(&queued, &content));
            for _ in 0..polls {
                let ready = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(store.as_mut().poll(context).is_ready())
                });
                if ready.await {
                    spool.finish_all(queued.id);
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
    wait_until("all to be given back", || spool.health().messages == 0).await;
    spool.flush().await.unwrap();
    drop(spool);
    assert_eq!(reopen(dir.path()).1.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_has_one_owner_and_any_number_of_readers() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let queued = queued(spool.next_id(UnixMillis(1)), 1);
    spool.store(&queued, &message(5000)).await.unwrap();
    let other = config(dir.path());
    let refused = tokio::task::spawn_blocking(move || Spool::open(&other).err());
    let refused = refused.await.unwrap().unwrap();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let inspected = Inspected::of(dir.path()).unwrap();
    let seen: Vec<_> = inspected.messages().map(|(id, _)| id).collect();
    assert_eq!(seen, [queued.id]);
    assert_eq!(inspected.verify().unwrap().whole, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_content_is_not_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let spool = fresh(dir.path());
    let queued = queued(spool.next_id(UnixMillis(1)), 1);
    spool.store(&queued, &message(200_000)).await.unwrap();
    let file = dir.path().join("large").join(queued.id.to_string());
    let file = fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(b"?", 150_000).unwrap();
    let read = spool.read(queued.id).await;
    assert!(matches!(read, Err(ReadError::Damaged)), "{read:?}");
    assert_eq!(spool.health().damaged, 1);
    assert_eq!(spool.health().messages, 1, "it is nobody's to delete");
    let verified = Inspected::of(dir.path()).unwrap().verify().unwrap();
    assert_eq!((verified.whole, verified.is_sound()), (0, false));
    assert_eq!(verified.set_aside.len(), 1);
}
