//! `[spool]`: where messages are kept that the relay has answered for.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, duration};

/// The spool. Only what is queued needs one.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// Its directory, on a disk whose syncs can be trusted.
    pub dir: PathBuf,
    /// Octets of one segment, a multiple of 4096. Two are allocated at least; one message delays the end of its
    /// segment until it is delivered or moved.
    pub segment_octets: u32,
    /// Content octets beyond which a message has a file of its own: three more operations on the disk instead of
    /// room in a segment.
    pub large_octets: u32,
    /// Octets that the whole may occupy; beyond that, messages are answered 452 4.3.1. One segment of it is kept
    /// free for writing down what was delivered.
    pub max_octets: u64,
    /// How long a group may wait for more messages when more than one waits already.
    pub linger: Duration,
}

/// `[spool]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpool {
    dir: PathBuf,
    #[serde(default = "default_segment_octets")]
    segment_octets: u32,
    #[serde(default = "default_large_octets")]
    large_octets: u32,
    #[serde(default = "default_max_octets")]
    max_octets: u64,
    #[serde(default = "default_linger")]
    linger: String,
}

impl TryFrom<RawSpool> for SpoolConfig {
    type Error = Invalid;

    fn try_from(raw: RawSpool) -> Result<Self, Invalid> {
        let segment = raw.segment_octets;
        if !(SEGMENT_MIN..=SEGMENT_MAX).contains(&segment) || !segment.is_multiple_of(4096) {
            let problem =
                format!("must be a multiple of 4096 between {SEGMENT_MIN} and {SEGMENT_MAX}");
            return Err(Invalid::new("spool.segment_octets", segment, problem));
        }
        if !(4096..=segment / 4).contains(&raw.large_octets) {
            let problem = format!(
                "must be between 4096 and a quarter of spool.segment_octets ({})",
                segment / 4
            );
            return Err(Invalid::new(
                "spool.large_octets",
                raw.large_octets,
                problem,
            ));
        }
        let least = 4 * u64::from(segment);
        if raw.max_octets < least {
            let problem = format!("must be at least four times spool.segment_octets ({least})");
            return Err(Invalid::new("spool.max_octets", raw.max_octets, problem));
        }
        Ok(Self {
            dir: absolute("spool.dir", raw.dir)?,
            segment_octets: segment,
            large_octets: raw.large_octets,
            max_octets: raw.max_octets,
            linger: duration("spool.linger", &raw.linger, Duration::ZERO, LINGER_MAX)?,
        })
    }
}

fn default_segment_octets() -> u32 {
    64 << 20
}

fn default_large_octets() -> u32 {
    1 << 20
}

fn default_max_octets() -> u64 {
    16 << 30
}

fn default_linger() -> String {
    "1ms".into()
}

const SEGMENT_MIN: u32 = 1 << 20;
const SEGMENT_MAX: u32 = 256 << 20;
const LINGER_MAX: Duration = Duration::from_millis(100);
