//! What a customer does with its mail: how much and to whom, what the servers say about its recipients, and whether
//! its text is one that others send, too.
//!
//! A [`Customers`] table keeps a [`Customer`] for each, bounded, and is told what happens with the time of it. [`Limits`]
//! are what a customer may do, [`Exceeded`] names the one that it has reached. [`texts`] compares contents across
//! customers, [`identity`] names the site inside of a shared host that a message came from. Nothing here reads a clock:
//! a [`Time`](crate::Time) is the time since 1970 throughout, so that what was used up stays so over a restart.

pub mod answers;
mod customer;
mod customers;
mod gcra;
mod hash;
pub mod identity;
mod limits;
mod octets;
pub mod simhash;
mod sketch;
mod tally;
pub mod texts;
mod window;

pub use customer::{Customer, Figures};
pub use customers::{CustomerKey, Customers, Damaged};
pub use gcra::{Cell, Rate};
pub use limits::{Distinct, Exceeded, Limits, Measure, Name, Period};
pub use sketch::Sketch;
pub use tally::Counts;
pub use window::Window;
