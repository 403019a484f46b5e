//! Whether lists in the DNS name an address (RFC 5782).

use super::{
    Check, Finding, Question, Verdict,
    facts::{HostFacts, ListFacts, Listed},
};
use crate::dnsbl::is_listing;

/// What each list says of one address.
pub(super) fn judge(host: &HostFacts, lists: &[ListFacts]) -> Vec<Finding> {
    let each = lists.iter().zip(&host.listed);
    each.map(|(list, listed)| of_list(host, list, listed))
        .collect()
}

/// What is said where nobody is asked.
pub(super) fn none(question: &Question) -> Finding {
    Finding::new(
        Check::Listing,
        question.prefix,
        Verdict::Warn,
        "no list is asked",
    )
    .fix("name lists in outgated.toml")
    .paste("[precheck]\nlists = [\"zen.example\"]")
}

fn of_list(host: &HostFacts, list: &ListFacts, listed: &Listed) -> Finding {
    let address = host.address;
    let zone = &list.zone;
    let finding = |verdict, seen: String| Finding::new(Check::Listing, address, verdict, seen);
    if let Some(why) = list.not_to_be_believed() {
        return finding(Verdict::Unknown, format!("{zone}: {why}"))
            .fix("it says nothing about anybody as it answers now; ask by a resolver that the list serves, or another list");
    }
    let codes = match &listed.codes {
        Err(silence) => return Finding::unknown(Check::Listing, address, silence),
        Ok(codes) => codes,
    };
    let Some(code) = codes.first() else {
        return finding(Verdict::Pass, format!("{zone} does not name it"));
    };
    if let Some(odd) = codes.iter().find(|code| !is_listing(**code)) {
        return finding(Verdict::Unknown, format!("{}. IN A {odd}", listed.name))
            .fix("that is the list's word about the question, not about the address; ask by a resolver that it serves");
    }
    let words: Vec<_> = listed.words.iter().flatten().map(String::as_str).collect();
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(" \"{}\"", words.join(" "))
    };
    finding(
        Verdict::Fail,
        format!("{}. IN A {code}{words}", listed.name),
    )
    .fix(format!(
        "end what it was listed for, then ask {zone} to take it off: its own words say how"
    ))
}
