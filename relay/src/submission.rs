//! Submission (RFC 6409): what its sessions share.
//!
//! [`Gate`] judges who a client says that it is: by the [`Users`] of the newest snapshot, within bounds on attempts
//! ([`failures`]) and on the memory and time that a password costs ([`password`]). It says yes or no, and never why not:
//! an unknown user, one without the keys of a mechanism and a wrong password cost the same and hear the same.
//!
//! # Diagnostics
//! Returned: [`NotNow`]. Only logged: users of the snapshot that cannot be understood (`warn`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_proto::server::{Claim, Evidence, Keys, UserName};

use crate::allowance::Allowance;
use crate::config::SubmissionConfig;
use crate::listen::limits::Connections;
use crate::submission::failures::{Failures, Limited};
use crate::submission::password::Passwords;

mod failures;
mod password;
mod users;

pub(crate) use users::{User, Users};

/// What all sessions of submission share.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Their places.
    pub(crate) connections: Connections,
    failures: Failures,
    passwords: Passwords,
    /// Messages of users, by their names.
    sent: Allowance<Arc<str>>,
}

/// Why an attempt is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// Too many attempts from there have failed.
    Address,
    /// Too many attempts at this user have failed.
    User,
    /// Too many passwords are being looked at.
    Busy,
}

impl Gate {
    /// Nothing has been attempted yet.
    pub(crate) fn new(config: &SubmissionConfig) -> Self {
        Self {
            connections: Connections::new(&config.limits, STRESSED_AT_PERCENT),
            failures: Failures::new(config.failures_per_address, config.failures_per_user),
            passwords: Passwords::new(),
            sent: Allowance::of_each(),
        }
    }

    /// Whether an attempt from `address` may still be made.
    pub(crate) fn hears(&self, address: IpAddr) -> bool {
        self.failures.hears(address, Instant::now())
    }

    /// What SCRAM asks the user of this name for, be it known or not.
    pub(crate) fn keys(
        &self,
        users: &Users,
        address: IpAddr,
        name: &UserName,
    ) -> Result<Keys, NotNow> {
        self.may_try(address, &users::key(name))?;
        Ok(users.keys(name))
    }

    /// The user that the claim is about, if it holds.
    pub(crate) async fn judge(
        &self,
        users: &Users,
        address: IpAddr,
        claim: Claim,
    ) -> Result<Option<Arc<User>>, NotNow> {
        let name = users::key(&claim.user);
        self.may_try(address, &name)?;
        let user = users.find(&claim.user).cloned();
        let holds = match claim.evidence {
            Evidence::Password(password) => {
                let hash = user.as_ref().map(|user| Arc::clone(&user.password));
                let holds = self.passwords.is_of(password, hash).await;
                holds.map_err(|password::Busy| NotNow::Busy)?
            }
            Evidence::Proven => true,
            Evidence::Disproven => false,
        };
        let now = Instant::now();
        // Keys that nothing was made of prove nothing, and yet it is better not to depend on that.
        match user.filter(|_known| holds) {
            Some(user) => {
                self.failures.succeeded(address, &name, now);
                Ok(Some(user))
            }
            None => {
                self.failures.failed(address, &name, now);
                Ok(None)
            }
        }
    }

    /// Whether `user` has a message left in this hour.
    pub(crate) fn may_send(&self, user: &User) -> bool {
        let each = HOUR / user.messages_per_hour.get();
        self.sent.is_left_of(&user.name, each, Instant::now())
    }

    /// Takes a message of `user`'s; whether there was one left.
    pub(crate) fn sends(&self, user: &User) -> bool {
        let each = HOUR / user.messages_per_hour.get();
        self.sent
            .take_of(Arc::clone(&user.name), each, Instant::now())
    }

    fn may_try(&self, address: IpAddr, name: &str) -> Result<(), NotNow> {
        let limited = self.failures.limits(address, name, Instant::now());
        match limited {
            None => Ok(()),
            Some(Limited::Address) => Err(NotNow::Address),
            Some(Limited::User) => Err(NotNow::User),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// From here on a stranger who only holds a place is given ten seconds.
const STRESSED_AT_PERCENT: usize = 80;
