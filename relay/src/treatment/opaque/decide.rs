//! Who speaks TLS with a customer: we, or its destination. Pure, so that the rule can be read in one place.

use contract::Treatment;
use relay_proto::peek::ClientHello;

use crate::learnt::Why;

/// Why a session is spliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The customer's policy says so.
    Policy,
    /// It could not go on otherwise.
    Learnt(Why),
}

impl Reason {
    /// One word for the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Policy => "opaque",
            Self::Learnt(why) => why.name(),
        }
    }
}

/// Who goes on with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// We do, with our own certificate.
    Terminate,
    /// The destination does.
    Splice(Reason),
}

/// Why a customer's sessions with a destination may be spliced; `None` = they may not. Asked before EHLO is answered,
/// because STARTTLS is then the destination's to offer.
pub(super) fn may_splice(
    treatment: Treatment,
    confirmed: bool,
    learnt: Option<Why>,
) -> Option<Reason> {
    match treatment {
        Treatment::Opaque => Some(Reason::Policy),
        // Known to abuse: then it could choose not to be scanned by how it behaves.
        Treatment::Filter if confirmed => None,
        Treatment::Filter => learnt.map(Reason::Learnt),
        Treatment::Walled => None,
    }
}

/// Who speaks TLS in a session that may be spliced for this reason, if any; `is_ours` knows our names.
pub(super) fn decide(
    may: Option<Reason>,
    hello: &ClientHello,
    is_ours: impl Fn(&str) -> bool,
) -> Decision {
    let means_us = hello.server_name.as_deref().is_some_and(is_ours);
    match may {
        // The destination's certificate would be the wrong one for a client that wants ours.
        Some(reason) if !means_us => Decision::Splice(reason),
        Some(_) | None => Decision::Terminate,
    }
}

/// Whether what a session shows may be learnt at all.
pub(super) fn may_learn(treatment: Treatment, confirmed: bool) -> bool {
    match treatment {
        Treatment::Filter => !confirmed,
        // The one is spliced anyway, the other never.
        Treatment::Opaque | Treatment::Walled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "relay-1.example.net";

    fn hello(server_name: Option<&str>) -> ClientHello {
        ClientHello {
            server_name: server_name.map(str::to_owned),
            ..ClientHello::default()
        }
    }

    #[test]
    fn policy_and_what_was_learnt_decide_and_the_name_can_only_say_no() {
        use Treatment::{Filter, Opaque, Walled};
        let verifies = Some(Why::Verifies);
        let old = Some(Why::OldTls);
        for (treatment, confirmed, learnt, expected) in [
            (Filter, false, None, None),
            (Filter, false, verifies, Some(Reason::Learnt(Why::Verifies))),
            (Filter, false, old, Some(Reason::Learnt(Why::OldTls))),
            (Filter, true, verifies, None),
            (Filter, true, old, None),
            (Opaque, false, None, Some(Reason::Policy)),
            (Opaque, false, verifies, Some(Reason::Policy)),
            (Walled, false, verifies, None),
        ] {
            let may = may_splice(treatment, confirmed, learnt);
            assert_eq!(may, expected, "{treatment:?} {confirmed} {learnt:?}");
            for name in [None, Some("mx.example"), Some("192-0-2-1.example")] {
                let decided = expected.map_or(Decision::Terminate, Decision::Splice);
                assert_eq!(decide(may, &hello(name), |it| it == OURS), decided);
            }
            let ours = hello(Some(OURS));
            assert_eq!(decide(may, &ours, |it| it == OURS), Decision::Terminate);
            assert_eq!(
                may_learn(treatment, confirmed),
                treatment == Filter && !confirmed
            );
        }
    }
}
