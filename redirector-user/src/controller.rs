//! The engine: puts decisions into the kernel, and keeps them true there.
//!
//! A [`Controller`] owns the store, the edge's actor and all that changes while it runs. The API calls its
//! methods; [`keeping`] calls them as time passes. Every change of the kernel's maps goes through
//! [`Controller::reconcile`], one at a time, under the one lock.
//!
//! What it never does: take anything out of the kernel when it ends. Pinned maps and links stay in force, and
//! the next controller adopts them.
//!
//! # Diagnostics
//!
//! [`Problem`] is what a caller is told. What nobody asked for is logged, at `error` only if a person must act.

mod backups;
mod batch;
mod bypasses;
mod capture;
mod changes;
mod cluster;
mod conditions;
mod drains;
mod events;
mod exemptions;
mod figures;
mod flags;
mod import;
mod interfaces;
pub mod keeping;
mod kernel;
mod links;
mod listings;
mod notices;
mod passes;
mod past;
mod precheck;
mod privacy;
mod probing;
mod problem;
mod protected;
mod radar;
mod ranges;
mod relays;
mod rings;
mod rules;
mod scope;
mod start;
mod state;
mod tenants;
mod terms;
mod tokens;
mod trail;
mod users;
mod views;
mod webhooks;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use contract::Generation;
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, MutexGuard, Semaphore, watch},
    try_join,
};

pub(crate) use self::flags::pool_terms;
pub(crate) use self::webhooks::check_files;
pub use self::{
    batch::{How, Item},
    capture::CaptureOrder,
    conditions::{Done, SetFlag},
    flags::NewFlag,
    import::{About, How as ImportHow},
    kernel::Kernel,
    listings::ListingsError,
    problem::Problem,
    rules::{ReplayOrder, RulesError, load_rules},
    start::StartError,
    tenants::Only,
    views::{Opening, Reasons},
};
use self::{
    changes::Wishes,
    figures::Figures,
    interfaces::Attempts,
    rules::Ruling,
    start::{refuse_lost_pools, refuse_unsteered},
    state::State,
    tokens::Tokens,
};
use crate::{
    api::view::ImportProgress,
    config::Config,
    edge::{self, probe},
    policy::refusal::refusals,
    radar::window::History,
    store::{Store, shared::Watch},
};

/// The engine; share it as `Arc`.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    store: Store,
    kernel: Kernel,
    state: Mutex<State>,
    /// What is asked for by those who wait for it.
    wishes: Wishes,
    /// Since when this edge does what one edge does for all, if it is the one; always, where there is no other.
    steward: watch::Sender<Option<tokio::time::Instant>>,
    /// By which the store has been told that this edge is there, until somebody listens.
    watch: std::sync::Mutex<Option<Watch>>,
    /// Says each new generation to relays that wait for one.
    generation: watch::Sender<Generation>,
    /// What the radar has seen.
    history: std::sync::Mutex<History>,
    /// Asks the host behind the probe's wire, where there is one.
    probes: OnceLock<probe::Line>,
    /// What is done by itself.
    ruling: Ruling,
    /// What came of attaching.
    attempts: std::sync::Mutex<Attempts>,
    /// Changes after each pass over the kernel.
    passes: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    /// When the kernel last heard of us. Not under the one lock: whatever takes long there, the heart beats.
    last_heartbeat: std::sync::Mutex<Option<tokio::time::Instant>>,
    /// Held by the one file that may be read.
    reading_gate: Mutex<()>,
    /// Its one permit is held by the import that may change something. Not a lock: that can only be asked for by taking it, and
    /// two who ask at the same time would keep each other out.
    import_gate: Semaphore,
    /// How far it is.
    importing: watch::Sender<Option<ImportProgress>>,
    /// Held by whoever captures.
    capturing: Arc<Mutex<()>>,
    /// Held by whoever makes a hash of a password.
    hashing: Mutex<()>,
    /// Held by whoever erases a customer.
    erasing: Mutex<()>,
    /// A place for each who follows the events.
    followers: Arc<Semaphore>,
    /// What is told to whoever scrapes.
    figures: Figures,
    /// Which tasks still turn.
    pulses: keeping::Pulses,
    /// Who may ask over TCP.
    tokens: Tokens,
    /// Copies of the store.
    backups: backups::Backups,
    /// Who is told events.
    webhooks: Vec<Arc<webhooks::Hook>>,
    /// How customers are told, if they are.
    telling: Option<notices::Telling>,
    /// What asks lists about customers, if any are asked.
    listings: Option<Arc<listings::Listings>>,
}

impl Controller {
    /// Takes over what store and kernel hold, and brings the kernel up to date.
    ///
    /// # Errors
    ///
    /// [`StartError::PoolGone`], [`StartError::PoolNotSteered`] before anything is changed; else what store or kernel answered.
    pub async fn start(
        config: Config,
        store: Store,
        kernel: Kernel,
    ) -> Result<Arc<Self>, StartError> {
        let rules = load_rules(&config)?;
        let webhooks = webhooks::Hook::load_all(&config)?;
        let telling = notices::Telling::load(&config)?;
        let watch = cluster::take_name(&store).await.map_err(Problem::from)?;
        // Either takes seconds where there are very many.
        let loading = async { store.load().await.map_err(Problem::from) };
        let (mut loaded, held) = try_join!(loading, kernel.call(|edge| edge.actual()))?;
        refuse_lost_pools(&config, &loaded.flags)?;
        refuse_unsteered(&config, &loaded.flags)?;
        probing::refuse_flagged(&config, &loaded.flags)?;
        let held = held.map_err(Problem::from)?;
        let refusals = refusals(&config.refuse.text, &config.refuse.unavailable);
        kernel
            .call(move |edge| edge.put_refusals(&refusals))
            .await?
            .map_err(Problem::from)?;
        // Known before the first pass: until then, answers from beyond the uplink would pass untranslated.
        let uplinks = kernel
            .call(|edge| edge.uplinks())
            .await?
            .map_err(Problem::from)?;
        match telling {
            Some(_) => store.begin_notices().await.map(drop),
            None => store.no_notices().await,
        }
        .map_err(Problem::from)?;
        if let Some(head) = loaded.head {
            // What came while this edge was down is not in its kernel yet.
            loaded
                .flags
                .await_again(|flag| !held.policies.contains_key(&flag.terms.prefix));
            store.know(head);
        }
        let state = State::adopt(&config, loaded, held, &local_sources(&config), uplinks);
        let controller = Arc::new(Self {
            wishes: Wishes::default(),
            watch: std::sync::Mutex::new(watch),
            steward: watch::Sender::new((!store.is_shared()).then(tokio::time::Instant::now)),
            generation: watch::Sender::new(state.generation),
            history: std::sync::Mutex::default(),
            ruling: Ruling::new(rules, state.flags.automatic()),
            probes: OnceLock::new(),
            attempts: std::sync::Mutex::default(),
            passes: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            last_heartbeat: std::sync::Mutex::default(),
            reading_gate: Mutex::new(()),
            import_gate: Semaphore::new(1),
            importing: watch::Sender::new(None),
            capturing: Arc::default(),
            hashing: Mutex::new(()),
            erasing: Mutex::new(()),
            followers: Arc::new(Semaphore::new(events::FOLLOWERS_MAX)),
            figures: Figures::default(),
            pulses: keeping::Pulses::default(),
            tokens: Tokens::new(store.tokens().await.map_err(Problem::from)?),
            backups: backups::Backups::default(),
            webhooks: webhooks::Hook::take_over(webhooks, &store)
                .await
                .map_err(Problem::from)?,
            telling,
            listings: listings::Listings::begin(&config, &store).await?,
            state: Mutex::new(state),
            config,
            store,
            kernel,
        });
        controller.heartbeat().await?;
        controller.end_protected().await?;
        controller.publish().await?;
        controller.sweep().await?;
        controller.prepare_probe().await?;
        controller.attach_at_start().await?;
        controller.recall_rotations().await?;
        Ok(controller)
    }

    /// The configuration that it runs by.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store, for what goes beside the policy.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Ends every wait, so that a server can close its connections.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Becomes ready once [`Controller::stop`] was called.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives in `self`, so waiting cannot end otherwise.
        let _ended = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Takes the one lock.
    async fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }
}

/// The time of day, as exact as the store keeps it.
fn clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// How long after the one moment the other was; nothing, if the clock was set back meanwhile.
fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// This host's addresses towards the relays; what cannot be found now is asked again later.
fn local_sources(config: &Config) -> BTreeMap<IpAddr, IpAddr> {
    let towards = config.relays().flat_map(|(_, relay)| relay.addresses());
    towards
        .filter_map(|address| Some((address, edge::local_source_towards(address).ok()?)))
        .collect()
}

/// How long a caller waits for its flag to be in the kernel.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(5);
