//! What came of destinations' TLS, by policy and day, as RFC 8460 counts it.
//!
//! Every session to which a policy applies is counted: [`Results::succeeded`], or [`Results::failed`] with one of the names
//! of RFC 8460 section 4.3; and where domains are told, sessions for those without a policy, too. [`Results::keep`] writes what has changed to a file each minute, and
//! [`list`] reads that file, whether the relay runs or not. Strangers choose the domains and their policies, so what is kept
//! of a [`Day`] is bounded; what is beyond it is counted as one number.
//!
//! # Diagnostics
//! A file that cannot be written is logged, and tried again; one that is damaged is put aside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing::{error, warn};

use super::requirement::{Requirement, Subject};

mod day;

pub use day::{Counted, Day, Detail};

/// Counts, and keeps. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Results(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    state: Mutex<State>,
}

/// Both ends of a session, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// What the server sees.
    pub(crate) sending: Option<IpAddr>,
    /// The server.
    pub(crate) receiving: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct State {
    days: BTreeMap<Date, Day>,
    changed: bool,
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
    pub(crate) fn failed(&self, requirement: &Requirement, result: &'static str, ends: Ends) {
        if let Some(subject) = &requirement.subject {
            self.count(subject, today(), |counted| counted.fail(result, ends));
        }
    }

    /// The same, of a policy of which no requirement came to be.
    pub(crate) fn note(&self, subject: &Subject, result: &'static str) {
        let ends = Ends::default();
        self.count(subject, today(), |counted| counted.fail(result, ends));
    }

    /// Days that are over, of which there are results.
    pub(crate) fn finished(&self, today: Date) -> Vec<Date> {
        let state = self.lock();
        state.days.range(..today).map(|(day, _)| *day).collect()
    }

    /// Whose mail was counted on a day.
    pub(crate) fn domains(&self, day: Date) -> BTreeSet<String> {
        let state = self.lock();
        let policies = state.days.get(&day).map(|day| &day.policies);
        let domains = policies.into_iter().flatten().map(Counted::mail_of);
        domains.map(str::to_owned).collect()
    }

    /// What was counted on a day of one domain's mail.
    pub(crate) fn of(&self, day: Date, domain: &str) -> Vec<Counted> {
        let state = self.lock();
        let day = state.days.get(&day);
        day.map(|day| day.of(domain).cloned().collect())
            .unwrap_or_default()
    }

    fn count(&self, subject: &Subject, day: Date, add: impl FnOnce(&mut Counted)) {
        let mut state = self.lock();
        state.changed = true;
        state.days.entry(day).or_default().count(subject, add);
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

/// The file in `directory` that holds results.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join("tls-results.json")
}

/// What was counted, by day; a running relay may be a minute ahead.
pub fn list(file: &Path) -> io::Result<BTreeMap<Date, Day>> {
    match std::fs::read(file) {
        Ok(text) => {
            let mut days: BTreeMap<Date, Day> = serde_json::from_slice(&text)?;
            days.values_mut().for_each(Day::weigh);
            Ok(days)
        }
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
/// Today, and the days that somebody may still look at, or be told of.
pub(crate) const DAYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::DnsName;
    use crate::outbound::requirement::Policy;

    const ENDS: Ends = Ends {
        sending: None,
        receiving: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
    };

    fn requirement(domain: &str, policy: Policy) -> Requirement {
        let subject = Subject {
            mail_of: DnsName::new(domain).unwrap(),
            domain: DnsName::new(domain).unwrap(),
            policy,
            host: Some(DnsName::new("mx.example").unwrap()),
            text: vec!["version: STSv1".into()],
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
        results.failed(&sts, "certificate-expired", ENDS);
        results.failed(&sts, "certificate-expired", Ends::default());
        results.failed(&tlsa, "validation-failure", ENDS);
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
        assert_eq!((by_sts.details.len(), by_sts.details[0].count), (1, 1));
        assert_eq!(by_sts.details[0].receiving_ip, ENDS.receiving);
        assert_eq!((by_tlsa.policy.as_str(), by_tlsa.successes), ("tlsa", 0));
        assert_eq!(by_tlsa.failures["validation-failure"], 1);
    }

    #[test]
    fn days_are_bounded_and_end_at_midnight() {
        let directory = tempfile::tempdir().unwrap();
        let results = Results::open(directory.path());
        let sts = requirement("a.example", Policy::Sts);
        for day in 1..=9 {
            let day = Date::constant(2026, 1, day);
            results.count(sts.subject.as_ref().unwrap(), day, |it| it.successes += 1);
        }
        assert_eq!(results.lock().days.len(), DAYS_MAX);
        let last = Date::constant(2026, 1, 9);
        let finished = results.finished(last);
        assert_eq!(finished.len(), DAYS_MAX - 1);
        assert!(!finished.contains(&last));
        assert_eq!(
            results.domains(finished[0]),
            ["a.example".to_owned()].into()
        );
        assert_eq!(results.of(finished[0], "a.example")[0].successes, 1);
        assert!(results.of(finished[0], "b.example").is_empty());
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
