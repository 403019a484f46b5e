//! Clocks: of one session, what `relay_proto` calls time; and of what is kept on disk.

use std::time::{SystemTime, UNIX_EPOCH};

use relay_proto::Time;
use relay_proto::queued::UnixMillis;
use tokio::time::Instant;

/// Time since the session's beginning. Follows tokio's clock, so that tests can hold it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Starts at zero.
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    /// Completes at `deadline`; never, without one.
    pub(crate) async fn reach(&self, deadline: Option<Time>) {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(self.epoch + deadline).await,
            None => std::future::pending().await,
        }
    }
}

/// The time of the world, which outlives the process.
pub(crate) fn unix_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    UnixMillis(u64::try_from(millis).unwrap_or(u64::MAX))
}
