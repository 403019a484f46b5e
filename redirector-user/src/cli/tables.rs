//! Answers for people. Pure: text in, text out; colour only where [`Style`] allows it.

use std::{collections::BTreeMap, io::IsTerminal as _};

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    api::view::{
        FlagState, FlagView, MissingInterface, PoolView, RelayHealth, RelayView, StatusView,
        WhyView,
    },
    doctor::{Finding, Level},
    edge::Attachment,
};

/// Whether colour is welcome, and what time it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    colour: bool,
    now: Timestamp,
}

impl Style {
    /// Colour on a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
    pub(super) fn of_stdout() -> Self {
        let unwelcome = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: std::io::stdout().is_terminal() && !unwelcome,
            now: Timestamp::now(),
        }
    }

    pub(super) fn table(self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(header.iter().copied());
        table
    }

    /// As `2026-03-01 12:00:00 +01:00 (in 3 days)`.
    pub(super) fn time(self, at: Timestamp) -> String {
        let local = at
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S %:z")
            .to_string();
        format!("{local} ({})", self.relative(at))
    }

    fn relative(self, at: Timestamp) -> String {
        let left = at.duration_since(self.now);
        match left.is_positive() {
            true => format!("in {}", rough(left)),
            false => format!("{} ago", rough(left.abs())),
        }
    }
}

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

pub(super) fn status(status: &StatusView, style: Style) -> String {
    let mut parts = Vec::new();
    let mut interfaces = style.table(&["INTERFACE", "ROLE", "MODE", "PROGRAM"]);
    for attachment in &status.interfaces {
        let program = attachment.program_id.to_string();
        interfaces.add_row([
            &attachment.interface,
            &attachment.role,
            &mode(attachment),
            &program,
        ]);
    }
    parts.push(match status.interfaces.is_empty() {
        true => String::from(
            "no interface is attached: `outgate attach IFACE --role customer|uplink|relay`",
        ),
        false => interfaces.to_string(),
    });
    for missing in &status.missing {
        let MissingInterface {
            interface,
            role,
            reason,
        } = missing;
        parts.push(format!(
            "{interface} ({role}) has NO program, its traffic is not looked at: {reason}"
        ));
    }
    let mut relays = style.table(&[
        "POOL",
        "VIA",
        "ON FAILURE",
        "RELAY",
        "ADDRESS",
        "STATE",
        "PROBED",
        "ACKNOWLEDGED",
        "SINCE",
    ]);
    for pool in &status.pools {
        for relay in &pool.relays {
            relays.add_row([
                Cell::new(&pool.name),
                Cell::new(&pool.via),
                Cell::new(&pool.on_failure),
                Cell::new(&relay.name),
                Cell::new(listeners(relay)),
                relay_state(relay),
                Cell::new(&relay.probed),
                Cell::new(acknowledged(pool, relay)),
                Cell::new(style.time(relay.since)),
            ]);
        }
    }
    parts.push(match status.pools.is_empty() {
        true => String::from("no pool is configured, so nothing can be redirected"),
        false => relays.to_string(),
    });
    let relays = status.pools.iter().flat_map(|pool| &pool.relays);
    let troubles = relays.filter_map(|relay| {
        let trouble = relay.trouble.as_ref()?;
        Some(format!("{}: {trouble}", relay.name))
    });
    let troubles: Vec<String> = troubles.collect();
    if !troubles.is_empty() {
        parts.push(troubles.join("\n"));
    }
    let StatusView {
        generation,
        flags,
        flows,
        flows_max,
        heartbeat_age_s,
        ..
    } = status;
    parts.push(format!(
        "generation {}; flags {} active, {} pending; flows {flows} of {flows_max}; heartbeat {heartbeat_age_s} s ago",
        generation.0, flags.active, flags.pending
    ));
    parts.join("\n\n")
}

pub(super) fn flags(flags: &[FlagView], style: Style) -> String {
    let mut table = style.table(&[
        "ID", "PREFIX", "ACTION", "STATE", "EXPIRES", "ACTOR", "REASON",
    ]);
    for flag in flags {
        let ends = flag.ended_at.unwrap_or(flag.expires_at);
        table.add_row([
            Cell::new(flag.id),
            Cell::new(flag.prefix),
            Cell::new(action(flag)),
            flag_state(flag.state),
            Cell::new(style.time(ends)),
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
    if let (Some(treatment), Some(egress)) = (flag.treatment, flag.egress) {
        row("treatment", treatment.name().to_owned());
        row("egress", format!("{egress:?}").to_lowercase());
        if flag.confirmed == Some(true) {
            row("confirmed", String::from("yes: TLS is never spliced"));
        }
    }
    row("state", state_in_words(flag));
    row("reason", flag.reason.clone());
    row("actor", flag.actor.clone());
    row(
        "ticket",
        flag.ticket.clone().unwrap_or_else(|| String::from("none")),
    );
    row("created", style.time(flag.created_at));
    row("expires", style.time(flag.expires_at));
    row("generation", flag.generation.0.to_string());
    if let (Some(at), Some(by), Some(reason)) = (flag.ended_at, &flag.ended_by, &flag.ended_reason)
    {
        row("ended", format!("{} by {by}: {reason}", style.time(at)));
    }
    let mut history = style.table(&["WHEN", "WHO", "WHAT", "DETAIL"]);
    for event in &flag.history {
        let detail = event
            .detail
            .as_ref()
            .and_then(|detail| detail.get("reason")?.as_str());
        history.add_row([
            &style.time(event.at),
            &event.actor,
            &event.event,
            detail.unwrap_or_default(),
        ]);
    }
    format!("{table}\n\n{history}")
}

pub(super) fn added(flag: &FlagView, style: Style) -> String {
    let replaced = flag
        .replaces
        .map(|id| format!("; replaces flag {id}"))
        .unwrap_or_default();
    format!(
        "flag {} on {}: {}, {}, until {}{replaced}",
        flag.id,
        flag.prefix,
        action(flag),
        state_in_words(flag),
        style.time(flag.expires_at)
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
    format!("{}\n\n{table}", why.explanation)
}

pub(super) fn counters(counters: &BTreeMap<String, u64>, style: Style) -> String {
    let mut table = style.table(&["COUNTER", "VALUE"]);
    for (name, value) in counters {
        table.add_row([name, &value.to_string()]);
    }
    table.to_string()
}

/// How it is attached, and what could not be had instead.
pub(super) fn mode(attachment: &Attachment) -> String {
    let mode = attachment.mode.name();
    if attachment.refused.is_empty() {
        return mode.to_owned();
    }
    let refused = attachment.refused.iter().map(|refused| refused.mode.name());
    let refused: Vec<&str> = refused.collect();
    format!("{mode} (refused: {})", refused.join(", "))
}

/// The newest generation that a relay has, if it is told of any.
pub(super) fn acknowledged(pool: &PoolView, relay: &RelayView) -> String {
    match relay.acknowledged {
        Some(generation) => generation.0.to_string(),
        None if pool.third_party => String::from("-"),
        None => String::from("nothing"),
    }
}

pub(super) fn listeners(relay: &RelayView) -> String {
    let listener =
        |address: &std::net::IpAddr| std::net::SocketAddr::new(*address, relay.port).to_string();
    relay
        .address
        .iter()
        .map(listener)
        .collect::<Vec<_>>()
        .join(" ")
}

pub(super) fn relay_state(relay: &RelayView) -> Cell {
    match (relay.state, relay.in_rotation) {
        (RelayHealth::Up, false) if relay.drained.is_some() => {
            Cell::new("up, drained").fg(Color::Yellow)
        }
        (RelayHealth::Up, true) => Cell::new("up").fg(Color::Green),
        (RelayHealth::Up, false) => Cell::new("up, behind").fg(Color::Yellow),
        (RelayHealth::Unknown, _) => Cell::new("unknown").fg(Color::Yellow),
        (RelayHealth::Down, _) => Cell::new("down").fg(Color::Red),
    }
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

/// The two largest units that are not zero: enough to judge by.
fn rough(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units
        .iter()
        .position(|(_, size)| seconds >= *size)
        .unwrap_or(3);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, size) in units.iter().skip(first).take(2) {
        if rest >= *size || parts.is_empty() {
            parts.push(format!("{} {name}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rough_enough_to_read() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_661, "1 h 1 min"),
            (604_799, "6 d 23 h"),
            (86_430, "1 d"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(rough(SignedDuration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn times_say_both_when_and_how_far() {
        let style = Style {
            colour: false,
            now: Timestamp::UNIX_EPOCH,
        };
        let soon = style.time(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24));
        assert!(
            soon.starts_with("1970-01-0") && soon.ends_with("(in 1 d)"),
            "{soon}"
        );
        assert!(
            style
                .time(Timestamp::UNIX_EPOCH - SignedDuration::from_secs(90))
                .ends_with("(1 min 30 s ago)")
        );
    }

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
