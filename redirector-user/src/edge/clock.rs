//! The clock of the maps.

use rustix::time::{ClockId, clock_gettime};

/// Whole seconds of `CLOCK_MONOTONIC`, which is what `bpf_ktime_get_ns` counts.
#[must_use]
pub fn monotonic_s() -> u32 {
    let seconds = clock_gettime(ClockId::Monotonic).tv_sec;
    // The clock starts at zero with the machine: 32 bits last for 136 years of uptime.
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
