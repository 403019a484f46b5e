//! `[splice]`: sessions whose TLS is not terminated here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use super::Invalid;
use super::check::{absolute, duration};

/// Sessions that are joined to their destination untouched.
#[derive(Debug, Clone)]
pub struct Splice {
    /// What one of them may cost.
    pub limits: SpliceLimits,
    /// Submission services: connections to them are joined from the first octet.
    pub approved: Vec<IpNetwork>,
    /// Destinations that one customer (IPv6: one /64) may get spliced by what the relay learns; 0 = it learns
    /// nothing.
    pub learnt_per_customer: usize,
    /// Where what was learnt is kept.
    pub learnt: PathBuf,
}

/// What a joined session may cost. It has two sockets and two pipes.
#[derive(Debug, Clone, Copy)]
pub struct SpliceLimits {
    /// Octets of one session, both directions together.
    pub max_octets: u64,
    /// How long one session may last.
    pub max_duration: Duration,
    /// How long both sides may be silent.
    pub idle: Duration,
    /// Sessions at once of one customer (IPv6: of one /64).
    pub sessions_per_customer: usize,
}

/// `[splice]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSplice {
    approved: Vec<String>,
    max_octets: u64,
    max_duration: String,
    idle: String,
    sessions_per_customer: usize,
    learnt_per_customer: usize,
    learnt: Option<PathBuf>,
}

impl Default for RawSplice {
    fn default() -> Self {
        Self {
            approved: Vec::new(),
            max_octets: 1 << 30,
            max_duration: "1h".into(),
            // After the dot a destination may be silent for ten minutes (RFC 5321 section 4.5.3.2.6).
            idle: "11m".into(),
            sessions_per_customer: 20,
            learnt_per_customer: 20,
            learnt: None,
        }
    }
}

impl RawSplice {
    /// Checks it; what the relay learns is kept in `journal`, unless the file says otherwise.
    pub(super) fn check(self, journal: &Path) -> Result<Splice, Invalid> {
        if self.max_octets < MESSAGE_OCTETS_MIN {
            return Err(Invalid::new(
                "splice.max_octets",
                self.max_octets,
                "must be at least 65536: a session that is cut there never delivers a larger message",
            ));
        }
        if self.sessions_per_customer == 0 {
            let problem = "must be at least 1";
            return Err(Invalid::new("splice.sessions_per_customer", 0, problem));
        }
        if self.learnt_per_customer > LEARNT_MAX {
            return Err(Invalid::new(
                "splice.learnt_per_customer",
                self.learnt_per_customer,
                format!("must be at most {LEARNT_MAX}; treatment \"opaque\" has no such limit"),
            ));
        }
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        Ok(Splice {
            limits: SpliceLimits {
                max_octets: self.max_octets,
                max_duration: duration("splice.max_duration", &self.max_duration, minute, day)?,
                idle: duration("splice.idle", &self.idle, Duration::from_secs(1), day)?,
                sessions_per_customer: self.sessions_per_customer,
            },
            approved: self
                .approved
                .iter()
                .map(|text| approved(text))
                .collect::<Result<_, _>>()?,
            learnt_per_customer: self.learnt_per_customer,
            learnt: match self.learnt {
                Some(path) => absolute("splice.learnt", path)?,
                None => journal.to_owned(),
            },
        })
    }
}

fn approved(text: &str) -> Result<IpNetwork, Invalid> {
    let wrong = |problem: &str| Invalid::new("splice.approved", text, problem);
    let network: IpNetwork = text
        .parse()
        .map_err(|_parse| wrong("must be an address or prefix, as 203.0.113.7 or 2001:db8::/64"))?;
    if network.prefix() == 0 {
        return Err(wrong(
            "would splice everything; treatment \"opaque\" of a flag does that for one customer",
        ));
    }
    Ok(network)
}

/// RFC 5321 section 4.5.3.1.7.
const MESSAGE_OCTETS_MIN: u64 = 65_536;
const LEARNT_MAX: usize = 1000;
