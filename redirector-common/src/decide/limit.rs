//! A SYN of a limited source: one token of its bucket, or the end of it.

use super::{
    Judged, Work,
    bucket::{Rate, refilled, spend},
};
use crate::{
    counters::Counter,
    tables::{Tables, Verdict},
};

/// Judges a SYN by the rate of its policy. Out of line: the verifier would otherwise follow the bucket's
/// arithmetic once per way that leads here.
#[inline(never)]
pub(super) fn admits<T: Tables>(tables: &mut T, work: &mut Work) -> bool {
    let rate = Rate::per_hour(work.policy.limit_per_hour, work.policy.limit_burst);
    work.bucket = refilled(tables.bucket(&work.customer), rate, work.now_ns);
    let admitted = spend(&mut work.bucket);
    tables.put_bucket(&work.customer, &work.bucket);
    admitted
}

/// Judges a segment under action `limit`. What belongs to a connection that was let through goes on.
#[inline(always)]
pub(super) fn judge<T: Tables>(tables: &mut T, work: &mut Work, opens: bool) -> Judged {
    if opens && !admits(tables, work) {
        return Judged::counted(tables, Verdict::Drop, Counter::Limited);
    }
    Judged::counted(tables, Verdict::Pass, Counter::LimitPassed)
}
