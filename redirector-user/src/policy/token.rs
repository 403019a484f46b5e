//! Tokens of the API: what programs and people elsewhere show instead of a place on this host. No clock, no randomness.
//!
//! A [`Secret`] is 256 random bits in a form that can be mailed and looked for; of it only the digest is kept. A
//! [`Token`] has a name, which is the actor of all that it does, a [`Scope`] and an end.

use std::fmt;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{dial::Refusal, rules::ACTOR_PREFIX};

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything but secrets and packets.
    Read,
    /// The same, and turn the dial: flag, lift.
    Flag,
    /// Everything.
    Admin,
    /// What the relay of the caller's name asks and tells, and nothing else.
    Relay,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Flag, Self::Admin, Self::Relay];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Flag => "flag",
            Self::Admin => "admin",
            Self::Relay => "relay",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether whoever may do this may do what `least` is needed for. What relays do is done by them and by whoever may
    /// do everything.
    #[must_use]
    pub const fn covers(self, least: Self) -> bool {
        match (self, least) {
            (Self::Admin, _)
            | (Self::Flag, Self::Flag | Self::Read)
            | (Self::Read, Self::Read)
            | (Self::Relay, Self::Relay) => true,
            (Self::Flag | Self::Read, Self::Admin | Self::Relay)
            | (Self::Read, Self::Flag)
            | (Self::Relay, Self::Admin | Self::Flag | Self::Read) => false,
        }
    }
}

/// What `POST /v1/tokens` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whose it is: the actor of all that is done with it. Of scope `relay`, the relay's name.
    #[schema(example = "billing")]
    pub name: String,
    /// `read`, `flag`, `admin` or `relay`.
    #[schema(example = "flag")]
    pub scope: String,
    /// How long it holds, as `90d`; at most `400d`; default `90d`.
    #[serde(rename = "for")]
    #[schema(example = "90d")]
    pub life: Option<String>,
    /// Who wants it, for the trail.
    #[serde(default)]
    #[schema(example = "alice")]
    pub actor: String,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// Of its secret.
    pub digest: SecretDigest,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who wanted it.
    pub created_by: String,
    /// From when on it is no good.
    pub expires_at: Timestamp,
    /// The day on which it was last of use, by its beginning in UTC.
    pub used_on: Option<Timestamp>,
}

/// SHA-256 of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretDigest([u8; 32]);

/// What is shown. It is told once, and not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl TokenRequest {
    /// Reads it; `relays` are the configured ones.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`], and [`Refusal::Guard`] for a life that is too long.
    pub fn read<'a>(
        &self,
        mut relays: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<(String, Scope, Timestamp), Refusal> {
        let name = name(&self.name)?;
        let scope = Scope::from_name(self.scope.trim()).ok_or_else(|| {
            let allowed = Scope::ALL.map(Scope::name).join(", ");
            Refusal::Usage(format!("scope {:?}: allowed are {allowed}", self.scope))
        })?;
        if scope == Scope::Relay && !relays.any(|relay| relay == name) {
            return Err(Refusal::Usage(format!(
                "name {name}: no relay is called that; a token of scope relay has the name of the relay that uses it \
                 (`outgate relay ls`)"
            )));
        }
        let life = read_life(self.life.as_deref().unwrap_or(DEFAULT_LIFE))?;
        let expires_at = now.checked_add(life);
        let expires_at = expires_at.map_err(|error| Refusal::Usage(format!("--for: {error}")))?;
        Ok((name, scope, expires_at))
    }
}

impl Token {
    /// Whether it is still good.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

impl SecretDigest {
    /// Of what somebody shows.
    #[must_use]
    pub fn of(shown: &str) -> Self {
        Self(Sha256::digest(shown.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// As the store keeps it.
    #[must_use]
    pub fn to_hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// As the store has kept it.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let octets = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(octets.try_into().ok()?))
    }
}

impl Secret {
    /// Of 256 bits that nobody else knows.
    #[must_use]
    pub fn new(octets: &[u8; 32]) -> Self {
        let text = data_encoding::BASE32_NOPAD.encode(octets);
        Self(format!("{SECRET_PREFIX}{}", text.to_ascii_lowercase()))
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest::of(&self.0)
    }

    /// For whoever asked for it.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.0
    }
}

/// Without the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// A name that can be an actor, part of a path and a word of a log line.
///
/// # Errors
///
/// [`Refusal::Usage`].
pub fn name(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let reserved = text == OURSELVES || text.starts_with(ACTOR_PREFIX);
    if !(1..=NAME_OCTETS).contains(&text.len()) || !text.bytes().all(allowed) || reserved {
        return Err(Refusal::Usage(format!(
            "name {text:?}: allowed are 1 to {NAME_OCTETS} of letters, digits, '-', '_' and '.', and not {OURSELVES}"
        )));
    }
    Ok(text.to_owned())
}

fn read_life(text: &str) -> Result<SignedDuration, Refusal> {
    let read = |text: &str| {
        let span: Span = text.parse().ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
    };
    let life = read(text).filter(|life: &SignedDuration| life.is_positive());
    let life = life.ok_or_else(|| {
        Refusal::Usage(format!("--for {text}: not a duration, as 24h, 30d or 90d"))
    })?;
    if read(LONGEST_LIFE).is_some_and(|longest| life > longest) {
        return Err(Refusal::Guard(format!(
            "--for {text}: a token holds for at most {LONGEST_LIFE}; make another one before it ends"
        )));
    }
    Ok(life)
}

/// Programs that look for leaked secrets find it by that.
const SECRET_PREFIX: &str = "outgate_";
/// Whatever the controller does by itself has this actor.
const OURSELVES: &str = "outgated";
/// As long as a relay's name may be.
const NAME_OCTETS: usize = 63;
/// Life of a token when nothing is said.
pub const DEFAULT_LIFE: &str = "90d";
/// Longest life of a token.
pub const LONGEST_LIFE: &str = "400d";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, scope: &str, life: Option<&str>) -> Result<Scope, Refusal> {
        let request = TokenRequest {
            name: name.to_owned(),
            scope: scope.to_owned(),
            life: life.map(str::to_owned),
            actor: String::from("alice"),
        };
        let relays = ["relay-1"].into_iter();
        let (kept, scope, expires_at) = request.read(relays, Timestamp::UNIX_EPOCH)?;
        assert_eq!(kept, name.trim());
        assert!(expires_at > Timestamp::UNIX_EPOCH);
        Ok(scope)
    }

    #[test]
    fn a_token_has_a_name_a_scope_and_an_end() {
        assert_eq!(read("billing", "read", None), Ok(Scope::Read));
        assert_eq!(read(" desk.2 ", "admin", Some("400d")), Ok(Scope::Admin));
        assert_eq!(read("relay-1", "relay", Some("1h")), Ok(Scope::Relay));
        let usage = |outcome| matches!(outcome, Err(Refusal::Usage(_)));
        assert!(usage(read("", "read", None)));
        assert!(usage(read("two words", "read", None)));
        assert!(usage(read("rule:x", "read", None)));
        assert!(usage(read("outgated", "read", None)));
        assert!(usage(read(&"x".repeat(64), "read", None)));
        assert!(usage(read("billing", "write", None)));
        assert!(usage(read("relay-9", "relay", None)));
        for life in ["", "soon", "-1h", "0s"] {
            assert!(usage(read("billing", "read", Some(life))), "{life}");
        }
        let long = read("billing", "read", Some("401d"));
        assert!(matches!(long, Err(Refusal::Guard(_))));
    }

    #[test]
    fn a_scope_covers_what_is_less_and_a_relay_is_beside_them() {
        for (held, covered) in [
            (Scope::Read, vec![Scope::Read]),
            (Scope::Flag, vec![Scope::Read, Scope::Flag]),
            (Scope::Admin, Scope::ALL.to_vec()),
            (Scope::Relay, vec![Scope::Relay]),
        ] {
            for least in Scope::ALL {
                assert_eq!(
                    held.covers(least),
                    covered.contains(&least),
                    "{held:?} {least:?}"
                );
            }
            assert_eq!(Scope::from_name(held.name()), Some(held));
            assert_eq!(serde_json::to_value(held).unwrap(), held.name());
        }
    }

    #[test]
    fn of_a_secret_only_its_digest_is_kept() {
        let secret = Secret::new(&[7; 32]);
        assert_eq!(secret.told().len(), SECRET_PREFIX.len() + 52);
        assert!(!format!("{secret:?}").contains(secret.told()));
        let digest = secret.digest();
        assert!(digest.is(&SecretDigest::of(secret.told())));
        assert!(!digest.is(&Secret::new(&[8; 32]).digest()));
        assert_eq!(SecretDigest::from_hex(&digest.to_hex()), Some(digest));
        for text in ["", "00", "zz", &"0".repeat(66)] {
            assert_eq!(SecretDigest::from_hex(text), None);
        }
    }
}
