//! `outgate-relay quarantine`: what was refused and kept, looked at and decided about at the running relay's admin socket;
//! `audit` alone reads its file itself.
//!
//! What is sealed is opened here, with an identity that the relay never sees; what is released goes back through the
//! socket, and the relay takes nothing but what it has sealed.

mod arguments;
mod audit;
mod release;
mod tables;

use std::path::Path;

use anyhow::{Context, bail};
use arguments::OrderArguments;
pub(crate) use arguments::QuarantineCommand;
use contract::Tier;
use hyper::StatusCode;
use relay::config::Config;
use relay::quarantine::shapes::{
    Done, ListQuestion, Listing, Order, RecordId, ShowQuestion, Shown, Verb, Wanted,
};
use relay::quarantine::without_envelope;
use release::{GivenBack, identities, meant, open};

use super::Ended;
use super::queue::client::{Client, SaysNo};
use super::say;

/// Runs it; whether there was something to do it with.
pub(super) fn run(command: &QuarantineCommand, config: &Config) -> anyhow::Result<bool> {
    if config.quarantine.is_none() && !matches!(command, QuarantineCommand::Audit(_)) {
        bail!("nothing is kept: [quarantine] is not in the configuration");
    }
    let client = Client::new(&config.queue.admin)?;
    let answered = match command {
        // Whether a relay runs or not, and most of all when it does not trust the log.
        QuarantineCommand::Audit(arguments) => audit::run(arguments, config),
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
            let identities = identities(identity_file.as_deref())?;
            let given_back = GivenBack::release(&identities, reason);
            given_back.all(&client, &ids, *json)
        }
        QuarantineCommand::Drop(order) => give(&client, Verb::Drop, order),
        QuarantineCommand::Confirm {
            order,
            identity_file: None,
        } => give(&client, Verb::Confirm, order),
        QuarantineCommand::Confirm {
            order,
            identity_file,
        } => {
            let identities = identities(identity_file.as_deref())?;
            let given_back = GivenBack::confirm(&identities, &order.reason);
            given_back.all(&client, &order.ids, order.json)
        }
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

/// As many as fit in one question.
const ORDERS_AT_ONCE: usize = 1000;
