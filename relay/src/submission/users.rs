//! The users of one snapshot, in a form that answers questions.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::hmac;
use contract::{SCRAM_ITERATIONS, SCRAM_SALT_OCTETS, ScramKeys, Submission, SubmissionUser};
use data_encoding::BASE64;
use relay_proto::address::{Domain, ReversePath};
use relay_proto::server::{Keys, UserName};
use tracing::warn;

/// Those who may submit.
#[derive(Debug, Default)]
pub(crate) struct Users {
    by_name: HashMap<Arc<str>, Arc<User>>,
    decoy: Vec<u8>,
}

/// One of them.
pub(crate) struct User {
    /// In lower case.
    pub(crate) name: Arc<str>,
    /// As [`contract::SubmissionUser::password`].
    pub(super) password: Arc<str>,
    keys: Option<Keys>,
    /// In lower case; none = any.
    sender_domains: Vec<String>,
    pub(crate) messages_per_hour: NonZeroU32,
    pub(crate) recipients_per_message: usize,
}

impl Users {
    /// The one of that name, in any case.
    pub(crate) fn find(&self, name: &UserName) -> Option<&Arc<User>> {
        self.by_name.get(&*key(name))
    }

    /// The one of that very name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user's keys for SCRAM. Who is unknown, or has none, gets some that no password fits, with a salt that is the
    /// same at each attempt (RFC 5802 section 9 has nothing against it, and a salt that changes tells who is unknown).
    pub(super) fn keys(&self, name: &UserName) -> Keys {
        let known = self.find(name).and_then(|user| user.keys.clone());
        known.unwrap_or_else(|| {
            let decoy = hmac::Key::new(hmac::HMAC_SHA256, &self.decoy);
            let of = |what: u8| {
                let tag = hmac::sign(&decoy, &[&[what], key(name).as_bytes()].concat());
                <[u8; 32]>::try_from(tag.as_ref()).unwrap_or_default()
            };
            Keys {
                salt: of(0).into_iter().take(SCRAM_SALT_OCTETS).collect(),
                iterations: SCRAM_ITERATIONS,
                stored_key: of(1),
                server_key: of(2),
            }
        })
    }
}

/// By what a user is known, whatever case a client says its name in.
pub(super) fn key(name: &UserName) -> String {
    name.as_str().to_ascii_lowercase()
}

impl User {
    /// Whether it may write as `path`; where not, the domains that it may write as. A null reverse-path is nobody's.
    pub(crate) fn forbids(&self, path: &ReversePath) -> Option<String> {
        let sender = path.mailbox()?;
        let domain = match sender.domain() {
            Domain::Name(name) => name.as_str().to_ascii_lowercase(),
            literal @ (Domain::Ipv4(_) | Domain::Ipv6(_)) => literal.to_string(),
        };
        let permitted = self.sender_domains.is_empty() || self.sender_domains.contains(&domain);
        (!permitted).then(|| self.sender_domains.join(", "))
    }
}

impl From<Submission> for Users {
    fn from(submission: Submission) -> Self {
        let Submission { users, decoy } = submission;
        let decoy = data_encoding::HEXLOWER_PERMISSIVE.decode(decoy.as_bytes());
        let read = |user: SubmissionUser| {
            let name = user.name.clone();
            let read = User::try_from(user);
            if let Err(what) = &read {
                // Whoever made this snapshot is newer, or damaged; the others are served all the same.
                warn!(
                    user = name,
                    what, "a user of the snapshot cannot be understood, and cannot log in"
                );
            }
            read.ok()
        };
        let users = users.into_iter().filter_map(read);
        Self {
            by_name: users
                .map(|user| (Arc::clone(&user.name), Arc::new(user)))
                .collect(),
            decoy: decoy.unwrap_or_default(),
        }
    }
}

impl TryFrom<SubmissionUser> for User {
    type Error = &'static str;

    fn try_from(user: SubmissionUser) -> Result<Self, &'static str> {
        let lower = |text: &String| text.to_ascii_lowercase();
        let per_hour = NonZeroU32::new(user.messages_per_hour);
        Ok(Self {
            name: lower(&user.name).into(),
            password: user.password.into(),
            keys: user.scram.map(keys).transpose()?,
            sender_domains: user.sender_domains.iter().map(lower).collect(),
            messages_per_hour: per_hour.ok_or("messages_per_hour is 0")?,
            recipients_per_message: usize::try_from(user.recipients_per_message)
                .unwrap_or(usize::MAX),
        })
    }
}

fn keys(keys: ScramKeys) -> Result<Keys, &'static str> {
    let octets = |text: &str| {
        let octets = BASE64.decode(text.as_bytes());
        octets.map_err(|_decode| "its SCRAM keys are not base64")
    };
    let key = |text: &str| {
        let key = octets(text)?.try_into();
        key.map_err(|_length| "its SCRAM keys have not 32 octets")
    };
    Ok(Keys {
        salt: octets(&keys.salt)?,
        iterations: keys.iterations,
        stored_key: key(&keys.stored_key)?,
        server_key: key(&keys.server_key)?,
    })
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(decoy: &str) -> Users {
        let user = SubmissionUser {
            name: "Ann@example.org".into(),
            password: "$argon2id$".into(),
            scram: Some(ScramKeys {
                salt: BASE64.encode(&[7; 16]),
                iterations: 4096,
                stored_key: BASE64.encode(&[1; 32]),
                server_key: BASE64.encode(&[2; 32]),
            }),
            sender_domains: vec!["Example.org".into(), "example.net".into()],
            messages_per_hour: 1,
            recipients_per_message: 1,
        };
        let damaged = SubmissionUser {
            name: "bob".into(),
            scram: Some(ScramKeys {
                stored_key: "AAAA".into(),
                ..user.scram.clone().unwrap()
            }),
            ..user.clone()
        };
        let scramless = SubmissionUser {
            name: "eve".into(),
            scram: None,
            sender_domains: vec![],
            ..user.clone()
        };
        Users::from(Submission {
            users: vec![user, damaged, scramless],
            decoy: decoy.into(),
        })
    }

    fn name(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    #[test]
    fn names_have_no_case_and_what_is_damaged_is_left_out() {
        let users = users("00ff");
        for known in ["ann@example.org", "ANN@EXAMPLE.ORG", "eve"] {
            assert!(users.find(&name(known)).is_some(), "{known}");
        }
        for unknown in ["bob", "ann", ""] {
            assert!(users.named(unknown).is_none(), "{unknown}");
        }
        assert!(!format!("{users:?}").contains("argon2id"));
    }

    #[test]
    fn who_has_no_keys_gets_some_that_stay_and_tell_nothing() {
        let users = users("00ff");
        let real = users.keys(&name("ann@example.org"));
        assert_eq!(real.salt, [7; 16]);
        let decoys = ["eve", "mallory", "bob"].map(|who| users.keys(&name(who)));
        for (place, decoy) in decoys.iter().enumerate() {
            assert_eq!(decoy.salt.len(), real.salt.len());
            assert_eq!(decoy.iterations, SCRAM_ITERATIONS);
            let others = decoys.iter().enumerate().filter(|(at, _)| *at != place);
            assert!(others.clone().all(|(_, other)| other.salt != decoy.salt));
            assert!(
                others
                    .clone()
                    .all(|(_, other)| other.stored_key != decoy.stored_key)
            );
        }
        // At each attempt, in any case, at each relay; but not by a guess.
        assert!(users.keys(&name("EVE")) == decoys[0]);
        assert!(self::users("00ff").keys(&name("eve")) == decoys[0]);
        assert!(self::users("00fe").keys(&name("eve")) != decoys[0]);
    }

    #[test]
    fn a_sender_is_of_a_permitted_domain() {
        let users = users("00");
        let ann = users.named("ann@example.org").unwrap();
        for (path, forbidden) in [
            ("<a@EXAMPLE.org>", false),
            ("<b@example.net>", false),
            ("<>", false),
            ("<a@sub.example.org>", true),
            ("<a@example.com>", true),
            ("<a@[192.0.2.1]>", true),
        ] {
            let told = ann.forbids(&path.parse().unwrap());
            let expected = forbidden.then(|| "example.org, example.net".to_owned());
            assert_eq!(told, expected, "{path}");
        }
        let eve = users.named("eve").unwrap();
        assert_eq!(eve.forbids(&"<a@example.com>".parse().unwrap()), None);
    }
}
