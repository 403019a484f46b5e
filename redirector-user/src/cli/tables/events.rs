//! Events for people: a table, or a line for each as it comes.

use comfy_table::{Attribute, Cell, Color};
use serde_json::Value;

use super::{Style, local};
use crate::api::view::{CountsView, EventView, SeenView};

pub(in crate::cli) fn events(events: &[EventView], style: Style) -> String {
    let mut table = style.table(&["SEQ", "WHEN", "FROM", "KIND", "CUSTOMER", "FLAG", "WHAT"]);
    for event in events {
        table.add_row([
            Cell::new(event.seq),
            Cell::new(when(event)),
            Cell::new(from(event)),
            kind(event),
            Cell::new(customer(event).unwrap_or_default()),
            Cell::new(event.flag.map(|flag| flag.to_string()).unwrap_or_default()),
            Cell::new(what(&event.kind, &event.detail)),
        ]);
    }
    table.to_string()
}

/// One line.
pub(in crate::cli) fn event(event: &EventView, style: Style) -> String {
    let mut table = style.table(&[]);
    let about = customer(event).unwrap_or_default();
    table.add_row([
        Cell::new(when(event)),
        Cell::new(from(event)),
        kind(event),
        Cell::new(about),
        Cell::new(what(&event.kind, &event.detail)),
    ]);
    // The header is an empty line.
    table.to_string().trim().to_owned()
}

/// What relays saw of a customer, on one line.
pub(in crate::cli) fn seen(seen: &SeenView) -> String {
    let counts = |counts: &CountsView| {
        format!(
            "{} messages, {} refused, {} spam",
            counts.messages, counts.refused, counts.spam
        )
    };
    format!(
        "last hour: {}; last 24 h: {}",
        counts(&seen.hour),
        counts(&seen.day)
    )
}

fn when(event: &EventView) -> String {
    let local = local(event.at);
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn from(event: &EventView) -> String {
    event
        .relay
        .as_deref()
        .map_or_else(|| String::from("outgated"), clean)
}

/// An address by itself, a prefix with its length.
fn customer(event: &EventView) -> Option<String> {
    let prefix = event.customer?;
    let hosts = if prefix.is_ipv4() { 32 } else { 128 };
    Some(if prefix.prefix() == hosts {
        prefix.ip().to_string()
    } else {
        prefix.to_string()
    })
}

fn kind(event: &EventView) -> Cell {
    let cell = Cell::new(&event.kind);
    match event.kind.as_str() {
        "verdict" | "limit_hit" | "relay_down" | "failure_policy" | "scanner_down" | "lost" => {
            cell.fg(Color::Yellow)
        }
        "disk_failed" | "map_pressure" => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        "relay_up" | "scanner_back" | "disk_back" | "failure_policy_over" | "map_pressure_over" => {
            cell.fg(Color::Green)
        }
        "rates" => cell.fg(Color::DarkGrey),
        _ => cell,
    }
}

/// The weightiest of what it says: of a verdict what became of the message and why, of anything else all of it.
fn what(kind: &str, detail: &Value) -> String {
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    if kind == "verdict"
        && let (Some(verdict), Some(id)) = (text("verdict"), text("id"))
    {
        let reasons = detail.get("reasons").and_then(Value::as_array);
        let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
        let why = text("concern").into_iter().chain(reasons);
        let why: Vec<_> = why.map(clean).collect();
        return format!("{}, {} (id {})", clean(verdict), why.join("; "), clean(id));
    }
    let Some(fields) = detail.as_object() else {
        return String::new();
    };
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(name, value)| match value {
        Value::String(text) => format!("{}={}", clean(name), clean(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            format!("{}={}", clean(name), clean(&value.to_string()))
        }
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// Part of the texts is chosen by who writes messages, and terminals obey control characters.
pub(in crate::cli) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::policy::dial::FlagId;

    fn view(kind: &str, detail: Value) -> EventView {
        EventView {
            seq: 7,
            at: Timestamp::UNIX_EPOCH,
            relay: Some(String::from("relay-1")),
            kind: kind.to_owned(),
            customer: Some("2001:db8:a:a::/64".parse().unwrap()),
            flag: Some(FlagId(3)),
            detail,
        }
    }

    #[test]
    fn a_verdict_says_what_became_of_the_message_and_why() {
        let detail = json!({ "id": "a1", "verdict": "kept", "concern": "spam", "reasons": ["GTUBE"], "octets": 1 });
        let style = Style {
            colour: false,
            now: Timestamp::UNIX_EPOCH,
        };
        let line = event(&view("verdict", detail), style);
        assert!(
            line.contains("2001:db8:a:a::/64") && line.contains("relay-1"),
            "{line}"
        );
        assert!(line.ends_with("kept, spam; GTUBE (id a1)"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        let table = events(&[view("lost", json!({ "events": 4 }))], style);
        assert!(table.trim_end().ends_with("events=4"), "{table}");
    }

    #[test]
    fn a_terminal_is_told_nothing_by_who_writes_messages() {
        let hostile = "\u{1b}[2Jx\r\ny\u{9b}";
        for detail in [
            json!({ "id": hostile, "verdict": hostile, "concern": hostile, "reasons": [hostile] }),
            json!({ hostile: hostile }),
            json!({ "x": [hostile] }),
        ] {
            let said = what("verdict", &detail);
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }
}
