//! Answers about rules, for people.

use comfy_table::{Cell, CellAlignment, Color};

use super::super::tables::Style;
use crate::{
    api::view::{ReallyView, ReplayView, RulesView},
    policy::rules::Trial,
    store::firings::{Came, Fired},
};

pub(super) fn rules(view: &RulesView, style: Style) -> String {
    let mut text = match &view.file {
        None => {
            String::from("`rules` in outgated.toml names no file, so nothing is done by itself")
        }
        Some(file) if view.rules.is_empty() => format!("{} has no rule", file.display()),
        Some(_) => {
            let mut table = style.table(&[
                "RULE",
                "WHEN",
                "WINDOW",
                "FOR",
                "THEN",
                "FLAGS",
                "DONE",
                "WOULD HAVE",
                "HELD BACK",
            ]);
            for rule in &view.rules {
                let number = |count: u64| Cell::new(count).set_alignment(CellAlignment::Right);
                table.add_row([
                    Cell::new(&rule.name),
                    Cell::new(&rule.when),
                    Cell::new(&rule.window),
                    Cell::new(&rule.held_for),
                    Cell::new(&rule.then),
                    number(rule.flags as u64),
                    number(rule.done),
                    number(rule.would_have),
                    number(rule.held_back),
                ]);
            }
            let (per_minute, share) = (view.per_minute, view.share_of_prefix);
            let per_minute = per_minute.map(|most| format!("{most} new flags a minute"));
            let share = share.map(|share| format!("{} % of a customer prefix", 100.0 * share));
            let caps: Vec<String> = per_minute.into_iter().chain(share).collect();
            format!("{table}\n\nat most {} by all rules", caps.join(" and "))
        }
    };
    if let Some(frozen) = &view.frozen {
        let since = style.time(frozen.since);
        text = format!(
            "FROZEN since {since} by {}: {}\n\n{text}",
            frozen.by, frozen.reason
        );
    }
    if !view.probation.is_empty() {
        let mut table = style.table(&["ON PROBATION", "UNTIL", "RULE", "LIMITS", "LIFTS", "WHY"]);
        for one in &view.probation {
            table.add_row([
                one.customer.to_string(),
                style.time(one.until),
                one.rule.clone().unwrap_or_else(|| String::from("all")),
                format!("times {}", one.factor),
                one.lifts.to_string(),
                format!("flag {}, {}: {}", one.flag, one.by, one.why),
            ]);
        }
        text.push_str(&format!("\n\n{table}"));
    }
    let kept = &view.statistics;
    if let Some(since) = kept.since {
        text.push_str(&format!(
            "\n\nfigures of {} turns kept since {}, {} octets",
            kept.rotations,
            style.time(since),
            kept.octets
        ));
    }
    text
}

pub(super) fn log(fired: &[Fired], style: Style) -> String {
    if fired.is_empty() {
        return String::from("no rule has wanted anything yet");
    }
    let mut table = style.table(&["WHEN", "CUSTOMER", "RULE", "DIAL", "CAME OF IT", "BECAUSE"]);
    for one in fired {
        let came = match one.outcome {
            Came::Done => Cell::new(match one.detail.flag {
                Some(flag) => format!("done, flag {flag}"),
                None => String::from("done"),
            }),
            Came::WouldHave => Cell::new("would have, but frozen").fg(Color::Yellow),
            Came::HeldBack => {
                let by = one.detail.held_back_by.as_deref().unwrap_or_default();
                Cell::new(format!("held back: {by}")).fg(Color::Yellow)
            }
        };
        table.add_row([
            Cell::new(style.time(one.at)),
            Cell::new(one.customer),
            Cell::new(&one.rule),
            Cell::new(&one.detail.dial),
            came,
            Cell::new(one.detail.cause.in_words()),
        ]);
    }
    table.to_string()
}

pub(super) fn trials(trials: &[Trial], style: Style) -> String {
    let mut table = style.table(&["RULE", "HOLDS", "THEN", "BECAUSE"]);
    for trial in trials {
        table.add_row([
            trial.rule.as_str(),
            if trial.holds { "yes" } else { "no" },
            &trial.then,
            &trial.because,
        ]);
    }
    match trials.is_empty() {
        true => String::from("the file has no rule"),
        false => table.to_string(),
    }
}

pub(super) fn replay(view: &ReplayView, style: Style) -> String {
    let mut table = style.table(&["WHEN", "CUSTOMER", "RULE", "DIAL", "BECAUSE", "REALLY"]);
    for one in &view.would {
        let dial = match &one.held_back_by {
            Some(by) => format!("{}, held back: {by}", one.dial),
            None => one.dial.clone(),
        };
        let real: Vec<String> = one.really.iter().map(really).collect();
        let real = match real.is_empty() {
            true => String::from("not flagged"),
            false => real.join("; "),
        };
        table.add_row([
            style.time(one.at),
            one.customer.to_string(),
            one.rule.clone(),
            dial,
            one.because.clone(),
            real,
        ]);
    }
    let mut text = match view.would.is_empty() {
        true => format!("nobody would have been flagged in {} turns", view.rotations),
        false => format!(
            "{table}\n\n{} times in {} turns, {} of them held back",
            view.would.len(),
            view.rotations,
            view.held_back
        ),
    };
    if !view.really_only.is_empty() {
        let flags: Vec<String> = view
            .really_only
            .iter()
            .map(|flag| format!("{} by {}", flag.prefix, really(flag)))
            .collect();
        text.push_str(&format!(
            "\n\nreally flagged by rules, and not by these: {}",
            flags.join("; ")
        ));
    }
    text
}

fn really(flag: &ReallyView) -> String {
    format!("flag {} ({}, {})", flag.flag, flag.dial, flag.actor)
}
