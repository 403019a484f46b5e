//! `outgate bypass`: destinations that nobody is redirected away from.

use clap::{Args, Subcommand};
use comfy_table::{Cell, Color};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::Style,
};
use crate::{
    api::view::{BypassState, BypassView},
    client::{Client, with_query},
    policy::{
        bypass::{BypassRequest, DEFAULT_BYPASS},
        dial::read_target,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum BypassCommand {
    /// Name a destination that nobody is redirected away from
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// List bypasses, the newest first
    Ls {
        /// Ended ones too
        #[arg(long)]
        all: bool,
    },
    /// End a bypass
    #[command(
        after_help = "Example:\n  outgate bypass lift 203.0.113.25 --reason \"moved\"\n\nOpen connections that went free by it are reset when they next send something, if their customer is redirected."
    )]
    Lift(LiftArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Destination, an address or prefix; an IPv6 address means itself
    destination: String,
    /// Why
    #[arg(long)]
    why: String,
    /// How long, as 30d, or ever
    #[arg(long = "for", default_value = DEFAULT_BYPASS, value_name = "DURATION")]
    life: String,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct LiftArgs {
    /// Destination, or number of the bypass
    destination: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: BypassCommand,
) -> Result<Outcome, CliError> {
    match command {
        BypassCommand::Add(arguments) => {
            let request = BypassRequest {
                destination: arguments.destination,
                why: arguments.why,
                actor: whoever(arguments.actor),
                life: Some(arguments.life),
            };
            let added: BypassView = client.post(BYPASSES, &request).await?;
            teller.tell(&added, |added, style| {
                format!(
                    "bypass {} on {}: nobody is redirected away from there, {}",
                    added.id,
                    added.destination,
                    until(added, style)
                )
            })
        }
        BypassCommand::Ls { all } => {
            let bypasses: Vec<BypassView> = client.get(&format!("{BYPASSES}?all={all}")).await?;
            teller.tell(&bypasses, |bypasses, style| list(bypasses, style))
        }
        BypassCommand::Lift(arguments) => {
            let id = id_of(client, &arguments.destination).await?;
            let (reason, actor) = (arguments.reason, whoever(arguments.actor));
            let query = [("reason", reason.as_str()), ("actor", &actor)];
            let path = with_query(&format!("{BYPASSES}/{id}"), &query);
            let lifted: BypassView = client.delete(&path).await?;
            teller.tell(&lifted, |lifted, _| {
                format!(
                    "bypass {} on {} lifted; new connections to there are redirected again, whoever is flagged so",
                    lifted.id, lifted.destination
                )
            })
        }
    }
}

/// The number of a bypass that is named by it, or by its destination.
async fn id_of(client: &Client, destination: &str) -> Result<u32, CliError> {
    if let Ok(id) = destination.parse::<u32>() {
        return Ok(id);
    }
    let prefix = read_target(destination, true).ok();
    let standing: Vec<BypassView> = client.get(BYPASSES).await?;
    let named = standing.iter().find(|one| Some(one.destination) == prefix);
    match named {
        Some(bypass) => Ok(bypass.id.0),
        None => Err(CliError::NotFound(format!(
            "{destination} has no bypass; `outgate bypass ls` lists them"
        ))),
    }
}

fn list(bypasses: &[BypassView], style: Style) -> String {
    if bypasses.is_empty() {
        return String::from("no bypass; `outgate bypass add` makes one");
    }
    let mut table = style.table(&["ID", "DESTINATION", "STATE", "UNTIL", "ACTOR", "WHY"]);
    for bypass in bypasses {
        let state = match bypass.state {
            BypassState::Active => Cell::new("active").fg(Color::Green),
            BypassState::Ended => Cell::new("ended").fg(Color::DarkGrey),
        };
        table.add_row([
            Cell::new(bypass.id),
            Cell::new(bypass.destination),
            state,
            Cell::new(until(bypass, style)),
            Cell::new(&bypass.actor),
            Cell::new(&bypass.why),
        ]);
    }
    table.to_string()
}

fn until(bypass: &BypassView, style: Style) -> String {
    match bypass.ended_at.or(bypass.until) {
        Some(at) => style.time(at),
        None => String::from("for ever"),
    }
}

const BYPASSES: &str = "/v1/bypasses";

const ADD_HELP: &str = "Examples:
  outgate bypass add 203.0.113.25 --why \"smarthost of Example Ltd\" --for ever
  outgate bypass add 2001:db8:b::/48 --why \"submission service\" --for 30d

New connections to there go out as if their customer were not flagged with redirect; those that a relay has already
keep it. Whoever is refused, reset, dropped or limited is so wherever the mail goes. `outgate why` names the bypass.";
