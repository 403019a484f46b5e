//! `why`, in words: what would happen, by which rule, and whose.

use contract::Egress;
use redirector_common::{
    abi::{Action, Role, SMTP_PORT, Via},
    counters::Counter,
};

use crate::controller::{Opening, Reasons};

/// One sentence for people; programs read the fields beside it.
pub(super) fn explain(opening: &Opening, reasons: &Reasons) -> String {
    let Opening {
        source,
        destination,
        port,
        ..
    } = opening;
    let judgement = &reasons.judgement;
    let rule = match (&judgement.rule, &reasons.flag) {
        (Some(rule), Some(flag)) => {
            let figures = flag.cause.as_ref();
            let figures = figures.map(|cause| format!(", because of {}", cause.in_words()));
            format!(
                "because of flag {} on {rule} (\"{}\", by {}, until {}{})",
                flag.id,
                flag.reason,
                flag.actor,
                flag.expires_at,
                figures.unwrap_or_default()
            )
        }
        (Some(rule), None) => match &reasons.protected {
            Some(why) => {
                format!("because {rule} is protected (it is {why}), whoever is flagged around it")
            }
            None => format!("because of the rule on {rule}"),
        },
        (None, _) => match reasons.customer_prefix {
            Some(prefix) => format!("because no flag covers {source}, a customer in {prefix}"),
            None => format!("because {source} is in no customer prefix"),
        },
    };
    let effect = effect(reasons);
    let unguarded = if reasons.guarded {
        ""
    } else {
        "; but the program is on no customer interface, so nothing of this happens yet (`outgate attach`)"
    };
    let counted = match judgement.counter.as_str() {
        NOT_COUNTED => String::from("not counted"),
        counter => format!("counted as {counter}"),
    };
    let rule = match (judgement.counter.as_str(), reasons.role) {
        (NOT_COUNTED, _) if *port != SMTP_PORT => String::from("because only port 25 is looked at"),
        (NOT_COUNTED, role) if role != Role::Customer => {
            format!(
                "because it comes in by an interface with role {}",
                role.name()
            )
        }
        _ => rule,
    };
    format!(
        "a new connection from {source} to {destination} port {port} {effect}, {rule}; {counted}{unguarded}{}",
        of_another_build(&reasons.other_build)
    )
}

/// That the answer is not the attached program's own.
fn of_another_build(interfaces: &[String]) -> String {
    match interfaces {
        [] => String::new(),
        named => format!(
            "; but the attached program is of another build on {}, which may see it otherwise (a restart of \
             outgated replaces it)",
            named.join(", ")
        ),
    }
}

/// What a judgement says of a frame that is nothing to us.
const NOT_COUNTED: &str = "none";

/// What becomes of the connection. The counter says which way the program went; the rest names who and where.
fn effect(reasons: &Reasons) -> String {
    let judgement = &reasons.judgement;
    let relay = judgement
        .relay
        .map(|(number, address)| match &reasons.relay_name {
            Some(name) => format!("relay {name} ({address})"),
            None => format!("relay number {number} ({address})"),
        });
    let why_not = REASONS
        .iter()
        .find(|(counter, _)| counter.name() == judgement.counter);
    let because = why_not
        .map(|(_, why)| format!(": {why}"))
        .unwrap_or_default();
    let lingers = judgement.action.as_deref() == Some(Action::Linger.name());
    match (judgement.verdict.as_str(), relay) {
        ("redirect", Some(relay)) => match reasons.via {
            Some(Via::Steer) => format!(
                "is steered to {relay} with its addresses as they are{}",
                egress(reasons)
            ),
            Some(Via::Rewrite) | None => format!("is sent to {relay}{}", egress(reasons)),
        },
        ("drop", Some(relay)) => format!("should go to {relay} and is dropped{because}"),
        ("drop", None) => format!("is dropped{because}"),
        ("tx", _) if why_not.is_some() => format!("is answered by the edge itself{because}"),
        ("tx", _) => String::from("is answered with RST"),
        _ if judgement.counter == Counter::Bypassed.name() => format!(
            "passes to the internet: nobody is redirected away from there ({})",
            reasons.bypass.as_deref().unwrap_or("a bypass")
        ),
        _ if lingers => String::from(
            "passes (only connections from before the flag was lifted keep their relay)",
        ),
        _ => format!("passes to the internet{because}"),
    }
}

/// From where the MX will see mail come, where that is not the relay.
fn egress(reasons: &Reasons) -> &'static str {
    match reasons.flag.as_ref().and_then(|flag| flag.egress) {
        Some(Egress::Customer) => {
            " and delivered from the customer's own address (answers to ports 61000 to 65535 go to the relay)"
        }
        Some(Egress::PoolOrCustomer) => {
            " and delivered from the relay's address, or from the customer's own where DMARC demands it (answers to \
             ports 61000 to 65535 go to the relay)"
        }
        Some(Egress::Socks5) => " and delivered through a SOCKS5 proxy of the relay",
        Some(Egress::Pool) | None => "",
    }
}

/// What a person would want to know beyond the verdict.
const REASONS: [(Counter, &str); 12] = [
    (
        Counter::FailedClosed,
        "no relay can take it, and the pool fails closed",
    ),
    (
        Counter::FailedOpen,
        "no relay can take it, and the pool fails open",
    ),
    (
        Counter::HeartbeatStale,
        "the controller was silent for too long, and the pool's failure policy holds",
    ),
    (
        Counter::SynLimited,
        "the customer opens more connections than edge.syn_rate and edge.syn_burst allow",
    ),
    (
        Counter::FlowTableFull,
        "the flow table is full; raise edge.flows_max",
    ),
    (
        Counter::CandidatesExhausted,
        "every port that the relay could be shown is taken",
    ),
    (
        Counter::PathUnknown,
        "the way to it is not known yet; `ip neigh` says whether it answers",
    ),
    (
        Counter::InternalError,
        "a map or a way is not as it should be; is the program on the interface towards the relay?",
    ),
    (
        Counter::Limited,
        "the customer opens more connections than the flag's rate and burst allow",
    ),
    (
        Counter::LimitPassed,
        "the flag's rate and burst leave room for it",
    ),
    (
        Counter::RefuseHandshake,
        "it says 554 and why, and closes; what is lost of that is not sent again",
    ),
    (
        Counter::FailedRefused,
        "no relay can take it, and the pool has the edge say 421",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{Entrance, Judgement};

    /// What is said of a redirected customer for a verdict and a counter.
    fn said(verdict: &str, counter: Counter, relay: bool, guarded: bool) -> String {
        said_via(Some(Via::Rewrite), verdict, counter, relay, guarded)
    }

    fn said_via(
        via: Option<Via>,
        verdict: &str,
        counter: Counter,
        relay: bool,
        guarded: bool,
    ) -> String {
        let reasons = Reasons {
            judgement: Judgement {
                verdict: verdict.to_owned(),
                counter: counter.name().to_owned(),
                rule: Some("192.0.2.10/32".parse().unwrap()),
                flag_id: Some(3),
                action: Some(String::from("redirect")),
                relay: relay.then(|| (7, "198.51.100.2".parse().unwrap())),
                counters: vec![counter.name().to_owned()],
                leaves_by: None,
                changed: false,
            },
            flag: None,
            assignment: None,
            past: Vec::new(),
            relay_name: relay.then(|| String::from("relay-1")),
            via,
            customer_prefix: Some("192.0.2.0/24".parse().unwrap()),
            role: Role::Customer,
            guarded,
            other_build: Vec::new(),
            protected: None,
            bypass: None,
        };
        explain(&opening(SMTP_PORT), &reasons)
    }

    fn opening(port: u16) -> Opening {
        Opening {
            source: "192.0.2.10".parse().unwrap(),
            destination: "203.0.113.10".parse().unwrap(),
            port,
            entrance: Entrance::Role(Role::Customer),
        }
    }

    #[test]
    fn each_way_that_a_redirect_can_end_is_told_apart() {
        let cases = [
            (
                "redirect",
                Counter::ToRelay,
                true,
                "is sent to relay relay-1 (198.51.100.2), because of the rule",
            ),
            (
                "drop",
                Counter::FailedClosed,
                false,
                "is dropped: no relay can take it, and the pool fails closed,",
            ),
            (
                "pass",
                Counter::FailedOpen,
                false,
                "passes to the internet: no relay can take it",
            ),
            (
                "tx",
                Counter::FailedRefused,
                false,
                "is answered by the edge itself: no relay can take it",
            ),
            ("tx", Counter::Reset, false, "is answered with RST, because"),
            (
                "drop",
                Counter::SynLimited,
                false,
                "is dropped: the customer opens more connections",
            ),
            (
                "drop",
                Counter::PathUnknown,
                true,
                "should go to relay relay-1 (198.51.100.2) and is dropped: the way",
            ),
        ];
        for (verdict, counter, relay, expected) in cases {
            let said = said(verdict, counter, relay, true);
            assert!(said.contains(expected), "{said}");
            assert!(
                said.ends_with(&format!("counted as {}", counter.name())),
                "{said}"
            );
        }
    }

    #[test]
    fn a_steered_connection_is_said_to_keep_its_addresses() {
        let said = said_via(Some(Via::Steer), "redirect", Counter::ToRelay, true, true);
        let expected =
            "is steered to relay relay-1 (198.51.100.2) with its addresses as they are, because";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn another_port_and_another_build_are_named() {
        let reasons = Reasons {
            judgement: Judgement {
                verdict: String::from("pass"),
                counter: String::from(NOT_COUNTED),
                rule: None,
                flag_id: None,
                action: None,
                relay: None,
                counters: Vec::new(),
                leaves_by: None,
                changed: false,
            },
            flag: None,
            assignment: None,
            past: Vec::new(),
            relay_name: None,
            via: None,
            customer_prefix: None,
            role: Role::Customer,
            guarded: true,
            other_build: vec![String::from("cust0")],
            protected: None,
            bypass: None,
        };
        let said = explain(&opening(587), &reasons);
        let expected = "port 587 passes to the internet, because only port 25 is looked at; not counted; \
                        but the attached program is of another build on cust0";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn a_bypass_is_named() {
        let said = said("pass", Counter::Bypassed, false, true);
        assert!(
            said.contains("nobody is redirected away from there (a bypass)"),
            "{said}"
        );
    }

    #[test]
    fn a_program_that_is_nowhere_is_not_passed_over() {
        assert!(
            said("redirect", Counter::ToRelay, true, false).contains("on no customer interface")
        );
    }
}
