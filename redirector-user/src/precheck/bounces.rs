//! That bounces to the domain have somewhere to go (RFC 5321 section 5.1).

use super::{Check, Finding, Question, Verdict, facts::DomainFacts};

/// What is to be said of the domain.
pub(super) fn judge(question: &Question, facts: &DomainFacts) -> Finding {
    let domain = &question.domain;
    let finding = |verdict, seen: String| Finding::new(Check::Bounces, domain, verdict, seen);
    let record = format!("{domain}. IN MX 10 mail.{domain}.");
    let exchangers = match &facts.exchangers {
        Err(silence) => return Finding::unknown(Check::Bounces, domain, silence),
        Ok(exchangers) => exchangers,
    };
    if exchangers.iter().any(|name| name == ".") {
        return finding(
            Verdict::Fail,
            format!("{domain}. IN MX 0 . says that it takes no mail (RFC 7505)"),
        )
        .fix("who sends must take what comes back; publish in its place")
        .paste(record);
    }
    // Without MX the domain is its own exchanger.
    let hosts = match exchangers.as_slice() {
        [] => vec![domain.to_string()],
        named => named.to_vec(),
    };
    let mut silent = None;
    for host in &hosts {
        match facts.addresses.get(host) {
            Some(Ok(addresses)) if !addresses.is_empty() => {
                let seen = match exchangers.is_empty() {
                    true => format!("no MX record; {domain} has addresses itself"),
                    false => format!("{domain}. IN MX {host}."),
                };
                return finding(Verdict::Pass, seen);
            }
            Some(Err(silence)) => silent = Some(silence),
            Some(Ok(_)) | None => {}
        }
    }
    if let Some(silence) = silent {
        return Finding::unknown(Check::Bounces, domain, silence);
    }
    match exchangers.first() {
        None => finding(
            Verdict::Fail,
            format!("{domain} has neither MX nor A nor AAAA records"),
        )
        .fix("bounces cannot arrive; publish, with addresses for that name")
        .paste(record),
        Some(first) => finding(
            Verdict::Fail,
            format!("{domain}. IN MX {first}., which has no address"),
        )
        .fix("publish the address of the server that takes its mail")
        .paste(format!(
            "{first}. IN {} {}",
            question
                .addresses
                .first()
                .map_or("A", |address| super::neighbour::kind(*address)),
            question
                .addresses
                .first()
                .map_or_else(String::new, ToString::to_string),
        )),
    }
}
