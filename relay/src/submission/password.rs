//! Whether a password is the one that a hash was made of.
//!
//! Argon2id is slow and needs 19 MiB by design, so it runs on threads that may block, as many at once as the machine
//! has processors (at most four), and nobody waits long for his turn. A user that is unknown is compared with a hash of
//! nothing, which takes as long.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use contract::{ARGON2_LANES, ARGON2_MEMORY_KIB, ARGON2_PASSES};
use relay_proto::sasl::Password;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

/// Compares passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    places: Arc<Semaphore>,
    nobodys: Arc<str>,
}

/// Too many are being compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

impl Passwords {
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(processors.min(AT_ONCE_MAX))),
            nobodys: nobodys().into(),
        }
    }

    /// Whether `hash` was made of `password`; without a hash it was not, after the same time.
    pub(super) async fn is_of(
        &self,
        password: Password,
        hash: Option<Arc<str>>,
    ) -> Result<bool, Busy> {
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(place)) = place.await else {
            return Err(Busy);
        };
        let (is_somebodys, hash) = match hash {
            Some(hash) => (true, hash),
            None => (false, Arc::clone(&self.nobodys)),
        };
        let compared = spawn_blocking(move || {
            let is_equal = is_equal(&hash, &password);
            drop(place);
            is_equal
        });
        Ok(compared.await.unwrap_or(false) && is_somebodys)
    }
}

fn is_equal(hash: &str, password: &Password) -> bool {
    let hash = match PasswordHash::new(hash) {
        Ok(hash) => hash,
        Err(error) => {
            error!(%error, "a password's hash from the controller cannot be read");
            return false;
        }
    };
    // With the parameters that stand in the hash; the comparison takes the same time whatever differs.
    Argon2::default()
        .verify_password(password.as_bytes(), &hash)
        .is_ok()
}

/// A hash that no password is known for.
fn nobodys() -> String {
    let (salt, hash) = ("A".repeat(22), "A".repeat(43));
    format!("$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p={ARGON2_LANES}${salt}${hash}")
}

const AT_ONCE_MAX: usize = 4;
/// Beyond this a client has better things to do than to wait.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, SaltString};

    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn hash(text: &str) -> Arc<str> {
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let hash = Argon2::default().hash_password(text.as_bytes(), &salt);
        hash.unwrap().to_string().into()
    }

    #[tokio::test]
    async fn a_password_is_its_own_hashs_and_no_others() {
        let passwords = Passwords::new();
        let sesame = hash("sesame");
        for (said, hash, expected) in [
            ("sesame", Some(Arc::clone(&sesame)), true),
            ("Sesame", Some(sesame), false),
            ("sesame", None, false),
            ("sesame", Some("no hash".into()), false),
            // What an unknown user is compared with is nobody's way in.
            ("sesame", Some(nobodys().into()), false),
        ] {
            let is_of = passwords.is_of(password(said), hash).await;
            assert_eq!(is_of, Ok(expected), "{said}");
        }
    }

    #[test]
    fn nobodys_hash_costs_what_everybodys_does() {
        let texts = [nobodys(), hash("sesame").to_string()];
        let [nobodys, sesame] = [&texts[0], &texts[1]].map(|text| {
            let hash = PasswordHash::new(text).unwrap();
            (
                hash.algorithm,
                hash.version,
                hash.params.clone(),
                hash.hash.unwrap().len(),
            )
        });
        assert_eq!(nobodys, sesame);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let passwords = Passwords::new();
        let all = u32::try_from(passwords.places.available_permits()).unwrap();
        let _all = passwords.places.acquire_many(all).await.unwrap();
        assert_eq!(passwords.is_of(password("x"), None).await, Err(Busy));
    }
}
