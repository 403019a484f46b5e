//! `outgate rules`: what is done by itself, what would be, and stopping it.

mod tables;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
};
use crate::{
    api::view::{FreezeRequest, ReloadRequest, ReplayView, RulesView},
    client::{Client, with_query},
    config::Config,
    controller::pool_terms,
    policy::rules::{Figures, RuleSet},
    store::firings::Fired,
};

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// List rules, with what each has done in the last 24 hours
    Ls,
    /// List what rules have done, would have done, or were kept from doing, the newest first
    Log {
        /// At most so many
        #[arg(long, default_value_t = 50, value_name = "COUNT")]
        limit: u32,
    },
    /// Judge a file of rules without putting it into force
    #[command(
        after_help = "Example:\n  outgate rules check /etc/outgate/rules.toml\n\nThe controller need not run: pools are those of its configuration."
    )]
    Check {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Say what rules would do to a customer with these figures
    #[command(after_help = TEST_HELP)]
    Test {
        /// Figures of the customer, as syns=5000,distinct_destinations=900
        #[arg(long, value_name = "NAME=VALUE,...", value_delimiter = ',')]
        figures: Vec<String>,
        #[command(flatten)]
        file: FileArgs,
    },
    /// Put the file of rules into force as it is now, or none of it
    Reload {
        /// Who says so [default: you]
        #[arg(long)]
        actor: Option<String>,
    },
    /// Let rules do nothing; what they would have done is noted
    #[command(
        after_help = "Example:\n  outgate rules freeze --reason \"the radar counts twice since the upgrade\"\n\nFlags that rules have made stay, and expire. It stays so over restarts, until `outgate rules unfreeze`."
    )]
    Freeze(WordArgs),
    /// Let rules act again
    #[command(
        after_help = "Example:\n  outgate rules unfreeze --reason \"counts are right again\""
    )]
    Unfreeze(WordArgs),
    /// Say who would have been flagged by other rules, beside who was
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// File of rules [default: the one of the configuration]
    file: Option<PathBuf>,
    /// Configuration of outgated
    #[arg(long, default_value = crate::DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct WordArgs {
    /// Why, for the trail
    #[arg(long)]
    reason: String,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub(super) struct ReplayArgs {
    /// File of rules to try
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// From when: a time, or how long ago, as 7d
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Until when, likewise [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: RulesCommand,
) -> Result<Outcome, CliError> {
    match command {
        RulesCommand::Ls => {
            let view: RulesView = client.get("/v1/rules").await?;
            teller.tell(&view, tables::rules)
        }
        RulesCommand::Log { limit } => {
            let path = format!("/v1/rules/firings?limit={limit}");
            let fired: Vec<Fired> = client.get(&path).await?;
            teller.tell(&fired, |fired, style| tables::log(fired, style))
        }
        RulesCommand::Check { file } => {
            let (path, rules) = read(&file)?;
            let names: Vec<&str> = rules.rules.iter().map(|rule| rule.name.as_str()).collect();
            let said = serde_json::json!({ "file": path, "rules": names });
            teller.tell(&said, |_, _| {
                let count = names.len();
                format!("{}: {count} rules, nothing wrong", path.display())
            })
        }
        RulesCommand::Test { figures, file } => {
            let (_, rules) = read(&file)?;
            let figures = Figures::read(&figures).map_err(CliError::Rules)?;
            let trials = rules.tried(&figures);
            teller.tell(&trials, |trials, style| tables::trials(trials, style))
        }
        RulesCommand::Reload { actor } => {
            let request = ReloadRequest {
                actor: whoever(actor),
            };
            let view: RulesView = client.post("/v1/rules/reload", &request).await?;
            teller.tell(&view, |view, _| {
                let count = view.rules.len();
                format!("{count} rules in force; `outgate rules ls` lists them")
            })
        }
        RulesCommand::Freeze(WordArgs { reason, actor }) => {
            let actor = whoever(actor);
            let request = FreezeRequest { reason, actor };
            let view: RulesView = client.put("/v1/rules/freeze", &request).await?;
            teller.tell(&view, |_, _| {
                String::from("frozen: rules flag and lift nobody until `outgate rules unfreeze`")
            })
        }
        RulesCommand::Unfreeze(WordArgs { reason, actor }) => {
            let actor = whoever(actor);
            let query = [("reason", reason.as_str()), ("actor", &actor)];
            let path = with_query("/v1/rules/freeze", &query);
            let view: RulesView = client.delete(&path).await?;
            teller.tell(&view, |_, _| {
                String::from("thawed: rules act again, at the next turn of the radar")
            })
        }
        RulesCommand::Replay(arguments) => replay(client, teller, arguments).await,
    }
}

pub(super) async fn replay(
    client: &Client,
    teller: &Teller,
    arguments: ReplayArgs,
) -> Result<Outcome, CliError> {
    let ReplayArgs { rules, from, to } = arguments;
    let now = Timestamp::now();
    let file = std::fs::read(&rules).map_err(|source| CliError::File {
        path: rules.clone(),
        source,
    })?;
    let from = moment("--from", &from, now)?.to_string();
    let to = to
        .map_or(Ok(now), |to| moment("--to", &to, now))?
        .to_string();
    let path = with_query("/v1/rules/replay", &[("from", &from), ("to", &to)]);
    let view: ReplayView = client.upload(&path, file).await?;
    teller.tell(&view, tables::replay)
}

/// Reads a file of rules by the pools of a configuration.
fn read(arguments: &FileArgs) -> Result<(PathBuf, RuleSet), CliError> {
    let config = Config::load(&arguments.config)?;
    let path = arguments.file.clone().or_else(|| config.rules.clone());
    let path = path.ok_or_else(|| {
        let config = arguments.config.display();
        CliError::Rules(format!(
            "{config} names no file of rules; say which one is meant"
        ))
    })?;
    let text = std::fs::read_to_string(&path).map_err(|source| CliError::File {
        path: path.clone(),
        source,
    })?;
    match RuleSet::parse(&text, &pool_terms(&config)) {
        Ok(rules) => Ok((path, rules)),
        Err(wrong) => Err(CliError::Rules(format!("{}: {wrong}", path.display()))),
    }
}

/// A time, or how long ago.
fn moment(option: &str, text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let read = text.parse::<Timestamp>().ok();
    let ago = || {
        let span: Span = text.parse().ok()?;
        let span = span
            .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .ok()?;
        now.checked_sub(span.abs()).ok()
    };
    read.or_else(ago).ok_or_else(|| {
        CliError::Rules(format!(
            "{option} {text}: neither a time, as 2026-03-01T12:00:00Z, nor how long ago, as 7d"
        ))
    })
}

const TEST_HELP: &str = "Example:
  outgate rules test --figures syns=5000,distinct_destinations=900 /etc/outgate/rules.toml

Conditions alone are tried: for how long they must hold, the scope of a rule and its caps are not looked at. A figure
that is not given is 0; a share is not known unless it is given. The controller need not run.";

const REPLAY_HELP: &str = "Examples:
  outgate rules replay --rules new.toml --from 7d
  outgate replay --rules new.toml --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z -j

Goes through the figures that were recorded ([statistics] of outgated.toml) as the controller would have done with these
rules, and changes nothing. It begins without automatic flags, and knows the flags of people as they were; what
customers would have done had they been flagged nobody knows.";
