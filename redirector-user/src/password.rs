//! Passwords of submission: how one is made, what may be one, and what is kept of it.
//!
//! What is kept is an Argon2id hash, and, unless the operator does not want it, the keys of SCRAM-SHA-256. The latter are
//! the weaker half: whoever steals them guesses at 600,000 rounds of SHA-256 a try, which parallel hardware is better at
//! than at Argon2's memory. Against a password that was made here, of 125 bits, neither helps; for one that a person has
//! chosen `no_scram` leaves them out, and its clients have to say PLAIN or LOGIN.
//!
//! Passwords are printable ASCII, on which SASLprep (RFC 4013) changes nothing: so no client and no server can prepare
//! one differently.
//!
//! # Diagnostics
//!
//! [`NoPassword`] says what may be one, and never what was given.

use std::{fmt, io, num::NonZeroU32};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version, password_hash::SaltString};
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{self, HMAC_SHA256},
    pbkdf2::{self, PBKDF2_HMAC_SHA256},
};
use contract::{
    ARGON2_LANES, ARGON2_MEMORY_KIB, ARGON2_PASSES, SCRAM_ITERATIONS, SCRAM_SALT_OCTETS, ScramKeys,
};
use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::policy::user::Credentials;

/// A password: 10 to 256 printable characters of ASCII, without a space at its ends. Not shown by `Debug`, overwritten
/// when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a password is 10 to 256 letters, digits, signs and spaces of ASCII, and neither begins nor ends with a space"
)]
pub struct NoPassword;

/// Why nothing was made of a password.
#[derive(Debug, thiserror::Error)]
pub enum MakingError {
    /// No randomness.
    #[error("no randomness from the kernel: {0}")]
    Random(#[from] io::Error),
    /// A bug of ours, or no memory.
    #[error("argon2: {0}")]
    Argon2(String),
}

impl Password {
    /// `text`, if it can be one.
    ///
    /// # Errors
    ///
    /// [`NoPassword`].
    pub fn new(text: &str) -> Result<Self, NoPassword> {
        let fits = (10..=256).contains(&text.len())
            && text.bytes().all(|octet| (b' '..=b'~').contains(&octet))
            && text.trim() == text;
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(NoPassword),
        }
    }

    /// One that nobody guesses, and that can be typed: five groups of five letters and digits, 125 bits.
    ///
    /// # Errors
    ///
    /// [`MakingError::Random`].
    pub fn made() -> Result<Self, MakingError> {
        let octets = random::<25>()?;
        let mut text = String::new();
        for (place, octet) in octets.iter().enumerate() {
            if place > 0 && place % 5 == 0 {
                text.push('-');
            }
            // 256 is a multiple of 32, so every letter is as likely as any other.
            text.push(char::from(LETTERS[usize::from(octet % 32)]));
        }
        Ok(Self(text))
    }

    /// The text, for whoever has to be told.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.0
    }

    /// What is kept of it. Takes some 20 ms and 19 MiB, and with `scram` some 200 ms more: not on a thread that others
    /// wait for.
    ///
    /// # Errors
    ///
    /// [`MakingError`].
    pub fn credentials(&self, scram: bool) -> Result<Credentials, MakingError> {
        let argon2 = |error: &dyn fmt::Display| MakingError::Argon2(error.to_string());
        let salt = SaltString::encode_b64(&random::<16>()?).map_err(|error| argon2(&error))?;
        let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, None);
        let params = params.map_err(|error| argon2(&error))?;
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(self.0.as_bytes(), &salt)
            .map_err(|error| argon2(&error))?;
        let salt = scram.then(random).transpose()?;
        Ok(Credentials {
            password: hash.to_string(),
            scram: salt.map(|salt| self.scram_keys(salt)),
        })
    }

    /// RFC 5802 section 3.
    fn scram_keys(&self, salt: [u8; SCRAM_SALT_OCTETS]) -> ScramKeys {
        let mut salted = [0; 32];
        let password = self.0.as_bytes();
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, password, &mut salted);
        let key = hmac::Key::new(HMAC_SHA256, &salted);
        let (client_key, server_key) = (
            hmac::sign(&key, b"Client Key"),
            hmac::sign(&key, b"Server Key"),
        );
        ScramKeys {
            salt: BASE64.encode(&salt),
            iterations: SCRAM_ITERATIONS,
            stored_key: BASE64.encode(digest(&SHA256, client_key.as_ref()).as_ref()),
            server_key: BASE64.encode(server_key.as_ref()),
        }
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        let mut octets = std::mem::take(&mut self.0).into_bytes();
        octets.fill(0);
        // Or a compiler that sees that nobody reads it any more leaves it out.
        std::hint::black_box(&mut octets);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl<'de> Deserialize<'de> for Password {
    /// An error that quotes nothing: it is told to whoever asked, and may be logged there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        let text = text.map_err(|_what| D::Error::custom("a password is a string"))?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

fn random<const N: usize>() -> Result<[u8; N], io::Error> {
    let mut octets = [0; N];
    // Up to 256 octets come whole once the kernel's pool is initialised (getrandom(2)).
    rustix::rand::getrandom(&mut octets[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(octets)
}

const ROUNDS: NonZeroU32 = NonZeroU32::new(SCRAM_ITERATIONS).expect("it is not zero");
/// Crockford's base 32 in lower case: no i, l, o or u to be misread.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[cfg(test)]
mod tests {
    use argon2::{PasswordHash, PasswordVerifier as _};

    use super::*;

    #[test]
    fn what_may_be_a_password() {
        for text in [
            "0123456789",
            "correct horse",
            &"x".repeat(256),
            "!\"#$%&'()~",
        ] {
            assert_eq!(Password::new(text).unwrap().told(), text);
        }
        let long = "x".repeat(257);
        for text in [
            "",
            "short",
            " 0123456789",
            "0123456789 ",
            "passwörter",
            "0123456789\n",
            &long,
        ] {
            assert_eq!(Password::new(text), Err(NoPassword), "{text:?}");
        }
    }

    #[test]
    fn one_that_is_made_can_be_typed_and_is_no_other() {
        let [one, two] = [(); 2].map(|()| Password::made().unwrap());
        assert_ne!(one, two);
        let groups: Vec<&str> = one.told().split('-').collect();
        assert!(groups.len() == 5 && groups.iter().all(|group| group.len() == 5));
        assert!(Password::new(one.told()).is_ok());
    }

    #[test]
    fn what_is_kept_knows_the_password_and_no_other() {
        let password = Password::new("correct horse").unwrap();
        let [one, two] = [true, false].map(|scram| password.credentials(scram).unwrap());
        assert_ne!(one.password, two.password, "the same salt");
        assert!(one.password.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let hash = PasswordHash::new(&one.password).unwrap();
        let is = |text: &str| {
            Argon2::default()
                .verify_password(text.as_bytes(), &hash)
                .is_ok()
        };
        assert!(is("correct horse") && !is("correct horsf"));
        assert!(two.scram.is_none());
        assert_eq!(one.scram.unwrap().iterations, SCRAM_ITERATIONS);
    }

    /// The keys of RFC 7677 section 3, whose password is too short for us and whose rounds are too few.
    #[test]
    fn keys_are_those_that_other_implementations_make() {
        let password = Password(String::from("pencil"));
        let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = password.scram_keys(salt.try_into().unwrap());
        // By Python's hashlib and hmac, with 600,000 rounds.
        assert_eq!(
            keys.stored_key,
            "F3+4PsYIbEFfv2jXGoh5vlgOtoV4KL4JzQ+7T9iGGR4="
        );
        assert_eq!(
            keys.server_key,
            "KGrBRt+b6HMfIsrnckvZnYaRfRikOWYYj7t/L3WInW0="
        );
    }

    #[test]
    fn an_error_about_a_password_does_not_quote_it() {
        for text in [
            "\"hunter2\"",
            "4711",
            "[\"hunter2\"]",
            "\"hunter2hunter2\\n\"",
        ] {
            let error = serde_json::from_str::<Password>(text)
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("hunter2") && !error.contains("4711"),
                "{error}"
            );
        }
        let password = Password::new("hunter2hunter2").unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
        let read: Password =
            serde_json::from_str(&serde_json::to_string(&password).unwrap()).unwrap();
        assert_eq!(read, password);
    }
}
