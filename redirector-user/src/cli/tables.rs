//! Answers for people. Pure: text in, text out; colour only where [`Style`] allows it.

mod events;
mod status;
mod style;
mod terms;

use std::collections::BTreeMap;

use comfy_table::{Cell, Color};

pub(super) use self::{
    events::{clean, event, events},
    status::{acknowledged, listeners, mode, relay_state, status},
    style::{Style, local, rough},
    terms::{all_the_same, changes, exemption, exemptions},
};
use crate::{
    api::view::{
        AssignmentView, FlagState, FlagView, ListingView, ProbationView, ThenView, WhyView,
    },
    doctor::{Finding, Level},
    policy::tenant::CustomerId,
};

/// Each finding on a line, what to do under it; how many of each at the end.
pub(super) fn findings(findings: &[Finding], style: Style) -> String {
    let mut table = style.table(&["", "ABOUT", "FOUND"]);
    let mut count = BTreeMap::new();
    for finding in findings {
        let (word, colour) = match finding.level {
            Level::Good => ("ok", Color::Green),
            Level::Warning => ("warning", Color::Yellow),
            Level::Fault => ("FAULT", Color::Red),
        };
        *count.entry(finding.level).or_insert(0_usize) += 1;
        let found = match &finding.remedy {
            Some(remedy) => format!("{}\n-> {remedy}", finding.found),
            None => finding.found.clone(),
        };
        table.add_row([
            Cell::new(word).fg(colour),
            Cell::new(&finding.about),
            Cell::new(found),
        ]);
    }
    let of = |level| count.get(&level).copied().unwrap_or_default();
    let (faults, warnings) = (of(Level::Fault), of(Level::Warning));
    format!("{table}\n\n{faults} faults, {warnings} warnings")
}

pub(super) fn flags(flags: &[FlagView], style: Style) -> String {
    let mut table = style.table(&[
        "ID", "PREFIX", "CUSTOMER", "ACTION", "STATE", "EXPIRES", "ACTOR", "REASON",
    ]);
    for flag in flags {
        table.add_row([
            Cell::new(flag.id),
            Cell::new(flag.prefix),
            Cell::new(customer(flag).unwrap_or_default()),
            Cell::new(action(flag)),
            flag_state(flag.state),
            Cell::new(terms::ends(flag, style)),
            Cell::new(&flag.actor),
            Cell::new(&flag.reason),
        ]);
    }
    table.to_string()
}

pub(super) fn flag(flag: &FlagView, style: Style) -> String {
    let mut table = style.table(&["FLAG", &flag.id.to_string()]);
    let mut row = |name: &str, value: String| {
        table.add_row([name, &value]);
    };
    row("prefix", flag.prefix.to_string());
    row("action", action(flag));
    if let Some(customer) = customer(flag) {
        row("customer", customer.to_owned());
    }
    if let Some(origin) = &flag.origin {
        row("origin", origin.clone());
    }
    if let (Some(treatment), Some(egress)) = (flag.treatment, flag.egress) {
        row("treatment", treatment.name().to_owned());
        row("egress", egress.name().to_owned());
        row(
            "delivery",
            flag.delivery.unwrap_or_default().name().to_owned(),
        );
        if let Some(tier) = flag.tier {
            row("tier", tier.name().to_owned());
        }
        if let Some(limits) = &flag.limits {
            row("limits", limits.to_string());
        }
        if flag.confirmed == Some(true) {
            row("confirmed", String::from("yes: TLS is never spliced"));
        }
    }
    row("state", state_in_words(flag));
    if let Some(seen) = &flag.seen {
        row("relays saw", events::seen(seen));
    }
    row("reason", flag.reason.clone());
    row("actor", flag.actor.clone());
    row(
        "ticket",
        flag.ticket.clone().unwrap_or_else(|| String::from("none")),
    );
    row("created", style.time(flag.created_at));
    row("expires", terms::term(flag, style));
    if let Some(why) = &flag.despite_exemption {
        row("despite exemption", why.clone());
    }
    for spared in &flag.spared {
        row("stays free", format!("{}: {}", spared.prefix, spared.why));
    }
    row("generation", flag.generation.0.to_string());
    if let Some(cause) = &flag.cause {
        row("because", cause.in_words());
    }
    if let Some(probation) = &flag.probation {
        row("probation", on_probation(probation, style));
    }
    if let (Some(at), Some(by), Some(reason)) = (flag.ended_at, &flag.ended_by, &flag.ended_reason)
    {
        row("ended", format!("{} by {by}: {reason}", style.time(at)));
    }
    let mut history = style.table(&["WHEN", "WHO", "WHAT", "DETAIL"]);
    for event in &flag.history {
        history.add_row([
            &style.time(event.at),
            &event.actor,
            &event.event,
            &terms::detail(event),
        ]);
    }
    format!("{table}\n\n{history}")
}

/// Until when, by whom and why.
pub(super) fn on_probation(probation: &ProbationView, style: Style) -> String {
    let whose = match &probation.rule {
        Some(rule) => format!("limits of rule {rule}"),
        None => String::from("limits of all rules"),
    };
    format!(
        "until {}: {whose} times {} once it is not flagged; by {}: {}",
        style.time(probation.until),
        probation.factor,
        probation.by,
        probation.why
    )
}

pub(super) fn added(flag: &FlagView, style: Style) -> String {
    let replaced = flag
        .replaces
        .map(|id| format!("; replaces flag {id}"))
        .unwrap_or_default();
    format!(
        "flag {} on {}: {}, {}, until {}{replaced}{}",
        flag.id,
        flag.prefix,
        action(flag),
        state_in_words(flag),
        terms::term(flag, style),
        terms::stays_free(flag)
    )
}

pub(super) fn why(why: &WhyView, style: Style) -> String {
    let mut table = style.table(&["VERDICT", "RULE", "FLAG", "ACTION", "RELAY", "COUNTER"]);
    let none = || String::from("none");
    let judgement = &why.judgement;
    table.add_row([
        judgement.verdict.clone(),
        judgement.rule.map_or_else(none, |rule| rule.to_string()),
        judgement.flag_id.map_or_else(none, |id| id.to_string()),
        judgement.action.clone().unwrap_or_else(none),
        why.relay_name.clone().unwrap_or_else(none),
        judgement.counter.clone(),
    ]);
    let whose = whose(why.assignment.as_ref(), style);
    let listed = why.listings.iter().map(|listing| {
        let ListingView {
            address,
            zone,
            first_at,
            id,
            ..
        } = listing;
        let since = style.time(*first_at);
        format!(
            "\n{zone} has named {address} since {since}; `outgate listing show {}`",
            id.0
        )
    });
    let listed: String = listed.collect();
    let now = format!("{}{whose}{listed}\n\n{table}", why.explanation);
    if why.past.is_empty() {
        return now;
    }
    format!("{now}\n\nended before:\n{}", flags(&why.past, style))
}

pub(super) fn then(then: &ThenView, style: Style) -> String {
    let said = format!(
        "{}{}",
        then.explanation,
        whose(then.assignment.as_ref(), style)
    );
    let in_force: Vec<FlagView> = then.flag.iter().chain(&then.behind).cloned().collect();
    if in_force.is_empty() {
        return said;
    }
    format!("{said}\n\n{}", flags(&in_force, style))
}

/// A line about whose an address is or was.
fn whose(assignment: Option<&AssignmentView>, style: Style) -> String {
    let Some(assignment) = assignment else {
        return String::new();
    };
    let AssignmentView {
        prefix,
        customer,
        from,
        to,
        ..
    } = assignment;
    let until = to.map(|to| format!(" until {}", style.time(to)));
    format!(
        "\n{prefix} is customer {customer}'s, since {}{}",
        style.time(*from),
        until.unwrap_or_default()
    )
}

pub(super) fn counters(counters: &BTreeMap<String, u64>, style: Style) -> String {
    let mut table = style.table(&["COUNTER", "VALUE"]);
    for (name, value) in counters {
        table.add_row([name, &value.to_string()]);
    }
    table.to_string()
}

fn customer(flag: &FlagView) -> Option<&str> {
    flag.customer.as_ref().map(CustomerId::as_str)
}

fn flag_state(state: FlagState) -> Cell {
    match state {
        FlagState::Active => Cell::new("active").fg(Color::Green),
        FlagState::Pending => Cell::new("pending").fg(Color::Yellow),
        FlagState::Ended => Cell::new("ended").fg(Color::DarkGrey),
    }
}

fn state_in_words(flag: &FlagView) -> String {
    match flag.state {
        FlagState::Active if flag.pool.is_some() && flag.serving.is_empty() => {
            let policy = "its connections fall under the pool's on_failure; see `outgate status`";
            format!("active (no relay of the pool takes connections: {policy})")
        }
        FlagState::Active => String::from("active"),
        FlagState::Ended => String::from("ended"),
        FlagState::Pending if flag.awaiting.is_empty() => {
            String::from("pending (stored; the kernel does not have it yet, see outgated's log)")
        }
        FlagState::Pending => {
            let relays = flag.awaiting.join(", ");
            format!(
                "pending (stored; not acknowledged by {relays}; comes into force as soon as it is)"
            )
        }
    }
}

fn action(flag: &FlagView) -> String {
    match (&flag.pool, &flag.rate) {
        (Some(pool), _) => format!("{} to {pool}", flag.action),
        (None, Some(rate)) => {
            let burst = flag.burst.unwrap_or_default();
            format!("{} to {rate}, burst {burst}", flag.action)
        }
        (None, None) => flag.action.clone(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn colour_only_where_it_is_welcome() {
        let table = |colour| {
            let style = Style {
                colour,
                now: Timestamp::UNIX_EPOCH,
            };
            let mut table = style.table(&["STATE"]);
            table.add_row([flag_state(FlagState::Active)]);
            table.to_string()
        };
        assert!(table(true).contains('\u{1b}'));
        assert!(!table(false).contains('\u{1b}'));
    }
}
