//! What people see of the queue and do to it: [`Orders`] is what a queue can be asked, [`door`] the Unix socket where it
//! is, [`shapes`] what goes through. [`Transfers`] is what else is asked there.

use crate::handover::Progress;

pub mod door;
mod orders;
pub mod shapes;

pub use orders::Orders;

/// Hand-overs of queued mail to other relays.
pub trait Transfers: Send + Sync {
    /// Begins one; how far it has come. There is one at a time.
    fn begin(&self, order: &shapes::TransferOrder) -> Result<Progress, shapes::Refused>;

    /// The one that runs is to stop; how far it has come. It has ended when [`Transfers::progress`] says so.
    fn cancel(&self) -> Option<Progress>;

    /// How far the last one has come, if there was one.
    fn progress(&self) -> Option<Progress>;
}
