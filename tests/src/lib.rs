//! The lab: a small internet of network namespaces around the real binaries.
//!
//! [`Lab::up`] makes six namespaces joined by veths, with documentation addresses. [`gate::Gate`]
//! runs `outgated` in the edge's namespace, [`relay::RelayNode`] runs `outgate-relay` in the
//! relay's, and [`peers`] holds mail software that nobody here wrote. The lab knows the product by
//! its binaries, its configuration files and what is on the wires; it links none of its crates.
//!
//! Whatever a lab makes is written to a ledger first (see [`ledger`]), so that a lab that was
//! killed is taken down by the next one of the same prefix, and nothing else ever is.
//!
//! # Diagnostics
//! Everything returns [`anyhow::Error`] with the program, its exit and the tail of its log: a lab
//! is read by a person who wants to know which part did what.

pub mod binaries;
pub mod capture;
pub mod demo;
pub mod dialogue;
pub mod edge_end;
mod ethtool;
pub mod frames;
pub mod gate;
pub mod host;
mod lab;
pub mod ledger;
pub mod message;
pub mod netns;
pub mod peers;
pub mod pool;
pub mod process;
pub mod proof;
pub mod relay;
pub mod relay_host;
pub mod wait;
mod wires;
mod xdp_pass;

pub use host::{Family, Host};
pub use lab::Lab;
