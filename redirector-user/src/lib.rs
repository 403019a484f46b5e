//! The controller: `outgated`, and its command line, `outgate`.
//!
//! Decisions come in through [`api`], are judged by [`policy`] and [`rotation`] (pure), kept in [`store`],
//! and put into the kernel by [`controller`] through [`reconcile`] (pure) and [`edge`].

pub mod api;
pub mod backoff;
pub mod caller;
pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod daemon;
pub mod dns;
pub mod dnsbl;
pub mod doctor;
pub mod edge;
pub mod feed;
mod hex;
pub mod listings;
pub mod metrics;
pub mod notice;
pub mod password;
pub mod pcap;
pub mod policy;
pub mod precheck;
pub mod radar;
pub mod reconcile;
pub mod roots;
pub mod rotation;
pub mod secret;
pub mod store;
pub mod tunnel;
pub mod webhook;

/// Where the API listens when nothing else is said.
pub const DEFAULT_SOCKET: &str = "/run/outgate/outgated.sock";

/// Where the configuration of `outgated` is when nothing else is said.
pub const DEFAULT_CONFIG: &str = "/etc/outgate/outgated.toml";
