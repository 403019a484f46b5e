//! outgate-relay: takes the mail of diverted customers, filters it, and delivers it to the
//! destination that the customer had chosen.
//!
//! [`Config`](config::Config) is read first and whole. A [`Relay`] is what all sessions share;
//! [`listen::bind`] opens the sockets and [`listen::serve`] runs until it is told to drain. One
//! connection goes through `admission` (who is served), `inbound` (the customer's side of SMTP),
//! a `treatment` (what is done with its mail), `scan`, and `outbound` (the destination's side).
//!
//! The relay never acknowledges what the destination has not acknowledged, never changes what the
//! customer wrote, and never offers less TLS than it was offered.
#![deny(unsafe_code)]

pub mod acme;
mod admission;
mod allowance;
mod backoff;
pub mod behaviour;
pub mod classifier;
mod clock;
pub mod config;
mod delivery;
pub mod dkim;
pub mod dns;
mod durable;
pub mod egress;
pub mod handover;
mod https;
mod id;
mod inbound;
pub mod learnt;
pub mod listen;
pub mod message;
pub mod metrics;
pub mod notify;
pub mod origin;
pub mod outbound;
mod privacy;
pub mod quarantine;
pub mod queue;
mod queueing;
mod relay;
pub mod reporting;
pub mod routing;
pub mod sandbox;
pub mod scan;
pub mod snapshot;
mod splice;
pub mod spool;
mod stream;
mod submission;
pub mod tls;
pub mod tls_reports;
pub mod token;
mod transparent;
mod treatment;
mod unacknowledged;
mod unheard;
pub mod unix_http;
pub mod vouch;

pub use queueing::{Backlog, StartError};
pub use relay::Relay;
