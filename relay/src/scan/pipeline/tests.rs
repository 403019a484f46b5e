//! Who is asked, with what, and what becomes of scanners that misbehave.

use std::net::IpAddr;
use std::sync::Mutex;

use relay_proto::address::ReversePath;
use relay_proto::envelope::Mail;
use relay_proto::verdict::{Action, Concern, OnError, Verdict};

use super::*;
use crate::scan::{Opinion, Scan, Terms};

/// Does as it is told, and writes down what it was shown.
struct Scripted {
    name: &'static str,
    stage: Stage,
    shown: Mutex<Vec<Bytes>>,
}

impl Scanner for Scripted {
    fn terms(&self) -> Terms {
        Terms {
            name: self.name,
            stage: self.stage,
            deadline: Duration::from_secs(5),
            on_error: OnError::Defer,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move {
            let whole = submission.content.read_whole().await.unwrap();
            self.shown.lock().unwrap().push(whole);
            match self.name {
                "clean" => Ok(Opinion {
                    score: Some(1.5),
                    log_odds: Some(-2.0),
                    ..Finding::Clean.into()
                }),
                "spam" => Ok(Finding::Found {
                    concern: Concern::Spam,
                    reason: "spam".into(),
                }
                .into()),
                "silent" => std::future::pending().await,
                "panics" => panic!("on purpose"),
                _ => Err(ScanError::Answer("nonsense".into())),
            }
        })
    }
}

fn scripted(name: &'static str, stage: Stage) -> Arc<Scripted> {
    Arc::new(Scripted {
        name,
        stage,
        shown: Mutex::default(),
    })
}

fn pipeline(scanners: &[Arc<Scripted>]) -> Pipeline {
    let scanners = scanners.iter().map(|it| Arc::clone(it) as Arc<dyn Scanner>);
    Pipeline {
        scanners: scanners.collect(),
        policy: Policy {
            spam: Action::Reject,
            malware: Action::Reject,
            unscannable: Action::Accept,
            spam_log_odds: Some(7.0),
        },
        tier: Tier::Body,
    }
}

fn submission(content: &'static str) -> Submission {
    Submission {
        id: "1".into(),
        client: IpAddr::from([192, 0, 2, 10]),
        user: None,
        ehlo: None,
        mail: Mail::new(ReversePath::Null),
        recipients: vec![],
        content: Message::from(Bytes::from_static(content.as_bytes())),
    }
}

/// Who said what, in the order of their names.
fn words(judged: &Judged) -> Vec<(&'static str, &'static str)> {
    let words = judged.reports.iter();
    let mut words: Vec<_> = words.map(|it| (it.scanner, it.finding.word())).collect();
    words.sort_unstable();
    words
}

fn shown(scanner: &Scripted) -> Vec<Bytes> {
    scanner.shown.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_scanner_that_fails_in_any_way_is_reported_and_hides_no_other() {
    let scanners =
        ["silent", "panics", "clean", "nonsense"].map(|name| scripted(name, Stage::Body));
    let judged = pipeline(&scanners)
        .at_dot(Tier::Body, submission("x\r\n"), vec![])
        .await;
    let expected = [
        ("clean", "clean"),
        ("nonsense", "failed"),
        ("panics", "failed"),
        ("silent", "failed"),
    ];
    assert_eq!(words(&judged), expected);
    assert!(matches!(judged.judgement.verdict, Verdict::Defer { .. }));
    assert_eq!(judged.judgement.log_odds, Some(-2.0));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_once_the_verdict_stands() {
    let scanners = ["silent", "spam"].map(|name| scripted(name, Stage::Body));
    let judged = pipeline(&scanners)
        .at_dot(Tier::Body, submission("x\r\n"), vec![])
        .await;
    assert_eq!(words(&judged), [("silent", "skipped"), ("spam", "spam")]);
    assert!(matches!(judged.judgement.verdict, Verdict::Reject { .. }));
}

#[tokio::test]
async fn a_stage_that_settles_the_matter_spares_the_next() {
    let scanners = [
        scripted("clean", Stage::Body),
        scripted("spam", Stage::Headers),
    ];
    let judged = pipeline(&scanners)
        .at_dot(Tier::Body, submission("Subject: x\r\n\r\nbody\r\n"), vec![])
        .await;
    assert_eq!(words(&judged), [("clean", "skipped"), ("spam", "spam")]);
    assert!(shown(&scanners[0]).is_empty());
    assert_eq!(shown(&scanners[1]), ["Subject: x\r\n\r\n"]);
}

#[tokio::test]
async fn the_header_section_ends_where_the_body_begins() {
    let cases = [
        ("A: b\r\n\r\nbody\r\n", "A: b\r\n\r\n"),
        ("\r\nbody\r\n\r\nmore\r\n", "\r\n"),
        ("A: b\r\n", "A: b\r\n"),
        ("", ""),
    ];
    for (content, section) in cases {
        let scanner = scripted("clean", Stage::Headers);
        let pipeline = pipeline(std::slice::from_ref(&scanner));
        pipeline
            .at_dot(Tier::Body, submission(content), vec![])
            .await;
        assert_eq!(shown(&scanner), [section], "{content:?}");
    }
}

#[tokio::test]
async fn a_tier_shows_what_it_says_and_no_more() {
    let cases = [
        (Tier::None, vec![]),
        (Tier::Metadata, vec!["envelope"]),
        (Tier::Headers, vec!["envelope", "headers"]),
        (Tier::Body, vec!["envelope", "headers", "body"]),
    ];
    for (tier, expected) in cases {
        let scanners =
            [Stage::Envelope, Stage::Headers, Stage::Body].map(|stage| scripted("clean", stage));
        let pipeline = pipeline(&scanners);
        let message = submission("A: b\r\n\r\nbody\r\n");
        assert_eq!(pipeline.asks_before_data(tier), tier > Tier::None);
        let before = pipeline.before_data(tier, message.clone()).await;
        pipeline.at_dot(tier, message, before.reports).await;
        let asked = scanners.iter().filter(|it| !shown(it).is_empty());
        let asked: Vec<_> = asked
            .map(|it| match it.stage {
                Stage::Envelope => "envelope",
                Stage::Headers => "headers",
                Stage::Body => "body",
            })
            .collect();
        assert_eq!(asked, expected, "{tier:?}");
    }
}

#[tokio::test]
async fn a_customers_own_tier_stands_before_the_relays() {
    let pipeline = pipeline(&[]);
    assert_eq!(pipeline.tier(None), Tier::Body);
    assert_eq!(pipeline.tier(Some(Tier::Metadata)), Tier::Metadata);
}
