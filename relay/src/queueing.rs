//! What takes a message into the queue: the spool, who vouches for its sender, and the driver that delivers it.

use std::sync::Arc;

use relay_proto::queued::Queued;

use crate::spool::{Kept, Spool};
use crate::vouch::Voucher;

/// The way into the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Queueing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spool: Spool,
    voucher: Voucher,
}

impl Queueing {
    /// What is on disk.
    pub(crate) fn spool(&self) -> &Spool {
        &self.0.spool
    }

    /// Who may be told of a failure.
    pub(crate) fn voucher(&self) -> &Voucher {
        &self.0.voucher
    }

    /// A message that was stored may be delivered, to the recipients in these places.
    pub(crate) fn begin(&self, kept: Kept, queued: &Queued, pending: &[usize]) {
        let _ = (kept, queued, pending);
    }
}
