//! `outgate top`: who sends, what is done about it, and whether the relays keep up, again and again.
//!
//! [`model`] is what is shown, [`view`] how, [`terminal`] where; here is the loop that feeds them. Everything comes from
//! the API, one question after the other, so that a slow controller is asked less, not more.

mod model;
mod terminal;
mod view;

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use clap::Args;
use ipnetwork::IpNetwork;
use jiff::SignedDuration;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{
    model::{Model, Reaction, Snapshot, Wanted},
    terminal::{Input, Screen},
    view::Palette,
};
use super::{CliError, Outcome, commands::Teller};
use crate::{
    api::view::FlagView,
    client::{Client, ClientError, escaped, with_query},
    radar::view::RadarView,
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArgs {
    /// From one look to the next, 200ms to 1m
    #[arg(long, default_value = "2s", value_name = "DURATION", value_parser = period)]
    interval: Duration,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    arguments: TopArgs,
) -> Result<Outcome, CliError> {
    let model = Model::new();
    if teller.json {
        let wanted = Wanted {
            flags: std::collections::BTreeSet::new(),
            ..model.wanted()
        };
        let snapshot = ask(client, &wanted, Duration::ZERO).await?;
        return teller.tell(&snapshot, |_, _| String::new());
    }
    if !terminal::is_there() {
        return Err(CliError::Target(String::from(
            "top needs a terminal; `outgate top -j` says once what it would show, `outgate radar` and `outgate status` \
             say it as tables",
        )));
    }
    // One look before the screen is taken: that nobody listens is said like everywhere else.
    let first = ask(client, &model.wanted(), Duration::ZERO).await?;
    follow(client, model, first, arguments.interval).await?;
    Ok(Outcome::Done)
}

/// Shows until a person, a signal or the terminal ends it.
async fn follow(
    client: &Client,
    mut model: Model,
    first: Snapshot,
    period: Duration,
) -> Result<(), CliError> {
    let palette = Palette {
        colour: colour_is_welcome(),
    };
    let began = Instant::now();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut screen = Screen::take()?;
    let mut inputs = terminal::inputs()?;
    model.take(first);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asking: JoinSet<Result<Snapshot, ClientError>> = JoinSet::new();
    // Whether something else is wanted than is being asked for.
    let mut again = false;
    loop {
        if let Err(error) = screen
            .terminal
            .draw(|frame| view::draw(frame, &mut model, palette))
        {
            // Who looked at it has gone.
            drop(screen);
            return Err(CliError::Output(io::Error::new(
                io::ErrorKind::BrokenPipe,
                error,
            )));
        }
        let mut due = false;
        tokio::select! {
            input = inputs.recv() => match input {
                None => return Ok(()),
                Some(Input::Resized) => {}
                Some(Input::Key(key)) => match model.key(key) {
                    Reaction::Quit => return Ok(()),
                    Reaction::Ask => again = true,
                    Reaction::Show => {}
                },
            },
            Some(answer) = asking.join_next(), if !asking.is_empty() => match answer {
                Ok(Ok(snapshot)) => model.take(snapshot),
                Ok(Err(error)) => model.fail(error.to_string()),
                Err(error) => model.fail(error.to_string()),
            },
            _tick = ticks.tick() => due = !model.paused,
            _signal = terminate.recv() => return Ok(()),
            _signal = interrupt.recv() => return Ok(()),
            _signal = hangup.recv() => return Ok(()),
        }
        if (due || again) && asking.is_empty() {
            again = false;
            let (client, wanted) = (client.clone(), model.wanted());
            asking.spawn(async move { ask(&client, &wanted, began.elapsed()).await });
        }
    }
}

/// Everything that is shown, as of now.
async fn ask(client: &Client, wanted: &Wanted, at: Duration) -> Result<Snapshot, ClientError> {
    let limit = SOURCES.to_string();
    let query = [("limit", limit.as_str()), ("window", wanted.window)];
    let radar: RadarView = client.get(&with_query("/v1/radar", &query)).await?;
    let mut flags = BTreeMap::new();
    for source in &wanted.flags {
        if let Some(flag) = flag_over(client, *source).await? {
            flags.insert(*source, flag);
        }
    }
    let detail = match wanted.detail {
        Some(source) => {
            let path = format!("/v1/radar/{}", escaped(&source.ip().to_string()));
            let path = with_query(&path, &[("window", wanted.window)]);
            match client.get(&path).await {
                Ok(view) => Some(view),
                // It has been silent since.
                Err(ClientError::Refused(_)) => None,
                Err(error) => return Err(error),
            }
        }
        None => None,
    };
    Ok(Snapshot {
        at,
        status: client.get("/v1/status").await?,
        counters: client.get("/v1/counters").await?,
        radar,
        flags,
        detail,
    })
}

/// The flag that a source's connections meet: the most specific one that has not ended.
async fn flag_over(client: &Client, source: IpNetwork) -> Result<Option<FlagView>, ClientError> {
    let target = source.to_string();
    let query = [("target", target.as_str()), ("exact", "true")];
    let over: Vec<FlagView> = client.get(&with_query("/v1/flags", &query)).await?;
    Ok(over.into_iter().next())
}

/// Not into a dumb terminal, and not for who sets NO_COLOR (no-color.org).
fn colour_is_welcome() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_none_or(|term| term == "dumb");
    set("NO_COLOR").is_none() && !dumb
}

fn period(text: &str) -> Result<Duration, String> {
    let read = text.parse::<SignedDuration>().ok();
    let read = read.and_then(|signed| Duration::try_from(signed).ok());
    read.filter(|period| (SHORTEST..=LONGEST).contains(period))
        .ok_or_else(|| String::from("not a time between looks; allowed are 200ms to 1m, as \"2s\""))
}

/// More than anybody scrolls through.
const SOURCES: usize = 1000;
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);
const EXAMPLES: &str = "Examples:
  outgate top
  outgate top --interval 500ms
  outgate top -j

Keys: q quits, ? explains the others. Needs 60 columns and 14 rows at least. With -j, or for programs, it says
once what it would show. NO_COLOR switches colours off.";

#[cfg(test)]
mod tests;
