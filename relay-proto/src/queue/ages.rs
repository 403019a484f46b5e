//! Jobs by what their age brings next: a warning to their sender, or the end of their life.
//!
//! The wheel knows when a job is tried. One that is not tried because its site is dead, or because there is no route,
//! grows old all the same. Ten minutes are exact enough, so this is a list for each of those.

use std::collections::BTreeMap;

use super::jobs::{Chain, Jobs, List};
use super::names::NONE;

#[derive(Debug, Default)]
pub(super) struct Ages {
    buckets: BTreeMap<u32, List>,
}

impl Ages {
    /// Puts a job into the list of the moment `at_ms`, and takes it out of where it was.
    pub(super) fn put(&mut self, jobs: &mut Jobs, slot: u32, at_ms: u64) {
        self.remove(jobs, slot);
        let bucket = u32::try_from(at_ms / BUCKET_MS).unwrap_or(NONE - 1);
        if let Some(job) = jobs.at_mut(slot) {
            job.bucket = bucket;
            let list = self.buckets.entry(bucket).or_default();
            jobs.push_back(list, slot, Chain::Age);
        }
    }

    pub(super) fn remove(&mut self, jobs: &mut Jobs, slot: u32) {
        let Some(job) = jobs.at_mut(slot) else { return };
        let bucket = core::mem::replace(&mut job.bucket, NONE);
        let Some(list) = self.buckets.get_mut(&bucket) else {
            return;
        };
        jobs.unlink(list, slot, Chain::Age);
        if list.is_empty() {
            self.buckets.remove(&bucket);
        }
    }

    /// A job whose moment has passed; it is in no list any more.
    pub(super) fn pop(&mut self, jobs: &mut Jobs, now_ms: u64) -> Option<u32> {
        let mut first = self.buckets.first_entry()?;
        if passed_ms(*first.key()) > now_ms {
            return None;
        }
        let slot = jobs.pop_front(first.get_mut(), Chain::Age);
        if first.get().is_empty() {
            first.remove();
        }
        let slot = slot?;
        if let Some(job) = jobs.at_mut(slot) {
            job.bucket = NONE;
        }
        Some(slot)
    }

    /// When there is next something to pop.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let (bucket, _) = self.buckets.first_key_value()?;
        Some(passed_ms(*bucket))
    }
}

fn passed_ms(bucket: u32) -> u64 {
    (u64::from(bucket) + 1) * BUCKET_MS
}

const BUCKET_MS: u64 = 600_000;
