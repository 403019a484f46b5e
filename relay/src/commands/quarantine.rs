//! `outgate-relay quarantine`: what was refused and kept, looked at and decided about at the running relay's admin socket.
//!
//! What is sealed is opened here, with an identity that the relay never sees; what is released goes back through the
//! socket, and the relay takes nothing but what it has sealed.

mod tables;

use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use contract::Tier;
use hyper::StatusCode;
use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use relay::config::Config;
use relay::quarantine::seal::{Identity, Opener};
use relay::quarantine::shapes::{
    BodyQuestion, Did, Done, Failed, ListQuestion, Listing, Opened, Order, RecordId, ShowQuestion,
    Shown, Verb, Wanted,
};
use relay::quarantine::without_envelope;

use super::Ended;
use super::queue::client::{Client, SaysNo};
use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List what is kept, the newest first
    Ls {
        #[command(flatten)]
        wanted: WantedArguments,
        /// Show so many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Show one record; each view is audited
    Show {
        /// Its name, as `ls` and the reply to the sender (id=) show it
        id: RecordId,
        /// With its header section, addresses redacted
        #[arg(long, conflicts_with = "body")]
        headers: bool,
        /// The message itself, and nothing else
        #[arg(long, requires_all = ["identity_file", "reason"])]
        body: bool,
        /// With which it is opened, here: a file as `age-keygen` makes it
        #[arg(long, value_name = "FILE")]
        identity_file: Option<PathBuf>,
        /// Why; it is audited
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// JSON instead of a table
        #[arg(short, long, conflicts_with = "body")]
        json: bool,
    },
    /// Deliver messages after all, as their customer wrote them. Never twice
    Release {
        #[command(flatten)]
        which: WhichArguments,
        /// With which they are opened, here: a file as `age-keygen` makes it
        #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
        identity_file: Option<PathBuf>,
        /// Why; it is audited
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Only say which are meant
        #[arg(long)]
        dry_run: bool,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Delete the header section and the content of messages; what is known of them otherwise stays
    Drop(OrderArguments),
    /// Say of messages that they are spam indeed
    Confirm(OrderArguments),
    /// Show some by chance, for review
    Sample {
        /// So many
        number: usize,
        /// Of this customer: address or prefix
        #[arg(long, value_name = "PREFIX")]
        customer: Option<IpNetwork>,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
}

/// Which records: all conditions must hold.
#[derive(Debug, Args)]
pub(crate) struct WantedArguments {
    /// Of this customer: address or prefix
    #[arg(long, value_name = "PREFIX")]
    customer: Option<IpNetwork>,
    /// Refused because of this flag
    #[arg(long, value_name = "ID")]
    flag: Option<u32>,
    /// Not older than this: an age as 30m or 2h, or a time as 2026-11-22T06:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// With this verdict, as `ls` shows it
    #[arg(long)]
    verdict: Option<String>,
    /// Sent by this user, or by this one inside of the customer
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Of nearly the same text as this one
    #[arg(long, value_name = "ID")]
    alike: Option<RecordId>,
}

/// Which messages are to go out.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(crate) struct WhichArguments {
    /// They, by name
    #[arg(value_name = "ID")]
    ids: Vec<RecordId>,
    /// All of nearly the same text as this one, itself included
    #[arg(long, value_name = "ID")]
    alike: Option<RecordId>,
    /// All that this user has sent, or this one inside of a customer
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArguments {
    /// Which
    #[arg(required = true, value_name = "ID")]
    ids: Vec<RecordId>,
    /// Why; it is audited
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// JSON instead of a table
    #[arg(short, long)]
    json: bool,
}

/// Runs it; whether there was something to do it with.
pub(super) fn run(command: &QuarantineCommand, config: &Config) -> anyhow::Result<bool> {
    if config.quarantine.is_none() {
        bail!("nothing is kept: [quarantine] is not in the configuration");
    }
    let client = Client::new(&config.queue.admin)?;
    let answered = match command {
        QuarantineCommand::Ls {
            wanted,
            limit,
            json,
        } => ls(&client, &wanted.into(), *limit, false, *json),
        QuarantineCommand::Sample {
            number,
            customer,
            json,
        } => {
            let wanted = Wanted {
                customer: *customer,
                ..Wanted::default()
            };
            ls(&client, &wanted, *number, true, *json)
        }
        QuarantineCommand::Show {
            id,
            body: true,
            identity_file,
            reason,
            ..
        } => print_body(&client, id, identity_file.as_deref(), reason),
        QuarantineCommand::Show {
            id,
            headers,
            reason,
            json,
            ..
        } => show(&client, id, *headers, reason, *json),
        QuarantineCommand::Release {
            which,
            identity_file,
            reason,
            dry_run,
            json,
        } => {
            let ids = meant(&client, which)?;
            if ids.is_empty() {
                say("nothing that could be released matches")?;
                return Ok(false);
            }
            if *dry_run {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                say(&ids.join("\n"))?;
                return Ok(true);
            }
            release(&client, &ids, identity_file.as_deref(), reason, *json)
        }
        QuarantineCommand::Drop(order) => give(&client, Verb::Drop, order),
        QuarantineCommand::Confirm(order) => give(&client, Verb::Confirm, order),
    };
    answered.map_err(ended)
}

fn ls(
    client: &Client,
    wanted: &Wanted,
    limit: usize,
    sample: bool,
    json: bool,
) -> anyhow::Result<bool> {
    let listing = list(client, wanted, limit, sample)?;
    if json {
        say(&serde_json::to_string(&listing.records)?)?;
    } else {
        say(&tables::records(&listing.records))?;
        if !listing.complete {
            say("the quarantine is still being read: there may be more")?;
        }
    }
    Ok(true)
}

fn list(client: &Client, wanted: &Wanted, limit: usize, sample: bool) -> anyhow::Result<Listing> {
    let question = ListQuestion {
        wanted: wanted.clone(),
        limit,
        sample,
    };
    client.post("/v1/quarantine/list", &question)
}

fn show(
    client: &Client,
    id: &RecordId,
    headers: bool,
    reason: &str,
    json: bool,
) -> anyhow::Result<bool> {
    let question = ShowQuestion {
        id: id.clone(),
        headers,
        reason: reason.to_owned(),
    };
    let shown: Shown = client.post("/v1/quarantine/show", &question)?;
    say(&match json {
        true => serde_json::to_string(&shown)?,
        false => tables::record(&shown),
    })?;
    if headers && shown.headers.is_none() {
        let tier = shown.record.tier;
        let why = match tier {
            Tier::None | Tier::Metadata => "the customer's tier keeps none",
            Tier::Headers | Tier::Body => "dropped, or too old",
        };
        bail!(Ended::not_found(format!("{id}: no header section: {why}")));
    }
    Ok(true)
}

fn print_body(
    client: &Client,
    id: &RecordId,
    identity_file: Option<&Path>,
    reason: &str,
) -> anyhow::Result<bool> {
    let identities = identities(identity_file)?;
    let mut content = without_envelope(open(client, id, &identities, reason)?)?;
    std::io::copy(&mut content, &mut std::io::stdout().lock()).context("the message")?;
    Ok(true)
}

/// The sealed part, opened here.
fn open(
    client: &Client,
    id: &RecordId,
    identities: &[Identity],
    reason: &str,
) -> anyhow::Result<impl Read> {
    let question = BodyQuestion {
        id: id.clone(),
        reason: reason.to_owned(),
    };
    let sealed = client.download("/v1/quarantine/body", &question)?;
    Opener::new(BufReader::new(sealed), identities).with_context(|| id.to_string())
}

fn identities(file: Option<&Path>) -> anyhow::Result<Vec<Identity>> {
    let file = file.ok_or_else(|| anyhow!("--identity-file is needed"))?;
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Identity::read(&text).with_context(|| file.display().to_string())
}

/// The names of those that are meant and can be released.
fn meant(client: &Client, which: &WhichArguments) -> anyhow::Result<Vec<RecordId>> {
    if !which.ids.is_empty() {
        return Ok(which.ids.clone());
    }
    let wanted = Wanted {
        alike: which.alike.clone(),
        identity: which.identity.clone(),
        releasable: true,
        ..Wanted::default()
    };
    let listing = list(client, &wanted, AT_ONCE, false).map_err(ended)?;
    if !listing.complete {
        bail!("the quarantine is still being read: not all that is meant is known; try again");
    }
    Ok(listing.records.into_iter().map(|found| found.id).collect())
}

fn release(
    client: &Client,
    ids: &[RecordId],
    identity_file: Option<&Path>,
    reason: &str,
    json: bool,
) -> anyhow::Result<bool> {
    let identities = identities(identity_file)?;
    let mut done = Done::default();
    for id in ids {
        match release_one(client, id, &identities, reason) {
            Ok(did) => done.done.push(did),
            // Of one alone everything is said.
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                let status = error.downcast_ref::<SaysNo>().map(|no| no.status);
                done.failed.push(Failed {
                    id: id.clone(),
                    is_missing: status == Some(StatusCode::NOT_FOUND),
                    error: format!("{error:#}"),
                });
            }
        }
    }
    told(&done, json, "released")
}

fn release_one(
    client: &Client,
    id: &RecordId,
    identities: &[Identity],
    reason: &str,
) -> anyhow::Result<Did> {
    let text = open(client, id, identities, reason)?;
    let question = Opened {
        id: id.clone(),
        reason: reason.to_owned(),
    };
    client.upload("/v1/quarantine/release", &question, text)
}

fn give(client: &Client, verb: Verb, arguments: &OrderArguments) -> anyhow::Result<bool> {
    let mut done = Done::default();
    for ids in arguments.ids.chunks(ORDERS_AT_ONCE) {
        let order = Order {
            verb,
            ids: ids.to_vec(),
            reason: arguments.reason.clone(),
        };
        let some: Done = client.post("/v1/quarantine/orders", &order)?;
        done.done.extend(some.done);
        done.failed.extend(some.failed);
    }
    let word = match verb {
        Verb::Drop => "dropped",
        Verb::Confirm => "confirmed",
    };
    told(&done, arguments.json, word)
}

/// Says what was done and what was not, and how that ends.
fn told(done: &Done, json: bool, word: &str) -> anyhow::Result<bool> {
    say(&match json {
        true => serde_json::to_string(done)?,
        false => tables::done(done, word),
    })?;
    let all = done.done.len() + done.failed.len();
    if done.failed.is_empty() {
        return Ok(true);
    }
    let text = format!("{} of {all} not {word}", done.failed.len());
    if !done.done.is_empty() {
        bail!(Ended::partial(text));
    }
    if done.failed.iter().all(|failed| failed.is_missing) {
        bail!(Ended::not_found(text));
    }
    bail!(Ended::refused(text))
}

/// What the relay's own word means for the exit code.
fn ended(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<SaysNo>().map(|no| no.status) {
        Some(StatusCode::NOT_FOUND) => Ended::not_found(error.to_string()).into(),
        Some(StatusCode::CONFLICT) => Ended::refused(error.to_string()).into(),
        Some(_) | None => error,
    }
}

impl From<&WantedArguments> for Wanted {
    fn from(arguments: &WantedArguments) -> Self {
        Self {
            customer: arguments.customer,
            flag_id: arguments.flag,
            since: arguments.since,
            verdict: arguments.verdict.clone(),
            identity: arguments.identity.clone(),
            alike: arguments.alike.clone(),
            state: None,
            releasable: false,
        }
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong =
        || format!("{text}: neither an age, as 30m or 48h, nor a time, as 2026-11-22T06:00:00Z");
    let ago: SignedDuration = text.parse().map_err(|_parse| wrong())?;
    Timestamp::now()
        .saturating_sub(ago)
        .map_err(|_range| wrong())
}

/// As many as the relay gives at once.
const AT_ONCE: usize = 10_000;
const ORDERS_AT_ONCE: usize = 1000;
