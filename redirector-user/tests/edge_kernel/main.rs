//! The edge against the running kernel: the real program on veth interfaces in namespaces of our
//! own, with pin directories of our own. Needs root and `ip`; without them every test fails.
#![expect(
    clippy::unwrap_used,
    reason = "what stands between a test and its assertion fails it too"
)]

mod attach;
mod bench;
mod debug_lines;
mod flows;
mod judge;
mod listeners;
mod nexthop;
mod radar;
mod sets;
mod state;
mod tc;
mod tunnels;
