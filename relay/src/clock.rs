//! The clock of one session: what `relay_proto` calls time.

use relay_proto::Time;
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
