//! From the findings of all scanners to one verdict on a message, as a pure function.
//!
//! A refusal outweighs a deferral, and a deferral outweighs acceptance: one scanner that is sure is
//! enough, and a scanner that could not look must not hide behind one that could.

use crate::reply::Reply;

/// What one scanner found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// Nothing against the message.
    Clean,
    /// The message must not pass; the reason is what its sender reads.
    Reject {
        /// One line, for the sender.
        reason: String,
    },
    /// The scanner wants it tried again later (greylisting, rate).
    Defer {
        /// One line, for the sender.
        reason: String,
    },
    /// The scanner could not look.
    Failed {
        /// What its configuration says about that.
        on_error: OnError,
    },
}

/// What happens to a message that a scanner could not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnError {
    /// It passes, as far as this scanner is concerned.
    Open,
    /// It is deferred; its sender tries again.
    Defer,
}

/// What happens to the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passes.
    Accept,
    /// It is refused for good.
    Reject {
        /// One line, for the sender.
        reason: String,
    },
    /// It is refused for now.
    Defer {
        /// One line, for the sender.
        reason: String,
    },
}

/// Combines the findings of one message. Of several reasons of the same weight the first one stands.
pub fn combine(findings: impl IntoIterator<Item = Finding>) -> Verdict {
    let mut verdict = Verdict::Accept;
    for finding in findings {
        match finding {
            Finding::Clean
            | Finding::Failed {
                on_error: OnError::Open,
            } => {}
            Finding::Reject { reason } => return Verdict::Reject { reason },
            Finding::Defer { reason } => verdict.defer(reason),
            Finding::Failed {
                on_error: OnError::Defer,
            } => verdict.defer("a content scanner is not available, try again later".to_owned()),
        }
    }
    verdict
}

impl Verdict {
    /// What the sender hears: `550 5.7.1 REASON id=ID see URL`, `451 4.7.1 REASON id=ID`, or `None` if
    /// the message passes.
    #[must_use]
    pub fn reply(&self, id: &str, help_url: &str) -> Option<Reply> {
        match self {
            Self::Accept => None,
            Self::Reject { reason } => Some(Reply::new(
                550,
                "5.7.1",
                &format!("{reason} id={id} see {help_url}"),
            )),
            Self::Defer { reason } => Some(Reply::new(451, "4.7.1", &format!("{reason} id={id}"))),
        }
    }

    fn defer(&mut self, reason: String) {
        if *self == Self::Accept {
            *self = Self::Defer { reason };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(reason: &str) -> Finding {
        let reason = reason.to_owned();
        Finding::Reject { reason }
    }

    fn defer(reason: &str) -> Finding {
        let reason = reason.to_owned();
        Finding::Defer { reason }
    }

    #[test]
    fn the_gravest_finding_decides_and_the_first_of_its_weight_speaks() {
        let clean = Finding::Clean;
        let open = Finding::Failed {
            on_error: OnError::Open,
        };
        let closed = Finding::Failed {
            on_error: OnError::Defer,
        };
        let unavailable = "451 4.7.1 a content scanner is not available, try again later id=7";
        let cases = [
            (vec![], None),
            (vec![clean.clone(), open.clone()], None),
            (vec![open.clone(), closed.clone()], Some(unavailable)),
            (
                vec![defer("slow down"), closed.clone()],
                Some("451 4.7.1 slow down id=7"),
            ),
            (
                vec![closed, defer("slow down"), reject("spam"), reject("worse")],
                Some("550 5.7.1 spam id=7 see https://help.example"),
            ),
            (
                vec![reject("spam"), clean, open],
                Some("550 5.7.1 spam id=7 see https://help.example"),
            ),
        ];
        for (findings, said) in cases {
            let verdict = combine(findings.clone());
            let reply = verdict.reply("7", "https://help.example");
            let reply = reply.map(|reply| reply.to_string());
            assert_eq!(reply.as_deref(), said, "{findings:?}");
        }
    }

    #[test]
    fn a_scanners_reason_cannot_forge_a_reply() {
        let verdict = combine([reject("spam\r\n250 ok")]);
        let reply = verdict.reply("7", "https://help.example").unwrap();
        let mut wire = bytes::BytesMut::new();
        reply.encode(false, &mut wire);
        let wire = String::from_utf8_lossy(&wire);
        assert!(wire.lines().all(|line| line.starts_with("550")), "{wire}");
    }
}
