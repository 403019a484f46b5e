//! How `outgate top` looks: a [`Model`] drawn on a frame. From 60 columns and 14 rows up; made for 80 by 24.

use jiff::SignedDuration;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table, Wrap},
};

use super::model::{Mode, Model, Snapshot, Sort};
use crate::{
    api::view::{PoolView, RelayHealth, RelayView},
    cli::{radar::octets, tables::rough},
    radar::view::SourceView,
};

/// Whether colours are welcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) colour: bool,
}

impl Palette {
    fn of(self, colour: Color) -> Style {
        match self.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, palette: Palette) {
    let area = frame.area();
    if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
        let text = format!(
            "{} x {}: too small, {LEAST_WIDTH} x {LEAST_HEIGHT} is the least; q quits",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let relays = model.last.as_ref().map_or(0, |last| relays(last).count());
    // A pool of many relays must not push the sources off the screen.
    let relays = u16::try_from(relays).unwrap_or(u16::MAX).clamp(1, 6);
    let [head, counted, pools, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(relays + 1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    // The names of the columns take one.
    model.resize(usize::from(body.height.saturating_sub(1)));
    frame.render_widget(headline(model, palette), head);
    frame.render_widget(rates(model, palette), counted);
    relay_table(frame, pools, model, palette);
    match model.mode {
        Mode::Help => frame.render_widget(Paragraph::new(HELP), body),
        Mode::Detail(_) => detail(frame, body, model, palette),
        Mode::List | Mode::Typing => sources(frame, body, model, palette),
    }
    frame.render_widget(footer(model, palette), foot);
}

fn headline(model: &Model, palette: Palette) -> Line<'static> {
    let Some(last) = &model.last else {
        return Line::from("outgate top: asking the controller");
    };
    let status = &last.status;
    let mut spans = vec![
        Span::styled("outgate", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  flags {}", status.flags.active)),
    ];
    if status.flags.pending > 0 {
        let text = format!(" +{} pending", status.flags.pending);
        spans.push(Span::styled(text, palette.of(Color::Yellow)));
    }
    let full = 5 * status.flows >= 4 * status.flows_max as usize;
    let style = match full {
        true => palette.of(Color::Red),
        false => Style::new(),
    };
    spans.push(Span::styled(
        format!("  flows {} of {}", status.flows, status.flows_max),
        style,
    ));
    if status.heartbeat_age_s > 5 {
        let text = format!("  heartbeat {} s old", status.heartbeat_age_s);
        spans.push(Span::styled(text, palette.of(Color::Red)));
    }
    if status
        .store
        .as_ref()
        .is_some_and(|it| it.away_since.is_some())
    {
        spans.push(Span::styled("  store away", palette.of(Color::Red)));
    }
    for missing in &status.missing {
        let text = format!("  {} not attached", missing.interface);
        spans.push(Span::styled(text, palette.of(Color::Red)));
    }
    if model.paused {
        spans.push(Span::styled("  PAUSED", palette.of(Color::Yellow)));
    }
    Line::from(spans)
}

/// What the kernel program does, a second: drops stand apart, because they are what hurts.
fn rates(model: &Model, palette: Palette) -> Paragraph<'static> {
    let rate = |names: &[&str]| -> f64 {
        let rates = names.iter().filter_map(|name| model.rates.get(*name));
        // Not `sum`: that of nothing is -0.
        rates.fold(0.0, |sum, rate| sum + rate)
    };
    let of = |title: &str, names: &[&str]| format!("{title} {}", brief(rate(names)));
    let first = [
        String::from("per s"),
        of("to relay", &["to_relay"]),
        of("back", &["to_customer"]),
        of("opened", &["flow_opened"]),
        of("unflagged", &["unflagged"]),
        of("refused", &["refused", "deferred"]),
    ];
    let drops = [
        String::from("drops"),
        of("dropped", &["dropped"]),
        of("limited", &["limited", "syn_limited"]),
        of(
            "no relay",
            &["failed_closed", "failed_open", "failed_refused"],
        ),
        of("spoofed", &["spoof_blocked"]),
        of("full", &["flow_table_full", "candidates_exhausted"]),
    ];
    let hurts = rate(&["flow_table_full", "candidates_exhausted", "failed_open"]) > 0.0;
    let style = match hurts {
        true => palette.of(Color::Red),
        false => Style::new(),
    };
    Paragraph::new(vec![
        Line::from(first.join("  ")),
        Line::styled(drops.join("  "), style),
    ])
}

fn relay_table(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let listed = model.last.iter().flat_map(relays);
    let rows = listed.map(|(pool, relay)| {
        let (state, colour) = match (&relay.drained, relay.state) {
            (Some(_), _) => ("drained", Color::Yellow),
            (None, RelayHealth::Up) => ("up", Color::Green),
            (None, RelayHealth::Down) => ("down", Color::Red),
            (None, RelayHealth::Unknown) => ("unknown", Color::Yellow),
        };
        Row::new([
            Cell::from(pool.name.clone()),
            Cell::from(relay.name.clone()),
            Cell::from(Span::styled(state, palette.of(colour))),
            Cell::from(if relay.in_rotation { "yes" } else { "no" }),
            Cell::from(format!("{:>5}", relay.flows)),
            Cell::from(relay.trouble.clone().unwrap_or_default()),
        ])
    });
    let widths = [
        Constraint::Length(12),
        Constraint::Length(14),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Fill(1),
    ];
    let header = ["POOL", "RELAY", "STATE", "SERVING", "FLOWS", "TROUBLE"];
    frame.render_widget(Table::new(rows, widths).header(heading(header)), area);
}

fn sources(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    if let Some(said) = nothing(model) {
        frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), area);
        return;
    }
    let span = model.last.as_ref().map_or(0.0, |last| last.radar.span_s);
    let rows = model.shown().into_iter().map(|source| {
        let figures = &source.figures;
        let action = model.flag(source.source);
        let action = action.map_or_else(|| String::from("-"), |flag| flag.action.clone());
        let row = Row::new([
            Cell::from(source.source.to_string()),
            Cell::from(format!("{:>7}", a_minute(figures.syns, span))),
            Cell::from(Span::styled(
                format!("{:>5.0}", source.score),
                palette.of(severity(source.score)),
            )),
            Cell::from(format!("{:>5}", figures.destinations)),
            Cell::from(format!("{:>7}", octets(figures.octets_out))),
            Cell::from(action),
            Cell::from(reason(source)),
        ]);
        match model.cursor == Some(source.source) {
            true => row.style(Style::new().add_modifier(Modifier::REVERSED)),
            false => row,
        }
    });
    let widths = [
        Constraint::Length(22),
        Constraint::Length(7),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Fill(1),
    ];
    let header = ["SOURCE", "SYN/MIN", "SCORE", "NETS", "OUT", "ACTION", "WHY"];
    frame.render_widget(Table::new(rows, widths).header(heading(header)), area);
}

/// Why there is no source to show, and what to do about it.
fn nothing(model: &Model) -> Option<String> {
    let radar = &model.last.as_ref()?.radar;
    let said = if !radar.enabled {
        String::from(
            "the radar is off; `enabled = true` in [radar] of outgated.toml switches it on",
        )
    } else if radar.windows == 0 {
        format!(
            "no window of the radar has ended in the last {} yet",
            model.window()
        )
    } else if radar.sources.is_empty() {
        format!(
            "no customer has sent to port 25 in the last {}",
            model.window()
        )
    } else if model.rows().is_empty() {
        format!(
            "no source has {:?} in its address; Esc shows all",
            model.filter
        )
    } else {
        return None;
    };
    Some(said)
}

fn detail(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let Mode::Detail(source) = model.mode else {
        return;
    };
    let known = model.last.as_ref().and_then(|last| last.detail.as_ref());
    let Some(view) = known.filter(|view| view.source == source) else {
        frame.render_widget(
            Paragraph::new(format!("{source}: nothing seen of it now")),
            area,
        );
        return;
    };
    let mut lines = vec![Line::from(vec![
        Span::styled(
            view.source.to_string(),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Span::raw("  score "),
        Span::styled(
            format!("{:.0}", view.score),
            palette.of(severity(view.score)),
        ),
    ])];
    lines.push(match model.flag(source) {
        Some(flag) => Line::from(format!(
            "flag {}: {} on {}, by {}: {}",
            flag.id, flag.action, flag.prefix, flag.actor, flag.reason
        )),
        None => Line::from(format!(
            "no flag; `outgate flag add {source} --reason ...` makes one"
        )),
    });
    for component in &view.components {
        lines.push(Line::from(format!(
            "{:>4.0}  {}",
            component.points, component.text
        )));
    }
    lines.push(Line::styled(
        format!(
            "{:<10} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}",
            "WINDOW", "NETWORKS", "SYNS", "OUT", "IN", "ENDED", "RESET", "SHORT"
        ),
        Style::new().add_modifier(Modifier::BOLD),
    ));
    let until = model.last.as_ref().and_then(|last| last.radar.until);
    for window in view.course.iter().rev() {
        let figures = &window.figures;
        let ago = until.map_or(0, |until| until.duration_since(window.from).as_secs());
        lines.push(Line::from(format!(
            "{:<10} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}",
            format!("-{}", rough(SignedDuration::from_secs(ago))),
            figures.destinations,
            figures.syns,
            octets(figures.octets_out),
            octets(figures.octets_in),
            figures.ended,
            figures.reset,
            figures.short,
        )));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn footer(model: &Model, palette: Palette) -> Line<'static> {
    if let Some(trouble) = &model.trouble {
        return Line::styled(trouble.clone(), palette.of(Color::Red));
    }
    match model.mode {
        Mode::Typing => Line::from(format!(
            "/{}_  Enter keeps the filter, Esc drops it",
            model.filter
        )),
        Mode::Detail(_) => Line::from("Esc back  p pause  w window  q quit"),
        Mode::Help => Line::from("any key goes back"),
        Mode::List => {
            let filter = match model.filter.is_empty() {
                true => String::from("/ filter"),
                false => format!("/{} (Esc: all)", model.filter),
            };
            Line::from(format!(
                "by {}, last {}  {filter}  Enter details  p pause  ? help  q quit",
                model.sort.name(),
                model.window()
            ))
        }
    }
}

fn heading<const N: usize>(names: [&'static str; N]) -> Row<'static> {
    Row::new(names).style(Style::new().add_modifier(Modifier::BOLD))
}

fn relays(snapshot: &Snapshot) -> impl Iterator<Item = (&PoolView, &RelayView)> {
    let pools = snapshot.status.pools.iter();
    pools.flat_map(|pool| pool.relays.iter().map(move |relay| (pool, relay)))
}

/// At most five characters.
fn brief(rate: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is no less than nothing, and the conversion saturates"
    )]
    match rate < 100.0 {
        true => format!("{rate:.1}"),
        false => octets(rate as u64),
    }
}

fn a_minute(count: u64, span_s: f64) -> String {
    match span_s > 0.0 {
        true => format!("{:.1}", 60.0 * count as f64 / span_s),
        false => String::from("-"),
    }
}

fn severity(score: f64) -> Color {
    if score >= 100.0 {
        Color::Red
    } else if score >= 50.0 {
        Color::Yellow
    } else {
        Color::Green
    }
}

fn reason(source: &SourceView) -> String {
    let worst = source
        .components
        .iter()
        .max_by(|one, other| one.points.total_cmp(&other.points));
    worst.map_or_else(String::new, |component| component.text.clone())
}

const LEAST_WIDTH: u16 = 60;
const LEAST_HEIGHT: u16 = 14;
const HELP: &str = "\
Sources are what the radar has seen of every customer, flagged or not.
  s r n o a   sort by score, rate, networks, octets, address
  w           look back 1m, 10m or 1h
  /           show only addresses that contain what is typed
  Up Down PgUp PgDn Home End   move;  Enter   details of one source
  p, space    pause, go on
  q, Ctrl-C   quit
SYN/MIN new connections; NETS distinct /24 or /48; a score of 100
is a source at every limit: a reason to look, not a verdict.";

const _: () = assert!(Sort::ALL.len() == 5, "HELP names each of them");

#[cfg(test)]
mod tests;
