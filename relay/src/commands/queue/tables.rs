//! Answers for people.

use std::io::IsTerminal;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use relay::queue::admin::shapes::{Done, JobShown, MessageShown, StatsShown, Verb};

use super::now_ms;

pub(super) fn jobs(jobs: &[JobShown]) -> String {
    let now = now_ms().unwrap_or(0);
    let head = [
        "ID", "AGE", "OCTETS", "CUSTOMER", "FROM", "TO", "RCPTS", "STATE", "NEXT", "SITE", "REASON",
    ];
    let rows = jobs.iter().map(|job| {
        let next = match job.state.as_str() {
            "scheduled" => format!("in {}", rough(job.due_ms.saturating_sub(now) / 1000)),
            _ => "-".into(),
        };
        [
            job.id.clone(),
            rough(now.saturating_sub(job.arrived_ms) / 1000),
            job.octets.to_string(),
            job.customer
                .map_or_else(|| "-".into(), |address| address.to_string()),
            shown_sender(&job.sender),
            job.domain.clone(),
            job.recipients.to_string(),
            job.state.clone(),
            next,
            job.site.clone().unwrap_or_else(|| "-".into()),
            printable(job.reason.as_deref().unwrap_or("-")),
        ]
    });
    columns(head, &rows.collect::<Vec<_>>(), 7)
}

pub(super) fn message(message: &MessageShown) -> String {
    let MessageShown {
        id,
        from,
        ehlo,
        original_dst,
        flag_id,
        user,
        until_ms,
        jobs,
    } = message;
    let mut lines = vec![
        format!("id            {id}"),
        format!("from          {from}"),
    ];
    if let Some(job) = jobs.first().map(|it| &it.job) {
        let customer = job
            .customer
            .map_or_else(|| "the relay".into(), |it| it.to_string());
        lines.push(format!("customer      {customer}"));
        lines.push(format!("octets        {}", job.octets));
        lines.push(format!("egress        {}", job.egress));
        lines.push(format!("arrived       {}", time(job.arrived_ms)));
    }
    lines.push(format!("tried until   {}", time(*until_ms)));
    let optional = [
        ("ehlo", ehlo.clone()),
        ("was going to", original_dst.clone()),
        ("flag", flag_id.map(|id| id.to_string())),
        ("submitted by", user.clone()),
    ];
    for (name, value) in optional {
        lines.extend(value.map(|value| format!("{name:13} {value}")));
    }
    for addressed in jobs {
        let job = &addressed.job;
        lines.push(String::new());
        lines.push(format!("to            {}", addressed.to.join(", ")));
        lines.push(format!(
            "state         {}",
            paint_state(&job.state, &job.state)
        ));
        lines.push(format!("due           {}", time(job.due_ms)));
        if let Some(site) = &job.site {
            lines.push(format!("site          {site}"));
        }
        if let Some(reason) = &job.reason {
            lines.push(format!("reason        {}", printable(reason)));
        }
    }
    lines.join("\n")
}

pub(super) fn stats(stats: &StatsShown) -> String {
    let rows = [
        ("scheduled", stats.scheduled.to_string()),
        ("waiting", stats.waiting.to_string()),
        ("ready", stats.ready.to_string()),
        ("in flight", stats.in_flight.to_string()),
        ("held", stats.held.to_string()),
        ("connections", stats.connections.to_string()),
        ("dead sites", stats.dead_sites.to_string()),
        ("oldest", rough(stats.oldest_age_seconds)),
        ("delivered", stats.delivered.to_string()),
        ("failed", stats.failed.to_string()),
        ("expired", stats.expired.to_string()),
        ("deferred", stats.deferred.to_string()),
    ];
    let mut lines: Vec<String> = rows
        .map(|(name, value)| format!("{name:12} {value}"))
        .into();
    lines.extend(
        stats
            .paused
            .iter()
            .map(|paused| format!("paused       {paused}")),
    );
    lines.join("\n")
}

pub(super) fn done(verb: Verb, dry_run: bool, done: &Done) -> String {
    if done.matched == 0 {
        return "nothing in the queue matches".into();
    }
    let participle = match verb {
        Verb::Flush => "to be tried now",
        Verb::Hold => "held",
        Verb::Release => "released",
        Verb::Delete => "deleted",
        Verb::Requeue => "requeued",
    };
    let would = if dry_run { "would be " } else { "" };
    let mut said = format!(
        "{} match, {} {would}{participle}",
        done.matched, done.changed
    );
    if done.in_flight > 0 {
        said += &format!(", {} in flight: when they come back", done.in_flight);
    }
    if done.failed > 0 {
        said += &format!(", {} not: see the relay's log", done.failed);
    }
    said
}

fn shown_sender(sender: &str) -> String {
    match sender {
        "" => "<>".into(),
        domain => domain.to_owned(),
    }
}

/// What a server said may hold anything; a terminal obeys some of that.
pub(in crate::commands) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn time(ms: u64) -> String {
    let timestamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(
        || "never".into(),
        |at| {
            let local = at.to_zoned(TimeZone::system());
            local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        },
    )
}

/// The largest unit that is not zero, and the next.
fn rough(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Columns as wide as their widest entry; the last is not padded. The one at `state` is coloured on a terminal.
pub(in crate::commands) fn columns<const N: usize>(
    head: [&str; N],
    rows: &[[String; N]],
    state: usize,
) -> String {
    let width = |column: usize| {
        let entries = rows.iter().filter_map(|row| row.get(column));
        let widest = entries
            .map(|entry| entry.chars().count())
            .max()
            .unwrap_or(0);
        widest.max(head.get(column).map_or(0, |name| name.len()))
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |entries: &[String; N]| {
        let entries = entries.iter().zip(&widths).enumerate();
        let entries = entries.map(|(column, (entry, width))| {
            let padded = if column + 1 == N {
                entry.clone()
            } else {
                format!("{entry:width$}")
            };
            match column == state {
                true => paint_state(entry, &padded),
                false => padded,
            }
        });
        entries.collect::<Vec<_>>().join("  ")
    };
    let head = line(&head.map(str::to_owned));
    let head = if has_colour() {
        format!("\x1b[1m{head}\x1b[0m")
    } else {
        head
    };
    let lines = std::iter::once(head).chain(rows.iter().map(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn paint_state(state: &str, text: &str) -> String {
    let colour = match state {
        "held" => "31",
        "waiting" | "ready" => "33",
        "in-flight" => "32",
        _ => return text.to_owned(),
    };
    if !has_colour() {
        return text.to_owned();
    }
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// Colour on a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
fn has_colour() -> bool {
    let unwelcome = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwelcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_entry() {
        let rows = [
            ["a".to_owned(), "longer".into(), "x".into()],
            ["bbbb".to_owned(), "é".into(), "y z".into()],
        ];
        let text = columns(["ID", "TO", "REASON"], &rows, 1);
        assert_eq!(
            text,
            "ID    TO      REASON\na     longer  x\nbbbb  é       y z"
        );
    }

    #[test]
    fn ages_have_their_two_largest_units() {
        for (seconds, text) in [
            (5, "5 s"),
            (300, "5 min"),
            (7500, "2 h 5 min"),
            (180_000, "2 d 2 h"),
        ] {
            assert_eq!(rough(seconds), text);
        }
    }

    #[test]
    fn what_a_server_said_cannot_steer_a_terminal() {
        assert_eq!(
            printable("450 \x1b[2Jno\nmore\u{9b}5m"),
            "450  [2Jno more 5m"
        );
    }
}
