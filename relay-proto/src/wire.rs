//! The octets of SMTP: lines, commands, replies, addresses and the coding of content.
//!
//! Each module reads from octets into types or writes from types to octets; none keeps the state of a
//! dialogue.

pub mod address;
pub mod auth;
pub mod command;
pub mod dot;
pub mod line;
pub mod reply;
