//! `[statistics]`: what is kept of customers' figures.

use std::{ops::RangeInclusive, time::Duration};

use jiff::{Span, SpanRelativeTo};

use super::{Wrong, within};
use crate::config::{Statistics, raw::RawStatistics};

pub(super) fn statistics(raw: &RawStatistics) -> Result<Statistics, Wrong> {
    let keep = raw.keep.parse::<Span>().ok();
    let keep = keep.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let keep = keep.and_then(|span| Duration::try_from(span).ok());
    let keep = keep.filter(|keep| KEPT_S.contains(&keep.as_secs()));
    let problem = "not a time to keep figures; allowed are 1h to 400d, as \"30d\"";
    Ok(Statistics {
        keep: keep.ok_or_else(|| Wrong::new("statistics.keep", &raw.keep, problem))?,
        octets_max: within("statistics.octets_max", raw.octets_max, OCTETS)?,
        floor_syns: within("statistics.floor_syns", raw.floor_syns, FLOOR)?,
    })
}

const KEPT_S: RangeInclusive<u64> = 3600..=400 * 86_400;
/// From a day of a few customers to a terabyte.
const OCTETS: RangeInclusive<i64> = 1_048_576..=1 << 40;
const FLOOR: RangeInclusive<i64> = 0..=1_000_000;
