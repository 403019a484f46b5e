//! `[store]`: copies of the store.

use std::{ops::RangeInclusive, time::Duration};

use jiff::{Span, SpanRelativeTo};

use super::{Wrong, absolute, within};
use crate::config::{Backups, raw::RawStore};

pub(super) fn backups(raw: RawStore) -> Result<Option<Backups>, Wrong> {
    let every = raw.backup_every.parse::<Span>().ok();
    let every = every.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let every = every.and_then(|span| Duration::try_from(span).ok());
    let every = every.filter(|every| EVERY_S.contains(&every.as_secs()));
    let problem = "not a time between two backups; allowed are 10m to 90d, as \"24h\"";
    let every =
        every.ok_or_else(|| Wrong::new("store.backup_every", &raw.backup_every, problem))?;
    let keep: u32 = within("store.backup_keep", raw.backup_keep, KEEP)?;
    let Some(directory) = raw.backup_directory else {
        return Ok(None);
    };
    Ok(Some(Backups {
        directory: absolute("store.backup_directory", directory)?,
        every,
        keep: keep as usize,
    }))
}

const EVERY_S: RangeInclusive<u64> = 600..=90 * 86_400;
const KEEP: RangeInclusive<i64> = 1..=1000;
