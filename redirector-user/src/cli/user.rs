//! `outgate user`: who may submit mail to the relays.

use std::io::{BufRead as _, Read as _};

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Color};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::Style,
};
use crate::{
    api::view::{UserToldView, UserView},
    client::{Client, escaped, with_query},
    password::Password,
    policy::user::{UserChange, UserRequest},
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Let somebody submit mail, with a password that is made and shown once, or one from standard input
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// List users with their limits
    Ls,
    /// Change what is named of a user: its password, limits, domains
    #[command(after_help = SET_HELP)]
    Set(SetArgs),
    /// Keep a user from logging in; it keeps its password for later
    #[command(
        after_help = "Example:\n  outgate user disable ann --reason \"password is in a phishing kit\"\n\nSessions that have logged in send nothing more once their relay has been told."
    )]
    Disable(WordArgs),
    /// Let a disabled user log in again
    #[command(after_help = "Example:\n  outgate user enable ann --reason \"has a new password\"")]
    Enable(WordArgs),
    /// Remove a user; the trail keeps that there was one
    #[command(after_help = "Example:\n  outgate user rm ann --reason \"contract ended\"")]
    Rm(WordArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// What it logs in with: 1 to 64 letters, digits, '.', '_', '-', '+' or '@', in any case
    name: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// Read the password from the first line of standard input, instead of making one
    #[arg(long)]
    password_stdin: bool,
    /// Keep no keys for SCRAM-SHA-256, which are easier to guess by than the Argon2id hash if they are stolen; clients
    /// must use PLAIN or LOGIN then
    #[arg(long)]
    no_scram: bool,
    /// Who adds it [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Whose it is, in your words, as "account 4711"
    #[arg(long)]
    customer: Option<String>,
    /// Domain that it may write as (MAIL FROM); may be given several times [default: any]
    #[arg(long = "sender-domain", value_name = "DOMAIN")]
    sender_domains: Vec<String>,
    /// Messages that it may send in an hour [default: 100]
    #[arg(long, value_name = "COUNT")]
    messages_per_hour: Option<u32>,
    /// Recipients that one message may have [default: 100]
    #[arg(long, value_name = "COUNT")]
    recipients_per_message: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// Let it write as any domain
    #[arg(long, conflicts_with = "sender_domains")]
    any_sender: bool,
    /// Read a new password from the first line of standard input
    #[arg(long, conflicts_with = "new_password")]
    password_stdin: bool,
    /// Make a new password, and show it once
    #[arg(long)]
    new_password: bool,
    /// Keep no keys for SCRAM-SHA-256
    #[arg(long)]
    no_scram: bool,
    /// Why, for the trail
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who changes it [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct WordArgs {
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
    command: UserCommand,
) -> Result<Outcome, CliError> {
    match command {
        UserCommand::Ls => {
            let users: Vec<UserView> = client.get(USERS).await?;
            teller.tell(&users, |users, style| list(users, style))
        }
        UserCommand::Add(arguments) => {
            let LimitArgs {
                customer,
                sender_domains,
                messages_per_hour,
                recipients_per_message,
            } = arguments.limits;
            let request = UserRequest {
                name: arguments.name,
                customer,
                password: password(arguments.password_stdin)?,
                no_scram: arguments.no_scram,
                sender_domains,
                messages_per_hour,
                recipients_per_message,
                actor: whoever(arguments.actor),
            };
            let told: UserToldView = client.post(USERS, &request).await?;
            teller.tell(&told, |told, _| said(told, "added"))
        }
        UserCommand::Set(arguments) => set(client, teller, arguments).await,
        UserCommand::Disable(arguments) => switch(client, teller, arguments, true).await,
        UserCommand::Enable(arguments) => switch(client, teller, arguments, false).await,
        UserCommand::Rm(arguments) => {
            let (reason, actor) = (arguments.reason, whoever(arguments.actor));
            let query = [("reason", reason.as_str()), ("actor", &actor)];
            let path = with_query(&path(&arguments.name), &query);
            let told: UserToldView = client.delete(&path).await?;
            teller.tell(&told, |told, _| said(told, "removed"))
        }
    }
}

async fn set(client: &Client, teller: &Teller, arguments: SetArgs) -> Result<Outcome, CliError> {
    let limits = arguments.limits;
    let domains = match arguments.any_sender {
        true => Some(Vec::new()),
        false => Some(limits.sender_domains).filter(|domains| !domains.is_empty()),
    };
    let change = UserChange {
        customer: limits.customer,
        password: password(arguments.password_stdin)?,
        new_password: arguments.new_password,
        no_scram: arguments.no_scram,
        sender_domains: domains,
        messages_per_hour: limits.messages_per_hour,
        recipients_per_message: limits.recipients_per_message,
        disabled: None,
        reason: arguments.reason,
        actor: whoever(arguments.actor),
    };
    let told: UserToldView = client.patch(&path(&arguments.name), &change).await?;
    teller.tell(&told, |told, _| said(told, "changed"))
}

async fn switch(
    client: &Client,
    teller: &Teller,
    arguments: WordArgs,
    disabled: bool,
) -> Result<Outcome, CliError> {
    let change = UserChange {
        disabled: Some(disabled),
        reason: arguments.reason,
        actor: whoever(arguments.actor),
        ..UserChange::default()
    };
    let told: UserToldView = client.patch(&path(&arguments.name), &change).await?;
    let done = if disabled { "disabled" } else { "enabled" };
    teller.tell(&told, |told, _| said(told, done))
}

/// The first line of standard input, if it is to be read.
fn password(from_stdin: bool) -> Result<Option<Password>, CliError> {
    if !from_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    let mut stdin = std::io::stdin().lock().take(LINE_OCTETS);
    stdin.read_line(&mut line).map_err(CliError::Input)?;
    let password = Password::new(line.trim_end_matches(['\r', '\n']));
    Ok(Some(password?))
}

fn path(name: &str) -> String {
    format!("{USERS}/{}", escaped(name))
}

fn said(told: &UserToldView, done: &str) -> String {
    let name = &told.user.name;
    let generation = told.generation.0;
    let mut text = format!(
        "user {name} {done}; relays know of it that have acknowledged generation {generation} (`outgate relay ls`)"
    );
    if let Some(password) = &told.password {
        text +=
            &format!("\npassword: {password}\nIt is shown this once: what is kept cannot tell it.");
    }
    text
}

fn list(users: &[UserView], style: Style) -> String {
    if users.is_empty() {
        return String::from("no user yet; `outgate user add` makes one");
    }
    let mut table = style.table(&[
        "USER",
        "CUSTOMER",
        "STATE",
        "MESSAGES/H",
        "RECIPIENTS",
        "SENDER DOMAINS",
        "SCRAM",
        "CHANGED",
    ]);
    for user in users {
        let state = match user.disabled {
            true => Cell::new("disabled").fg(Color::Red),
            false => Cell::new("active").fg(Color::Green),
        };
        let domains = match user.sender_domains.is_empty() {
            true => String::from("any"),
            false => user.sender_domains.join(" "),
        };
        table.add_row([
            Cell::new(&user.name),
            Cell::new(user.customer.as_deref().unwrap_or_default()),
            state,
            Cell::new(user.messages_per_hour).set_alignment(CellAlignment::Right),
            Cell::new(user.recipients_per_message).set_alignment(CellAlignment::Right),
            Cell::new(domains),
            Cell::new(if user.scram { "yes" } else { "no" }),
            Cell::new(style.time(user.changed_at)),
        ]);
    }
    table.to_string()
}

const USERS: &str = "/v1/users";
/// Longer than any password.
const LINE_OCTETS: u64 = 1024;

const ADD_HELP: &str = "Examples:
  outgate user add ann@example.org --customer \"account 4711\" --sender-domain example.org
  outgate user add mailer --messages-per-hour 2000 --recipients-per-message 500
  pass show mail/ann | outgate user add ann --password-stdin

Relays with [submission] in their configuration take this user's mail on ports 587 and 465, and deliver it by their
queue. It is what a customer whose port 25 is blocked can be offered. Of a password an Argon2id hash is kept, and keys
for SCRAM-SHA-256 unless --no-scram says otherwise; both go to the relays.";

const SET_HELP: &str = "Examples:
  outgate user set ann --messages-per-hour 500
  outgate user set ann --new-password --reason \"asked by telephone\"
  outgate user set ann --sender-domain example.org --sender-domain example.net

--sender-domain names all domains anew. A new password ends nobody's session; `outgate user disable` does.";
