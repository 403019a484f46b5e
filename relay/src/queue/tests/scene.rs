//! A queue that runs in a world of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::queue::{PaceLimits, Settings};
use relay_proto::queued::{Queued, UnixMillis};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::world::Fake;
use crate::queue::{Options, Queue};

/// A queue that runs in a world of its own.
pub(super) struct Scene {
    pub(super) world: Arc<Fake>,
    pub(super) queue: Queue<Fake>,
    stop: watch::Sender<bool>,
    running: Option<JoinHandle<()>>,
}

pub(super) const START_MS: u64 = 1_790_000_000_000;

impl Scene {
    pub(super) fn new(directory: &Path) -> Self {
        Self::with(directory, Arc::default(), Settings::default(), START_MS)
    }

    pub(super) fn with(
        directory: &Path,
        world: Arc<Fake>,
        settings: Settings,
        start_ms: u64,
    ) -> Self {
        let epoch = Instant::now();
        let options = Options {
            settings: Settings {
                warn_after_ms: Some(4 * 3_600_000),
                pace: PaceLimits {
                    initial: 2,
                    ..settings.pace
                },
                ..settings
            },
            linger: Duration::from_secs(5),
            messages_per_connection: 10,
            state_dir: directory.into(),
        };
        let clock = move || {
            let elapsed = u64::try_from(epoch.elapsed().as_millis()).unwrap();
            UnixMillis(start_ms + elapsed)
        };
        let queue = Queue::open(Arc::clone(&world), options, clock).unwrap();
        let (stop, _) = watch::channel(false);
        Self {
            world,
            queue,
            stop,
            running: None,
        }
    }

    pub(super) fn run(&mut self) {
        let (queue, stop) = (self.queue.clone(), self.stop.subscribe());
        self.running = Some(tokio::spawn(async move { queue.run(stop).await }));
    }

    /// A message arrives; its recipients are `x@DOMAIN`.
    pub(super) fn arrive(&self, domains: &[&str]) -> Queued {
        let to: Vec<String> = domains.iter().map(|domain| format!("x@{domain}")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let queued = self.world.store(self.queue.now(), "192.0.2.1", &to);
        self.queue.add(&queued, 4096);
        queued
    }

    /// Lets time go by.
    pub(super) async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        self.running.take().unwrap().await.unwrap();
        let stats = self.queue.stats();
        assert_eq!(stats.counts.connections, 0);
        assert_eq!(stats.counts.by_state[3], 0, "in flight");
    }
}
