//! The quarantine on a real directory, without a relay around it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Read};

use bytes::Bytes;
use jiff::SignedDuration;
use relay_proto::address::ReversePath;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queued::{Egress, Source, UnixMillis};
use tempfile::TempDir;

use super::record::Part;
use super::retention::Removed;
use super::seal::{Identity, Opener};
use super::*;
use crate::config::KeepDays;

const CONTENT: &str =
    "From: ann@customer.example\r\nSubject: x\r\n\r\nsome words that are long enough\r\n";

struct Scene {
    directory: TempDir,
    identity: Identity,
    keep: KeepDays,
}

impl Scene {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            identity: Identity::generate(),
            keep: KeepDays {
                bodies: 7,
                headers: 30,
                metadata: 90,
                audit: 400,
            },
        }
    }

    /// As another process finds it.
    fn open(&self) -> Arc<Quarantine> {
        let directory = self.directory.path();
        let text = include_str!("../../../deploy/relay.toml");
        let mut config = Config::parse(text).unwrap();
        config.state_dir = directory.to_owned();
        config.quarantine = Some(QuarantineConfig {
            dir: directory.join("store"),
            recipients: vec![self.identity.recipient()],
            max_octets: 1 << 30,
            max_records: 1000,
            per_customer_per_hour: std::num::NonZeroU32::new(1000).unwrap(),
            keep: self.keep,
        });
        let redactor = Arc::new(Redactor::open(directory, true));
        config.controller = None;
        let reporter = Reporter::open(&config);
        let quarantine = Quarantine::open(&config, redactor, Arc::new(Metrics::new()), reporter);
        quarantine.unwrap().unwrap()
    }

    /// The kinds of parts that are there.
    fn parts(&self) -> BTreeSet<String> {
        let mut parts = BTreeSet::new();
        for part in Part::ALL {
            let folder = self.directory.path().join("store").join(part.folder());
            if has_file(&folder) {
                parts.insert(part.folder().to_owned());
            }
        }
        parts
    }
}

fn has_file(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries
        .flatten()
        .any(|entry| entry.path().is_file() || has_file(&entry.path()))
}

fn evidence(id: &str, tier: Tier) -> Evidence {
    let recipient = "<bob@mx.example>".parse().unwrap();
    Evidence {
        id: id.into(),
        queued: Queued {
            id: QueueId::from_number(1).unwrap(),
            arrived: UnixMillis(0),
            source: Source::Customer {
                address: "192.0.2.10".parse().unwrap(),
                original_dst: "203.0.113.10:25".parse().ok(),
                ehlo: None,
                tls: false,
                flag_id: Some(17),
                user: None,
            },
            egress: Egress::Pool,
            mail: Mail::new("<ann@customer.example>".parse::<ReversePath>().unwrap()),
            recipients: vec![Recipient::new(recipient)],
            trace: "Received: x\r\n".into(),
            may_notify: false,
            held: None,
        },
        customer: CustomerAddr::new("192.0.2.10".parse().unwrap()),
        identity: None,
        verdict: "spam",
        reason: "spam".into(),
        reasons: Vec::new(),
        scanners: "builtin=spam/3ms".into(),
        tier,
        simhash: Some(5),
        content: Message::from(Bytes::from_static(CONTENT.as_bytes())),
    }
}

fn id(text: &str) -> RecordId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_tier_keeps_what_it_shows_and_no_more() {
    for (tier, parts) in [
        (Tier::None, &[][..]),
        (Tier::Metadata, &["records"]),
        (Tier::Headers, &["headers", "records"]),
        (Tier::Body, &["bodies", "headers", "records"]),
    ] {
        let scene = Scene::new();
        let quarantine = scene.open();
        quarantine.keep(evidence("A", tier)).await;
        let parts: BTreeSet<String> = parts.iter().map(|&part| part.to_owned()).collect();
        assert_eq!(scene.parts(), parts, "{tier:?}");
        let record = quarantine.read_record(&id("A")).await.unwrap();
        let Some(record) = record else {
            assert_eq!(tier, Tier::None);
            assert_eq!(quarantine.metrics.value(Counter::NotKept), 0);
            continue;
        };
        // Nothing is known of a text that may not be looked at.
        let looked = (
            record.content_sha256.is_some(),
            record.simhash,
            record.text_hash.is_some(),
        );
        let all = tier == Tier::Body;
        assert_eq!(looked, (all, all.then_some(5), all));
        assert!(
            !record.from.contains("ann") && !record.to[0].contains("bob"),
            "{record:?}"
        );
    }
}

#[tokio::test]
async fn what_is_sealed_is_the_envelope_and_the_content() {
    let scene = Scene::new();
    let quarantine = scene.open();
    quarantine.keep(evidence("A", Tier::Body)).await;
    let record = quarantine.read_record(&id("A")).await.unwrap().unwrap();
    let path = Part::Body.path(&record.id, record.at);
    let file = scene.directory.path().join("store").join(path.to_string());
    let sealed = fs::read(file).unwrap();
    let known = record.sealed.unwrap();
    assert_eq!(known.octets, sealed.len() as u64);
    let mut text = Vec::new();
    let identities = [scene.identity.clone()];
    let mut opener = Opener::new(Cursor::new(sealed), &identities).unwrap();
    opener.read_to_end(&mut text).unwrap();
    assert_eq!(known.text_octets, text.len() as u64);
    let (queued, end) = sealed::split(&text).unwrap().unwrap();
    assert_eq!(queued, evidence("A", Tier::Body).queued);
    assert_eq!(&text[end..], CONTENT.as_bytes());
}

#[tokio::test]
async fn parts_go_when_their_days_are_over() {
    let scene = Scene::new();
    let quarantine = scene.open();
    quarantine.keep(evidence("A", Tier::Body)).await;
    let at = quarantine.index().get(&id("A")).unwrap().at;
    let day = |days: i64| at + SignedDuration::from_hours(24 * days) + SignedDuration::from_secs(1);
    quarantine
        .note("uid 0", &id("A"), Act::Confirmed, "x")
        .await
        .unwrap();
    for (days, removed, parts) in [
        (6, Removed::default(), &["bodies", "headers", "records"][..]),
        (
            7,
            Removed {
                bodies: 1,
                ..Removed::default()
            },
            &["headers", "records"],
        ),
        (29, Removed::default(), &["headers", "records"]),
        (
            30,
            Removed {
                headers: 1,
                ..Removed::default()
            },
            &["records"],
        ),
        (89, Removed::default(), &["records"]),
        (
            90,
            Removed {
                records: 1,
                ..Removed::default()
            },
            &[],
        ),
    ] {
        assert_eq!(quarantine.expire(day(days)).await, removed, "day {days}");
        let parts: BTreeSet<String> = parts.iter().map(|&part| part.to_owned()).collect();
        assert_eq!(scene.parts(), parts, "day {days}");
        // What is known after a restart is what is there.
        let again = scene.open();
        Arc::clone(&again).rebuild().await;
        let entry = again.index().get(&id("A")).cloned();
        assert_eq!(entry.is_some(), parts.contains("records"), "day {days}");
        assert_eq!(
            entry.is_some_and(|it| it.has_body),
            parts.contains("bodies")
        );
        assert_eq!(
            again.index().octets(),
            quarantine.index().octets(),
            "day {days}"
        );
    }
    assert_eq!(
        (quarantine.index().len(), quarantine.index().octets()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_release_that_a_crash_has_cut_off_was_one_if_it_is_queued() {
    for (is_queued, state) in [(true, State::Released), (false, State::Kept)] {
        let scene = Scene::new();
        let quarantine = scene.open();
        quarantine.keep(evidence("A", Tier::Body)).await;
        let queue_id = QueueId::from_number(77).unwrap();
        let releasing = Act::Releasing {
            queue_id: queue_id.to_string(),
        };
        quarantine
            .note("uid 0", &id("A"), releasing, "x")
            .await
            .unwrap();
        for _ in 0..2 {
            let again = scene.open();
            again.settle(|id| {
                assert_eq!(id, queue_id);
                is_queued
            });
            Arc::clone(&again).rebuild().await;
            assert_eq!(again.index().get(&id("A")).unwrap().state, state);
        }
    }
}

#[tokio::test]
async fn a_log_that_does_not_prove_itself_closes_the_desk_and_keeps_no_copy_away() {
    let scene = Scene::new();
    fs::write(scene.directory.path().join(AUDIT_FILE), "{}\n").unwrap();
    let quarantine = scene.open();
    quarantine.keep(evidence("A", Tier::Body)).await;
    assert_eq!(quarantine.metrics.value(Counter::Kept), 1);
    let noted = quarantine.note("uid 0", &id("A"), Act::Dropped, "x").await;
    assert!(noted.unwrap_err().to_string().contains("audit log"));
}
