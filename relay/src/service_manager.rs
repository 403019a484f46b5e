//! What the service manager is told (sd_notify(3)): that the relay is ready, reads its configuration again, stops, and,
//! while it watches over the relay (`WatchdogSec=`), that the relay lives.
//!
//! It lives while the runtime runs tasks and the thread that writes the spool turns: a message is acknowledged only
//! after both. One worker of the runtime that hangs is not seen while others go on.
//!
//! # Diagnostics
//! Logged: a manager that cannot be told (`warn`), a spool that does not write any more (`error`) and that it does
//! again (`info`). Without a service manager all of this is nothing.

use relay::spool::Pulse;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

/// The relay serves.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The relay drains, and ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Does it between the two words that a reload consists of, so that `systemctl reload` can be waited for.
pub(crate) fn while_reloading(reload: impl FnOnce()) {
    // With the time, as Type=notify-reload wants it.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "no monotonic clock"),
    }
    reload();
    ready();
}

/// Says that the relay lives, for as long as it does. Ends at once if nobody watches.
pub(crate) async fn watched(spool: Option<Pulse>) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    // More often than the half that sd_watchdog_enabled(3) recommends: one beat may come late.
    let beat = limit / BEATS;
    let mut ticks = interval(beat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut wrote = true;
    loop {
        ticks.tick().await;
        let writes = match &spool {
            Some(spool) => timeout(beat, spool.beat()).await.is_ok(),
            None => true,
        };
        if writes {
            tell(&[NotifyState::Watchdog]);
        }
        match (std::mem::replace(&mut wrote, writes), writes) {
            (true, false) => {
                error!(
                    limit_s = limit.as_secs(),
                    "the spool does not write any more: the service manager will start the relay anew; look at its disk"
                );
            }
            (false, true) => info!("the spool writes again"),
            (true, true) | (false, false) => {}
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot notify the service manager");
    }
}

/// In the time after which the manager gives up.
const BEATS: u32 = 3;
