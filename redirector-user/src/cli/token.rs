//! `outgate token`: who may use the API over TCP.

use clap::{Args, Subcommand};
use comfy_table::{Cell, Color};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::Style,
};
use crate::{
    api::view::{TokenToldView, TokenView},
    client::{Client, escaped, with_query},
    policy::token::TokenRequest,
};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token, which is shown once
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// List tokens, and when each was last of use
    Ls,
    /// Remove a token; whoever asks with it from now on is refused
    #[command(
        after_help = "Example:\n  outgate token rm billing --reason \"stood in a log\"\n\nStreams that were asked for with it end within seconds."
    )]
    Rm(RmArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Whose it is: the actor of all that is done with it. Of scope relay, the relay's name
    name: String,
    /// What it allows: read, flag (look, flag and lift), admin (everything) or relay (what the relay of that name asks)
    #[arg(long)]
    scope: String,
    /// How long it holds, at most 400d
    #[arg(long = "for", default_value = crate::policy::token::DEFAULT_LIFE, value_name = "DURATION")]
    life: String,
    /// Who wants it [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RmArgs {
    /// Its name
    name: String,
    /// Why, for the trail
    #[arg(long)]
    reason: String,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: TokenCommand,
) -> Result<Outcome, CliError> {
    match command {
        TokenCommand::Ls => {
            let tokens: Vec<TokenView> = client.get(TOKENS).await?;
            teller.tell(&tokens, |tokens, style| list(tokens, style))
        }
        TokenCommand::Add(arguments) => {
            let request = TokenRequest {
                name: arguments.name,
                scope: arguments.scope,
                life: Some(arguments.life),
                actor: whoever(arguments.actor),
            };
            let told: TokenToldView = client.post(TOKENS, &request).await?;
            teller.tell(&told, said)
        }
        TokenCommand::Rm(arguments) => {
            let (reason, actor) = (arguments.reason, whoever(arguments.actor));
            let path = format!("{TOKENS}/{}", escaped(&arguments.name));
            let query = [("reason", reason.as_str()), ("actor", &actor)];
            let removed: TokenView = client.delete(&with_query(&path, &query)).await?;
            teller.tell(&removed, |removed, _| {
                format!(
                    "token {} removed; whoever asks with it is refused",
                    removed.name
                )
            })
        }
    }
}

fn said(told: &TokenToldView, style: Style) -> String {
    let TokenView {
        name,
        scope,
        expires_at,
        ..
    } = &told.token;
    format!(
        "token {name}, scope {}, until {}:\n{}\nIt is shown this once: what is kept cannot tell it.",
        scope.name(),
        style.time(*expires_at),
        told.secret
    )
}

fn list(tokens: &[TokenView], style: Style) -> String {
    if tokens.is_empty() {
        return String::from("no token yet; `outgate token add` makes one");
    }
    let mut table = style.table(&["TOKEN", "SCOPE", "STATE", "EXPIRES", "LAST USED", "MADE BY"]);
    for token in tokens {
        let state = match token.expired {
            true => Cell::new("expired").fg(Color::Red),
            false => Cell::new("good").fg(Color::Green),
        };
        let used = token
            .used_on
            .map(|day| day.strftime("%Y-%m-%d").to_string());
        table.add_row([
            Cell::new(&token.name),
            Cell::new(token.scope.name()),
            state,
            Cell::new(style.time(token.expires_at)),
            Cell::new(used.as_deref().unwrap_or("never")),
            Cell::new(&token.created_by),
        ]);
    }
    table.to_string()
}

const TOKENS: &str = "/v1/tokens";

const ADD_HELP: &str = "Examples:
  outgate token add monitoring --scope read
  outgate token add billing --scope flag --for 30d
  outgate token add relay-2 --scope relay --for 400d

outgated listens over TCP where [api] in outgated.toml says so. Programs send the token as `Authorization: Bearer ...`;
`outgate --server URL --token-file FILE` does. What is done with it has its name as actor, whatever else is claimed.";
