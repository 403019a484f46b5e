//! A spool for tests of what stands beside it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use relay_proto::address::ReversePath;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::handover::SpoolName;
use relay_proto::queued::{Egress, QueueId, Queued, Source, UnixMillis};

use super::spool_name;
use crate::config::SpoolConfig;
use crate::message::Message;
use crate::spool::Spool;

pub(super) fn opened(dir: &Path) -> Spool {
    let config = SpoolConfig {
        dir: dir.into(),
        segment_octets: 1 << 20,
        large_octets: 4096,
        max_octets: 16 << 20,
        linger: Duration::ZERO,
    };
    Spool::open(&config).unwrap().0
}

/// Stores a message to so many recipients.
pub(super) async fn store(spool: &Spool, recipients: usize) -> QueueId {
    let to = |number| Recipient::new(format!("<user{number}@mx.example>").parse().unwrap());
    let queued = Queued {
        id: spool.next_id(UnixMillis(1_790_000_000_000)),
        arrived: UnixMillis(1_790_000_000_000),
        source: Source::Relay,
        egress: Egress::Pool,
        mail: Mail::new(ReversePath::Null),
        recipients: (0..recipients).map(to).collect(),
        trace: String::new(),
        may_notify: false,
        held: None,
    };
    let content = Message::from(Bytes::from_static(b"Subject: x\r\n\r\n"));
    spool.store(&queued, &content).await.unwrap().id
}

#[test]
fn a_spool_has_one_name_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let name = spool_name(dir.path()).unwrap();
    assert_eq!(spool_name(dir.path()).unwrap(), name);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(spool_name(other.path()).unwrap(), name);
    std::fs::write(dir.path().join("name"), "x\n").unwrap();
    let error = spool_name(dir.path()).unwrap_err().to_string();
    assert!(error.contains("not the name of a spool"), "{error}");
    assert_ne!(name, SpoolName([0; 16]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_kept_only_where_it_was_never_given_away() {
    let dir = tempfile::tempdir().unwrap();
    let spool = opened(dir.path());
    let now = UnixMillis(1_790_000_000_000);
    let foreign = QueueId::after(None, UnixMillis(now.0 - 5000));
    assert_eq!(spool.adopted_id(foreign, now), foreign);
    // The same name of another spool is another message.
    let second = spool.adopted_id(foreign, now);
    assert!(second > foreign);
    let own = spool.next_id(now);
    assert!(own > second);
    assert_ne!(spool.adopted_id(second, now), second);
    // A clock that is far ahead does not draw ours with it.
    let ahead = QueueId::after(None, UnixMillis(now.0 + 2 * 86_400_000));
    assert!(spool.adopted_id(ahead, now) < ahead);
}
