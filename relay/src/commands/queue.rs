//! `outgate-relay queue`: what is queued, and what people do to it, by the running relay's admin socket.

pub(super) mod client;
pub(super) mod tables;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo, Timestamp};
use relay::config::Config;
use relay::queue::admin::shapes::{
    Done, ListQuestion, Listing, MessageShown, Order, PauseDone, PauseOrder, StatsShown, Verb,
    Wanted,
};
use serde::Serialize;

use self::client::Client;
use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List what is queued, one line for each domain of a message
    Ls {
        #[command(flatten)]
        wanted: WantedArguments,
        /// Show so many at most
        #[arg(long, default_value_t = 1000, value_name = "N")]
        limit: usize,
        #[command(flatten)]
        json: Json,
    },
    /// Show one message, with its addresses
    Show {
        /// Its name, as `ls` shows it
        id: String,
        #[command(flatten)]
        json: Json,
    },
    /// Show numbers, and what is paused
    Stats {
        #[command(flatten)]
        json: Json,
    },
    /// Try messages now, whatever their schedule says; a dead site is probed now
    Flush(OrderArguments),
    /// Do not try messages until they are released; they do not grow too old meanwhile. Outlives a restart
    Hold(OrderArguments),
    /// Try messages again that are held
    Release(OrderArguments),
    /// End messages; nobody is told
    Delete {
        #[command(flatten)]
        order: OrderArguments,
        /// Why; it is logged with each message
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Look up the routes of messages anew, and try them now
    Requeue(OrderArguments),
    /// Begin no more deliveries to a domain, to a site, or at all. Outlives a restart
    Pause(PauseArguments),
    /// Go on with what is paused
    Resume(PauseArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// JSON instead of a table
    #[arg(short, long)]
    json: bool,
}

/// Which messages: all conditions must hold.
#[derive(Debug, Args)]
pub(crate) struct WantedArguments {
    /// One message
    id: Option<String>,
    /// Of this customer: address or prefix
    #[arg(long, value_name = "PREFIX")]
    customer: Option<String>,
    /// From this domain; '<>' for notifications
    #[arg(long, value_name = "DOMAIN")]
    sender: Option<String>,
    /// To this domain; with a dot in front, to all below it
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// To this site, as `ls` shows it
    #[arg(long)]
    site: Option<String>,
    /// Leaving by this: pool, customer or socks5
    #[arg(long)]
    egress: Option<String>,
    /// In this state: scheduled, waiting, ready, in-flight or held
    #[arg(long)]
    state: Option<String>,
    /// Older than this, as 30m, 2h or 1d
    #[arg(long, value_name = "AGE")]
    older: Option<String>,
    /// Younger than this
    #[arg(long, value_name = "AGE")]
    younger: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArguments {
    #[command(flatten)]
    wanted: WantedArguments,
    /// All messages are meant
    #[arg(long)]
    all: bool,
    /// Only say how many are meant
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false)]
pub(crate) struct What {
    /// A recipient domain
    #[arg(long)]
    domain: Option<String>,
    /// A site, as `ls` shows it
    #[arg(long)]
    site: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    json: Json,
}

/// Runs it; whether there was something to do it with.
pub(super) fn run(command: &QueueCommand, config: &Config) -> anyhow::Result<bool> {
    let client = Client::new(&config.queue.admin)?;
    match command {
        QueueCommand::Ls {
            wanted,
            limit,
            json,
        } => ls(&client, wanted, *limit, json),
        QueueCommand::Show { id, json } => {
            let path = format!("/v1/queue/messages/{}", id.trim());
            let shown: Option<MessageShown> = client.get(&path)?;
            let Some(message) = shown else {
                say(&format!("{id}: not in the queue"))?;
                return Ok(false);
            };
            told(json, &message, || tables::message(&message))
        }
        QueueCommand::Stats { json } => {
            let stats: Option<StatsShown> = client.get("/v1/queue/stats")?;
            let stats = stats.ok_or_else(|| anyhow!("the relay has no queue"))?;
            told(json, &stats, || tables::stats(&stats))
        }
        QueueCommand::Flush(order) => give(&client, Verb::Flush, order, None),
        QueueCommand::Hold(order) => give(&client, Verb::Hold, order, None),
        QueueCommand::Release(order) => give(&client, Verb::Release, order, None),
        QueueCommand::Requeue(order) => give(&client, Verb::Requeue, order, None),
        QueueCommand::Delete { order, reason } => give(&client, Verb::Delete, order, Some(reason)),
        QueueCommand::Pause(arguments) => pause(&client, arguments, false),
        QueueCommand::Resume(arguments) => pause(&client, arguments, true),
    }
}

fn ls(
    client: &Client,
    wanted: &WantedArguments,
    limit: usize,
    json: &Json,
) -> anyhow::Result<bool> {
    let mut question = ListQuestion {
        wanted: wanted.shape()?,
        after: 0,
        limit,
    };
    let mut jobs = Vec::new();
    let more = loop {
        question.limit = limit.saturating_sub(jobs.len()).min(PAGE);
        let listing: Listing = client.post("/v1/queue/list", &question)?;
        jobs.extend(listing.jobs);
        match listing.next {
            Some(next) if jobs.len() < limit => question.after = next,
            next => break next.is_some(),
        }
    };
    jobs.sort_by(|one, other| (&one.id, &one.domain).cmp(&(&other.id, &other.domain)));
    if json.json {
        say(&serde_json::to_string(&jobs)?)?;
        return Ok(true);
    }
    say(&tables::jobs(&jobs))?;
    if more {
        say(&format!(
            "there may be more than these {limit}; see --limit"
        ))?;
    }
    Ok(true)
}

fn give(
    client: &Client,
    verb: Verb,
    arguments: &OrderArguments,
    reason: Option<&String>,
) -> anyhow::Result<bool> {
    let order = Order {
        verb,
        wanted: arguments.wanted.shape()?,
        all: arguments.all,
        dry_run: arguments.dry_run,
        reason: reason.cloned(),
    };
    let done: Done = client.post("/v1/queue/orders", &order)?;
    told(&arguments.json, &done, || {
        tables::done(verb, arguments.dry_run, &done)
    })?;
    Ok(done.matched > 0)
}

fn pause(client: &Client, arguments: &PauseArguments, resume: bool) -> anyhow::Result<bool> {
    let order = PauseOrder {
        resume,
        everything: arguments.what.all,
        domain: arguments.what.domain.clone(),
        site: arguments.what.site.clone(),
    };
    let done: PauseDone = client.post("/v1/queue/pauses", &order)?;
    told(&arguments.json, &done, || {
        let said = match (resume, done.changed) {
            (false, true) => "paused; what is in flight comes to its end",
            (false, false) => "was paused already",
            (true, true) => "goes on",
            (true, false) => "was not paused",
        };
        said.to_owned()
    })?;
    Ok(done.changed || !resume)
}

fn told(
    json: &Json,
    value: &impl Serialize,
    table: impl FnOnce() -> String,
) -> anyhow::Result<bool> {
    say(&match json.json {
        true => serde_json::to_string(value)?,
        false => table(),
    })?;
    Ok(true)
}

impl WantedArguments {
    fn shape(&self) -> anyhow::Result<Wanted> {
        Ok(Wanted {
            id: self.id.clone(),
            customer: self.customer.clone(),
            sender: self.sender.clone(),
            domain: self.domain.clone(),
            site: self.site.clone(),
            egress: self.egress.clone(),
            state: self.state.clone(),
            older_than_seconds: self.older.as_deref().map(age).transpose()?,
            younger_than_seconds: self.younger.as_deref().map(age).transpose()?,
        })
    }
}

fn age(text: &str) -> anyhow::Result<u64> {
    let no_age = || anyhow!("{text}: not an age, as 30m, 2h or 1d");
    let span: Span = text.parse().map_err(|_parse| no_age())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let seconds = duration.map_err(|_months| no_age())?.as_secs();
    u64::try_from(seconds).map_err(|_negative| no_age())
}

fn now_ms() -> anyhow::Result<u64> {
    u64::try_from(Timestamp::now().as_millisecond()).context("the clock is before 1970")
}

/// As many as the relay gives at once.
const PAGE: usize = 10_000;
