//! `outgate range`: whole prefixes, and which of them nobody has thought of.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment};
use ipnetwork::IpNetwork;

use super::{CliError, Outcome, commands::Teller, tables::Style};
use crate::{
    api::view::{GapView, GapsRequest},
    client::Client,
    policy::announced,
};

#[derive(Debug, Subcommand)]
pub(super) enum RangeCommand {
    /// List announced prefixes without a policy
    #[command(after_help = GAPS_HELP)]
    Gaps(GapsArgs),
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
        RangeCommand::Gaps(arguments) => gaps(client, teller, arguments).await,
    }
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

const GAPS_HELP: &str = "Examples:
  outgate range gaps announced.txt
  birdc show route export upstream primary | awk '/^[0-9a-f]/ {print $1}' | outgate range gaps -
  curl -H \"Authorization: Token $TOKEN\" https://netbox.example/api/ipam/prefixes/?limit=0 | outgate range gaps -

A prefix is under a policy if a flag is on it or on one around it, or if flags within it leave nothing over; `outgate
flag add PREFIX --action observe` is the mildest. Exit code 4: there are gaps.";
