//! SPF (RFC 7208): one record, that can be read, within its ten look-ups, and that passes each address.
//!
//! Whether it passes is judged by `mail_auth` while the DNS is asked, macros and all. What is judged here is why not:
//! `permerror` alone would leave the customer to guess.

use std::{collections::BTreeMap, net::IpAddr};

use ipnetwork::{Ipv4Network, Ipv6Network};
use mail_auth::{SpfResult, common::parse::TxtRecordParser as _, spf::Spf};

use super::{
    Check, Finding, Question, Verdict,
    facts::{Answer, Facts, HostFacts},
    zone,
};

/// What is to be said of the domain's record, and of each address.
pub(super) fn judge(question: &Question, facts: &Facts) -> Vec<Finding> {
    let domain = question.domain.as_str();
    let tree = &facts.domain.spf;
    let record = match tree.get(domain) {
        None => return Vec::new(),
        Some(Err(silence)) => return vec![Finding::unknown(Check::Spf, domain, silence)],
        Some(Ok(texts)) => record(question, texts),
    };
    let record = match record.and_then(|record| sound(question, tree, record)) {
        Ok(record) => record,
        Err(finding) => return vec![*finding],
    };
    let missing = missing(question, &facts.hosts);
    let fixed = with(&record, &missing);
    let each = facts.hosts.iter();
    each.map(|host| of_address(question, host, &record, &fixed))
        .collect()
}

/// The one that there must be (section 4.5).
fn record(question: &Question, texts: &[String]) -> Result<String, Box<Finding>> {
    let domain = &question.domain;
    let records: Vec<&String> = texts.iter().filter(|text| is_record(text)).collect();
    let fail = |seen: String| Finding::new(Check::Spf, domain, Verdict::Fail, seen);
    match records.as_slice() {
        [] => {
            let everybody = mechanisms(question, &question.addresses);
            Err(Box::new(
                fail(format!("{domain} has no SPF record"))
                    .fix("publish")
                    .paste(zone::txt(
                        domain.as_str(),
                        &format!("v=spf1 {everybody} -all"),
                    )),
            ))
        }
        [one] => Ok((*one).clone()),
        several => {
            let shown: Vec<_> = several.iter().map(|text| format!("\"{text}\"")).collect();
            let together = several
                .iter()
                .flat_map(|text| terms(text))
                .map(|term| term.text);
            let mut kept: Vec<&str> = Vec::new();
            for term in together.filter(|term| !is_all(term)) {
                if !kept.contains(&term) {
                    kept.push(term);
                }
            }
            let one = format!("v=spf1 {} -all", kept.join(" "));
            Err(Box::new(
                fail(format!(
                    "{} SPF records, which is an error (section 4.5): {}",
                    several.len(),
                    shown.join(" ")
                ))
                .fix("publish one in their place, for instance")
                .paste(zone::txt(domain.as_str(), &one)),
            ))
        }
    }
}

/// That it can be read, and does not ask too much.
fn sound(
    question: &Question,
    tree: &BTreeMap<String, Answer<String>>,
    record: String,
) -> Result<String, Box<Finding>> {
    let domain = &question.domain;
    let fail = |seen: String| Finding::new(Check::Spf, domain, Verdict::Fail, seen);
    // Neither of these may come twice (section 6).
    let again = |place: usize, term: &Term<'_>| {
        matches!(term.name.as_str(), "redirect" | "exp")
            && terms(&record)
                .take(place)
                .any(|before| before.name == term.name)
    };
    let wrong = terms(&record)
        .enumerate()
        .find(|(place, term)| !term.is_readable() || again(*place, term))
        .map(|(_, term)| term.text.to_owned());
    if let Some(wrong) = wrong {
        let rest: Vec<_> = terms(&record)
            .map(|term| term.text)
            .filter(|text| *text != wrong)
            .collect();
        return Err(Box::new(
            fail(format!("\"{record}\": {wrong:?} cannot be read"))
                .fix(format!("mend {wrong:?}, or take it out"))
                .paste(zone::txt(
                    domain.as_str(),
                    &format!("v=spf1 {}", rest.join(" ")),
                )),
        ));
    }
    let count = look_ups(tree, &record, 0);
    if count > LOOK_UPS_MAX {
        let costly: Vec<_> = terms(&record)
            .filter_map(|term| {
                let cost = cost(tree, &term, 0);
                (cost > 0).then(|| format!("{} takes {cost}", term.text))
            })
            .collect();
        return Err(Box::new(
            fail(format!(
                "\"{record}\" takes {count} look-ups, {LOOK_UPS_MAX} are allowed (RFC 7208 section 4.6.4): {}",
                costly.join(", ")
            ))
            .fix("take out what sends no mail in the domain's name any more, and name addresses in the place of names, as")
            .paste(zone::txt(domain.as_str(), &in_addresses(question, &record))),
        ));
    }
    // An included domain must have a record; what is said of one that has none is said of all mail (section 5.2).
    if let Some(absent) = absent(tree, &record) {
        return Err(Box::new(
            fail(format!("\"{record}\": {absent} has no SPF record to include, which is an error (section 5.2)"))
                .fix(format!("take it out, or have {absent} publish one"))
                .paste(zone::txt(domain.as_str(), &without(&record, &absent))),
        ));
    }
    Ok(record)
}

fn of_address(question: &Question, host: &HostFacts, record: &str, fixed: &str) -> Finding {
    let address = host.address;
    let finding = |verdict, seen| Finding::new(Check::Spf, address, verdict, seen);
    let shown = format!("\"{record}\" says {}", told(host.spf));
    match host.spf {
        SpfResult::Pass if passes_everybody(record) => finding(Verdict::Warn, shown)
            .fix("it passes the whole world; end it with -all")
            .paste(zone::txt(question.domain.as_str(), &without_all(record))),
        SpfResult::Pass => finding(Verdict::Pass, shown),
        SpfResult::TempError => finding(Verdict::Unknown, shown)
            .fix("a look-up that the record asks for has failed; ask again once it answers"),
        SpfResult::Fail
        | SpfResult::SoftFail
        | SpfResult::Neutral
        | SpfResult::PermError
        | SpfResult::None => finding(Verdict::Fail, shown)
            .fix("publish in its place")
            .paste(zone::txt(question.domain.as_str(), fixed)),
    }
}

fn told(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

/// Section 4.5: the version, and then nothing or a blank.
fn is_record(text: &str) -> bool {
    let mut words = text.split(' ');
    words
        .next()
        .is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

/// One directive or modifier.
#[derive(Clone, Debug)]
struct Term<'record> {
    /// As it is written.
    text: &'record str,
    /// Of the mechanism or modifier, in lower case.
    name: String,
    /// Behind `:` or `=`.
    value: &'record str,
}

impl Term<'_> {
    /// One that cannot be read spoils all of the record (section 4.6). `mail_auth` passes over some of those; others that
    /// judge the customer's mail do not.
    fn is_readable(&self) -> bool {
        let bare = self.text.trim_start_matches(['+', '-', '~', '?']);
        let names = match self.name.as_str() {
            "ip4" => return self.value.parse::<Ipv4Network>().is_ok(),
            "ip6" => return self.value.parse::<Ipv6Network>().is_ok(),
            "all" => return bare.len() == self.name.len(),
            "include" | "exists" => bare.contains(':') && !self.value.is_empty(),
            "a" | "mx" | "ptr" => !bare.contains('='),
            // A modifier, which may be one that nobody knows yet (section 6).
            name => {
                let letters = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
                let named = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
                let assigned = bare
                    .split_once('=')
                    .is_some_and(|(before, _)| before.len() == name.len());
                named && assigned && name.bytes().all(letters) && bare.len() == self.text.len()
            }
        };
        names && Spf::parse(format!("v=spf1 {}", self.text).as_bytes()).is_ok()
    }
}

fn terms(record: &str) -> impl Iterator<Item = Term<'_>> {
    let words = record.split_ascii_whitespace().skip(1);
    words.map(|text| {
        let bare = text.trim_start_matches(['+', '-', '~', '?']);
        let end = bare.find([':', '=', '/']).unwrap_or(bare.len());
        let (name, rest) = bare.split_at(end);
        let value = rest.trim_start_matches([':', '=']);
        Term {
            text,
            name: name.to_ascii_lowercase(),
            value,
        }
    })
}

/// What a record asks the DNS for, with all that it includes.
fn look_ups(tree: &BTreeMap<String, Answer<String>>, record: &str, depth: u32) -> u32 {
    let all = terms(record).any(|term| term.name == "all");
    let costs = terms(record)
        // Behind `all`, in whatever order, a redirect is not looked at (section 6.1).
        .filter(|term| !(all && term.name == "redirect"))
        .map(|term| cost(tree, &term, depth));
    costs.fold(0, u32::saturating_add)
}

fn cost(tree: &BTreeMap<String, Answer<String>>, term: &Term<'_>, depth: u32) -> u32 {
    match term.name.as_str() {
        "a" | "mx" | "ptr" | "exists" => 1,
        "include" | "redirect" => {
            let below = tree
                .get(&target(term))
                .and_then(|texts| texts.as_ref().ok());
            let record = below.and_then(|texts| texts.iter().find(|text| is_record(text)));
            // Records that lead to each other have no end.
            match record.filter(|_| depth < LOOK_UPS_MAX) {
                Some(record) => look_ups(tree, record, depth + 1).saturating_add(1),
                None => 1,
            }
        }
        _ => 0,
    }
}

/// The domains whose records a record needs; those made by macros are known only message by message.
pub(super) fn needed(texts: &[String]) -> Vec<String> {
    let records = texts.iter().filter(|text| is_record(text));
    let terms = records.flat_map(|record| terms(record));
    terms
        .filter(|term| {
            matches!(term.name.as_str(), "include" | "redirect") && !term.value.contains('%')
        })
        .map(|term| target(&term))
        .collect()
}

fn target(term: &Term<'_>) -> String {
    let value = term.value.strip_suffix('.').unwrap_or(term.value);
    value.to_ascii_lowercase()
}

/// A domain that a record needs and that says that it has none.
fn absent(tree: &BTreeMap<String, Answer<String>>, record: &str) -> Option<String> {
    let needed = needed(&[record.to_owned()]);
    needed.into_iter().find(|domain| {
        tree.get(domain).is_some_and(
            |texts| matches!(texts, Ok(texts) if !texts.iter().any(|text| is_record(text))),
        )
    })
}

fn is_all(term: &str) -> bool {
    term.trim_start_matches(['+', '-', '~', '?'])
        .eq_ignore_ascii_case("all")
}

fn passes_everybody(record: &str) -> bool {
    terms(record).any(|term| is_all(term.text) && !term.text.starts_with(['-', '~', '?']))
}

fn without_all(record: &str) -> String {
    let kept: Vec<_> = terms(record)
        .map(|term| term.text)
        .filter(|text| !is_all(text))
        .collect();
    format!("v=spf1 {} -all", kept.join(" ")).replace("  ", " ")
}

fn without(record: &str, domain: &str) -> String {
    let kept = terms(record).filter(|term| target(term) != domain);
    let kept: Vec<_> = kept.map(|term| term.text).collect();
    ["v=spf1"]
        .into_iter()
        .chain(kept)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The record with mechanisms in front, where nothing that is there already comes before them.
fn with(record: &str, mechanisms: &str) -> String {
    let terms = terms(record).map(|term| term.text);
    let words = ["v=spf1", mechanisms].into_iter().chain(terms);
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The record without what asks for names, and with the addresses that were asked about.
fn in_addresses(question: &Question, record: &str) -> String {
    let free =
        terms(record).filter(|term| !matches!(term.name.as_str(), "a" | "mx" | "ptr" | "exists"));
    let free: Vec<_> = free.map(|term| term.text).collect();
    let own = mechanisms(question, &question.addresses);
    format!("v=spf1 {own} {}", free.join(" "))
}

/// What lets the addresses pass that do not.
fn missing(question: &Question, hosts: &[HostFacts]) -> String {
    let refused = hosts
        .iter()
        .filter(|host| !matches!(host.spf, SpfResult::Pass | SpfResult::TempError));
    let refused: Vec<IpAddr> = refused.map(|host| host.address).collect();
    mechanisms(question, &refused)
}

/// `ip4:` and `ip6:` of these addresses, as one of the prefix if they are all of it.
fn mechanisms(question: &Question, addresses: &[IpAddr]) -> String {
    let of = |address: IpAddr, what: String| match address {
        IpAddr::V4(_) => format!("ip4:{what}"),
        IpAddr::V6(_) => format!("ip6:{what}"),
    };
    if question.whole && addresses.len() == question.addresses.len() && addresses.len() > 1 {
        return of(question.prefix.ip(), question.prefix.to_string());
    }
    let each = addresses
        .iter()
        .map(|address| of(*address, address.to_string()));
    each.collect::<Vec<_>>().join(" ")
}

/// Terms that ask the DNS, with all that is included (section 4.6.4).
const LOOK_UPS_MAX: u32 = 10;
