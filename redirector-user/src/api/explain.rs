//! `why`, in words: what would happen, by which rule, and whose.

use std::net::IpAddr;

use redirector_common::abi::Action;

use crate::controller::Reasons;

/// One sentence for people; programs read the fields beside it.
pub(super) fn explain(source: IpAddr, destination: IpAddr, reasons: &Reasons) -> String {
    let judgement = &reasons.judgement;
    let rule = match (&judgement.rule, &reasons.flag) {
        (Some(rule), Some(flag)) => {
            format!(
                "because of flag {} on {rule} (\"{}\", by {}, until {})",
                flag.id, flag.reason, flag.actor, flag.expires_at
            )
        }
        (Some(rule), None) => format!("because of the rule on {rule}"),
        (None, _) => match reasons.customer_prefix {
            Some(prefix) => format!("because no flag covers {source}, a customer in {prefix}"),
            None => format!("because {source} is in no customer prefix"),
        },
    };
    let action = judgement.action.as_deref();
    let lingers = action == Some(Action::Linger.name());
    let redirects = action == Some(Action::Redirect.name());
    let effect = match (&judgement.relay, &reasons.relay_name) {
        (Some((_, address)), Some(name)) => format!("is sent to relay {name} ({address})"),
        (Some((number, address)), None) => format!("is sent to relay number {number} ({address})"),
        (None, _) if lingers => String::from(
            "passes; only connections from before the flag was lifted keep their relay",
        ),
        (None, _) if redirects && judgement.verdict == "drop" => {
            String::from("is dropped: no relay can take it, and the pool fails closed")
        }
        (None, _) if redirects => {
            String::from("passes: no relay can take it, and the pool fails open")
        }
        (None, _) => match judgement.verdict.as_str() {
            "drop" => String::from("is dropped"),
            "tx" => String::from("is answered with RST"),
            _ => String::from("passes to the internet"),
        },
    };
    let unguarded = if reasons.guarded {
        ""
    } else {
        "; but the program is on no customer interface, so nothing of this happens yet (`outgate attach`)"
    };
    format!(
        "a new connection from {source} to {destination} port 25 {effect}, {rule}; counted as {}{unguarded}",
        judgement.counter
    )
}
