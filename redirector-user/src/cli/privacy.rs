//! `outgate privacy`: what is held about a customer, handed out and erased.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{
    CliError, Outcome,
    capture::private_file,
    commands::{Teller, whoever},
};
use crate::{
    api::view::{ErasedView, HeldView, PrivacyRequest},
    client::Client,
    store::privacy::Gone,
};

#[derive(Debug, Subcommand)]
pub(super) enum PrivacyCommand {
    /// Write all that is held about a customer, as JSON
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Erase what is held about a customer whose flags have all ended
    #[command(after_help = ERASE_HELP)]
    Erase(EraseArgs),
}

#[derive(Debug, Args)]
struct WhoArgs {
    /// Address or prefix, or the key of a customer; one IPv6 address stands for its /64 unless --exact
    #[arg(long, value_name = "CUSTOMER")]
    customer: String,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
    /// Who asks [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Why, for the trail
    #[arg(long, default_value = "")]
    reason: String,
    /// File to write [default: standard output]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Why, for the trail: name a ticket, not the customer
    #[arg(long)]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl WhoArgs {
    fn request(self, reason: String) -> PrivacyRequest {
        PrivacyRequest {
            customer: self.customer,
            exact: self.exact,
            reason,
            actor: whoever(self.actor),
        }
    }
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: PrivacyCommand,
) -> Result<Outcome, CliError> {
    match command {
        PrivacyCommand::Export(arguments) => export(client, teller, arguments).await,
        PrivacyCommand::Erase(arguments) => erase(client, teller, arguments).await,
    }
}

async fn export(
    client: &Client,
    teller: &Teller,
    arguments: ExportArgs,
) -> Result<Outcome, CliError> {
    let ExportArgs { who, reason, file } = arguments;
    let request = who.request(reason);
    let held: HeldView = client
        .post_patiently("/v1/privacy/export", &request)
        .await?;
    let text = serde_json::to_string_pretty(&held)?;
    let Some(file) = file.filter(|file| file != Path::new("-")) else {
        writeln!(std::io::stdout().lock(), "{text}")?;
        return Ok(Outcome::Done);
    };
    let mut out = private_file(&file)?;
    writeln!(out, "{text}").map_err(|source| CliError::File {
        path: file.clone(),
        source,
    })?;
    let rows = held
        .held
        .values()
        .filter_map(|rows| Some(rows.as_array()?.len()));
    let said = serde_json::json!({ "file": file, "rows": rows.sum::<usize>() });
    teller.tell(&said, |said, _| {
        format!("{} rows in {}", said["rows"], file.display())
    })
}

async fn erase(
    client: &Client,
    teller: &Teller,
    arguments: EraseArgs,
) -> Result<Outcome, CliError> {
    let EraseArgs { who, reason, yes } = arguments;
    if !yes && !is_meant(&who.customer)? {
        return Ok(Outcome::Guarded);
    }
    let request = who.request(reason);
    let erased: ErasedView = client.post_patiently("/v1/privacy/erase", &request).await?;
    teller.tell(&erased, |erased, _| {
        let Gone {
            flags,
            events,
            firings,
            conduct,
            assignments,
            exemptions,
            notices,
            listings,
            customers,
            figures,
            trail,
            answers,
        } = erased.gone;
        let unused = match erased.file_rewritten {
            true => "",
            false => "\n\nUnused parts of the store may still have octets of it: of a file, until it is restored from a copy that is made \
                now (`outgate store backup`, `outgate store restore`); of PostgreSQL, until its VACUUM.",
        };
        format!(
            "erased: texts of {flags} flags, {events} events, {firings} firings of rules, {conduct} memories of conduct, \
             {assignments} assignments, texts of {exemptions} exemptions, {notices} notices, {listings} listings, names of {customers} customers, \
             {figures} figures, {trail} payloads of the trail, {answers} kept answers.\nBackups and \
             exports from before still have it, and relays what they keep of mail (`outgate-relay quarantine`).{unused}"
        )
    })
}

/// Asks whoever is at the keyboard; what is no terminal must say --yes.
fn is_meant(customer: &str) -> Result<bool, CliError> {
    let mut err = std::io::stderr().lock();
    if !std::io::stdin().is_terminal() {
        let said = "erasing cannot be taken back: say --yes, or ask from a terminal";
        writeln!(err, "outgate: {said}")?;
        return Ok(false);
    }
    write!(
        err,
        "Erase all that is held about {customer}? It cannot be taken back. Type yes: "
    )?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(CliError::Input)?;
    Ok(line.trim() == "yes")
}

const EXPORT_HELP: &str = "Examples:
  outgate privacy export --customer 192.0.2.10 --reason \"request of 1 March\"
  outgate privacy export --customer 2001:db8:a:a::/64 held.json
  outgate privacy export --customer C-1042 held.json              (what it has and had, while it had it)

Flags, events, what rules did, conduct, assignments, exemptions, notices, listings, figures and rows of the trail that are about this
address or prefix, or what is in it; not what is about a wider prefix, which is about others, too. Who has asked stands in the trail, as \"viewed\".
What relays keep of mail is theirs: `outgate-relay quarantine`.";

const ERASE_HELP: &str = "Examples:
  outgate privacy erase --customer 192.0.2.10 --reason \"request of 1 March, ticket 4711\"
  outgate privacy erase --customer 2001:db8:a:a::/64 --reason \"ticket 4712\" --yes

Gone are events, what rules did, conduct, ended assignments, notices, listings that are over (of open ones what was sent from there), figures, the texts of ended flags and exemptions, the name
and contact of a customer that is named by its key, and the payloads of the trail, which still verifies. What stays of a flag are its number, prefix, action, times and who acted. The trail says who has erased,
when, why and how much. A store's file of up to 64 MiB is written anew, so that no unused part of it has octets of that; of a larger
one a copy is free of them (`outgate store backup`, `outgate store restore`). Exit code 3 while a flag of the customer is in force: lift it first.";
