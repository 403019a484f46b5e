//! Who may submit mail to a relay: what it needs to know a user again by, and what the user may do.
//!
//! No password is in it, and nothing that one could log in with: an Argon2id hash, and the keys of SCRAM. Both can be
//! guessed at by whoever has them, so they are not shown by `Debug`, and files that hold them are for their owner alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All who may submit. An older controller names nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Submission {
    /// Those who may now. Who is disabled is not among them.
    #[serde(default)]
    pub users: Vec<SubmissionUser>,
    /// What the salts of unknown users are made of, in hexadecimal, so that they are the same at every relay and after
    /// every restart, as those of known ones are.
    #[serde(default)]
    pub decoy: String,
}

/// One user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SubmissionUser {
    /// In lower case; a client may say it in any.
    pub name: String,
    /// The password, as a string of the form `$argon2id$v=19$m=...,t=...,p=...$salt$hash`.
    pub password: String,
    /// What SCRAM-SHA-256 needs; `None` = the user has to say its password.
    #[serde(default)]
    pub scram: Option<ScramKeys>,
    /// Domains that a reverse-path may be of; none = any.
    #[serde(default)]
    pub sender_domains: Vec<String>,
    /// Messages in an hour.
    pub messages_per_hour: u32,
    /// Recipients of one message.
    pub recipients_per_message: u32,
}

/// What RFC 5802 section 3 has a server keep, in base64 where it is octets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ScramKeys {
    /// At random, for each password.
    pub salt: String,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// 32 octets.
    pub stored_key: String,
    /// 32 octets.
    pub server_key: String,
}

impl fmt::Debug for SubmissionUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmissionUser")
            .field("name", &self.name)
            .field("sender_domains", &self.sender_domains)
            .field("messages_per_hour", &self.messages_per_hour)
            .field("recipients_per_message", &self.recipients_per_message)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Rounds of PBKDF2 in [`ScramKeys`]. The client does them, at each log-in; who has stolen the keys does them for each
/// guess. RFC 7677 section 4 wants 4096 at least; OWASP's advice for passwords that are kept this way is 600,000.
pub const SCRAM_ITERATIONS: u32 = 600_000;
/// Argon2id as OWASP advises: 19 MiB, two passes, one lane.
pub const ARGON2_MEMORY_KIB: u32 = 19_456;
/// See [`ARGON2_MEMORY_KIB`].
pub const ARGON2_PASSES: u32 = 2;
/// See [`ARGON2_MEMORY_KIB`].
pub const ARGON2_LANES: u32 = 1;
/// Octets of a salt.
pub const SCRAM_SALT_OCTETS: usize = 16;
