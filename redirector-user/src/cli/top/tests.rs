//! Keys and answers, without a terminal.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{
    model::{Key, Mode, Model, Reaction, Snapshot, Sort},
    period,
};
use crate::radar::view::SourceView;

/// Sources `192.0.2.1` and on, each with its SYNs; the score goes the other way.
pub(super) fn snapshot(at_s: u64, dropped: u64, syns: &[u64]) -> Snapshot {
    let sources = (1..).zip(syns).map(|(number, syns)| {
        json!({
            "source": format!("192.0.2.{number}/32"),
            "score": 120.0 - 60.0 * f64::from(number - 1),
            "components": [{ "name": "destinations", "value": 12.0, "limit": 30.0, "points": 40.0, "text": "12 networks in 10 min" }],
            "destinations": 12, "syns": syns, "packets_out": 3, "octets_out": 1500 * number,
            "packets_in": 0, "octets_in": 0, "ended": 0, "reset": 0, "short": 0,
        })
    });
    let radar = json!({
        "enabled": true, "windows": 10, "from": "2026-03-01T12:00:00Z", "until": "2026-03-01T12:10:00Z",
        "span_s": 600.0, "seen": syns.len(), "sources": sources.collect::<Vec<_>>(),
    });
    let relay = |name: &str, state: &str, trouble: Option<&str>| {
        json!({
            "name": name, "address": ["198.51.100.2"], "port": 2525, "state": state, "in_rotation": state == "up",
            "acknowledged": 7, "since": "2026-03-01T12:00:00Z", "weight": 1, "flows": 3, "drained": null,
            "trouble": trouble,
        })
    };
    let status = json!({
        "generation": 7, "interfaces": [], "flags": { "active": 2, "pending": 1 }, "flows": 3900, "flows_max": 4096,
        "heartbeat_age_s": 0,
        "pools": [{
            "name": "default", "via": "rewrite", "on_failure": "closed",
            "relays": [relay("relay-1", "up", None), relay("relay-2", "down", Some("connection refused"))],
        }],
    });
    Snapshot {
        at: Duration::from_secs(at_s),
        status: serde_json::from_value(status).unwrap(),
        counters: BTreeMap::from([(String::from("dropped"), dropped)]),
        radar: serde_json::from_value(radar).unwrap(),
        flags: BTreeMap::new(),
        detail: None,
    }
}

pub(super) fn model(syns: &[u64], height: usize) -> Model {
    let mut model = Model::new();
    model.resize(height);
    model.take(snapshot(10, 100, syns));
    model
}

fn shown(model: &Model) -> Vec<String> {
    let rows = model.shown().into_iter();
    rows.map(|row: &SourceView| row.source.ip().to_string())
        .collect()
}

#[test]
fn rates_are_what_was_counted_between_two_looks() {
    let mut model = model(&[1], 5);
    assert!(model.rates.is_empty());
    model.take(snapshot(14, 120, &[1]));
    assert_eq!(model.rates["dropped"], 5.0);
    // Pins were removed: nothing is better than a number that never was.
    model.take(snapshot(16, 3, &[1]));
    assert_eq!(model.rates["dropped"], 0.0);
    // Two answers of one moment say nothing about a second.
    model.take(snapshot(16, 30, &[1]));
    assert_eq!(model.rates["dropped"], 0.0);
}

#[test]
fn keys_sort() {
    let mut model = model(&[5, 9, 1], 5);
    assert_eq!(shown(&model), ["192.0.2.2", "192.0.2.1", "192.0.2.3"]);
    for (key, sort, expected) in [
        ('s', Sort::Score, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        ('o', Sort::Octets, ["192.0.2.3", "192.0.2.2", "192.0.2.1"]),
        ('r', Sort::Rate, ["192.0.2.2", "192.0.2.1", "192.0.2.3"]),
        ('a', Sort::Address, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        // Equal for all: by address.
        ('n', Sort::Networks, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
    ] {
        assert_eq!(model.key(Key::Char(key)), Reaction::Ask);
        assert_eq!(
            (model.sort, shown(&model)),
            (sort, expected.map(String::from).to_vec())
        );
    }
}

#[test]
fn the_cursor_stays_on_its_source_and_on_the_screen() {
    let mut model = model(&[5, 4, 3, 2, 1], 2);
    let cursor = |model: &Model| model.cursor.map(|it| it.ip().to_string());
    assert_eq!(cursor(&model).as_deref(), Some("192.0.2.1"));
    assert_eq!(model.key(Key::Up), Reaction::Show);
    assert_eq!(model.key(Key::Down), Reaction::Show);
    assert_eq!(shown(&model), ["192.0.2.1", "192.0.2.2"]);
    // Rows whose flags nobody has asked for come up.
    assert_eq!(model.key(Key::Down), Reaction::Ask);
    assert_eq!(shown(&model), ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(cursor(&model).as_deref(), Some("192.0.2.3"));
    // It has become the first.
    model.take(snapshot(12, 0, &[5, 4, 9, 2, 1]));
    assert_eq!(cursor(&model).as_deref(), Some("192.0.2.3"));
    assert_eq!(shown(&model), ["192.0.2.3", "192.0.2.1"]);
    model.key(Key::End);
    assert_eq!(shown(&model), ["192.0.2.4", "192.0.2.5"]);
    model.key(Key::PageUp);
    assert_eq!(cursor(&model).as_deref(), Some("192.0.2.2"));
    // All but one have gone.
    model.take(snapshot(14, 0, &[1]));
    assert_eq!(cursor(&model).as_deref(), Some("192.0.2.1"));
    model.take(snapshot(16, 0, &[]));
    assert_eq!(
        (cursor(&model), model.key(Key::Down)),
        (None, Reaction::Show)
    );
    assert_eq!(model.key(Key::Enter), Reaction::Show);
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut model = model(&[3, 2, 1], 5);
    for key in [
        Key::Char('/'),
        Key::Char('.'),
        Key::Char('q'),
        Key::Backspace,
        Key::Char('3'),
    ] {
        assert_eq!(model.key(key), Reaction::Show);
    }
    assert_eq!(
        (model.filter.as_str(), shown(&model)),
        (".3", vec![String::from("192.0.2.3")])
    );
    assert_eq!(model.key(Key::Enter), Reaction::Ask);
    assert_eq!(
        (
            &model.mode,
            model.cursor.map(|it| it.ip().to_string()).as_deref()
        ),
        (&Mode::List, Some("192.0.2.3"))
    );
    assert_eq!(model.key(Key::Escape), Reaction::Ask);
    assert_eq!(shown(&model).len(), 3);
    for _ in 0..200 {
        model.key(Key::Char('/'));
    }
    assert!(model.filter.len() <= 50);
    assert_eq!(model.key(Key::Interrupt), Reaction::Quit);
}

#[test]
fn what_is_wanted_follows_from_what_is_shown() {
    let mut model = model(&[3, 2, 1], 2);
    let wanted = model.wanted();
    let flags: Vec<String> = wanted.flags.iter().map(|it| it.ip().to_string()).collect();
    assert_eq!(
        (flags, wanted.window, wanted.detail),
        (vec!["192.0.2.1".into(), "192.0.2.2".into()], "10m", None)
    );
    model.key(Key::Char('w'));
    assert_eq!(model.wanted().window, "1h");
    assert_eq!(model.key(Key::Enter), Reaction::Ask);
    assert_eq!(
        model.wanted().detail.map(|it| it.to_string()).as_deref(),
        Some("192.0.2.1/32")
    );
    assert_eq!(model.key(Key::Escape), Reaction::Ask);
    assert_eq!(model.wanted().detail, None);
    assert_eq!(model.key(Key::Char('p')), Reaction::Show);
    assert!(model.paused);
    assert_eq!(model.key(Key::Char(' ')), Reaction::Ask);
    model.key(Key::Char('?'));
    assert_eq!(model.mode, Mode::Help);
    assert_eq!(
        model.key(Key::Char('q')),
        Reaction::Show,
        "any key goes back"
    );
    assert_eq!(model.key(Key::Char('q')), Reaction::Quit);
}

#[test]
fn periods_are_bounded() {
    assert_eq!(period("2s"), Ok(Duration::from_secs(2)));
    for wrong in ["100ms", "2m", "-1s", "soon"] {
        assert!(period(wrong).is_err(), "{wrong}");
    }
}
