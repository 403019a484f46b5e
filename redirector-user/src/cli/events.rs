//! `outgate events` and `outgate watch`: what happens, as a table and as it comes.

use std::{io::Write as _, ops::ControlFlow, time::Duration};

use clap::Args;
use tokio::time::sleep;

use super::{
    CliError, Outcome,
    commands::Teller,
    tables::{self, Style},
};
use crate::{
    api::view::EventView,
    client::{Client, ClientError, with_query},
    policy::dial::read_target,
};

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    about: AboutArgs,
    /// Not older than this time, or than so long ago, as 2h or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many, the newest; with --after the next ones
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u32,
    /// Only those after the event of this number
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    about: AboutArgs,
    /// Begin after the event of this number, instead of now
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
}

#[derive(Debug, Args)]
struct AboutArgs {
    /// Only about this address or prefix, and what it is in; an IPv6 address stands for its /64 unless --exact
    #[arg(long, value_name = "ADDRESS")]
    customer: Option<String>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
    /// Only of this kind, as verdict, rates, flag_added or relay_down
    #[arg(long)]
    kind: Option<String>,
}

impl AboutArgs {
    fn query(&self) -> Result<Vec<(&'static str, String)>, CliError> {
        let mut query = Vec::new();
        if let Some(customer) = &self.customer {
            let prefix = read_target(customer, self.exact);
            let prefix = prefix.map_err(|refusal| CliError::Target(refusal.to_string()))?;
            query.push(("customer", prefix.to_string()));
        }
        query.extend(self.kind.clone().map(|kind| ("kind", kind)));
        Ok(query)
    }
}

/// What happened, oldest first.
pub(super) async fn list(
    client: &Client,
    teller: &Teller,
    arguments: EventsArgs,
) -> Result<Outcome, CliError> {
    let mut query = arguments.about.query()?;
    query.push(("limit", arguments.limit.to_string()));
    query.extend(arguments.since.map(|since| ("since", since)));
    query.extend(arguments.after.map(|after| ("after", after.to_string())));
    let events: Vec<EventView> = client.get(&path(&query)).await?;
    teller.tell(&events, |events, style| match events.is_empty() {
        true => String::from("no such event; `outgate events` without options shows the newest"),
        false => tables::events(events, style),
    })
}

/// What happens, until somebody has seen enough. A controller that is away is waited for, and nothing is missed.
pub(super) async fn watch(
    client: &Client,
    teller: &Teller,
    arguments: WatchArgs,
) -> Result<Outcome, CliError> {
    let path = path(&arguments.about.query()?);
    let mut after = match arguments.after {
        Some(after) => after,
        // Known before the first wait, so that nothing is missed if the controller ends in it.
        None => newest(client).await?,
    };
    let mut away = false;
    loop {
        let followed = client.follow(&path, Some(after), |event: EventView| {
            away = false;
            after = event.seq;
            say(teller, &event)?;
            Ok::<_, CliError>(ControlFlow::Continue(()))
        });
        match followed.await {
            Ok(())
            | Err(CliError::Client(
                ClientError::Unreachable { .. } | ClientError::Unusable { .. },
            )) => {
                if !std::mem::replace(&mut away, true) {
                    let said = "outgated has ended the stream; asking again until it answers";
                    writeln!(std::io::stderr().lock(), "outgate: {said}")?;
                }
            }
            Err(error) => return Err(error),
        }
        sleep(PAUSE).await;
    }
}

/// The number of the newest event of all.
async fn newest(client: &Client) -> Result<u64, CliError> {
    let events: Vec<EventView> = client.get("/v1/events?limit=1").await?;
    Ok(events.last().map_or(0, |event| event.seq))
}

fn say(teller: &Teller, event: &EventView) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    if teller.json {
        serde_json::to_writer(&mut out, event)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", tables::event(event, Style::of_stdout()))?;
    }
    out.flush()?;
    Ok(())
}

fn path(query: &[(&'static str, String)]) -> String {
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    with_query("/v1/events", &pairs)
}

const PAUSE: Duration = Duration::from_secs(1);

pub(super) const EVENTS_HELP: &str = "Examples:
  outgate events
  outgate events --customer 192.0.2.10 --since 24h
  outgate events --kind verdict --since 2026-03-01T12:00:00Z -j

Events of relays: verdict (of a message that was not just accepted), rates (what a customer did, once a minute),
limit_hit, learnt, kept, released, viewed, confirmed, scanner_down, scanner_back, disk_failed, disk_back, lost.
Of the controller: flag_added, flags_imported, flag_in_force, flag_replaced, flag_lifted, flag_expired, relay_up,
relay_down, failure_policy, failure_policy_over, map_pressure, map_pressure_over, rule_held_back, rule_would_have,
rules_frozen, rules_thawed, token_added, token_removed, backup_failed, store_was_away, listed, delisted,
 listing_unwatched, list_set_aside, list_back.";

pub(super) const WATCH_HELP: &str = "Examples:
  outgate watch
  outgate watch --customer 192.0.2.0/24
  outgate watch --kind verdict -j

Ends with Ctrl-C. With -j each event is a line of JSON. While outgated is away it waits, and goes on where it was.";
