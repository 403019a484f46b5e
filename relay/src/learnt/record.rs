//! One line of the journal: what, of whom, towards whom, until when, and a check of the line.
//!
//! Words of printable ASCII, so that a person can read it: `learnt verifies 192.0.2.10 203.0.113.10:25
//! 2026-03-01T12:00:00Z #1a2b3c4d`. The check tells a line that a crash tore or a disk spoilt; it is no protection
//! against whoever may write the file.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use jiff::Timestamp;

use super::{Learner, Why};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The customer.
    pub learner: Learner,
    /// The destination.
    pub destination: SocketAddr,
    /// What of them.
    pub what: What,
    /// When it lapses.
    pub until: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The pair is to be spliced.
    Learnt(Why),
    /// It is not, and is not learnt.
    Revoked,
}

/// A line that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Learnt(why) => format!("learnt {}", why.name()),
            What::Revoked => "revoked -".to_owned(),
        };
        let Learner(learner) = self.learner;
        let text = format!("{what} {learner} {} {}", self.destination, self.until);
        write!(f, "{text} #{:08x}", check(&text))
    }
}

impl FromStr for Record {
    type Err = Damaged;

    fn from_str(line: &str) -> Result<Self, Damaged> {
        let (text, sum) = line.rsplit_once(" #").ok_or(Damaged)?;
        if u32::from_str_radix(sum, 16) != Ok(check(text)) {
            return Err(Damaged);
        }
        let words: Vec<&str> = text.split(' ').collect();
        let &[what, why, learner, destination, until] = &words[..] else {
            return Err(Damaged);
        };
        let why = Why::ALL.into_iter().find(|known| known.name() == why);
        let what = match (what, why) {
            ("learnt", Some(why)) => What::Learnt(why),
            ("revoked", None) => What::Revoked,
            _ => return Err(Damaged),
        };
        let learner = learner.parse().map_err(|_parse| Damaged)?;
        Ok(Self {
            learner: Learner::of(learner),
            destination: destination.parse().map_err(|_parse| Damaged)?,
            what,
            until: until.parse().map_err(|_parse| Damaged)?,
        })
    }
}

/// FNV-1a of 32 bits.
fn check(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, octet| {
        (sum ^ u32::from(octet)).wrapping_mul(0x0100_0193)
    })
}
