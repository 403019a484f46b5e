//! The queue of messages to be delivered, without a socket, a disk or a clock.
//!
//! The unit of work is a job: one message's recipients of one domain. It is scheduled (a timer wheel), due, placed into
//! the lane of its egress and site once it has a route, and in flight with a worker of that lane.
//!
//! [`Scheduler::poll`] says what to do next: find a route for a due job and [`Scheduler::place`] it, or begin a
//! [`Worker`], which takes one job after the other ([`Scheduler::take`]) and says what came of it
//! ([`Scheduler::finish`], [`Scheduler::defer`], [`Scheduler::report`]). [`Scheduler::deadline`] is when to poll again.
//!
//! A job that was handed out is in flight until it is finished, deferred or put back, and is handed out to nobody else.
//! Nothing here is written to disk: when a message is due follows from its age ([`Schedule`]).
//!
//! # Diagnostics
//! None. A key whose job is gone is passed over.

mod ages;
mod arrival;
mod filter;
mod jobs;
mod lane;
mod names;
mod pace;
mod retry;
mod scheduler;
mod target;
mod wheel;

pub use arrival::{Arrival, domain_text};
pub use filter::{Filter, JobState, NotAPrefix, Prefix, View};
pub use jobs::JobKey;
pub use pace::{Fault, PaceLimits};
pub use retry::{NoSchedule, Schedule};
pub use scheduler::{
    Action, After, Counts, First, Order, Pause, Scheduler, Settings, Take, TargetKey, Worker,
};
pub use target::Target;
