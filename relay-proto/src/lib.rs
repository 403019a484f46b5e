//! SMTP without a socket or a clock.
//!
//! [`server::Session`] and [`client::Session`] are state machines: the caller feeds octets and the
//! time in, and drains actions with `poll` until it returns `None`. Time is a [`Time`] since an epoch
//! of the caller's choice. Nothing here reads a clock, opens a socket, logs, or panics on what a peer
//! sent.
//!
//! A line ends in CRLF and nothing else. [`wire::line`] is the one file that decides about bare CR and
//! bare LF, and it refuses them; both sides re-frame what they parsed, so that no two hops can
//! disagree about where a message ends.
#![forbid(unsafe_code)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

pub mod behaviour;
#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod client;
pub mod dsn;
pub mod envelope;
pub mod handover;
pub mod header;
pub mod limits;
pub mod milter;
pub mod peek;
pub mod proxy;
pub mod queue;
pub mod queued;
pub mod record;
pub mod sasl;
pub mod server;
pub mod verdict;
pub mod wire;

pub use wire::{address, reply};

/// A moment: how long after an epoch that the caller chose once for the session.
pub type Time = core::time::Duration;
