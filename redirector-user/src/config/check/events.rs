//! `[events]`: how long events are kept, and how many. `[audit]`: how long the trail is.

use std::{ops::RangeInclusive, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::within;
use crate::config::{
    Audit, Events, Wrong,
    raw::{RawAudit, RawEvents},
};

pub(super) fn events(raw: &RawEvents) -> Result<Events, Wrong> {
    let (least, most) = KEEP;
    let keep = between(&raw.keep, KEEP).ok_or_else(|| {
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

pub(super) fn audit(raw: &RawAudit) -> Result<Audit, Wrong> {
    if raw.keep == EVER {
        return Ok(Audit { keep: None });
    }
    let (least, most) = KEEP_TRAIL;
    let keep = between(&raw.keep, KEEP_TRAIL).ok_or_else(|| {
        let problem = format!(
            "not a time to keep the audit trail for; allowed are {least} to {most}, as \"400d\", and \"{EVER}\""
        );
        Wrong::new("audit.keep", &raw.keep, problem)
    })?;
    Ok(Audit { keep: Some(keep) })
}

/// A time that is no less and no more.
pub(super) fn between(text: &str, (least, most): (&str, &str)) -> Option<Duration> {
    let bounds = read(least).zip(read(most));
    read(text).filter(|keep| bounds.is_some_and(|(least, most)| (least..=most).contains(keep)))
}

fn read(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let days = SpanRelativeTo::days_are_24_hours();
    let duration: SignedDuration = span.to_duration(days).ok()?;
    Duration::try_from(duration).ok()
}

pub(super) const EVER: &str = "ever";
/// Who looks into what somebody has done looks back further than a month.
const KEEP_TRAIL: (&str, &str) = ("30d", "3660d");
/// The day that `outgate flag show` looks back must be there.
const KEEP: (&str, &str) = ("24h", "400d");
/// About 400 octets of disk each: the upper end is about 20 GiB.
const MAX: RangeInclusive<i64> = 1000..=50_000_000;
