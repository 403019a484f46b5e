//! The clock of the maps.

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Whole seconds of `CLOCK_MONOTONIC`, which is what `bpf_ktime_get_ns` counts.
#[must_use]
pub fn monotonic_s() -> u32 {
    let seconds = clock_gettime(ClockId::Monotonic).tv_sec;
    // The clock starts at zero with the machine: 32 bits last for 136 years of uptime.
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// When the clock of the maps was zero, by the time of day: the two are read one after the other, and the
/// time of day may have been set since.
#[must_use]
pub fn boot_time() -> Timestamp {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = i32::try_from(now.tv_nsec).unwrap_or(0);
    Timestamp::now() - SignedDuration::new(now.tv_sec, nanoseconds)
}
