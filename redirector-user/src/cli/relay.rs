//! `outgate relay`: who serves, and draining.

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::{self, Style},
};
use crate::{
    api::view::{DrainRequest, PoolView, RelayView},
    client::{Client, escaped, with_query},
};

#[derive(Debug, Subcommand)]
pub(super) enum RelayCommand {
    /// List relays with their weights, states and connections
    Ls,
    /// Take a relay out of rotation: no new connections, open ones stay
    #[command(after_help = DRAIN_HELP)]
    Drain(WordArgs),
    /// Let a drained relay take connections again
    #[command(
        after_help = "Example:\n  outgate relay resume relay-2 --reason \"kernel update done\""
    )]
    Resume(WordArgs),
}

#[derive(Debug, Args)]
pub(super) struct WordArgs {
    /// Its name, as outgated.toml says it
    relay: String,
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
    command: RelayCommand,
) -> Result<Outcome, CliError> {
    match command {
        RelayCommand::Ls => {
            let pools: Vec<PoolView> = client.get("/v1/relays").await?;
            teller.tell(&pools, |pools, style| list(pools, style))
        }
        RelayCommand::Drain(arguments) => {
            let path = path(&arguments.relay);
            let request = DrainRequest {
                reason: arguments.reason,
                actor: whoever(arguments.actor),
            };
            let pool: PoolView = client.put(&path, &request).await?;
            teller.tell(&pool, |pool, _| drained(pool, &arguments.relay))
        }
        RelayCommand::Resume(arguments) => {
            let (reason, actor) = (arguments.reason, whoever(arguments.actor));
            let query = [("reason", reason.as_str()), ("actor", &actor)];
            let path = with_query(&path(&arguments.relay), &query);
            let pool: PoolView = client.delete(&path).await?;
            teller.tell(&pool, |pool, _| resumed(pool, &arguments.relay))
        }
    }
}

fn path(relay: &str) -> String {
    format!("/v1/relays/{}/drain", escaped(relay))
}

fn list(pools: &[PoolView], style: Style) -> String {
    let mut table = style.table(&[
        "RELAY",
        "POOL",
        "ADDRESS",
        "WEIGHT",
        "STATE",
        "ACKNOWLEDGED",
        "FLOWS",
        "DRAINED",
    ]);
    for pool in pools {
        for relay in &pool.relays {
            let drained = relay.drained.as_ref().map(|drain| {
                let since = style.time(drain.since);
                format!("{since} by {}: {}", drain.by, drain.reason)
            });
            table.add_row([
                Cell::new(&relay.name),
                Cell::new(&pool.name),
                Cell::new(tables::listeners(relay)),
                Cell::new(relay.weight).set_alignment(CellAlignment::Right),
                tables::relay_state(relay),
                Cell::new(tables::acknowledged(pool, relay)),
                Cell::new(relay.flows).set_alignment(CellAlignment::Right),
                Cell::new(drained.unwrap_or_default()),
            ]);
        }
    }
    match pools.is_empty() {
        true => String::from("no pool is configured, so nothing can be redirected"),
        false => table.to_string(),
    }
}

fn drained(pool: &PoolView, name: &str) -> String {
    let left = pool.relays.iter().filter(|relay| relay.in_rotation);
    let left: Vec<&str> = left.map(|relay| relay.name.as_str()).collect();
    let now = match left.as_slice() {
        [] => format!(
            "WARNING: pool {} has no relay left; on_failure = \"{}\" is what becomes of its customers' new connections",
            pool.name, pool.on_failure
        ),
        left => format!("new ones go to {}", left.join(", ")),
    };
    format!("{name}: drained; its open connections stay until they end, {now}")
}

fn resumed(pool: &PoolView, name: &str) -> String {
    let in_rotation = |relay: &RelayView| relay.name == name && relay.in_rotation;
    match pool.relays.iter().any(in_rotation) {
        true => format!("{name}: resumed; it takes new connections"),
        false => format!(
            "{name}: resumed; it takes new connections once it is up and knows every customer (`outgate relay ls`)"
        ),
    }
}

const DRAIN_HELP: &str = "Example:
  outgate relay drain relay-2 --reason \"kernel update\"
  outgate relay ls                                         (FLOWS 0: it can go)

Its customers' new connections go to the other relays of the pool, by weight; nobody else's relay changes. It stays
drained over restarts of outgated and of itself, until `outgate relay resume`. FLOWS is counted every 5 s. What its
own legs from a customer's address (--egress customer) are answered goes to the customer's new relay at once: drain
such a pool when little is under way; what breaks off is deferred, and the customer sends it again.";
