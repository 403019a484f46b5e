//! The relay between real peers on loopback: swaks and raw sockets as customers, Postfix and its
//! smtp-sink as destinations, rspamd as scanner.
//!
//! [`gate`] runs the relay in this process, with an origin that names the destination; [`binary`] runs
//! the real program against a real flow table in a network namespace of its own. Whatever is missing
//! on the machine (a program, root) fails the test that needs it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod admission;
mod authorised;
mod binary;
mod canary;
mod config;
mod content;
mod controller;
mod cut;
mod defences;
mod delivery;
mod dialogue;
mod doubt;
mod failure;
mod fickle;
mod flows;
mod gate;
mod haproxy;
mod hello;
mod host;
mod learnt;
mod metrics;
mod namespace;
mod offers;
mod opaque;
mod openssl;
mod parity;
mod postfix;
mod program;
mod replay;
mod revoke;
mod road;
mod rspamd;
mod sender;
mod sink;
mod spam;
mod spliced_road;
mod spool;
mod steer;
mod still;
mod swaks;
mod tls;
mod walled;
