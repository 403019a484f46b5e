//! `outgate exempt`: customers that are not flagged for a while.

use clap::{Args, Subcommand};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::{self, Style},
};
use crate::{
    api::view::{DecisionRequest, ExemptionState, ExemptionView},
    client::{Client, with_query},
    policy::{dial::read_target, exemption::ExemptionRequest},
};

#[derive(Debug, Subcommand)]
pub(super) enum ExemptCommand {
    /// Ask that an address or prefix is not flagged for a while; a second person must approve it
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// Agree to an exemption that somebody else has asked for
    #[command(
        after_help = "Example:\n  outgate exempt approve 192.0.2.10 --reason \"contract checked\"\n\nIt is refused to whoever has asked for it (exit 3). Flags that are there already stay; they are named, and `outgate flag rm` lifts them."
    )]
    Approve(DecideArgs),
    /// List exemptions, the newest first
    Ls {
        /// Ended ones too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: u32,
    },
    /// Show one exemption with its history
    Show {
        /// Address, prefix, or number of the exemption
        target: String,
        /// A single IPv6 address means itself, not its /64
        #[arg(long)]
        exact: bool,
    },
    /// End an exemption
    #[command(
        after_help = "Example:\n  outgate exempt lift 192.0.2.10 --reason \"contract ended\""
    )]
    Lift(DecideArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Address or prefix; one IPv6 address stands for its /64 unless --exact
    target: String,
    /// Last day in UTC, as 2026-12-31, or the end itself, as 2026-12-31T12:00:00Z
    #[arg(long, value_name = "DATE", required_unless_present = "life")]
    until: Option<String>,
    /// How long instead, at most 366d
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
    life: Option<String>,
    /// Into another system: the contract, the ticket
    #[arg(long)]
    reference: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who asks [default: you]
    #[arg(long)]
    actor: Option<String>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
}

#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    /// Address, prefix, or number of the exemption
    target: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: ExemptCommand,
) -> Result<Outcome, CliError> {
    match command {
        ExemptCommand::Add(arguments) => {
            let request = ExemptionRequest {
                target: arguments.target,
                reference: arguments.reference,
                reason: arguments.reason,
                actor: whoever(arguments.actor),
                until: arguments.until,
                life: arguments.life,
                exact: arguments.exact,
            };
            let asked: ExemptionView = client.post(EXEMPTIONS, &request).await?;
            teller.tell(&asked, said)
        }
        ExemptCommand::Approve(arguments) => {
            let id = id_of(client, &arguments.target, arguments.exact).await?;
            let request = DecisionRequest {
                reason: arguments.reason,
                actor: whoever(arguments.actor),
            };
            let path = format!("{EXEMPTIONS}/{id}/approve");
            let approved: ExemptionView = client.post(&path, &request).await?;
            teller.tell(&approved, said)
        }
        ExemptCommand::Ls { all, limit } => {
            let path = format!("{EXEMPTIONS}?all={all}&limit={limit}");
            let exemptions: Vec<ExemptionView> = client.get(&path).await?;
            teller.tell(&exemptions, |exemptions, style| {
                match exemptions.is_empty() {
                    true => String::from("no exemption; `outgate exempt add` asks for one"),
                    false => tables::exemptions(exemptions, style),
                }
            })
        }
        ExemptCommand::Show { target, exact } => {
            let id = id_of(client, &target, exact).await?;
            let exemption: ExemptionView = client.get(&format!("{EXEMPTIONS}/{id}")).await?;
            teller.tell(&exemption, tables::exemption)
        }
        ExemptCommand::Lift(arguments) => {
            let id = id_of(client, &arguments.target, arguments.exact).await?;
            let (reason, actor) = (arguments.reason, whoever(arguments.actor));
            let query = [("reason", reason.as_str()), ("actor", &actor)];
            let path = with_query(&format!("{EXEMPTIONS}/{id}"), &query);
            let ended: ExemptionView = client.delete(&path).await?;
            teller.tell(&ended, said)
        }
    }
}

/// The number of an exemption that is named by it, or by its target. One that only covers it is other customers'
/// business too, so it is named, not taken.
async fn id_of(client: &Client, target: &str, exact: bool) -> Result<u32, CliError> {
    if let Ok(id) = target.parse::<u32>() {
        return Ok(id);
    }
    let exactly = if exact { "true" } else { "false" };
    let query = [("target", target), ("exact", exactly)];
    let over: Vec<ExemptionView> = client.get(&with_query(EXEMPTIONS, &query)).await?;
    let prefix = read_target(target, exact).ok();
    match over.first() {
        Some(one) if Some(one.prefix) == prefix => Ok(one.id.0),
        Some(one) => Err(CliError::NotFound(format!(
            "{target} has no exemption of its own; exemption {} on {} covers it: name that one by its number",
            one.id, one.prefix
        ))),
        None => Err(CliError::NotFound(format!(
            "{target} is not exempt; `outgate exempt ls` lists who is"
        ))),
    }
}

/// What became of it, in one sentence.
fn said(one: &ExemptionView, style: Style) -> String {
    let what = match one.state {
        ExemptionState::Pending => format!(
            "asked for until {}; it protects nobody until somebody other than {} approves it (`outgate exempt approve {}`)",
            style.time(one.until),
            one.actor,
            one.id
        ),
        ExemptionState::Active => format!(
            "in force until {}: neither rules nor people flag it{}",
            style.time(one.until),
            tables::all_the_same(one)
        ),
        ExemptionState::Ended => String::from("ended; it can be flagged again"),
    };
    format!("exemption {} on {}: {what}", one.id, one.prefix)
}

const EXEMPTIONS: &str = "/v1/exemptions";

const ADD_HELP: &str = "Examples:
  outgate exempt add 192.0.2.10 --until 2026-12-31 --reference \"contract 17\" --reason \"sends for a bank\"
  outgate exempt add 2001:db8:a:a::/64 --for 30d --reference T-4711 --reason \"moves its servers\"

While it is in force, neither rules nor people can flag an address of it (exit 3), unless a person says
--despite-exemption; pass and observe take nothing from a customer and stay allowed. Rules go on counting, and say
`exempt` where they would have flagged. It ends by itself.";
