//! How long a start takes, from the process to the last policy in force.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::policies;
use crate::{house::House, machine};

/// A start.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Started {
    /// Until it answered, and the kernel had everything.
    pub(super) seconds: f64,
    /// Most memory of the process, in millions of octets.
    pub(super) peak_mb: f64,
}

/// Starts the controller, and asks the kernel's program about first, middle and last policy.
pub(super) fn measure(house: &mut House, policies: u32) -> Result<Started> {
    let begun = Instant::now();
    house.start()?;
    for number in [0, 1, policies / 2 + 50, policies - 1] {
        let said = house.outgate(&["-j", "why", &policies::member(number)])?;
        ensure!(
            said.contains("\"drop\""),
            "{} is not in force: {said}",
            policies::target(number)
        );
    }
    let seconds = begun.elapsed().as_secs_f64();
    let peak_mb = machine::memory_of(house.pid()?, "VmHWM:")? / 1e6;
    Ok(Started { seconds, peak_mb })
}
