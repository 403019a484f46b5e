//! The wish that a hand-over stops, shared by whoever may have it and by what hands over.
//!
//! It stops between two batches, or in one of which the other relay was not told to keep anything yet. A batch that it
//! was told to keep comes to its end first, so that nobody is left in doubt about it.

use std::sync::Arc;

use tokio::sync::watch;

use super::giver::Stopped;

/// Whether a hand-over is to stop. Clones are the same wish.
#[derive(Debug, Clone, Default)]
pub struct Cancelling(Arc<watch::Sender<bool>>);

impl Cancelling {
    /// It is to stop; that cannot be taken back.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is.
    pub(super) fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// `work`, unless it is to stop before that is done.
    pub(super) async fn unless<T>(
        &self,
        work: impl Future<Output = Result<T, Stopped>>,
    ) -> Result<T, Stopped> {
        let mut wish = self.0.subscribe();
        tokio::select! {
            biased;
            // The sender is ours, so this ends by the wish alone.
            _wanted = wish.wait_for(|it| *it) => Err(Stopped::Cancelled),
            done = work => done,
        }
    }
}
