//! What people see of the queue and do to it: [`Orders`] is what a queue can be asked, [`door`] the Unix socket where it
//! is, [`shapes`] what goes through.

pub mod door;
mod orders;
pub mod shapes;

pub use orders::Orders;
