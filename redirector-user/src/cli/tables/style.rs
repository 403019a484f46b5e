//! How answers look: colour, tables, times.

use std::{env, fs, io::IsTerminal as _, sync::LazyLock};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

/// Whether colour is welcome, and what time it is.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Style {
    pub(super) colour: bool,
    pub(super) now: Timestamp,
}

impl Style {
    /// Colour on a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
    pub(in crate::cli) fn of_stdout() -> Self {
        let unwelcome = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: std::io::stdout().is_terminal() && !unwelcome,
            now: Timestamp::now(),
        }
    }

    /// A line in a colour of ECMA-48, where colour is welcome.
    pub(in crate::cli) fn painted(self, line: &str, colour: &str) -> String {
        match self.colour {
            true => format!("\u{1b}[{colour}m{line}\u{1b}[0m"),
            false => line.to_owned(),
        }
    }

    pub(in crate::cli) fn table(self, header: &[&str]) -> Table {
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
    pub(in crate::cli) fn time(self, at: Timestamp) -> String {
        let local = local(at).strftime("%Y-%m-%d %H:%M:%S %:z");
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

/// The time where the reader is.
pub(in crate::cli) fn local(at: Timestamp) -> Zoned {
    static HERE: LazyLock<TimeZone> = LazyLock::new(here);
    at.to_zoned(HERE.clone())
}

/// The host's time zone, by its rules alone. To know its name, too, jiff lists all zones that there are, which takes a third of
/// the time of a command that flags somebody.
fn here() -> TimeZone {
    let asked = env::var_os("TZ").is_some();
    let rules = fs::read("/etc/localtime").ok().filter(|_| !asked);
    let zone = rules.and_then(|rules| TimeZone::tzif("", &rules).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// The two largest units that are not zero: enough to judge by.
pub(in crate::cli) fn rough(duration: SignedDuration) -> String {
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
}
