//! `outgate listing`: which of customers' addresses lists in the DNS name.

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Color};
use jiff::SignedDuration;

use super::{
    CliError, Outcome,
    commands::Teller,
    tables::{self, Style},
};
use crate::{
    api::view::{ListState, ListedRequest, ListedView, ListingView, ListsView},
    client::{Client, with_query},
    policy::dial::read_target,
};

#[derive(Debug, Subcommand)]
pub(super) enum ListingCommand {
    /// List open listings, the newest first, and say how far the lists were asked
    #[command(after_help = LS_HELP)]
    Ls(LsArgs),
    /// Show one listing, with what was sent from there
    Show {
        /// Its number
        id: u64,
    },
    /// Ask every list about an address or a small prefix now
    #[command(after_help = CHECK_HELP)]
    Check {
        /// Address or prefix; one IPv6 address means itself
        target: String,
    },
    /// Show the lists: whether each is to be believed, and how far the round over all IPv4 addresses is
    Zones,
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// Only of this address, or of addresses in this prefix
    prefix: Option<String>,
    /// Those that are over, too
    #[arg(long)]
    all: bool,
    /// Only on this list
    #[arg(long)]
    zone: Option<String>,
    /// With --all: only those that were open at this time, or so long ago, as 7d, or later
    #[arg(long, value_name = "TIME", requires = "all")]
    since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    limit: u32,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: ListingCommand,
) -> Result<Outcome, CliError> {
    match command {
        ListingCommand::Ls(arguments) => ls(client, teller, arguments).await,
        ListingCommand::Show { id } => {
            let listing: ListingView = client.get(&format!("/v1/listings/{id}")).await?;
            teller.tell(&listing, shown)
        }
        ListingCommand::Check { target } => check(client, teller, target).await,
        ListingCommand::Zones => {
            let lists: ListsView = client.get("/v1/listings/zones").await?;
            teller.tell(&lists, zones)
        }
    }
}

async fn ls(client: &Client, teller: &Teller, arguments: LsArgs) -> Result<Outcome, CliError> {
    let mut query = vec![("limit", arguments.limit.to_string())];
    if let Some(prefix) = &arguments.prefix {
        let prefix = read_target(prefix, true);
        let prefix = prefix.map_err(|refusal| CliError::Target(refusal.to_string()))?;
        query.push(("prefix", prefix.to_string()));
    }
    if !arguments.all {
        query.push(("open", String::from("true")));
    }
    query.extend(arguments.zone.map(|zone| ("zone", zone)));
    query.extend(arguments.since.map(|since| ("since", since)));
    let query: Vec<_> = query
        .iter()
        .map(|(name, it)| (*name, it.as_str()))
        .collect();
    let found: Vec<ListingView> = client.get(&with_query("/v1/listings", &query)).await?;
    let lists: ListsView = client.get("/v1/listings/zones").await?;
    teller.tell(&found, |found, style| {
        let table = match found.is_empty() {
            true => String::from("no list names a customer's address, as far as was asked"),
            false => table(found, style),
        };
        format!("{table}\n\n{}", coverage(&lists))
    })
}

async fn check(client: &Client, teller: &Teller, target: String) -> Result<Outcome, CliError> {
    let request = ListedRequest { target };
    let answers: Vec<ListedView> = client.post("/v1/listings/check", &request).await?;
    teller.tell(&answers, |answers, style| {
        let mut table = style.table(&["ADDRESS", "LIST", "LISTED", "ANSWER", "TEXT"]);
        for answer in answers {
            let codes: Vec<_> = answer.codes.iter().map(ToString::to_string).collect();
            table.add_row([
                Cell::new(answer.address),
                Cell::new(&answer.zone),
                match answer.listed {
                    Some(true) => Cell::new("yes").fg(Color::Red),
                    Some(false) => Cell::new("no").fg(Color::Green),
                    None => Cell::new("unknown").fg(Color::Yellow),
                },
                Cell::new(codes.join(" ")),
                Cell::new(tables::clean(&answer.text)),
            ]);
        }
        table.to_string()
    })?;
    let unknown = answers.iter().any(|answer| answer.listed.is_none());
    Ok(match unknown {
        true => Outcome::Partial,
        false => Outcome::Done,
    })
}

fn table(found: &[ListingView], style: Style) -> String {
    let header = [
        "LISTING",
        "ADDRESS",
        "LIST",
        "ANSWER",
        "CUSTOMER",
        "SENT, 7 DAYS",
        "SINCE",
        "STATE",
    ];
    let mut table = style.table(&header);
    for listing in found {
        let codes: Vec<_> = listing.codes.iter().map(ToString::to_string).collect();
        let sent = listing.sent.as_ref();
        let customer = sent.and_then(|sent| sent.customer.as_ref());
        table.add_row([
            Cell::new(listing.id.0),
            Cell::new(listing.address),
            Cell::new(&listing.zone),
            Cell::new(codes.join(" ")),
            Cell::new(customer.map(ToString::to_string).unwrap_or_default()),
            Cell::new(sent.map_or_else(String::new, |sent| {
                let week = sent.week;
                format!(
                    "{} messages, {} spam, {} SYNs",
                    week.messages, week.spam, sent.radar.syns
                )
            })),
            Cell::new(style.time(listing.first_at)),
            state(listing, style),
        ]);
    }
    table.to_string()
}

fn state(listing: &ListingView, style: Style) -> Cell {
    match (listing.closed_at, listing.closed_by, listing.absent_at) {
        (Some(at), Some(by), _) => Cell::new(format!("{} {}", by.name(), style.time(at))),
        (_, _, Some(at)) => {
            Cell::new(format!("not named since {}", style.time(at))).fg(Color::Yellow)
        }
        _ => Cell::new("listed").fg(Color::Red),
    }
}

fn shown(listing: &ListingView, style: Style) -> String {
    let mut lines = vec![table(std::slice::from_ref(listing), style), String::new()];
    lines.push(format!(
        "{} says: {}",
        listing.zone,
        tables::clean(&listing.text)
    ));
    lines.push(format!(
        "named first {}, last {}",
        style.time(listing.first_at),
        style.time(listing.last_at)
    ));
    let Some(sent) = &listing.sent else {
        lines.push(String::from(
            "what was sent from there is not known any more",
        ));
        return lines.join("\n");
    };
    lines.push(match listing.opened_at {
        Some(at) => format!("until {}:", style.time(at)),
        None => String::from("until then:"),
    });
    for (what, mail) in [("last 24 h", sent.day), ("last 7 d", sent.week)] {
        lines.push(format!(
            "  {what}: {} messages through relays, {} refused, {} spam",
            mail.messages, mail.refused, mail.spam
        ));
    }
    let radar = sent.radar;
    let last = radar.last_at.map(|at| format!(", last {}", style.time(at)));
    lines.push(format!(
        "  last 7 d: {} SYNs to port 25 of {} networks, {} reset, {} short{}",
        radar.syns,
        radar.destinations,
        radar.reset,
        radar.short,
        last.unwrap_or_default()
    ));
    if sent.flags.is_empty() {
        lines.push(String::from("  no flag was in force"));
    }
    for flag in &sent.flags {
        lines.push(format!(
            "  flag {} on {}: {}, because of \"{}\"",
            flag.id,
            flag.prefix,
            flag.action,
            tables::clean(&flag.reason)
        ));
    }
    lines.join("\n")
}

/// What the list above rests on.
fn coverage(lists: &ListsView) -> String {
    if lists.lists.is_empty() {
        return String::from("no list is asked; [[listings.zone]] in outgated.toml names some");
    }
    let each = lists.lists.iter().map(|list| {
        let state = match (list.state, &list.why) {
            (ListState::Believed, _) => String::new(),
            (ListState::Unknown, _) => String::from(", not asked yet"),
            (ListState::Aside, why) => {
                format!(
                    ", SET ASIDE: {}",
                    tables::clean(why.as_deref().unwrap_or_default())
                )
            }
        };
        let round = match (list.addresses, list.round_age_s, list.round_ended_at) {
            (0, ..) | (_, None, _) => String::new(),
            (_, Some(age), Some(_)) => {
                format!(", every address asked about by {} ago", span(age))
            }
            (all, Some(_), None) => format!(", first round: {} of {all} addresses", list.asked),
        };
        format!(
            "{} {}: {} open, {} unconfirmed, {} watched{round}{state}",
            list.zone, list.family, list.open, list.unconfirmed, list.watched
        )
    });
    each.collect::<Vec<_>>().join("\n")
}

fn zones(lists: &ListsView, style: Style) -> String {
    let header = [
        "LIST",
        "FAMILY",
        "STATE",
        "OPEN",
        "UNCONFIRMED",
        "WATCHED",
        "BEHIND",
        "QUERIES",
        "SILENT",
        "ROUND",
    ];
    let mut table = style.table(&header);
    let right = |value: String| Cell::new(value).set_alignment(CellAlignment::Right);
    for list in &lists.lists {
        let (state, colour) = match list.state {
            ListState::Believed => ("believed", Color::Green),
            ListState::Unknown => ("not asked yet", Color::Yellow),
            ListState::Aside => ("set aside", Color::Red),
        };
        let round = match list.addresses {
            0 => String::from("none"),
            all => format!("{} of {all}", list.asked),
        };
        table.add_row([
            Cell::new(&list.zone),
            Cell::new(list.family),
            Cell::new(state).fg(colour),
            right(list.open.to_string()),
            right(list.unconfirmed.to_string()),
            right(list.watched.to_string()),
            right(span(list.behind_s)),
            right(list.queries.to_string()),
            right(list.silent.to_string()),
            right(round),
        ]);
    }
    format!(
        "{table}\n\n{}\n{} questions a second; a round takes at least {}, a look at who is watched comes every {}, and a second look \
         after {}",
        coverage(lists),
        lists.rate,
        span(lists.sweep_s),
        span(lists.watch_s),
        span(lists.confirm_s)
    )
}

fn span(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    tables::rough(SignedDuration::from_secs(seconds))
}

const LS_HELP: &str = "Examples:
  outgate listing ls
  outgate listing ls 192.0.2.0/24 --all --since 30d
  outgate listing ls --zone zen.example -j

A listing opens, and closes, after a second look. Below the table stands what was asked: every IPv4 address once a round,
and more often who is flagged, listed, or has sent of late. Of IPv6 only these are asked about.";

const CHECK_HELP: &str = "Examples:
  outgate listing check 192.0.2.10
  outgate listing check 2001:db8:a:a::10

What is heard counts as a look: asked twice, `confirm` of [listings] apart, it opens or closes a listing at once. Exit code 4:
some list could not be asked.";
