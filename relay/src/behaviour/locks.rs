//! Sites inside of shared hosts that a person has locked: their mail is refused, their neighbours' is not.
//!
//! A lock names a site, of one customer or of whatever customer, has a reason that the site's sender reads, and ends by
//! itself if it is told when. All of them stand in a file, which is on disk before a change is answered.
//!
//! # Diagnostics
//! Returned: a change that cannot be kept; then nothing has changed. Logged: a damaged file (`error`; it is set aside).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use relay_proto::behaviour::CustomerKey;
use relay_proto::behaviour::identity::Identity;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::durable;

/// All locks.
#[derive(Debug)]
pub struct Locks {
    file: PathBuf,
    /// Whoever changes something holds it until that is on disk.
    changing: Mutex<()>,
    /// By site, and by customer as it is displayed; "" = whatever customer.
    locks: RwLock<BTreeMap<(String, String), Lock>>,
}

/// One lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The name of the site.
    pub identity: String,
    /// The customer whose site it is, as it is displayed; `None` = whosoever.
    pub customer: Option<String>,
    /// Why; one line that the site's sender reads.
    pub reason: String,
    /// When it was locked.
    pub since: Timestamp,
    /// When it ends by itself; `None` = never.
    pub until: Option<Timestamp>,
}

impl Lock {
    fn key(&self) -> (String, String) {
        let customer = self.customer.clone().unwrap_or_default();
        (self.identity.clone(), customer)
    }

    fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Locks {
    /// What `directory` holds.
    pub(super) fn open(directory: &Path) -> Self {
        let file = directory.join(FILE);
        let locks = read(&file).unwrap_or_else(|error| {
            let aside = file.with_extension("damaged");
            let kept = std::fs::rename(&file, &aside).is_ok();
            error!(file = %file.display(), %error, kept, "locked identities cannot be read: nothing is locked; see the file that was set aside");
            Vec::new()
        });
        let locks = locks.into_iter().map(|lock| (lock.key(), lock)).collect();
        Self {
            file,
            changing: Mutex::new(()),
            locks: RwLock::new(locks),
        }
    }

    /// The one that holds for one of these sites of a customer.
    pub(super) fn find(&self, customer: CustomerKey, sites: &[Identity]) -> Option<Lock> {
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        if locks.is_empty() || sites.is_empty() {
            return None;
        }
        let (customer, now) = (customer.to_string(), Timestamp::now());
        let places = sites
            .iter()
            .flat_map(|site| [customer.clone(), String::new()].map(|of| (site.to_string(), of)));
        let mut found = places.filter_map(|place| locks.get(&place));
        found.find(|lock| lock.holds(now)).cloned()
    }

    /// Those that hold.
    #[must_use]
    pub fn list(&self) -> Vec<Lock> {
        let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        locks.values().filter(|it| it.holds(now)).cloned().collect()
    }

    /// Locks, in place of an earlier lock of the same. Blocks on the disk.
    pub fn lock(&self, lock: Lock) -> io::Result<()> {
        self.change(|locks| {
            if locks.len() >= LOCKS_MAX && !locks.contains_key(&lock.key()) {
                let problem = format!("there are {LOCKS_MAX} locks already; unlock some");
                return Err(io::Error::other(problem));
            }
            locks.insert(lock.key(), lock);
            Ok(())
        })
    }

    /// Unlocks; whether it was locked. Blocks on the disk.
    pub fn unlock(&self, identity: &str, customer: Option<&str>) -> io::Result<bool> {
        let key = (identity.to_owned(), customer.unwrap_or_default().to_owned());
        let mut was = false;
        self.change(|locks| {
            was = locks.remove(&key).is_some();
            Ok(())
        })?;
        Ok(was)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<(String, String), Lock>) -> io::Result<()>,
    ) -> io::Result<()> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locks = {
            let locks = self.locks.read().unwrap_or_else(PoisonError::into_inner);
            locks.clone()
        };
        let now = Timestamp::now();
        locks.retain(|_, lock| lock.holds(now));
        change(&mut locks)?;
        let written: Vec<&Lock> = locks.values().collect();
        let octets = serde_json::to_vec_pretty(&written).map_err(io::Error::other)?;
        durable::replace(&self.file, &octets)?;
        *self.locks.write().unwrap_or_else(PoisonError::into_inner) = locks;
        Ok(())
    }
}

fn read(file: &Path) -> io::Result<Vec<Lock>> {
    match std::fs::read(file) {
        Ok(octets) => Ok(serde_json::from_slice(&octets)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

const FILE: &str = "identity-locks.json";
/// Each change writes all of them.
const LOCKS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    fn lock(identity: &str, customer: Option<&str>, until: Option<Timestamp>) -> Lock {
        Lock {
            identity: identity.into(),
            customer: customer.map(str::to_owned),
            reason: "spam, ticket 4711".into(),
            since: Timestamp::now(),
            until,
        }
    }

    fn key(text: &str) -> CustomerKey {
        CustomerKey::of(text.parse().unwrap(), 64)
    }

    fn site(name: &str) -> Vec<Identity> {
        vec![
            Identity::clean("bystander").unwrap(),
            Identity::clean(name).unwrap(),
        ]
    }

    #[test]
    fn a_lock_is_of_one_customer_or_of_all_and_outlives_the_relay() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::open(directory.path());
        let of_one = lock("1001:mail.php", Some("2001:db8:a:a::/64"), None);
        locks.lock(of_one.clone()).unwrap();
        locks.lock(lock("ann@example.org", None, None)).unwrap();
        drop(locks);
        let locks = Locks::open(directory.path());
        let found = locks.find(key("2001:db8:a:a::7"), &site("1001:mail.php"));
        assert_eq!(found, Some(of_one));
        assert_eq!(
            locks.find(key("2001:db8:a:b::7"), &site("1001:mail.php")),
            None
        );
        assert_eq!(
            locks.find(key("2001:db8:a:a::7"), &site("1002:mail.php")),
            None
        );
        assert!(
            locks
                .find(key("192.0.2.10"), &site("ann@example.org"))
                .is_some()
        );
        assert!(!locks.unlock("1001:mail.php", None).unwrap());
        let unlocked = locks.unlock("1001:mail.php", Some("2001:db8:a:a::/64"));
        assert!(unlocked.unwrap());
        assert_eq!(locks.list().len(), 1);
        assert_eq!(Locks::open(directory.path()).list().len(), 1);
    }

    #[test]
    fn a_lock_ends_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::open(directory.path());
        let (past, future) = (Timestamp::now() - 1.second(), Timestamp::now() + 1.hour());
        locks.lock(lock("past", None, Some(past))).unwrap();
        locks.lock(lock("future", None, Some(future))).unwrap();
        assert_eq!(locks.find(key("192.0.2.10"), &site("past")), None);
        assert!(locks.find(key("192.0.2.10"), &site("future")).is_some());
        assert_eq!(locks.list().len(), 1);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_a_change_that_cannot_be_kept_is_none() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "[{").unwrap();
        let locks = Locks::open(directory.path());
        assert!(locks.list().is_empty());
        assert!(directory.path().join("identity-locks.damaged").exists());
        drop(directory);
        locks.lock(lock("x", None, None)).unwrap_err();
        assert!(locks.list().is_empty());
    }
}
