//! What the controller is asked for when somebody scrapes.
//!
//! The kernel's thread and the one lock are asked for one sample at a time, with a bound on how long that may take. Who
//! scrapes while they are busy (a million policies are being loaded) is told the last sample and its age, so a scrape
//! is neither waited for nor made to wait.

mod page;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    Controller, Problem, clock, events::FOLLOWERS_MAX, since, state::State, views::pool_view,
};
use crate::{
    api::view::PoolView,
    edge::{Attachment, Capacities, PerInterface},
    metrics::Metrics,
};

/// What is counted, and the last sample.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// What is noted while work is done.
    pub(super) metrics: Metrics,
    /// Held by whoever takes a sample.
    turn: Mutex<()>,
    last: std::sync::Mutex<Option<Arc<Sample>>>,
    /// Sources in the radar's last window.
    sources: AtomicUsize,
}

/// What was true at one moment.
#[derive(Debug)]
struct Sample {
    at: Instant,
    counters: PerInterface,
    attached: Vec<Attachment>,
    fills: Vec<Fill>,
    pools: Vec<PoolView>,
    flags: BTreeMap<&'static str, usize>,
    pending: usize,
    automatic: usize,
    generation: u64,
    frozen: bool,
}

/// How full a map is.
#[derive(Debug)]
struct Fill {
    map: &'static str,
    entries: usize,
    capacity: u32,
}

/// What needs neither lock nor kernel.
struct Around {
    heartbeat_age: Duration,
    events: u64,
    followers: usize,
    store_octets: u64,
    /// Where it can be away: for how long it is.
    store_away: Option<Duration>,
}

impl Controller {
    /// What is noted while work is done.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.figures.metrics
    }

    /// The answer to a scrape.
    pub async fn exposition(&self) -> String {
        let sample = self.sample().await;
        page::text(self, sample.as_deref(), &self.around().await)
    }

    /// A new sample if there is one in time, else the last.
    async fn sample(&self) -> Option<Arc<Sample>> {
        match timeout(PATIENCE, self.take_sample()).await {
            Ok(Ok(sample)) => {
                let sample = Some(Arc::new(sample));
                self.last_sample().clone_from(&sample);
                sample
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the kernel's figures cannot be read");
                self.last_sample().clone()
            }
            Err(_elapsed) => self.last_sample().clone(),
        }
    }

    /// A panic while it was held has left a whole sample behind.
    fn last_sample(&self) -> std::sync::MutexGuard<'_, Option<Arc<Sample>>> {
        let last = self.figures.last.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_sample(&self) -> Result<Sample, Problem> {
        let _turn = self.figures.turn.lock().await;
        let read = |edge: &mut crate::edge::Edge| {
            Ok::<_, crate::edge::EdgeError>((
                edge.counters_by_interface()?,
                edge.attachments()?,
                edge.capacities(),
            ))
        };
        let (counters, attached, capacities) = self.kernel.call(read).await??;
        let state = self.lock().await;
        let pools = self.config.pools.iter();
        let pools = pools.map(|pool| pool_view(&state, &self.config, pool));
        Ok(Sample {
            at: Instant::now(),
            counters,
            attached,
            fills: fills(
                &state,
                &capacities,
                self.figures.sources.load(Ordering::Relaxed),
            ),
            pools: pools.collect(),
            flags: state.flags.by_action().clone(),
            pending: state.flags.pending(),
            automatic: state.flags.automatic().count(),
            generation: state.generation.0,
            frozen: state.frozen.is_some(),
        })
    }

    async fn around(&self) -> Around {
        let heartbeat_age = {
            let last = self.last_heartbeat.lock();
            let last = *last.unwrap_or_else(PoisonError::into_inner);
            last.map_or(Duration::ZERO, |at| at.elapsed())
        };
        let file = self.config.database();
        let log = file.with_extension("db-wal");
        let events = *self.store.newest_event().borrow();
        Around {
            heartbeat_age,
            events,
            followers: FOLLOWERS_MAX - self.followers.available_permits(),
            store_away: self.store.is_shared().then(|| {
                let away = self.store.is_away_since();
                away.map_or(Duration::ZERO, |at| since(at, clock()))
            }),
            store_octets: octets_of(&file).await + octets_of(&log).await,
        }
    }
}

impl Figures {
    /// A window of the radar has ended, with so many sources.
    pub(super) fn saw(&self, sources: usize) {
        self.sources.store(sources, Ordering::Relaxed);
    }
}

fn fills(state: &State, capacities: &Capacities, sources: usize) -> Vec<Fill> {
    let held = &state.held;
    let addresses = held.relays.values();
    let addresses = addresses
        .map(|relay| usize::from(relay.addr4 != [0; 4]) + usize::from(relay.addr6 != [0; 16]));
    let customers = held.customers.iter();
    let customers4 = customers.filter(|prefix| prefix.is_ipv4()).count();
    let fill = |map, entries, capacity| Fill {
        map,
        entries,
        capacity,
    };
    vec![
        fill("flows", state.flows, capacities.flows),
        fill("policies", held.policies.len(), capacities.policies),
        fill("customers4", customers4, capacities.customers),
        fill(
            "customers6",
            held.customers.len() - customers4,
            capacities.customers,
        ),
        fill("pools", held.pools.len(), capacities.pools),
        fill("relays", held.relays.len(), capacities.relays),
        // Under its port, and under none.
        fill(
            "listeners",
            2 * addresses.sum::<usize>(),
            capacities.listeners,
        ),
        fill("radar", sources, capacities.radar),
    ]
}

/// A file that is not there has none.
async fn octets_of(file: &Path) -> u64 {
    let found = tokio::fs::metadata(file).await;
    found.map_or(0, |found| found.len())
}

/// Less than the ten seconds that Prometheus waits.
const PATIENCE: Duration = Duration::from_secs(3);
