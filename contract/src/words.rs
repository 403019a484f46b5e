//! What a customer reads, in a reply of SMTP and in a notice alike: one text for both, so that they never disagree.
//!
//! Everything here is one line of printable ASCII, whatever people have written.

use std::fmt::Display;

/// That all of a customer's mail is refused, by whom and why.
#[must_use]
pub fn blocked(customer: impl Display, operator: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| format!(": {}", one_line(reason)));
    format!("mail from {customer} is blocked by {operator}{reason}")
}

/// That a customer's mail is looked at, and why.
#[must_use]
pub fn filtered(customer: impl Display, reason: &str) -> String {
    format!("mail from {customer} is filtered: {}", one_line(reason))
}

/// Text of a person, fit for a reply: one line of printable ASCII, not too long.
#[must_use]
pub fn one_line(text: &str) -> String {
    let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().map(printable).take(REASON_CHARS_MAX).collect()
}

/// Reason, scanner's reason, name and URL share one line of 512 octets (RFC 5321 section 4.5.3.1.5).
const REASON_CHARS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_people_write_is_one_line() {
        let reason = format!("spam\r\n250 ok {}", "\u{fc}".repeat(500));
        for text in [
            blocked("192.0.2.10", "Example", Some(&reason)),
            filtered("2001:db8::1", &reason),
        ] {
            assert!(
                text.bytes().all(|octet| (b' '..=b'~').contains(&octet)),
                "{text:?}"
            );
            assert!(text.len() < 200, "{text:?}");
        }
        assert_eq!(
            blocked("192.0.2.10", "Example", None),
            "mail from 192.0.2.10 is blocked by Example"
        );
    }
}
