//! What the edge itself says, and the secret by which it recognises whom it has greeted.

use redirector_common::abi::{CookieKey, Refusal, map};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{
    Edge, EdgeError,
    maps::{reading, writing},
};

impl Edge {
    /// Writes what the edge itself says, by index.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn put_refusals(&mut self, refusals: &[(u32, Refusal)]) -> Result<(), EdgeError> {
        for (index, refusal) in refusals {
            self.maps
                .refusals
                .set(*index, refusal.to_octets(), 0)
                .map_err(|error| writing(map::REFUSALS, error))?;
        }
        Ok(())
    }

    /// Draws the secret of the cookies, if there is none yet: it stays as long as the map, so that a
    /// restart interrupts no handshake.
    pub(crate) fn ensure_cookie_key(&mut self) -> Result<(), EdgeError> {
        let standing = self
            .maps
            .cookie_key
            .get(&0, 0)
            .map_err(|error| reading(map::COOKIE_KEY, error))?;
        if standing != [0; CookieKey::SIZE] {
            return Ok(());
        }
        let mut secret = [0; CookieKey::SIZE];
        // Up to 256 octets come whole once the kernel's pool is initialised (getrandom(2)).
        getrandom(&mut secret[..], GetRandomFlags::empty())
            .map_err(|error| EdgeError::kernel("drawing the secret of the cookies", error))?;
        self.maps
            .cookie_key
            .set(0, secret, 0)
            .map_err(|error| writing(map::COOKIE_KEY, error))
    }
}
