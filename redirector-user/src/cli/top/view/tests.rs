//! The screen as it is, character by character.

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Color};

use super::*;
use crate::cli::top::{
    model::Key,
    tests::{model, snapshot},
};

const PLAIN: Palette = Palette { colour: false };

fn buffer(model: &mut Model, (width, height): (u16, u16), palette: Palette) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, palette)).unwrap();
    terminal.backend().buffer().clone()
}

fn screen(model: &mut Model, size: (u16, u16)) -> Vec<String> {
    let buffer = buffer(model, size, PLAIN);
    let width = usize::from(size.0);
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    let rows = cells
        .chunks(width)
        .map(|row| row.concat().trim_end().to_owned());
    rows.collect()
}

/// The rows that have something, with one blank where there are several.
#[track_caller]
fn check(model: &mut Model, expected: &[&str]) {
    let seen = screen(model, (80, 24));
    let rows = seen
        .iter()
        .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
    let rows: Vec<String> = rows.filter(|row| !row.is_empty()).collect();
    assert_eq!(rows, expected, "\n{}", seen.join("\n"));
}

const HEAD: [&str; 6] = [
    "outgate flags 2 +1 pending flows 3900 of 4096",
    "per s to relay 0.0 back 0.0 opened 0.0 unflagged 0.0 refused 0.0",
    "drops dropped 5.0 limited 0.0 no relay 0.0 spoofed 0.0 full 0.0",
    "POOL RELAY STATE SERVING FLOWS TROUBLE",
    "default relay-1 up yes 3",
    "default relay-2 down no 3 connection refused",
];

#[test]
fn the_list_is_made_for_eighty_by_twenty_four() {
    let mut model = model(&[600, 30], 5);
    model.take(snapshot(12, 110, &[600, 30]));
    let list = [
        "SOURCE SYN/MIN SCORE NETS OUT ACTION WHY",
        "192.0.2.1/32 60.0 120 12 1.5 k - 12 networks in 10 mi",
        "192.0.2.2/32 3.0 60 12 3.0 k - 12 networks in 10 mi",
        "by rate, last 10m / filter Enter details p pause ? help q quit",
    ];
    check(&mut model, &[&HEAD[..], &list].concat());
}

#[test]
fn the_least_size_has_rows_and_less_says_so() {
    let mut model = model(&[600, 30, 20, 10, 5, 4, 3, 2, 1], 5);
    let seen = screen(&mut model, (60, 14));
    let rows = seen.iter().filter(|row| row.starts_with("192.0.2."));
    assert_eq!(rows.count(), 6, "{seen:#?}");
    assert!(
        seen.iter().any(|row| row.starts_with("192.0.2.6/32 ")),
        "{seen:#?}"
    );
    let seen = screen(&mut model, (40, 10)).join(" ");
    assert!(seen.contains("too small"), "{seen}");
    // Nothing that a window can be makes it fail.
    for size in [(1, 1), (60, 1), (1, 60), (300, 200)] {
        screen(&mut model, size);
    }
}

#[test]
fn one_source_is_explained() {
    let mut model = model(&[600, 30], 5);
    model.key(Key::Enter);
    let mut asked = snapshot(12, 110, &[600, 30]);
    let mut detail = asked.radar.sources[0].clone();
    detail.course = serde_json::from_value(serde_json::json!([{
        "from": "2026-03-01T12:09:00Z", "destinations": 12, "syns": 600, "packets_out": 3, "octets_out": 1500,
        "packets_in": 0, "octets_in": 0, "ended": 0, "reset": 0, "short": 0,
    }]))
    .unwrap();
    asked.detail = Some(detail);
    model.take(asked);
    let detail = [
        "192.0.2.1/32 score 120",
        "no flag; `outgate flag add 192.0.2.1/32 --reason ...` makes one",
        "40 12 networks in 10 min",
        "WINDOW NETWORKS SYNS OUT IN ENDED RESET SHORT",
        "-1 min 12 600 1.5 k 0 0 0 0",
        "Esc back p pause w window q quit",
    ];
    check(&mut model, &[&HEAD[..], &detail].concat());
}

#[test]
fn what_is_missing_is_said() {
    let said = |model: &mut Model| screen(model, (80, 24)).join("\n");
    let mut nobody = model(&[], 5);
    assert!(said(&mut nobody).contains("no customer has sent to port 25 in the last 10m"));
    let mut filtered = model(&[1], 5);
    filtered.key(Key::Char('/'));
    filtered.key(Key::Char('x'));
    assert!(said(&mut filtered).contains("no source has \"x\" in its address; Esc shows all"));
    let mut failed = model(&[1], 5);
    failed.fail(String::from("is outgated running?"));
    let seen = said(&mut failed);
    assert!(
        seen.contains("is outgated running?") && seen.contains("192.0.2.1/32"),
        "{seen}"
    );
    failed.key(Key::Char('?'));
    assert!(said(&mut failed).contains("sort by score, rate, networks, octets, address"));
    let mut fresh = Model::new();
    assert!(said(&mut fresh).contains("asking the controller"));
    let mut off = snapshot(1, 1, &[]);
    off.radar.enabled = false;
    fresh.take(off);
    assert!(said(&mut fresh).contains("the radar is off"));
}

#[test]
fn colour_is_there_only_where_it_is_welcome() {
    let mut model = model(&[600], 5);
    let coloured = |model: &mut Model, colour| {
        let buffer = buffer(model, (80, 24), Palette { colour });
        let mut cells = buffer.content().iter();
        cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(&mut model, true));
    assert!(!coloured(&mut model, false));
}
