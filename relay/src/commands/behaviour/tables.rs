//! Answers for people.

use jiff::Timestamp;
use relay::behaviour::locks::Lock;
use relay::behaviour::shapes::{CustomerShown, HourShown};

use crate::commands::queue::tables::{columns, printable};

pub(super) fn busiest(shown: &[HourShown]) -> String {
    if shown.is_empty() {
        return "no customer did anything in the last hour".into();
    }
    let head = [
        "CUSTOMER", "CONNS", "MESSAGES", "RCPTS", "OCTETS", "UNKNOWN", "REFUSED", "SPAM", "LIMITED",
    ];
    let rows = shown.iter().map(|hour| {
        [
            hour.customer.clone(),
            hour.connections.to_string(),
            hour.messages.to_string(),
            hour.recipients.to_string(),
            hour.octets.to_string(),
            percent(hour.unknown_share),
            percent(hour.refused_share),
            hour.spam.to_string(),
            hour.limited.to_string(),
        ]
    });
    columns(head, &rows.collect::<Vec<_>>(), NO_STATE)
}

pub(super) fn customer(shown: &CustomerShown) -> String {
    let hour = &shown.hour;
    let mut lines = vec![
        format!("customer             {}", hour.customer),
        "in the last hour".into(),
        format!("  connections        {}", hour.connections),
        format!("  messages           {}", hour.messages),
        format!("  recipients         {}", hour.recipients),
        format!("  octets             {}", hour.octets),
        format!("  distinct rcpts     {}", shown.distinct_recipients),
        format!("  distinct senders   {}", shown.distinct_senders),
        format!("  servers' answers   {}", hour.answers),
        format!("  unknown users      {}", percent(hour.unknown_share)),
        format!("  refused by policy  {}", percent(hour.refused_share)),
        format!("  spam               {}", hour.spam),
        format!("  beyond a limit     {}", hour.limited),
    ];
    if let Some(name) = &shown.limits_name {
        lines.push(format!("limits of its flag     {name}"));
    }
    if !shown.limits.is_empty() {
        let rows = shown.limits.iter().map(|limit| {
            [
                limit.name.clone(),
                limit.used.to_string(),
                limit.limit.to_string(),
            ]
        });
        lines.push(String::new());
        let head = ["LIMIT", "USED", "OF"];
        lines.push(columns(head, &rows.collect::<Vec<_>>(), NO_STATE));
    }
    if !shown.identities.is_empty() {
        let rows = shown.identities.iter().map(|site| {
            [
                site.identity.clone(),
                site.messages.to_string(),
                site.recipients.to_string(),
                site.octets.to_string(),
            ]
        });
        lines.push(String::new());
        let head = ["IDENTITY", "MESSAGES", "RCPTS", "OCTETS"];
        lines.push(columns(head, &rows.collect::<Vec<_>>(), NO_STATE));
    }
    lines.join("\n")
}

pub(super) fn locks(locks: &[Lock]) -> String {
    if locks.is_empty() {
        return "no identity is locked".into();
    }
    let head = ["IDENTITY", "CUSTOMER", "SINCE", "UNTIL", "REASON"];
    let rows = locks.iter().map(|lock| {
        [
            printable(&lock.identity),
            lock.customer.clone().unwrap_or_else(|| "any".into()),
            time(lock.since),
            lock.until.map_or_else(|| "unlocked".into(), time),
            printable(&lock.reason),
        ]
    });
    columns(head, &rows.collect::<Vec<_>>(), NO_STATE)
}

pub(super) fn locked(lock: &Lock) -> String {
    let of = lock.customer.as_deref();
    let of = of.map_or_else(String::new, |customer| format!(" on {customer}"));
    let until = lock
        .until
        .map_or_else(String::new, |until| format!(" until {}", time(until)));
    format!("{}{of}: locked{until}", lock.identity)
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// No column is one of states.
const NO_STATE: usize = usize::MAX;
