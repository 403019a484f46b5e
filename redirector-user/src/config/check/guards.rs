//! `[guards]`.

use std::ops::RangeInclusive;

use super::within;
use crate::{
    config::{Wrong, raw::RawGuards},
    policy::guards::reach::Bounds,
};

pub(super) fn guards(raw: &RawGuards) -> Result<Bounds, Wrong> {
    let percent = raw.import_percent;
    // What is not a number is not above zero either.
    if !(percent > 0.0 && percent <= 100.0) {
        let problem = "out of range; allowed are more than 0 to 100";
        return Err(Wrong::new("guards.import_percent", percent, problem));
    }
    Ok(Bounds {
        share: percent / 100.0,
        customers: within(
            "guards.import_customers",
            raw.import_customers,
            IMPORT_CUSTOMERS,
        )?,
    })
}

/// More is no bound.
const IMPORT_CUSTOMERS: RangeInclusive<i64> = 1..=10_000_000;
