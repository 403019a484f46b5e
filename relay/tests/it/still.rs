//! A clock that stands still until the test moves it, with real sockets beside it.
//!
//! Tokio's paused clock jumps to the next timer whenever it sees nothing to do, and would take a segment
//! that is on its way for nothing. While a blocking task runs it does not; one is kept here.

use std::sync::mpsc;
use std::time::Duration;

/// Time stands still as long as this lives. For tests with `start_paused`.
pub(crate) struct Still {
    _release: mpsc::Sender<()>,
}

impl Still {
    pub(crate) fn stand() -> Self {
        let (release, released) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || {
            // A test that hangs gets its timers back after a while, and fails by them.
            let _late = released.recv_timeout(Duration::from_secs(120)).is_err();
        });
        Self { _release: release }
    }
}
