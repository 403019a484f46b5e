//! `outgate flag extend` and its like: terms of flags that stand.

use clap::Args;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    flag::active_id,
    tables,
};
use crate::{
    api::view::{DecisionRequest, ExtensionRequest, FlagChangeView, FlagView},
    client::{Client, with_query},
};

#[derive(Debug, Args)]
pub(super) struct ExtendArgs {
    /// Address, prefix, or number of the flag
    target: String,
    /// How long it is to live from now on, at most 90d
    #[arg(
        long = "for",
        value_name = "DURATION",
        required_unless_present = "review"
    )]
    life: Option<String>,
    /// Of one that stands for ever, instead: when somebody is to look at it again, at most 366d from now
    #[arg(long, value_name = "DURATION", conflicts_with = "life")]
    review: Option<String>,
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

#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    /// Address, prefix, or number of the flag
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

pub(super) async fn extend(
    client: &Client,
    teller: &Teller,
    arguments: ExtendArgs,
) -> Result<Outcome, CliError> {
    let id = active_id(client, &arguments.target, arguments.exact).await?;
    let request = ExtensionRequest {
        life: arguments.life,
        review: arguments.review,
        reason: arguments.reason,
        actor: whoever(arguments.actor),
    };
    let path = format!("/v1/flags/{id}/extend");
    let flag: FlagView = client.post(&path, &request).await?;
    teller.tell(&flag, tables::added)
}

/// Approves or rejects that a flag stands for ever.
pub(super) async fn decide(
    client: &Client,
    teller: &Teller,
    arguments: DecideArgs,
    what: &str,
) -> Result<Outcome, CliError> {
    let id = active_id(client, &arguments.target, arguments.exact).await?;
    let request = DecisionRequest {
        reason: arguments.reason,
        actor: whoever(arguments.actor),
    };
    let path = format!("/v1/flags/{id}/{what}");
    let flag: FlagView = client.post(&path, &request).await?;
    teller.tell(&flag, tables::added)
}

pub(super) async fn history(
    client: &Client,
    teller: &Teller,
    target: &str,
    exact: bool,
) -> Result<Outcome, CliError> {
    let exact = if exact { "true" } else { "false" };
    let path = with_query("/v1/flags/history", &[("target", target), ("exact", exact)]);
    let changes: Vec<FlagChangeView> = client.get(&path).await?;
    teller.tell(&changes, |changes, style| tables::changes(changes, style))
}

/// Flags by when somebody has to do something about them.
pub(super) async fn due(
    client: &Client,
    teller: &Teller,
    within: &str,
    limit: u32,
) -> Result<Outcome, CliError> {
    let limit = limit.to_string();
    let path = with_query("/v1/flags", &[("due", within), ("limit", &limit)]);
    let flags: Vec<FlagView> = client.get(&path).await?;
    teller.tell(&flags, |flags, style| match flags.is_empty() {
        true => format!("no flag ends or is to be looked at within {within}"),
        false => tables::flags(flags, style),
    })
}

pub(super) const EXTEND_HELP: &str = "Examples:
  outgate flag extend 192.0.2.10 --for 14d --reason \"still sending, ticket 4711\"
  outgate flag extend 192.0.2.10 --review 90d --reason \"looked at: no contract yet\"

The flag's new end is that long from now, and never sooner than the one it has; `outgate flag rm` ends a flag sooner. The
end that it had stands in its history.";

pub(super) const APPROVE_HELP: &str = "Example:
  outgate flag approve 192.0.2.10 --reason \"contract checked\"

It is refused to whoever has asked for it (exit 3): for ever takes two people.";
