//! The packet core of Outgate, and the shape of the maps that it shares with the controller.
//!
//! Everything that decides about a packet lives here, generic over a [`frame::Frame`] (octets) and
//! [`tables::Tables`] (maps), so that the same code runs in XDP, in unit and property tests, and in
//! `outgate why`. Nothing here allocates, reads a clock, or needs `unsafe`; the feature `cases`
//! (the golden packet table, for tests) is the exception to the first.
#![cfg_attr(not(any(test, feature = "cases")), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

pub mod abi;
pub mod addr;
mod answer;
#[cfg(any(test, feature = "cases"))]
pub mod cases;
#[cfg(any(test, feature = "cases"))]
pub mod check;
pub mod checksum;
mod clamp;
mod cookie;
pub mod counters;
pub mod decide;
pub mod flow;
pub mod frame;
pub mod maglev;
pub mod parse;
#[cfg(test)]
mod properties;
pub mod radar;
mod reply;
mod reset;
mod rewrite;
mod siphash;
pub mod tables;
mod too_big;
pub mod tunnel;
