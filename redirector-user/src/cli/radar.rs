//! `outgate radar`: who sends how, for people and for programs.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Color};

use super::{CliError, Outcome, commands::Teller, tables::Style};
use crate::{
    client::{Client, with_query},
    radar::view::{FiguresView, RadarView, SourceView},
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct RadarArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<RadarCommand>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Sources at most, the highest scores first
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// How far to look back, 1s to 2h
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    window: String,
}

#[derive(Debug, Subcommand)]
enum RadarCommand {
    /// Show one source, why it has its score, and its course
    #[command(after_help = "Example:\n  outgate radar show 192.0.2.10 --window 1h")]
    Show {
        /// Its address; an IPv6 address stands for its /64
        source: IpAddr,
        /// How far to look back, 1s to 2h
        #[arg(long, default_value = "10m", value_name = "DURATION")]
        window: String,
    },
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    arguments: RadarArgs,
) -> Result<Outcome, CliError> {
    match arguments.command {
        None => {
            let ListArgs { limit, window } = arguments.list;
            let limit = limit.to_string();
            let query = [("limit", limit.as_str()), ("window", &window)];
            let view: RadarView = client.get(&with_query("/v1/radar", &query)).await?;
            teller.tell(&view, list)
        }
        Some(RadarCommand::Show { source, window }) => {
            let path = format!("/v1/radar/{source}");
            let path = with_query(&path, &[("window", &window)]);
            let view: SourceView = client.get(&path).await?;
            teller.tell(&view, show)
        }
    }
}

fn list(view: &RadarView, style: Style) -> String {
    if !view.enabled {
        return String::from(
            "the radar is off; `enabled = true` in [radar] of outgated.toml switches it on",
        );
    }
    if view.windows == 0 {
        return String::from(
            "no window has ended in that time yet; ask again, or look further back",
        );
    }
    if view.sources.is_empty() {
        return format!(
            "no customer has sent to port 25 in the {} windows looked at",
            view.windows
        );
    }
    let mut table = style.table(&[
        "SOURCE", "SCORE", "NETWORKS", "SYNS", "OUT", "IN", "RESET", "SHORT", "WHY",
    ]);
    for source in &view.sources {
        let figures = &source.figures;
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(source.source),
            score(source.score),
            number(figures.destinations.to_string()),
            number(figures.syns.to_string()),
            number(octets(figures.octets_out)),
            number(octets(figures.octets_in)),
            number(share(figures.reset, figures.ended)),
            number(share(figures.short, figures.ended)),
            Cell::new(why(source)),
        ]);
    }
    let unlisted = match view.seen.saturating_sub(view.sources.len()) {
        0 => String::new(),
        more => format!("; {more} more sources below, see --limit"),
    };
    format!(
        "{table}\n\n{} over {} windows{unlisted}",
        crate::radar::score::in_words(std::time::Duration::from_secs_f64(view.span_s.max(0.0))),
        view.windows
    )
}

fn show(view: &SourceView, style: Style) -> String {
    let mut reasons = style.table(&["POINTS", "WHY"]);
    for component in &view.components {
        let points = format!("{:.0}", component.points);
        reasons.add_row([
            Cell::new(points).set_alignment(CellAlignment::Right),
            Cell::new(&component.text),
        ]);
    }
    let mut course = style.table(&[
        "WINDOW",
        "NETWORKS",
        "SYNS",
        "PACKETS OUT",
        "OUT",
        "PACKETS IN",
        "IN",
        "ENDED",
        "RESET",
        "SHORT",
    ]);
    let mut row = |name: String, figures: &FiguresView| {
        let numbers = [
            figures.destinations.to_string(),
            figures.syns.to_string(),
            figures.packets_out.to_string(),
            octets(figures.octets_out),
            figures.packets_in.to_string(),
            octets(figures.octets_in),
            figures.ended.to_string(),
            figures.reset.to_string(),
            figures.short.to_string(),
        ];
        let numbers = numbers.map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        course.add_row([Cell::new(name)].into_iter().chain(numbers));
    };
    for window in &view.course {
        row(style.time(window.from), &window.figures);
    }
    row(String::from("all"), &view.figures);
    let mut head = style.table(&["SOURCE", "SCORE"]);
    head.add_row([Cell::new(view.source), score(view.score)]);
    let exempt = view.exempt.as_deref();
    let exempt = exempt.map(|exempt| format!("\n{exempt}"));
    format!(
        "{head}{}\n\n{reasons}\n\n{course}",
        exempt.unwrap_or_default()
    )
}

/// The reason that weighs most, behind the word that nobody flags it for that.
fn why(source: &SourceView) -> String {
    let exempt = source.exempt.is_some().then_some("exempt; ");
    format!("{}{}", exempt.unwrap_or_default(), worst(source))
}

/// The reason that weighs most.
fn worst(source: &SourceView) -> &str {
    let worst = source
        .components
        .iter()
        .max_by(|one, other| one.points.total_cmp(&other.points));
    worst.map_or("", |component| component.text.as_str())
}

fn score(score: f64) -> Cell {
    let cell = Cell::new(format!("{score:.0}")).set_alignment(CellAlignment::Right);
    if score >= 100.0 {
        cell.fg(Color::Red)
    } else if score >= 50.0 {
        cell.fg(Color::Yellow)
    } else {
        cell.fg(Color::Green)
    }
}

fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => String::from("-"),
        _ => format!("{:.0} %", 100.0 * part as f64 / whole as f64),
    }
}

/// As `812`, `1.5 k`, `20.0 M`.
pub(super) fn octets(count: u64) -> String {
    let mut value = count as f64;
    let mut units = ["", " k", " M", " G", " T"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1000.0 {
        let Some(next) = units.next() else {
            break;
        };
        (value, unit) = (value / 1000.0, next);
    }
    match unit {
        "" => count.to_string(),
        _ => format!("{value:.1}{unit}"),
    }
}

const EXAMPLES: &str = "Examples:
  outgate radar
  outgate radar --window 1h --limit 50
  outgate radar show 192.0.2.10

Counts port 25 of every customer, flagged or not, in windows of fixed length; the running window is not
shown. A score of 100 is a source that is at every limit; it is a reason to look, not a verdict.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_short_enough_to_compare() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0 k"),
            (1_540_000, "1.5 M"),
            (u64::MAX, "18446744.1 T"),
        ];
        for (count, expected) in cases {
            assert_eq!(octets(count), expected);
        }
    }

    #[test]
    fn shares_of_nothing_are_no_shares() {
        assert_eq!(share(0, 0), "-");
        assert_eq!(share(2, 3), "67 %");
    }
}
