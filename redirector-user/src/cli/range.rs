//! `outgate range`: whole prefixes, and which of them nobody has thought of.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment};
use ipnetwork::IpNetwork;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::{self, Style},
};
use crate::{
    api::view::{FlagState, FlagView, GapView, GapsRequest},
    client::Client,
    policy::{announced, dial::FlagRequest},
};

#[derive(Debug, Subcommand)]
pub(super) enum RangeCommand {
    /// Say what stands for a prefix, for whoever in it has no flag of its own
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// List what stands for whole prefixes, by address
    Ls,
    /// List announced prefixes without a policy
    #[command(after_help = GAPS_HELP)]
    Gaps(GapsArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The prefix
    prefix: IpNetwork,
    /// Its default action: pass, observe, limit, redirect, refuse, reset or drop
    #[arg(long, default_value = "observe")]
    action: String,
    /// Why; customers read it in refusals
    #[arg(long)]
    reason: String,
    /// It stands for ever once somebody else has approved it, and is to be looked at again each time
    #[arg(long, default_value = "180d", value_name = "DURATION")]
    review: String,
    /// Pool of a redirect [default: the first one configured]
    #[arg(long)]
    pool: Option<String>,
    /// Of a limit: new connections of each address (IPv6: each /64), as 2/s, 30/min or 100/h
    #[arg(long)]
    rate: Option<String>,
    /// Reference into another system
    #[arg(long)]
    ticket: Option<String>,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct GapsArgs {
    /// What is announced: a prefix a line, or what NetBox exports [- = standard input]
    announced: PathBuf,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: RangeCommand,
) -> Result<Outcome, CliError> {
    match command {
        RangeCommand::Add(arguments) => add(client, teller, arguments).await,
        RangeCommand::Ls => {
            let ranges: Vec<FlagView> = client.get("/v1/ranges").await?;
            teller.tell(&ranges, |ranges, style| match ranges.is_empty() {
                true => String::from(
                    "nothing stands for a whole prefix; `outgate range add` says what does",
                ),
                false => tables::flags(ranges, style),
            })
        }
        RangeCommand::Gaps(arguments) => gaps(client, teller, arguments).await,
    }
}

async fn add(client: &Client, teller: &Teller, arguments: AddArgs) -> Result<Outcome, CliError> {
    let request = FlagRequest {
        target: arguments.prefix.to_string(),
        action: Some(arguments.action),
        reason: arguments.reason,
        actor: whoever(arguments.actor),
        life: Some(String::from("ever")),
        review: Some(arguments.review),
        pool: arguments.pool,
        rate: arguments.rate,
        ticket: arguments.ticket,
        // A whole prefix is no customer to be written to.
        notify: Some(false),
        ..FlagRequest::default()
    };
    let flag: FlagView = client.post("/v1/flags", &request).await?;
    teller.tell(&flag, |flag, style| {
        let prefix = flag.prefix;
        format!(
            "{}\nit stands for ever once somebody else says `outgate flag approve {prefix} --reason ...`",
            tables::added(flag, style)
        )
    })?;
    Ok(match flag.state {
        FlagState::Pending => Outcome::Partial,
        FlagState::Active | FlagState::Ended => Outcome::Done,
    })
}

async fn gaps(client: &Client, teller: &Teller, arguments: GapsArgs) -> Result<Outcome, CliError> {
    let file = arguments.announced;
    let unreadable = |source| CliError::File {
        path: file.clone(),
        source,
    };
    let octets = super::import::read(&file).map_err(unreadable)?;
    let text = String::from_utf8(octets)
        .map_err(|_no_utf8| CliError::Target(format!("{}: not UTF-8", file.display())))?;
    let announced = announced::read(&text)
        .map_err(|error| CliError::Target(format!("{}: {error}", file.display())))?;
    let count = announced.len();
    let request = GapsRequest { announced };
    let gaps: Vec<GapView> = client.post("/v1/ranges/gaps", &request).await?;
    teller.tell(&gaps, |gaps, style| table(gaps, count, style))?;
    Ok(match gaps.is_empty() {
        true => Outcome::Done,
        false => Outcome::Partial,
    })
}

fn table(gaps: &[GapView], announced: usize, style: Style) -> String {
    if gaps.is_empty() {
        return format!("all {announced} announced prefixes are under a flag");
    }
    let mut table = style.table(&["ANNOUNCED", "CUSTOMERS", "UNDER FLAGS", "WITHOUT A POLICY"]);
    for gap in gaps {
        let left: Vec<String> = gap.left.iter().map(IpNetwork::to_string).collect();
        let more = if gap.more { ", and more" } else { "" };
        table.add_row([
            Cell::new(gap.prefix),
            Cell::new(if gap.customers { "yes" } else { "no" }),
            Cell::new(format!("{:.1} %", 100.0 * gap.covered)).set_alignment(CellAlignment::Right),
            Cell::new(format!("{}{more}", left.join(", "))),
        ]);
    }
    let strange = gaps.iter().filter(|gap| !gap.customers).count();
    let mut said = format!(
        "{table}\n\n{} of {announced} announced prefixes are not wholly under a flag; their mail goes its own way",
        gaps.len()
    );
    if strange > 0 {
        said.push_str(&format!(
            "\n{strange} are in none of customer_prefixes in outgated.toml: nobody in them can be flagged"
        ));
    }
    said
}

const ADD_HELP: &str = "Examples:
  outgate range add 192.0.2.0/24 --reason \"new range, rack 7\"
  outgate range add 2001:db8:a::/48 --action redirect --reason \"no history yet\" --review 90d
  outgate range ls

It is a flag like any other, of the whole prefix: in force at once, for ever once another person has approved it, and a flag on
a narrower prefix or a single customer wins over it. `outgate flag rm PREFIX` takes it away.";

const GAPS_HELP: &str = "Examples:
  outgate range gaps announced.txt
  birdc show route export upstream primary | awk '/^[0-9a-f]/ {print $1}' | outgate range gaps -
  curl -H \"Authorization: Token $TOKEN\" https://netbox.example/api/ipam/prefixes/?limit=0 | outgate range gaps -

A prefix is under a policy if a flag is on it or on one around it, or if flags within it leave nothing over; `outgate
flag add PREFIX --action observe` is the mildest. Exit code 4: there are gaps.";
