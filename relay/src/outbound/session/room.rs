//! What a destination takes in one session (LIMITS, RFC 9422), and what of it is used.
//!
//! Counted as the RFC has it: every MAIL and every domain of a RCPT that was said, whatever came of it. What is not limited
//! by the destination is not counted, but for the messages.

use std::collections::HashSet;

use relay_proto::envelope::Recipient;
use relay_proto::queue::domain_text;

use super::Upstream;

/// What was said in a session so far.
#[derive(Debug, Default)]
pub(super) struct Used {
    mails: usize,
    domains: HashSet<String>,
}

impl Used {
    /// MAIL is said.
    pub(super) fn mail(&mut self) {
        self.mails += 1;
    }

    /// RCPT is said.
    pub(super) fn recipient(&mut self, recipient: &Recipient) {
        if self.domains.len() < DOMAINS_MAX
            && let Some(domain) = domain_of(recipient)
        {
            self.domains.insert(domain);
        }
    }

    /// Different domains with those of `recipients`.
    fn domains_with<'a>(&self, recipients: impl Iterator<Item = &'a Recipient>) -> usize {
        let new = recipients.filter_map(domain_of);
        let new: HashSet<String> = new.filter(|it| !self.domains.contains(it)).collect();
        self.domains.len() + new.len()
    }
}

impl Upstream {
    /// Whether the destination takes one more message in this session, for all of `recipients`. One that has just begun
    /// does, whatever it says.
    pub(crate) fn has_room_for<'a>(&self, recipients: impl Iterator<Item = &'a Recipient>) -> bool {
        let limits = &self.extensions.limits;
        let fits = |limit: Option<std::num::NonZeroU32>, count: usize| {
            limit.is_none_or(|limit| u32::try_from(count).is_ok_and(|count| count <= limit.get()))
        };
        self.used.mails == 0
            || (fits(limits.mails, self.used.mails + 1) && self.has_room_for_domains(recipients))
    }

    /// Whether it takes recipients of these domains beside those before them.
    pub(crate) fn has_room_for_domains<'a>(
        &self,
        recipients: impl Iterator<Item = &'a Recipient>,
    ) -> bool {
        let Some(limit) = self.extensions.limits.recipient_domains else {
            return true;
        };
        let count = self.used.domains_with(recipients);
        count <= DOMAINS_MAX && u32::try_from(count).is_ok_and(|count| count <= limit.get())
    }

    /// How many recipients one transaction may have.
    pub(crate) fn recipients_at_once(&self) -> usize {
        let limit = self.extensions.limits.recipients;
        let limit = limit.and_then(|limit| usize::try_from(limit.get()).ok());
        limit.unwrap_or(usize::MAX)
    }
}

fn domain_of(recipient: &Recipient) -> Option<String> {
    let mailbox = recipient.forward_path.mailbox()?;
    Some(domain_text(mailbox.domain()))
}

/// Strangers choose the domains and the limit; a session with more of them is ended.
const DOMAINS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(text: &str) -> Recipient {
        Recipient::new(text.parse().unwrap())
    }

    #[test]
    fn domains_count_once_in_any_case_and_their_number_is_bounded() {
        let mut used = Used::default();
        for path in [
            "<a@x.example>",
            "<b@X.Example>",
            "<Postmaster>",
            "<a@[192.0.2.1]>",
        ] {
            used.recipient(&recipient(path));
        }
        assert_eq!(used.domains.len(), 2);
        let more = ["<c@x.example>", "<c@y.example>", "<d@Y.example>"].map(recipient);
        assert_eq!(used.domains_with(more.iter()), 3);
        for number in 0..2 * DOMAINS_MAX {
            used.recipient(&recipient(&format!("<a@d{number}.example>")));
        }
        assert_eq!(used.domains.len(), DOMAINS_MAX);
    }
}
