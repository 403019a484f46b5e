//! `outgate-relay behaviour` and `identity`: what customers do, and which sites inside of them are locked, by the running
//! relay's admin socket.

mod tables;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo, Timestamp};
use relay::behaviour::locks::Lock;
use relay::behaviour::shapes::{CustomerShown, HourShown, LockOrder, UnlockDone, UnlockOrder};
use relay::config::Config;
use serde::Serialize;

use super::queue::client::Client;
use super::say;

/// What is asked of one customer, or of all.
#[derive(Debug, Args)]
pub(crate) struct BehaviourArguments {
    /// An address, or an IPv6 prefix as the table shows it [default: those with the most messages of the last hour]
    customer: Option<String>,
    /// JSON instead of a table
    #[arg(short, long)]
    json: bool,
}

/// What can be done with identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// List the locks that are in force
    Ls {
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Refuse the mail of an identity; that of its neighbours goes on. Outlives a restart
    Lock {
        /// Its name, as `outgate-relay behaviour CUSTOMER` shows it
        identity: String,
        /// Only of this customer: address, or IPv6 prefix as it is shown [default: of any]
        #[arg(long, value_name = "ADDRESS")]
        customer: Option<String>,
        /// Why; whoever sends as it reads this
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// It ends by itself after so long, as 12h or 7d [default: never]
        #[arg(long = "for", value_name = "TIME")]
        lasting: Option<String>,
        /// JSON instead of a sentence
        #[arg(short, long)]
        json: bool,
    },
    /// Take the mail of an identity again
    Unlock {
        /// Its name, as `ls` shows it
        identity: String,
        /// As it was locked
        #[arg(long, value_name = "ADDRESS")]
        customer: Option<String>,
        /// JSON instead of a sentence
        #[arg(short, long)]
        json: bool,
    },
}

/// Shows what customers do; whether there is somebody to show.
pub(super) fn behaviour(arguments: &BehaviourArguments, config: &Config) -> anyhow::Result<bool> {
    let client = Client::new(&config.queue.admin)?;
    match &arguments.customer {
        Some(customer) => {
            let path = format!("/v1/behaviour/{}", customer.trim());
            let shown: Option<CustomerShown> = client.get(&path)?;
            let Some(shown) = shown else {
                say(&format!("{customer}: nothing is known of it"))?;
                return Ok(false);
            };
            told(arguments.json, &shown, || tables::customer(&shown))?;
            Ok(true)
        }
        None => {
            let shown: Option<Vec<HourShown>> = client.get("/v1/behaviour")?;
            let shown = shown.unwrap_or_default();
            told(arguments.json, &shown, || tables::busiest(&shown))?;
            Ok(true)
        }
    }
}

/// Runs it; whether there was something to do it with.
pub(super) fn identity(command: &IdentityCommand, config: &Config) -> anyhow::Result<bool> {
    let client = Client::new(&config.queue.admin)?;
    match command {
        IdentityCommand::Ls { json } => {
            let locks: Option<Vec<Lock>> = client.get("/v1/identities/locks")?;
            let locks = locks.unwrap_or_default();
            told(*json, &locks, || tables::locks(&locks))?;
            Ok(true)
        }
        IdentityCommand::Lock {
            identity,
            customer,
            reason,
            lasting,
            json,
        } => {
            let order = LockOrder {
                identity: identity.clone(),
                customer: customer.clone(),
                reason: reason.clone(),
                until: lasting.as_deref().map(until).transpose()?,
            };
            let lock: Lock = client.post("/v1/identities/locks", &order)?;
            told(*json, &lock, || tables::locked(&lock))?;
            Ok(true)
        }
        IdentityCommand::Unlock {
            identity,
            customer,
            json,
        } => {
            let order = UnlockOrder {
                identity: identity.clone(),
                customer: customer.clone(),
            };
            let done: UnlockDone = client.post("/v1/identities/unlock", &order)?;
            told(*json, &done, || match done.changed {
                true => format!("{identity}: unlocked"),
                false => format!("{identity}: was not locked so; see outgate-relay identity ls"),
            })?;
            Ok(done.changed)
        }
    }
}

fn told(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    say(&match json {
        true => serde_json::to_string(value)?,
        false => text(),
    })
}

fn until(text: &str) -> anyhow::Result<Timestamp> {
    let no_time = || anyhow!("{text}: not a length of time, as 12h or 7d");
    let span: Span = text.parse().map_err(|_parse| no_time())?;
    let lasting = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_months| no_time())?;
    Timestamp::now()
        .checked_add(lasting)
        .map_err(|_too_long| no_time())
}
