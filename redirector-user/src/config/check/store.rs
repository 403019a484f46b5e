//! `[store]`: where the store is, and copies of it.

use std::{fs, ops::RangeInclusive, time::Duration};

use jiff::{Span, SpanRelativeTo};

use super::{Wrong, absolute, within};
use crate::config::{
    Backups,
    raw::RawStore,
    shared::{SharedStore, StoreUrl},
};

/// The store that other controllers share, if there is one.
pub(super) fn shared(raw: &RawStore) -> Result<Option<SharedStore>, Wrong> {
    let Some(url) = &raw.url else {
        return match &raw.edge {
            None => Ok(None),
            Some(edge) => Err(Wrong::new(
                "store.edge",
                edge,
                "names this edge among several, and without store.url the store is a file of this one alone; set that, or \
                 leave this out",
            )),
        };
    };
    // What is wrong with it is not repeated: it may have a password.
    let problem = "not an address of PostgreSQL; as \"postgresql://outgate@db.example.net/outgate?sslmode=verify-full\", or \
                   \"postgresql:///outgate?host=/run/postgresql\" for its socket";
    let url = StoreUrl::read(url).ok_or_else(|| Wrong::new("store.url", "(not shown)", problem))?;
    if let Some(directory) = &raw.backup_directory {
        return Err(Wrong::new(
            "store.backup_directory",
            directory.display(),
            "copies are made of a file, and the store is PostgreSQL (store.url); leave this out and use pg_dump, or base \
             backups and the archived log",
        ));
    }
    let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let edge = raw.edge.clone().unwrap_or_else(host);
    let edge = edge.trim();
    let letter = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    if !(1..=63).contains(&edge.len()) || !edge.bytes().all(letter) {
        let problem = "not a name of an edge; allowed are 1 to 63 letters, digits, '.', '_' or '-', as \"edge-1\"";
        return Err(Wrong::new("store.edge", edge, problem));
    }
    Ok(Some(SharedStore {
        url,
        edge: edge.to_owned(),
    }))
}

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
