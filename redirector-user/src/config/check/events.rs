//! `[events]`: how long events are kept, and how many.

use std::{ops::RangeInclusive, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::within;
use crate::config::{Events, Wrong, raw::RawEvents};

pub(super) fn events(raw: &RawEvents) -> Result<Events, Wrong> {
    let read = |text: &str| {
        let span: Span = text.parse().ok()?;
        let days = SpanRelativeTo::days_are_24_hours();
        let duration: SignedDuration = span.to_duration(days).ok()?;
        Duration::try_from(duration).ok()
    };
    let (least, most) = KEEP;
    let keep = read(&raw.keep).filter(|keep| {
        let bounds = read(least).zip(read(most));
        bounds.is_some_and(|(least, most)| (least..=most).contains(keep))
    });
    let keep = keep.ok_or_else(|| {
        let problem = format!(
            "not a time to keep events for; allowed are {least} to {most}, as \"48h\" or \"30d\""
        );
        Wrong::new("events.keep", &raw.keep, problem)
    })?;
    Ok(Events {
        keep,
        max: within("events.max", raw.max, MAX)?,
    })
}

/// The day that `outgate flag show` looks back must be there.
const KEEP: (&str, &str) = ("24h", "400d");
/// About 400 octets of disk each: the upper end is about 20 GiB.
const MAX: RangeInclusive<i64> = 1000..=50_000_000;
