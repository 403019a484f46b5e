//! What a server's answer says about a recipient: that there is nobody of that name, or that it does not want the
//! sender's mail.
//!
//! The enhanced status code decides where there is one that says so (RFC 3463). Large providers answer without, or with
//! a generic one, and always in the same words; those are known here. What is deferred says nothing yet.

use crate::reply::Reply;

/// What a final answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The recipient, or its message, was taken.
    Taken,
    /// There is no such recipient.
    Unknown,
    /// The sender, its address or its message is not wanted.
    ByPolicy,
    /// Refused for another reason: size, syntax, a full mailbox.
    Otherwise,
}

/// What `reply` says; `None` if it is not final.
#[must_use]
pub fn judge(reply: &Reply) -> Option<Answered> {
    if reply.code().is_positive() {
        return Some(Answered::Taken);
    }
    if !reply.code().is_permanent() {
        return None;
    }
    let by_code = reply.enhanced().and_then(by_enhanced);
    Some(by_code.unwrap_or_else(|| by_text(&reply.text())))
}

fn by_enhanced(enhanced: &str) -> Option<Answered> {
    let mut parts = enhanced.splitn(3, '.').skip(1);
    match (parts.next()?, parts.next()?) {
        // RFC 3463: these two are about the sender.
        ("1", "7" | "8") => Some(Answered::ByPolicy),
        // RFC 7505: the recipient's domain takes no mail; 5.1.0 is said for anything.
        ("1", "1" | "2" | "3" | "4" | "6" | "10") | ("2", "1") => Some(Answered::Unknown),
        ("7", _) => Some(Answered::ByPolicy),
        _ => None,
    }
}

fn by_text(text: &str) -> Answered {
    let text = text.to_ascii_lowercase();
    let says = |list: &[&str]| list.iter().any(|words| text.contains(words));
    // First: "blocked" may well stand in a sentence that has "user" in it, too.
    if says(POLICY) {
        Answered::ByPolicy
    } else if says(UNKNOWN) {
        Answered::Unknown
    } else {
        Answered::Otherwise
    }
}

const UNKNOWN: &[&str] = &[
    // Exchange Online, of addresses that its directory does not have: 550 5.4.1.
    "recipient address rejected: access denied",
    // Postfix.
    "user unknown",
    "unknown user",
    "recipient address rejected: undeliverable address",
    // Exim, cPanel.
    "no such user",
    "no such person",
    "no such recipient",
    "no such mailbox",
    "unrouteable address",
    "unrouteable mail domain",
    // GMX, web.de, outlook.com: 550 without more, or 5.5.0.
    "mailbox unavailable",
    "mailbox not found",
    "mailbox not available",
    "mailbox does not exist",
    "invalid mailbox",
    "invalid recipient",
    "unknown recipient",
    "recipient unknown",
    "recipient not found",
    "unknown local part",
    // Gmail, Yahoo.
    "account that you tried to reach does not exist",
    "user doesn't have a",
    "mailbox is disabled",
    "account is disabled",
    "address unknown",
    "user not found",
    "does not exist",
    "not our customer",
    // Orange.
    "destinataire invalide",
];

const POLICY: &[&str] = &[
    "spam",
    "blacklist",
    "blocklist",
    "block list",
    "blocked",
    "denylist",
    "banned",
    "listed",
    "reputation",
    "policy",
    "unsolicited",
    "abuse",
    "rejected due to",
    "content rejected",
    "virus",
    "dmarc",
    "not authorized",
    "not authorised",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say() {
        use Answered::{ByPolicy, Otherwise, Taken, Unknown};
        let cases = [
            (250, "2.1.5", "ok", Some(Taken)),
            (450, "4.1.1", "try again", None),
            (452, "4.7.1", "greylisted", None),
            (
                550,
                "5.1.1",
                "<b@mx.example>: Recipient address rejected",
                Some(Unknown),
            ),
            (
                550,
                "5.1.10",
                "RESOLVER.ADR.RecipientNotFound",
                Some(Unknown),
            ),
            (
                556,
                "5.1.10",
                "Recipient address has null MX",
                Some(Unknown),
            ),
            (
                550,
                "5.2.1",
                "The email account that you tried to reach is inactive",
                Some(Unknown),
            ),
            (
                553,
                "5.1.8",
                "Domain of sender address does not exist",
                Some(ByPolicy),
            ),
            (
                550,
                "5.7.1",
                "user unknown to our reputation service",
                Some(ByPolicy),
            ),
            (
                550,
                "5.7.26",
                "Unauthenticated email is not accepted due to DMARC",
                Some(ByPolicy),
            ),
            (552, "5.2.2", "The mailbox is full", Some(Otherwise)),
            (
                550,
                "5.4.1",
                "Recipient address rejected: Access denied. AS(201806281)",
                Some(Unknown),
            ),
            (
                550,
                "5.5.0",
                "Requested action not taken: mailbox unavailable (S2017062302)",
                Some(Unknown),
            ),
            (
                554,
                "",
                "delivery error: dd This user doesn't have a yahoo.com account",
                Some(Unknown),
            ),
            (
                550,
                "",
                "Requested action not taken: mailbox unavailable",
                Some(Unknown),
            ),
            (
                550,
                "",
                "Message was not accepted -- invalid mailbox. user not found",
                Some(Unknown),
            ),
            (550, "", "No such user here", Some(Unknown)),
            (
                554,
                "",
                "Service unavailable; client host blocked using zen.example",
                Some(ByPolicy),
            ),
            (
                550,
                "",
                "SC-001 Mail rejected for policy reasons",
                Some(ByPolicy),
            ),
            (552, "5.3.4", "message too large", Some(Otherwise)),
            (555, "", "unsupported parameter", Some(Otherwise)),
        ];
        for (code, enhanced, text, expected) in cases {
            let reply = match enhanced {
                "" => Reply::plain(code, text),
                enhanced => Reply::new(code, enhanced, text),
            };
            assert_eq!(judge(&reply), expected, "{reply}");
        }
    }
}
