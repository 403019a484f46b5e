//! What messages and connections may cost.

use std::path::PathBuf;
use std::time::Duration;

use super::check::{absolute, duration};
use super::error::Invalid;
use super::raw::{RawLimits, RawMessage};

/// What a message may cost.
#[derive(Debug, Clone)]
pub struct MessageLimits {
    /// Content octets of one message at most; announced with SIZE (RFC 1870).
    pub max_octets: u64,
    /// Content octets kept in memory per message; the rest goes to an unlinked file.
    pub memory_octets: usize,
    /// Directory of those files.
    pub spill_dir: PathBuf,
}

/// What connections may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions at once; one costs two sockets, about 100 KiB and up to `memory_octets`.
    pub connections: usize,
    /// Sessions at once of one customer (IPv6: of one /64).
    pub connections_per_customer: usize,
    /// How long sessions may go on after SIGTERM.
    pub drain: Duration,
}

impl MessageLimits {
    /// Content octets of one message, where nothing else is said.
    pub const DEFAULT_MAX_OCTETS: u64 = 50 << 20;
}

impl TryFrom<RawMessage> for MessageLimits {
    type Error = Invalid;

    fn try_from(raw: RawMessage) -> Result<Self, Invalid> {
        // RFC 5321 section 4.5.3.1.7: every server takes at least 64 KiB.
        if !(65_536..=1 << 40).contains(&raw.max_octets) {
            return Err(Invalid::new(
                "message.max_octets",
                raw.max_octets,
                "must be between 65536 (RFC 5321) and 1099511627776",
            ));
        }
        if raw.memory_octets > 64 << 20 {
            return Err(Invalid::new(
                "message.memory_octets",
                raw.memory_octets,
                "must be at most 67108864; every session may hold that much",
            ));
        }
        Ok(Self {
            max_octets: raw.max_octets,
            memory_octets: raw.memory_octets,
            spill_dir: absolute("message.spill_dir", raw.spill_dir)?,
        })
    }
}

impl TryFrom<RawLimits> for Limits {
    type Error = Invalid;

    fn try_from(raw: RawLimits) -> Result<Self, Invalid> {
        if raw.connections == 0 {
            return Err(Invalid::new("limits.connections", 0, "must be at least 1"));
        }
        if raw.connections_per_customer == 0 || raw.connections_per_customer > raw.connections {
            return Err(Invalid::new(
                "limits.connections_per_customer",
                raw.connections_per_customer,
                format!(
                    "must be between 1 and limits.connections ({})",
                    raw.connections
                ),
            ));
        }
        let drain = duration(
            "limits.drain",
            &raw.drain,
            Duration::ZERO,
            Duration::from_secs(3600),
        )?;
        Ok(Self {
            connections: raw.connections,
            connections_per_customer: raw.connections_per_customer,
            drain,
        })
    }
}
