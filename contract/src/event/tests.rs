use super::*;

/// Every kind as it stands on the wire and in relays' journals. A version of either side must read what the other has
/// written, so these texts may gain fields but never change one.
const EVENTS: &str = r#"{
    "epoch": "k3j9x0",
    "events": [
        {"seq": 1, "at": "2026-03-01T12:00:00Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "verdict", "id": "a1", "verdict": "kept", "concern": "spam", "reasons": ["GTUBE"], "log_odds": 4.5,
            "scanners": [{"scanner": "rspamd", "finding": "found", "score": 15.5, "elapsed_ms": 12}],
            "octets": 2048, "recipients": 2, "identity": "site7"}},
        {"seq": 2, "at": "2026-03-01T12:00:01Z", "customer": "2001:db8:a:a::10", "happening": {
            "kind": "rates", "window_s": 60, "connections": 9, "messages": 7, "refused": 2, "spam": 1,
            "recipients": 20, "octets": 4096, "distinct_recipients": 19, "distinct_senders": 2, "unknown_share": 0.25,
            "refused_share": 0.5}},
        {"seq": 3, "at": "2026-03-01T12:00:02Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "limit_hit", "limit": "messages_per_hour", "figure": 100.0, "allowed": 100.0}},
        {"seq": 4, "at": "2026-03-01T12:00:03Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "learnt", "destination": "[2001:db8:b::25]:25", "verifying": true}},
        {"seq": 5, "at": "2026-03-01T12:00:04Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "kept", "record": "r1"}},
        {"seq": 6, "at": "2026-03-01T12:00:05Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "released", "record": "r1", "by": "ann", "reason": "invoice"}},
        {"seq": 7, "at": "2026-03-01T12:00:06Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "viewed", "record": "r1", "by": "ann", "reason": "ticket 7", "what": "headers"}},
        {"seq": 8, "at": "2026-03-01T12:00:07Z", "customer": "192.0.2.10", "flag_id": 3, "happening": {
            "kind": "confirmed", "record": "r1", "by": "ann"}},
        {"seq": 9, "at": "2026-03-01T12:00:08Z", "happening": {
            "kind": "scanner_down", "scanner": "clamd", "error": "connection refused"}},
        {"seq": 10, "at": "2026-03-01T12:00:09Z", "happening": {"kind": "scanner_back", "scanner": "clamd"}},
        {"seq": 11, "at": "2026-03-01T12:00:10Z", "happening": {"kind": "disk_failed", "what": "spool", "error": "no space left"}},
        {"seq": 12, "at": "2026-03-01T12:00:11Z", "happening": {"kind": "disk_back", "what": "spool"}},
        {"seq": 13, "at": "2026-03-01T12:00:12Z", "happening": {"kind": "lost", "events": 40}}
    ]
}"#;

fn batch() -> Batch {
    let host = Some("192.0.2.10".parse().unwrap());
    let (record, by) = (String::from("r1"), String::from("ann"));
    let happenings = [
        Happening::Verdict(MessageVerdict {
            id: "a1".into(),
            verdict: Decision::Kept,
            concern: Some(Concern::Spam),
            reasons: vec!["GTUBE".into()],
            log_odds: Some(4.5),
            scanners: vec![ScannerWord {
                scanner: "rspamd".into(),
                finding: "found".into(),
                score: Some(15.5),
                elapsed_ms: 12,
            }],
            octets: 2048,
            recipients: 2,
            identity: Some("site7".into()),
        }),
        Happening::Rates(Rates {
            window_s: 60,
            connections: 9,
            messages: 7,
            refused: 2,
            spam: 1,
            recipients: 20,
            octets: 4096,
            distinct_recipients: 19,
            distinct_senders: 2,
            unknown_share: 0.25,
            refused_share: 0.5,
        }),
        Happening::LimitHit {
            limit: "messages_per_hour".into(),
            figure: 100.0,
            allowed: 100.0,
            identity: None,
        },
        Happening::Learnt {
            destination: "[2001:db8:b::25]:25".parse().unwrap(),
            verifying: true,
        },
        Happening::Kept {
            record: record.clone(),
        },
        Happening::Released {
            record: record.clone(),
            by: by.clone(),
            reason: "invoice".into(),
        },
        Happening::Viewed {
            record: record.clone(),
            by: by.clone(),
            reason: "ticket 7".into(),
            what: "headers".into(),
        },
        Happening::Confirmed { record, by },
        Happening::ScannerDown {
            scanner: "clamd".into(),
            error: "connection refused".into(),
        },
        Happening::ScannerBack {
            scanner: "clamd".into(),
        },
        Happening::DiskFailed {
            what: "spool".into(),
            error: "no space left".into(),
        },
        Happening::DiskBack {
            what: "spool".into(),
        },
        Happening::Lost { events: 40 },
    ];
    let begun: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let events = (1..).zip(happenings).map(|(seq, happening)| {
        let of_relay = seq >= 9;
        Event {
            seq,
            at: begun + jiff::SignedDuration::from_secs(i64::try_from(seq).unwrap() - 1),
            customer: match seq {
                2 => Some("2001:db8:a:a::10".parse().unwrap()),
                _ => host.filter(|_| !of_relay),
            },
            flag_id: (seq != 2 && !of_relay).then_some(3),
            happening,
        }
    });
    Batch {
        epoch: "k3j9x0".into(),
        events: events.collect(),
    }
}

#[test]
fn the_wire_form_stays_what_it_is() {
    assert_eq!(serde_json::from_str::<Batch>(EVENTS).unwrap(), batch());
    let expected: serde_json::Value = serde_json::from_str(EVENTS).unwrap();
    assert_eq!(serde_json::to_value(batch()).unwrap(), expected);
    let taken = Taken {
        epoch: "k3j9x0".into(),
        through: 13,
    };
    let wire = r#"{"epoch":"k3j9x0","through":13}"#;
    assert_eq!(serde_json::to_string(&taken).unwrap(), wire);
    assert_eq!(serde_json::from_str::<Taken>(wire).unwrap(), taken);
}

#[test]
fn a_kind_has_one_name() {
    for event in batch().events {
        let wire = serde_json::to_value(&event.happening).unwrap();
        assert_eq!(wire["kind"], event.happening.kind());
    }
}

#[test]
fn what_a_newer_relay_says_is_kept_as_it_was_said() {
    let begin = r#"{"seq": 1, "at": "2026-03-01T12:00:00Z", "later": 1, "happening": "#;
    let unknown = [
        // A kind that is not known, a known one with a word that is not, and none at all.
        (r#"{"kind":"teleported","to":[1,2]}"#, "teleported"),
        (
            r#"{"kind":"verdict","id":"1","octets":1,"recipients":1,"verdict":"dissolved"}"#,
            "verdict",
        ),
        (r#"{"x":1}"#, "unknown"),
    ];
    for (happening, kind) in unknown {
        let event: Event = serde_json::from_str(&format!("{begin}{happening}}}")).unwrap();
        assert!(matches!(event.happening, Happening::Unknown(_)));
        assert_eq!(event.happening.kind(), kind);
        let said: serde_json::Value = serde_json::from_str(happening).unwrap();
        assert_eq!(serde_json::to_value(&event.happening).unwrap(), said);
    }
    // A known kind that says more is still known.
    let more = format!(r#"{begin}{{"kind":"lost","events":4,"since":"then"}}}}"#);
    let event: Event = serde_json::from_str(&more).unwrap();
    assert_eq!(event.happening, Happening::Lost { events: 4 });
}

#[test]
fn what_an_older_relay_leaves_out_has_a_meaning() {
    let least = [
        (
            r#"{"kind":"rates","messages":4}"#,
            Happening::Rates(Rates {
                messages: 4,
                ..Rates::default()
            }),
        ),
        (
            r#"{"kind":"verdict","id":"1","verdict":"deferred","octets":1,"recipients":1}"#,
            Happening::Verdict(MessageVerdict {
                id: "1".into(),
                verdict: Decision::Deferred,
                concern: None,
                reasons: vec![],
                log_odds: None,
                scanners: vec![],
                octets: 1,
                recipients: 1,
                identity: None,
            }),
        ),
    ];
    for (wire, meant) in least {
        assert_eq!(serde_json::from_str::<Happening>(wire).unwrap(), meant);
    }
}

#[test]
fn texts_are_bounded_where_characters_end() {
    let long = "\u{e9}".repeat(TEXT_CHARS_MAX + 1);
    let mut happening = Happening::Verdict(MessageVerdict {
        id: long.clone(),
        verdict: Decision::Rejected,
        concern: None,
        reasons: vec![long.clone(); REASONS_MAX + 1],
        log_odds: None,
        scanners: vec![
            ScannerWord {
                scanner: long.clone(),
                finding: long.clone(),
                score: None,
                elapsed_ms: 0,
            };
            SCANNERS_MAX + 1
        ],
        octets: 1,
        recipients: 1,
        identity: Some(long),
    });
    happening.bound();
    let Happening::Verdict(verdict) = happening else {
        unreachable!("it was one");
    };
    let short = "\u{e9}".repeat(TEXT_CHARS_MAX);
    assert_eq!(verdict.id, short);
    assert_eq!(verdict.identity.as_ref(), Some(&short));
    assert_eq!(verdict.reasons, vec![short.clone(); REASONS_MAX]);
    assert_eq!(verdict.scanners.len(), SCANNERS_MAX);
    for word in verdict.scanners {
        assert_eq!((&word.scanner, &word.finding), (&short, &short));
    }
}

#[test]
fn a_batch_out_of_order_or_without_an_epoch_is_not_sound() {
    assert!(batch().is_sound());
    let mut with_a_gap = batch();
    with_a_gap.events.remove(3);
    assert!(with_a_gap.is_sound());
    let spoil: [fn(&mut Batch); 7] = [
        |batch| batch.epoch.clear(),
        |batch| batch.epoch = "../x".into(),
        |batch| batch.epoch = "x".repeat(EPOCH_CHARS_MAX + 1),
        |batch| batch.events[0].seq = 0,
        |batch| batch.events[3].seq = 3,
        |batch| batch.events[11].seq = u64::MAX,
        |batch| {
            let events = (1..).zip(std::iter::repeat_n(&batch.events[0], BATCH_EVENTS_MAX + 1));
            let numbered = events.map(|(seq, event)| Event {
                seq,
                ..event.clone()
            });
            batch.events = numbered.collect();
        },
    ];
    for (index, spoil) in spoil.into_iter().enumerate() {
        let mut batch = batch();
        spoil(&mut batch);
        assert!(!batch.is_sound(), "{index}");
    }
}
