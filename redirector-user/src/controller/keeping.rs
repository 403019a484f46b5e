//! What the controller does as time passes: heartbeat, expiry, sweeping, probing, ways to the relays, and the
//! kernel's own messages.

mod pulses;

use std::{pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

pub(super) use self::pulses::Pulses;
use super::{
    Controller, Problem, clock, links,
    probing::{ProbeLine, open_wire},
    rings::{Events, read_ring},
};
use crate::{edge::probe, policy::rules::Rotation, store::log::Checkpoints};

/// Starts every task. They end after [`Controller::stop`]; one that ends before, by a panic, is a fault.
///
/// # Errors
///
/// If the kernel's messages cannot be read.
pub async fn start(controller: &Arc<Controller>) -> Result<JoinSet<()>, Problem> {
    let mut tasks = JoinSet::new();
    let mut keep = |task: Pin<Box<dyn Future<Output = ()> + Send>>| {
        tasks.spawn(until_stopped(Arc::clone(controller), task));
    };
    keep(Box::pin(beat(Arc::clone(controller))));
    keep(Box::pin(expire(Arc::clone(controller))));
    keep(Box::pin(sweep(Arc::clone(controller))));
    keep(Box::pin(trim(Arc::clone(controller))));
    keep(Box::pin(refresh(Arc::clone(controller))));
    keep(Box::pin(links::watch(Arc::clone(controller))));
    let first_window = controller.start_radar().await?;
    keep(Box::pin(radar(Arc::clone(controller), first_window)));
    keep(Box::pin(rules(Arc::clone(controller))));
    keep(Box::pin(Arc::clone(controller).follow_feed()));
    keep(Box::pin(forget(Arc::clone(controller))));
    keep(Box::pin(checkpoint(Arc::clone(controller))));
    keep(Box::pin(back_up(Arc::clone(controller))));
    keep(Box::pin(Arc::clone(controller).make_notices()));
    keep(Box::pin(Arc::clone(controller).ask_lists()));
    for hook in &controller.webhooks {
        let turned = Arc::clone(controller).turn_webhook(Arc::clone(hook));
        keep(Box::pin(turned));
    }
    if let Some(line) = controller.open_probe_line()? {
        keep(Box::pin(serve_probes(Arc::clone(controller), line)));
    }
    for (_, relay) in controller.config.relays() {
        keep(Box::pin(probe(Arc::clone(controller), relay.clone())));
    }
    let events = controller.kernel.call(|edge| edge.events()).await??;
    let flows_max = controller.config.edge.flows_max;
    keep(Box::pin(read_ring(Events {
        reader: events,
        flows_max,
    })));
    let lines = controller.kernel.call(|edge| edge.debug_lines()).await??;
    if let Some(lines) = lines {
        keep(Box::pin(read_ring(lines)));
    }
    // Ends by itself: see there.
    tasks.spawn(Arc::clone(controller).send_notices());
    Ok(tasks)
}

/// Runs a task until the controller stops; a task that gives up by itself has said so in the log.
async fn until_stopped(
    controller: Arc<Controller>,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
) {
    tokio::select! {
        () = controller.stopped() => {}
        () = task => controller.stopped().await,
    }
}

/// Shows the kernel, and the service manager, that the controller lives: the kernel's thread has just answered, and no
/// task is late. An import may hold the others up for as long as its file takes.
async fn beat(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("the kernel was not told that the controller lives");
    let mut stuck = Trouble::new("a task of the controller does not turn any more");
    let mut ticks = ticks(HEARTBEAT);
    loop {
        ticks.tick().await;
        let outcome = controller.heartbeat().await;
        let late = controller.pulses.late();
        let late = late.filter(|_| controller.unless_importing().is_ok());
        stuck.report(late.map_or(Ok(()), Err));
        let lives = outcome.is_ok() && late.is_none();
        if lives && sd_notify::watchdog_enabled().is_some() {
            let notified = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            if let Err(error) = notified {
                tracing::warn!(%error, "the service manager was not notified");
            }
        }
        trouble.report(outcome);
    }
}

/// Ends flags whose time has come.
async fn expire(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("expired flags could not be ended");
    controller.pulses.expect("expiry", RETRY);
    loop {
        let mut passes = controller.passes.subscribe();
        let mut outcome = controller.expire_flags().await;
        if outcome.as_ref().is_err_and(Problem::is_behind) && controller.catch_up().await.is_ok() {
            outcome = controller.expire_flags().await;
        }
        let until_next = match &outcome {
            Ok(Some(next)) => {
                Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default()
            }
            Ok(None) | Err(_) => RETRY,
        };
        trouble.report(outcome.map(drop));
        controller.pulses.turned("expiry");
        // Asleep at most that long: the time of day may jump.
        let nap = until_next.clamp(SHORTEST_NAP, RETRY);
        tokio::select! {
            () = sleep(nap) => {}
            // A flag came or went.
            _passed = passes.changed() => {}
        }
    }
}

/// Sweeps ended flows out, and brings the kernel up to date whatever else failed.
async fn sweep(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("flows could not be swept");
    let mut ticks = ticks(SWEEP);
    controller.pulses.expect("sweep", SWEEP);
    loop {
        ticks.tick().await;
        trouble.report(controller.sweep().await);
        controller.pulses.turned("sweep");
    }
}

/// Throws old events away, and the oldest rows of the trail.
async fn trim(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("old events could not be thrown away");
    let mut of_trail = Trouble::new("the oldest rows of the audit trail could not be let go");
    let mut of_lists = Trouble::new("listings that are over could not be thrown away");
    let mut pruned = None;
    let mut ticks = ticks(TRIM);
    controller.pulses.expect("trim", TRIM);
    loop {
        ticks.tick().await;
        controller.pulses.turned("trim");
        if !controller.is_steward() {
            continue;
        }
        trouble.report(controller.trim_events().await);
        of_lists.report(controller.trim_listings().await);
        let outcome = controller.prune_trail(pruned).await;
        pruned = *outcome.as_ref().unwrap_or(&None);
        of_trail.report(outcome.map(drop));
        controller.pulses.turned("trim");
    }
}

/// Keeps the ways to the relays as they should be.
async fn refresh(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("the ways to the relays could not be refreshed");
    let mut way = Trouble::new("no way to a relay");
    let mut ticks = ticks(REFRESH);
    controller.pulses.expect("refresh", REFRESH);
    loop {
        ticks.tick().await;
        controller.pulses.turned("refresh");
        match controller.refresh_paths().await {
            Ok(troubles) if troubles.is_empty() => way.report(Ok::<_, String>(())),
            Ok(troubles) => way.report(Err(troubles.join("; "))),
            Err(error) => trouble.report(Err(error)),
        }
    }
}

/// Turns the radar's windows.
async fn radar(controller: Arc<Controller>, mut from: Timestamp) {
    let Some(window) = controller.config.radar_window else {
        return;
    };
    let mut trouble = Trouble::new("the radar's window could not be turned");
    let mut ticks = ticks(window);
    controller.pulses.expect("radar", window);
    // The first tick is at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        controller.pulses.turned("radar");
        let turned = controller.turn_radar(from).await;
        if let Ok(next) = turned {
            from = next;
        }
        trouble.report(turned.map(drop));
    }
}

/// Lets rules act on what relays have said between two turns of the radar; without a radar, turns them by itself.
async fn rules(controller: Arc<Controller>) {
    let mut ticks = ticks(RULES);
    let mut turned = clock();
    controller.pulses.expect("rules", RULES);
    loop {
        ticks.tick().await;
        controller.pulses.turned("rules");
        let now = clock();
        let alone = controller.config.radar_window.is_none();
        let idle = now.duration_since(turned) >= WITHOUT_RADAR;
        if alone && idle {
            controller.turn_rules(Rotation::between(turned, now)).await;
            turned = now;
        } else if controller.relays_have_spoken() {
            controller.turn_rules(Rotation::between(now, now)).await;
        }
    }
}

/// Forgets figures and conduct whose time is over.
async fn forget(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("old figures could not be forgotten");
    let mut ticks = ticks(FORGET);
    loop {
        ticks.tick().await;
        trouble.report(controller.forget_figures().await);
    }
}

/// Keeps the store's log short.
async fn checkpoint(controller: Arc<Controller>) {
    let mut trouble = Trouble::new("the store's log could not be copied into its file");
    let mut checkpoints: Option<Checkpoints> = None;
    let mut ticks = ticks(CHECKPOINT);
    loop {
        ticks.tick().await;
        let outcome = match &mut checkpoints {
            Some(checkpoints) => checkpoints.make().await,
            None => {
                let begun = controller.store().checkpoints().await;
                begun.map(|begun| checkpoints = begun)
            }
        };
        trouble.report(outcome);
    }
}

/// Looks at what the start has left, and makes copies of the store.
async fn back_up(controller: Arc<Controller>) {
    if controller.store().has_rest() {
        // It reads all of a large file, and whoever has waited for the start has changes to make that need the disk.
        sleep(REST_AFTER).await;
    }
    let rest = controller.store().check_rest().await;
    Trouble::new(UNSOUND).report(rest);
    let mut trouble = Trouble::new("the store could not be backed up");
    let mut ticks = ticks(BACKUP);
    loop {
        ticks.tick().await;
        trouble.report(controller.back_up_if_due().await);
    }
}

/// Is the host that probes come from, and makes its wire anew when that breaks.
async fn serve_probes(controller: Arc<Controller>, (mut wire, mut questions): ProbeLine) {
    let mut trouble = Trouble::new("relays cannot be probed through the data path");
    loop {
        let broken = probe::serve(&wire, &mut questions).await;
        trouble.report(Err(broken));
        wire = loop {
            sleep(RETRY_PROBES).await;
            match controller.mend_probe().await.and_then(|()| open_wire()) {
                Ok(wire) => break wire,
                Err(error) => trouble.report(Err(error)),
            }
        };
        trouble.report(Ok::<_, String>(()));
    }
}

async fn probe(controller: Arc<Controller>, relay: crate::config::Relay) {
    let mut trouble = Trouble::new("a relay's health could not be put into force");
    let mut ticks = ticks(controller.config.health.interval);
    loop {
        ticks.tick().await;
        trouble.report(controller.probe(&relay).await);
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Logs a trouble once, not at every tick, and its end.
pub(super) struct Trouble {
    what: &'static str,
    last: Option<String>,
}

impl Trouble {
    pub(super) const fn new(what: &'static str) -> Self {
        Self { what, last: None }
    }

    pub(super) fn report<E: std::fmt::Display>(&mut self, outcome: Result<(), E>) {
        let now = outcome.err().map(|error| error.to_string());
        if now == self.last {
            return;
        }
        match &now {
            Some(error) => tracing::error!(error, "{}", self.what),
            None => tracing::info!("over: {}", self.what),
        }
        self.last = now;
    }
}

const UNSOUND: &str = "what the store remembers is damaged; what is in force is not. `outgate store check` says more; keep a copy of the \
                       file, and restore a backup when it suits";
const HEARTBEAT: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(5);
const TRIM: Duration = Duration::from_secs(60);
const REFRESH: Duration = Duration::from_secs(3);
const RULES: Duration = Duration::from_secs(10);
const WITHOUT_RADAR: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
/// From the start to the look at what it has left.
const REST_AFTER: Duration = Duration::from_secs(60);
/// How soon one that has failed is tried again.
const BACKUP: Duration = Duration::from_secs(60);
const CHECKPOINT: Duration = Duration::from_secs(1);
const FORGET: Duration = Duration::from_secs(600);
const RETRY_PROBES: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(5);
const SHORTEST_NAP: Duration = Duration::from_millis(10);
