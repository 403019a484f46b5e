//! Names of sessions and messages, as they stand in logs, replies and trace fields.
//!
//! A session's is a moment and some randomness in 15 characters that people can read out; a
//! message's is its session's with a number, so that either leads to the other. They are unique in
//! practice, not secret.

use std::fmt;

use jiff::Timestamp;

/// Name of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId([u8; LENGTH]);

impl SessionId {
    /// A new one.
    pub(crate) fn new() -> Self {
        // Microseconds fit in 55 bits until the year 3111.
        let micros = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        let number = (u128::from(micros) << 20) | u128::from(fastrand::u32(..1 << 20));
        Self(std::array::from_fn(|index| {
            let shift = 5 * (LENGTH - 1 - index);
            DIGITS[((number >> shift) & 31) as usize]
        }))
    }

    /// The name of the session's `number`th message.
    pub(crate) fn message(self, number: u32) -> String {
        format!("{self}.{number}")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|&digit| write!(f, "{}", char::from(digit)))
    }
}

const LENGTH: usize = 15;
/// Crockford's base 32: no I, L, O or U to be misread.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_do_not_repeat() {
        let first = SessionId::new();
        std::thread::sleep(std::time::Duration::from_micros(5));
        let second = SessionId::new();
        assert!(first.to_string() < second.to_string(), "{first} {second}");
        assert_eq!(first.to_string().len(), LENGTH);
        assert_eq!(first.message(3), format!("{first}.3"));
    }
}
