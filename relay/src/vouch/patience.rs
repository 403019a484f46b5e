//! The time that all look-ups about one message have together.
//!
//! They are made behind the dot, while the sender waits for its answer. A resolver that is dead is dead for all of them, so
//! whoever asks after somebody who has waited in vain does not wait again.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// Of one message. It begins to run with the first look-up, not with the scanners before it.
#[derive(Debug, Default)]
pub struct Patience(OnceLock<Instant>);

impl Patience {
    /// When it ends; whoever asks first says how long it is.
    pub(super) fn until(&self, deadline: Duration) -> Instant {
        *self.0.get_or_init(|| Instant::now() + deadline)
    }
}
