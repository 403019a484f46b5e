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

mod acme;
mod activation;
mod admission;
mod alignment;
mod authorised;
mod behaviour;
mod binary;
mod broken;
mod by_mx;
mod canary;
mod clamd;
mod classifier;
mod config;
mod content;
mod controller;
mod cut;
mod dante;
mod defences;
mod deliveries;
mod delivery;
mod dialogue;
mod doubt;
mod egress;
mod failure;
mod fallback;
mod fickle;
mod flows;
mod gate;
mod handover;
mod haproxy;
mod hello;
mod host;
mod learnt;
mod limits;
mod lists;
mod metrics;
mod milter;
mod names;
mod namespace;
mod notifications;
mod offers;
mod opaque;
mod openssl;
mod parity;
mod pki;
mod policy_host;
mod postfix;
mod program;
mod proxied;
mod quarantine;
mod questions;
mod queue;
mod reload;
mod replay;
mod resolver;
mod revoke;
mod road;
mod routes;
mod rspamd;
mod sandbox;
mod scan;
mod sender;
mod service_manager;
mod shells;
mod signing;
mod sink;
mod smtplib;
mod spam;
mod spliced_road;
mod spool;
mod steer;
mod still;
mod submission;
mod swaks;
mod tls;
mod tls_reports;
mod token;
mod torture;
mod vouching;
mod walled;
