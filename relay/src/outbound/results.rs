//! What came of destinations' TLS, by policy and day, as RFC 8460 counts it.
//!
//! Every session to which a policy applies is counted: [`Results::succeeded`], or [`Results::failed`] with one of the names
//! of RFC 8460 section 4.3. [`Results::keep`] writes what has changed to a file each minute, and
//! [`list`] reads that file, whether the relay runs or not. Strangers choose the domains, so their number per day is
//! bounded; what is beyond it is counted as one number.
//!
//! # Diagnostics
//! A file that cannot be written is logged, and tried again; one that is damaged is put aside.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::requirement::{Policy, Requirement, Subject};
use crate::dns::DnsName;

/// Counts, and keeps. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Results(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    days: BTreeMap<Date, Day>,
    changed: bool,
}

/// All of one day (UTC).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// Per policy and server.
    pub policies: Vec<Counted>,
    /// Sessions that found no place among them.
    pub uncounted: u64,
}

/// Sessions to which one policy applied, with one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// The policy's domain.
    pub domain: String,
    /// `tlsa` or `sts`.
    pub policy: String,
    /// The server, if its name is known.
    pub mx_host: Option<String>,
    /// Sessions that showed what was demanded.
    pub successes: u64,
    /// Those that did not, by the result types of RFC 8460 section 4.3.
    pub failures: BTreeMap<String, u64>,
}

impl Results {
    /// What `directory` holds from before, and is to hold.
    pub(crate) fn open(directory: &Path) -> Self {
        let file = path(directory);
        let days = match list(&file) {
            Ok(days) => days,
            Err(error) => {
                let aside = file.with_extension("damaged");
                let kept = std::fs::rename(&file, &aside).is_ok();
                warn!(file = %file.display(), %error, kept, "results of TLS cannot be read, counting anew");
                BTreeMap::new()
            }
        };
        let state = State {
            days,
            changed: false,
        };
        Self(Arc::new(Inner {
            file,
            state: Mutex::new(state),
        }))
    }

    /// A session shows what is required.
    pub(crate) fn succeeded(&self, requirement: &Requirement) {
        if let Some(subject) = &requirement.subject {
            self.count(subject, today(), |counted| counted.successes += 1);
        }
    }

    /// One does not, or there is none for want of it.
    pub(crate) fn failed(&self, requirement: &Requirement, result: &'static str) {
        if let Some(subject) = &requirement.subject {
            self.note(subject, result);
        }
    }

    /// The same, of a policy of which no requirement came to be.
    pub(crate) fn note(&self, subject: &Subject, result: &'static str) {
        self.count(subject, today(), |counted| {
            *counted.failures.entry(result.to_owned()).or_default() += 1;
        });
    }

    fn count(&self, subject: &Subject, day: Date, add: impl FnOnce(&mut Counted)) {
        let mut state = self.lock();
        state.changed = true;
        let day = state.days.entry(day).or_default();
        match day
            .policies
            .binary_search_by(|counted| counted.cmp(subject))
        {
            Ok(place) => add(&mut day.policies[place]),
            Err(place) if day.policies.len() < POLICIES_PER_DAY_MAX => {
                let mut counted = Counted::of(subject);
                add(&mut counted);
                day.policies.insert(place, counted);
            }
            Err(_no_place) => day.uncounted += 1,
        }
        while state.days.len() > DAYS_MAX {
            state.days.pop_first();
        }
    }

    /// Writes now and then what has changed, for ever.
    pub(crate) async fn keep(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let this = self.clone();
            // It waits for the disk.
            if let Err(error) = tokio::task::spawn_blocking(move || this.save()).await {
                error!(%error, "keeping results of TLS ended by a bug of ours");
            }
        }
    }

    /// Writes what has changed.
    pub(crate) fn save(&self) {
        let text = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.changed) {
                return;
            }
            serde_json::to_vec(&state.days)
        };
        let text = text.map_err(io::Error::other);
        if let Err(error) = text.and_then(|text| crate::durable::replace(&self.0.file, &text)) {
            self.lock().changed = true;
            warn!(file = %self.0.file.display(), %error, "results of TLS are not kept, trying again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn of(subject: &Subject) -> Self {
        Self {
            domain: subject.domain.to_string(),
            policy: subject.policy.name().into(),
            mx_host: subject.host.as_ref().map(ToString::to_string),
            successes: 0,
            failures: BTreeMap::new(),
        }
    }

    fn cmp(&self, subject: &Subject) -> std::cmp::Ordering {
        let host = subject.host.as_ref().map(DnsName::as_str);
        (
            self.domain.as_str(),
            self.policy.as_str(),
            self.mx_host.as_deref(),
        )
            .cmp(&(subject.domain.as_str(), subject.policy.name(), host))
    }
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
        }
    }
}

/// The file in `directory` that holds results.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join("tls-results.json")
}

/// What was counted, by day; a running relay may be a minute ahead.
pub fn list(file: &Path) -> io::Result<BTreeMap<Date, Day>> {
    match std::fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The result of a handshake that failed, or was refused (RFC 8460 section 4.3.1 has no better one).
pub(super) const HANDSHAKE_FAILED: &str = "validation-failure";
const INTERVAL: Duration = Duration::from_secs(60);
/// About 5 MiB.
const POLICIES_PER_DAY_MAX: usize = 20_000;
/// Today, and the days that somebody may still look at.
const DAYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(domain: &str, policy: Policy) -> Requirement {
        let subject = Subject {
            domain: DnsName::new(domain).unwrap(),
            policy,
            host: Some(DnsName::new("mx.example").unwrap()),
        };
        Requirement {
            subject: Some(Arc::new(subject)),
            ..Requirement::default()
        }
    }

    #[test]
    fn sessions_are_counted_by_policy_and_outlive_the_relay() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::open(directory.path());
        results.succeeded(&Requirement::default());
        let (sts, tlsa) = (
            requirement("a.example", Policy::Sts),
            requirement("a.example", Policy::Tlsa),
        );
        results.succeeded(&sts);
        results.failed(&sts, "certificate-expired");
        results.failed(&sts, "certificate-expired");
        results.failed(&tlsa, "validation-failure");
        results.save();
        drop(results);
        // After a restart it goes on.
        let results = Results::open(directory.path());
        results.succeeded(&sts);
        results.save();
        let days = list(&path(directory.path())).unwrap();
        let (_, day) = days.last_key_value().unwrap();
        let [by_sts, by_tlsa] = &day.policies[..] else {
            panic!("{day:?}");
        };
        assert_eq!((by_sts.policy.as_str(), by_sts.successes), ("sts", 2));
        assert_eq!(by_sts.failures["certificate-expired"], 2);
        assert_eq!((by_tlsa.policy.as_str(), by_tlsa.successes), ("tlsa", 0));
        assert_eq!(by_tlsa.failures["validation-failure"], 1);
    }

    #[test]
    fn days_and_domains_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::open(directory.path());
        for day in 1..=9 {
            let sts = requirement("a.example", Policy::Sts);
            results.count(
                sts.subject.as_ref().unwrap(),
                Date::constant(2026, 1, day),
                |_| {},
            );
        }
        let last = Date::constant(2026, 1, 9);
        for number in 0..=POLICIES_PER_DAY_MAX {
            let sts = requirement(&format!("d{number:06}.example"), Policy::Sts);
            results.count(sts.subject.as_ref().unwrap(), last, |_| {});
        }
        let state = results.lock();
        assert_eq!(state.days.len(), DAYS_MAX);
        assert_eq!(state.days[&last].policies.len(), POLICIES_PER_DAY_MAX);
        assert_eq!(state.days[&last].uncounted, 2);
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(path(directory.path()), "{").unwrap();
        let results = Results::open(directory.path());
        assert!(results.lock().days.is_empty());
        assert!(directory.path().join("tls-results.damaged").exists());
    }
}
