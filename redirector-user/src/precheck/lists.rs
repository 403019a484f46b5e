//! Whether lists in the DNS name an address (RFC 5782).

use std::net::Ipv4Addr;

use super::{
    Check, Finding, Question, Verdict,
    facts::{Answer, HostFacts, ListFacts, Listed},
};

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
    if let Some(why) = not_to_be_believed(list) {
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

/// Why what a list says is worth nothing, if so (section 5).
fn not_to_be_believed(list: &ListFacts) -> Option<String> {
    let code = |answer: &Answer<Ipv4Addr>| match answer {
        Ok(codes) => Ok(codes.first().copied()),
        Err(silence) => Err(silence.to_string()),
    };
    match (code(&list.always), code(&list.never)) {
        (Err(silence), _) | (_, Err(silence)) => Some(silence),
        (Ok(None), _) => Some(String::from(
            "it does not name 127.0.0.2, which every list does; is it still there?",
        )),
        (Ok(Some(code)), _) if !is_listing(code) => Some(format!(
            "it answers {code} for 127.0.0.2: it refuses the question"
        )),
        (_, Ok(Some(code))) => Some(format!(
            "it names 127.0.0.1 ({code}), so it names everybody"
        )),
        (Ok(Some(_)), Ok(None)) => None,
    }
}

/// 127.0.0.0/8 is a listing (section 2.1), but for 127.255.255.0/24, by which lists say that they do not answer.
const fn is_listing(code: Ipv4Addr) -> bool {
    match code.octets() {
        [127, 255, 255, _] => false,
        [127, ..] => true,
        _ => false,
    }
}
