//! Terms of flags, their history, and exemptions, for people.

use comfy_table::{Cell, Color};
use serde_json::Value;

use super::Style;
use crate::api::view::{
    ExemptionState, ExemptionView, FlagChangeView, FlagState, FlagView, HistoryView,
};

/// When a flag ends or ended, in a list.
pub(super) fn ends(flag: &FlagView, style: Style) -> String {
    match (flag.ended_at, flag.review_at) {
        (Some(at), _) => style.time(at),
        (None, Some(at)) => format!("never; review {}", style.time(at)),
        (None, None) => style.time(flag.expires_at),
    }
}

/// Until when a flag stands, and what is to come of that.
pub(super) fn term(flag: &FlagView, style: Style) -> String {
    let by = flag.decided_by.as_deref().unwrap_or_default();
    if let Some(at) = flag.review_at {
        return format!(
            "for ever, approved by {by}; to be looked at again {}",
            style.time(at)
        );
    }
    let end = style.time(flag.expires_at);
    match flag.approval.as_deref() {
        Some("pending") if flag.state != FlagState::Ended => format!(
            "{end}; for ever once somebody other than {} approves it (`outgate flag approve {}`)",
            flag.actor, flag.id
        ),
        Some("rejected") => format!("{end}; for ever was rejected by {by}"),
        Some(_) | None => end,
    }
}

/// What is protected inside of a flag.
pub(super) fn stays_free(flag: &FlagView) -> String {
    let spared = flag.spared.iter();
    let spared = spared.map(|one| {
        format!(
            "\n{} stays free: it is protected, as {}",
            one.prefix, one.why
        )
    });
    spared.collect()
}

/// The changes of all flags of a prefix.
pub(in crate::cli) fn changes(changes: &[FlagChangeView], style: Style) -> String {
    let mut table = style.table(&["WHEN", "FLAG", "WHO", "WHAT", "DETAIL"]);
    for FlagChangeView { flag, change } in changes {
        table.add_row([
            Cell::new(style.time(change.at)),
            Cell::new(flag),
            Cell::new(&change.actor),
            Cell::new(&change.event),
            Cell::new(detail(change)),
        ]);
    }
    table.to_string()
}

/// What a row of the trail says beside who and what: the action of a new flag, new ends, and the reason.
pub(super) fn detail(change: &HistoryView) -> String {
    let text = |name: &str| change.detail.as_ref()?.get(name).and_then(Value::as_str);
    let named = |name: &str, label: &str| text(name).map(|value| format!("{label} {value}"));
    let new_end = text("expired_at_before").and_then(|_| named("expires_at", "until"));
    let new_review = text("review_at_before").and_then(|_| named("review_at", "review"));
    let parts = [
        text("action").map(str::to_owned),
        new_end,
        named("expired_at_before", "before until"),
        new_review,
        text("reason").map(str::to_owned),
        named("despite_exemption", "despite exemption:"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

pub(in crate::cli) fn exemptions(exemptions: &[ExemptionView], style: Style) -> String {
    let mut table = style.table(&[
        "ID",
        "PREFIX",
        "STATE",
        "UNTIL",
        "REFERENCE",
        "ASKED BY",
        "APPROVED BY",
        "REASON",
    ]);
    for one in exemptions {
        table.add_row([
            Cell::new(one.id),
            Cell::new(one.prefix),
            state(one.state),
            Cell::new(style.time(one.ended_at.unwrap_or(one.until))),
            Cell::new(&one.reference),
            Cell::new(&one.actor),
            Cell::new(one.approved_by.as_deref().unwrap_or("nobody yet")),
            Cell::new(&one.reason),
        ]);
    }
    table.to_string()
}

pub(in crate::cli) fn exemption(one: &ExemptionView, style: Style) -> String {
    let mut history = style.table(&["WHEN", "WHO", "WHAT", "DETAIL"]);
    for row in &one.history {
        history.add_row([&style.time(row.at), &row.actor, &row.event, &detail(row)]);
    }
    let ended = match (one.ended_at, &one.ended_by, &one.ended_reason) {
        (Some(at), Some(by), Some(reason)) => {
            format!("\n\nended {} by {by}: {reason}", style.time(at))
        }
        _ => String::new(),
    };
    let table = exemptions(std::slice::from_ref(one), style);
    format!("{table}{ended}{}\n\n{history}", all_the_same(one))
}

/// Flags that stand although their customer is exempt.
pub(in crate::cli) fn all_the_same(one: &ExemptionView) -> String {
    if one.flags.is_empty() {
        return String::new();
    }
    let flags: Vec<String> = one.flags.iter().map(ToString::to_string).collect();
    format!(
        "\nflags that stand all the same until somebody lifts them: {}",
        flags.join(", ")
    )
}

fn state(state: ExemptionState) -> Cell {
    match state {
        ExemptionState::Active => Cell::new("active").fg(Color::Green),
        ExemptionState::Pending => Cell::new("pending").fg(Color::Yellow),
        ExemptionState::Ended => Cell::new("ended").fg(Color::DarkGrey),
    }
}
