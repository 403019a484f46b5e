//! Writers at the API, each with a connection of its own, and what became of all that they were told.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinSet, time::sleep_until};

use super::{http::Connection, policies};
use crate::house::House;

/// What writers were told.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Written {
    /// So many at once.
    pub(super) writers: u32,
    /// Changes that they wanted a second, all of them together; nothing = each the next as soon as the last is answered.
    pub(super) wanted_per_s: Option<u32>,
    /// Answered changes a second.
    pub(super) per_s: f64,
    /// Each one's time from when it was wanted to its answer: who waits for the last one's answer is waiting already.
    #[serde(skip)]
    pub(super) latencies_ms: Vec<f64>,
    /// Whose flag is not what its writer was told last.
    pub(super) lost: Vec<String>,
}

/// What one writer was told.
#[derive(Default)]
struct Told {
    latencies_ms: Vec<f64>,
    /// The active flag of each target, or none.
    stands: BTreeMap<String, Option<u64>>,
}

/// Lets so many write for a while, kills the controller as soon as the last answer is there, starts it again, and
/// compares.
pub(super) fn measure(
    house: &mut House,
    writers: u32,
    wanted_per_s: Option<u32>,
    period: Duration,
) -> Result<Written> {
    let runtime = runtime()?;
    let socket = house.socket();
    let newest = runtime.block_on(newest_flag(&socket))?;
    let begun = Instant::now();
    let outcomes = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let pace = wanted_per_s.map(|per_s| Duration::from_secs(1) * writers / per_s);
            // One after the other, as many strangers would.
            let first = begun + pace.unwrap_or_default() * writer / writers;
            let pace = pace.map(|every| Pace { next: first, every });
            tasks.spawn(write(socket.clone(), writer, pace, begun + period));
        }
        tasks.join_all().await
    });
    let seconds = begun.elapsed().as_secs_f64();
    house.end(Signal::KILL)?;
    house.start()?;
    let standing = runtime.block_on(standing(&socket, newest))?;
    let (mut latencies_ms, mut lost) = (Vec::new(), Vec::new());
    for told in outcomes {
        let told = told?;
        latencies_ms.extend(told.latencies_ms);
        let differs =
            |(target, flag): &(String, Option<u64>)| standing.get(target) != flag.as_ref();
        let differing = told.stands.into_iter().filter(differs);
        lost.extend(differing.map(|(target, _)| target));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let per_s = latencies_ms.len() as f64 / seconds;
    Ok(Written {
        writers,
        wanted_per_s,
        per_s,
        latencies_ms,
        lost,
    })
}

/// Flags somebody new, flags him again otherwise, lifts that, and goes on with the next.
async fn write(
    socket: PathBuf,
    writer: u32,
    mut pace: Option<Pace>,
    until: Instant,
) -> Result<Told> {
    let mut connection = Connection::open(&socket).await?;
    let mut told = Told::default();
    for number in (writer..).step_by(PACE) {
        let target = format!("{}/32", Ipv4Addr::from(FRESH + number));
        for step in [Step::Add("drop"), Step::Add("observe"), Step::Lift] {
            if Instant::now() >= until {
                return Ok(told);
            }
            let standing = told.stands.get(&target).copied().flatten();
            let begun = match &mut pace {
                Some(pace) => pace.turn().await,
                None => Instant::now(),
            };
            let stands = step.take(&mut connection, &target, standing).await?;
            told.latencies_ms.push(begun.elapsed().as_secs_f64() * 1e3);
            told.stands.insert(target.clone(), stands);
        }
    }
    Ok(told)
}

/// When a writer wants its changes.
struct Pace {
    next: Instant,
    every: Duration,
}

impl Pace {
    /// Waits for the next time; answers with when that was.
    async fn turn(&mut self) -> Instant {
        let wanted = self.next;
        self.next += self.every;
        sleep_until(wanted.into()).await;
        wanted
    }
}

/// A change.
#[derive(Clone, Copy)]
enum Step {
    Add(&'static str),
    Lift,
}

impl Step {
    /// Answers the number of the flag that stands then.
    async fn take(
        self,
        connection: &mut Connection,
        target: &str,
        standing: Option<u64>,
    ) -> Result<Option<u64>> {
        match self {
            Self::Add(action) => {
                let body = json!({
                    "target": target, "action": action, "reason": "benchmark", "actor": "bench", "for": "1h"
                });
                let said = connection
                    .ask("POST", "/v1/flags", &body.to_string())
                    .await?;
                Ok(said["id"].as_u64())
            }
            Self::Lift => {
                let id = standing.context("a flag to lift")?;
                let path = format!("/v1/flags/{id}?reason=benchmark&actor=bench");
                connection.ask("DELETE", &path, "").await?;
                Ok(None)
            }
        }
    }
}

/// Active flags after one, by whom they are about.
async fn standing(socket: &Path, mut after: u64) -> Result<BTreeMap<String, u64>> {
    let mut connection = Connection::open(socket).await?;
    let mut standing = BTreeMap::new();
    loop {
        let path = format!("/v1/flags?after={after}&limit=1000");
        let page = connection.ask("GET", &path, "").await?;
        let page = page.as_array().context("a list of flags")?;
        for flag in page {
            let (id, prefix) = (flag["id"].as_u64(), flag["prefix"].as_str());
            let (id, prefix) = id.zip(prefix).context("a flag")?;
            standing.insert(prefix.to_owned(), id);
            after = id;
        }
        if page.is_empty() {
            return Ok(standing);
        }
    }
}

/// Flags somebody who is then forgotten, to learn the newest number.
async fn newest_flag(socket: &Path) -> Result<u64> {
    let mut connection = Connection::open(socket).await?;
    let target = format!("{}/32", Ipv4Addr::from(FRESH - 1));
    let id = Step::Add("drop")
        .take(&mut connection, &target, None)
        .await?;
    id.context("a flag's number")
}

/// Milliseconds that `why` takes, one question after another, about all kinds of policies.
pub(super) fn why(house: &House, policies: u32, count: u32) -> Result<Vec<f64>> {
    let socket = house.socket();
    runtime()?.block_on(async {
        let mut connection = Connection::open(&socket).await?;
        let mut times = Vec::new();
        for number in 0..count {
            let source = policies::member(number * (policies / count));
            let path = format!("/v1/why?source={source}");
            let begun = Instant::now();
            let said: Value = connection.ask("GET", &path, "").await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            said["flag"]["id"]
                .as_u64()
                .with_context(|| said.to_string())?;
        }
        Ok(times)
    })
}

/// Appends of 4 KiB a second, each synced before the next.
pub(super) fn syncs(file: PathBuf) -> Result<f64> {
    let mut file = File::create(file)?;
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < Duration::from_secs(2) {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// 10.64.0.0, which no policy reaches.
const FRESH: u32 = 0x0a40_0000;
/// So many writers share what is left, without a word to each other.
const PACE: usize = 100;
