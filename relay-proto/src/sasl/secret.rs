//! What must not be told.

use core::fmt;

use crate::wire::line::forget;

/// Octets that are overwritten when they are dropped.
pub(crate) struct Secret(pub(crate) Vec<u8>);

impl Drop for Secret {
    fn drop(&mut self) {
        forget(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a client says that its password is: 1 to 1024 octets of UTF-8 without NUL. Overwritten when it is dropped,
/// and never shown.
pub struct Password(String);

impl Password {
    /// `None` unless it can be one.
    #[must_use]
    pub fn new(password: &str) -> Option<Self> {
        let fits = (1..=MAX_PASSWORD_OCTETS).contains(&password.len()) && !password.contains('\0');
        fits.then(|| Self(password.to_owned()))
    }

    /// The octets, for whoever compares them. Nobody else needs them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Clone for Password {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl PartialEq for Password {
    /// In a time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.bytes().zip(other.0.bytes());
        let differs = pairs.fold(0, |differs, (a, b)| differs | (a ^ b));
        self.0.len() == other.0.len() && core::hint::black_box(differs) == 0
    }
}

impl Eq for Password {}

impl Drop for Password {
    fn drop(&mut self) {
        let mut octets = core::mem::take(&mut self.0).into_bytes();
        forget(&mut octets);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Who a client says that it is: 1 to 255 octets of UTF-8 without control characters. Not shown, because people type
/// their password into the wrong field; who is known by that name can be shown by what is known of him.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    /// `None` unless it can be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=MAX_NAME_OCTETS).contains(&name.len()) && !name.contains(char::is_control);
        fits.then(|| Self(name.to_owned()))
    }

    /// As the client said it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserName")
    }
}

/// Argon2 and PBKDF2 take any length; nobody's password is longer.
const MAX_PASSWORD_OCTETS: usize = 1024;
const MAX_NAME_OCTETS: usize = 255;
