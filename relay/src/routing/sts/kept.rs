//! Policies that were fetched, in memory and on disk, and fetches that failed a moment ago.
//!
//! Anybody who owns domains can make entries, so the memory is bounded; what was not asked for the longest time goes
//! first. Times are of the wall clock, because they outlive the program.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::text::Policy;
use crate::dns::DnsName;

/// Policies by domain.
#[derive(Debug, Default)]
pub(super) struct Kept {
    by_domain: HashMap<DnsName, Entry>,
    by_use: BTreeMap<u64, DnsName>,
    uses: u64,
    weight: usize,
    failed: HashMap<DnsName, (String, Instant)>,
    changed: bool,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    used: u64,
}

/// A policy that holds.
#[derive(Debug, Clone)]
pub(super) struct Known {
    id: String,
    policy: Arc<Policy>,
    fetched: SystemTime,
}

/// The same on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    domain: String,
    id: String,
    fetched_unix_s: u64,
    policy: Policy,
}

impl Known {
    /// What it says.
    pub(super) fn policy(self) -> Option<Arc<Policy>> {
        Some(self.policy)
    }

    /// It is the one that is published now.
    pub(super) fn holds_for(&self, id: &str) -> bool {
        self.id == id
    }

    /// It was fetched long ago, and may run out while it cannot be fetched (RFC 8461 section 3.3).
    pub(super) fn is_stale(&self) -> bool {
        let age = age(self.fetched);
        age > STALE_AFTER || age > self.policy.max_age() / 2
    }

    fn has_run_out(&self) -> bool {
        age(self.fetched) >= self.policy.max_age()
    }
}

impl Kept {
    /// What `file` holds; nothing if there is none.
    pub(super) fn load(file: &Path) -> io::Result<Self> {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let stored: Vec<Stored> = serde_json::from_slice(&text)?;
        let mut this = Self::default();
        for stored in stored {
            let Ok(domain) = DnsName::new(&stored.domain) else {
                continue;
            };
            let known = Known {
                id: stored.id,
                policy: Arc::new(stored.policy),
                fetched: SystemTime::UNIX_EPOCH + Duration::from_secs(stored.fetched_unix_s),
            };
            if !known.has_run_out() {
                this.insert(&domain, known);
            }
        }
        this.changed = false;
        Ok(this)
    }

    /// What is known of `domain` and has not run out.
    pub(super) fn get(&mut self, domain: &DnsName) -> Option<Known> {
        let entry = self.by_domain.get_mut(domain)?;
        let known = entry.known.clone();
        if known.has_run_out() {
            self.remove(domain);
            return None;
        }
        self.uses += 1;
        self.by_use.remove(&entry.used);
        entry.used = self.uses;
        self.by_use.insert(self.uses, domain.clone());
        Some(known)
    }

    /// Keeps a policy that was just fetched.
    pub(super) fn put(&mut self, domain: &DnsName, id: &str, policy: Policy) {
        self.failed.remove(domain);
        let known = Known {
            id: id.to_owned(),
            policy: Arc::new(policy),
            fetched: SystemTime::now(),
        };
        self.insert(domain, known);
    }

    /// A fetch has failed.
    pub(super) fn failed(&mut self, domain: &DnsName, id: &str) {
        if self.failed.len() >= FAILED_MAX {
            self.failed
                .retain(|_, (_, when)| when.elapsed() < FAILED_FOR);
        }
        if self.failed.len() < FAILED_MAX {
            let entry = (id.to_owned(), Instant::now());
            self.failed.insert(domain.clone(), entry);
        }
    }

    /// It is too early for another try (RFC 8461 section 3.3).
    pub(super) fn has_just_failed(&self, domain: &DnsName, id: &str) -> bool {
        let failed = self.failed.get(domain);
        failed.is_some_and(|(failed, when)| failed == id && when.elapsed() < FAILED_FOR)
    }

    /// What is to be written, if anything is.
    pub(super) fn changed(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let unix_s = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
        };
        let stored = self.by_use.values().filter_map(|domain| {
            let entry = self.by_domain.get(domain)?;
            Some(Stored {
                domain: domain.to_string(),
                id: entry.known.id.clone(),
                fetched_unix_s: unix_s(entry.known.fetched),
                policy: Policy::clone(&entry.known.policy),
            })
        });
        serde_json::to_vec(&stored.collect::<Vec<_>>()).ok()
    }

    /// It was not written.
    pub(super) fn try_again(&mut self) {
        self.changed = true;
    }

    fn insert(&mut self, domain: &DnsName, known: Known) {
        self.remove(domain);
        self.weight += known.policy.weight();
        self.uses += 1;
        self.by_use.insert(self.uses, domain.clone());
        let entry = Entry {
            known,
            used: self.uses,
        };
        self.by_domain.insert(domain.clone(), entry);
        while self.weight > WEIGHT_MAX
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        self.changed = true;
    }

    fn remove(&mut self, domain: &DnsName) {
        if let Some(entry) = self.by_domain.remove(domain) {
            self.by_use.remove(&entry.used);
            self.weight -= entry.known.policy.weight();
            self.changed = true;
        }
    }
}

/// A clock that was set back makes a policy young, never old: it must not vanish.
fn age(fetched: SystemTime) -> Duration {
    fetched.elapsed().unwrap_or_default()
}

const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);
const FAILED_FOR: Duration = Duration::from_secs(300);
const FAILED_MAX: usize = 10_000;
const WEIGHT_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::new(text).unwrap()
    }

    fn policy(max_age: u64) -> Policy {
        let text = format!("version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: {max_age}\n");
        Policy::parse(&text).unwrap()
    }

    #[test]
    fn a_policy_outlives_the_program_but_not_its_age() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kept");
        let mut kept = Kept::load(&file).unwrap();
        assert!(kept.changed().is_none());
        kept.put(&name("a.example"), "1", policy(3600));
        kept.put(&name("b.example"), "1", policy(3600));
        kept.put(&name("b.example"), "2", policy(3600));
        let mut old = Known {
            id: "1".into(),
            policy: Arc::new(policy(60)),
            fetched: SystemTime::now() - Duration::from_secs(59),
        };
        assert!(old.is_stale());
        kept.insert(&name("c.example"), old.clone());
        old.fetched -= Duration::from_secs(1);
        kept.insert(&name("d.example"), old);
        std::fs::write(&file, kept.changed().unwrap()).unwrap();
        assert!(kept.changed().is_none());

        let mut kept = Kept::load(&file).unwrap();
        assert!(kept.changed().is_none());
        assert!(kept.get(&name("a.example")).unwrap().holds_for("1"));
        let b = kept.get(&name("b.example")).unwrap();
        assert!(b.holds_for("2") && !b.is_stale());
        assert!(kept.get(&name("d.example")).is_none());
        assert_eq!(kept.by_use.len(), kept.by_domain.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_fetch_is_not_tried_again_at_once() {
        let mut kept = Kept::default();
        kept.failed(&name("a.example"), "1");
        assert!(kept.has_just_failed(&name("a.example"), "1"));
        assert!(!kept.has_just_failed(&name("a.example"), "2"));
        tokio::time::advance(FAILED_FOR).await;
        assert!(!kept.has_just_failed(&name("a.example"), "1"));
        for number in 0..FAILED_MAX + 10 {
            kept.failed(&name(&format!("d{number}.example")), "1");
        }
        assert_eq!(kept.failed.len(), FAILED_MAX);
    }

    #[test]
    fn memory_is_bounded_and_the_longest_unused_goes_first() {
        let mut kept = Kept::default();
        let mx: String = (0..100)
            .map(|n| format!("mx: {}{n}.example\n", "x".repeat(60)))
            .collect();
        let large = Policy::parse(&format!(
            "version: STSv1\nmode: enforce\nmax_age: 9999\n{mx}"
        ))
        .unwrap();
        let fit = WEIGHT_MAX / large.weight();
        for number in 0..fit {
            kept.put(&name(&format!("d{number}.example")), "1", large.clone());
        }
        assert!(kept.get(&name("d0.example")).is_some());
        kept.put(&name("new.example"), "1", large);
        assert!(kept.get(&name("d0.example")).is_some());
        assert!(kept.get(&name("d1.example")).is_none());
        assert!(kept.weight <= WEIGHT_MAX);
    }
}
