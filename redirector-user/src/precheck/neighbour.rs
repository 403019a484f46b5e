//! An address and its names: PTR, the way back, EHLO.

use std::net::IpAddr;

use super::{
    Check, Finding, Fqdn, Question, Verdict,
    facts::{Answer, HostFacts},
};
use crate::dns::arpa;

/// What is to be said of one address.
pub(super) fn judge(question: &Question, host: &HostFacts) -> Vec<Finding> {
    let mut findings = vec![named(question, host)];
    if let Ok([_, ..]) = host.names.as_deref() {
        findings.push(confirmed(question, host));
    }
    findings.push(said(question, host));
    findings
}

fn named(question: &Question, host: &HostFacts) -> Finding {
    let address = host.address;
    let names = match &host.names {
        Ok(names) => names,
        Err(silence) => return Finding::unknown(Check::Ptr, address, silence),
    };
    let record = |name: &str| format!("{}. IN PTR {name}.", arpa(address));
    match names.as_slice() {
        [] => Finding::new(Check::Ptr, address, Verdict::Fail, "no PTR record")
            .fix("have the operator of the address publish")
            .paste(record(&wanted(question))),
        [name, ..] if Fqdn::new(name).is_err() => {
            Finding::new(Check::Ptr, address, Verdict::Fail, record(name))
                .fix("it is not the full name of a host; publish")
                .paste(record(&wanted(question)))
        }
        [name, ..] if is_generic(name, address) => Finding::new(
            Check::Ptr,
            address,
            Verdict::Warn,
            record(name),
        )
        .fix("a name that is made of the address looks like a home line to many servers; better")
        .paste(record(&wanted(question))),
        [name] => Finding::new(Check::Ptr, address, Verdict::Pass, record(name)),
        several => Finding::new(
            Check::Ptr,
            address,
            Verdict::Warn,
            format!("{} PTR records: {}", several.len(), several.join(", ")),
        )
        .fix("servers look at one of them, nobody knows which; keep one"),
    }
}

/// Any of its names leads back (RFC 8601 section 2.7.3, iprev).
fn confirmed(question: &Question, host: &HostFacts) -> Finding {
    let address = host.address;
    let finding = |verdict, seen| Finding::new(Check::Fcrdns, address, verdict, seen);
    let mut silent = None;
    for (name, addresses) in &host.forward {
        match addresses {
            Ok(addresses) if addresses.contains(&address) => {
                return finding(Verdict::Pass, record(name, address));
            }
            Ok(_) => {}
            Err(silence) => silent = Some(silence),
        }
    }
    if let Some(silence) = silent {
        return Finding::unknown(Check::Fcrdns, address, silence);
    }
    let first = host.names.iter().flatten().next();
    let name = first.map_or_else(|| wanted(question), Clone::clone);
    let has = host.forward.get(&name).and_then(|it| it.as_ref().ok());
    finding(Verdict::Fail, has_instead(&name, address, has))
        .fix("publish")
        .paste(record(&name, address))
}

fn said(question: &Question, host: &HostFacts) -> Finding {
    let address = host.address;
    let Some((name, addresses)) = &host.ehlo else {
        let text = "no name to say: the address has none, and --ehlo names none";
        return match &host.names {
            Err(silence) => Finding::unknown(Check::Ehlo, address, silence),
            Ok(_) => Finding::new(Check::Ehlo, address, Verdict::Fail, text)
                .fix("give the mail server a name that has the address, and say it (Postfix: main.cf)")
                .paste(format!("myhostname = {}", wanted(question))),
        };
    };
    let Ok(_full) = Fqdn::new(name) else {
        // RFC 5321 section 4.1.1.1: a full name, where there is one.
        return Finding::new(Check::Ehlo, address, Verdict::Fail, format!("EHLO {name}"))
            .fix("it is not the full name of a host; say one (Postfix: main.cf)")
            .paste(format!("myhostname = {}", wanted(question)));
    };
    match addresses {
        Err(silence) => Finding::unknown(Check::Ehlo, address, silence),
        Ok(addresses) if addresses.contains(&address) => Finding::new(
            Check::Ehlo,
            address,
            Verdict::Pass,
            format!("EHLO {name}: {}", record(name, address)),
        ),
        Ok(addresses) => Finding::new(
            Check::Ehlo,
            address,
            Verdict::Fail,
            format!(
                "EHLO {name}: {}",
                has_instead(name, address, Some(addresses))
            ),
        )
        .fix("publish")
        .paste(record(name, address)),
    }
}

fn record(name: &str, address: IpAddr) -> String {
    format!("{name}. IN {} {address}", kind(address))
}

fn has_instead(name: &str, address: IpAddr, has: Option<&Vec<IpAddr>>) -> String {
    match has.map(Vec::as_slice) {
        None | Some([]) => format!("{name} has no {} record", kind(address)),
        Some(others) => {
            let others: Vec<_> = others
                .iter()
                .take(4)
                .map(|other| record(name, *other))
                .collect();
            others.join(", ")
        }
    }
}

pub(super) const fn kind(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    }
}

/// The name that it should have: what its server says, or the usual one.
fn wanted(question: &Question) -> String {
    let said = question
        .ehlo
        .as_deref()
        .and_then(|name| Fqdn::new(name).ok());
    said.map_or_else(
        || format!("mail.{}", question.domain),
        |name| name.to_string(),
    )
}

/// Whether a name was made of the address, or of what a line is, as providers do for those who have none of their own.
fn is_generic(name: &str, address: IpAddr) -> bool {
    let name = name.to_ascii_lowercase();
    let parts: Vec<&str> = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .collect();
    if parts.iter().any(|part| WORDS.contains(part)) {
        return true;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match address {
        IpAddr::V4(address) => {
            let [_, _, third, fourth] = address.octets();
            let has = |octet: u8| {
                parts
                    .iter()
                    .any(|part| part.parse::<u8>().is_ok_and(|number| number == octet))
            };
            let hex = format!("{:08x}", u32::from(address));
            (third != fourth && has(third) && has(fourth)) || plain.contains(&hex)
        }
        IpAddr::V6(address) => {
            let nibbles = format!("{:032x}", u128::from(address));
            let host: String = nibbles.chars().skip(16).collect();
            let backwards: String = host.chars().rev().collect();
            plain.contains(&host) || plain.contains(&backwards)
        }
    }
}

/// Of lines to which anybody may be connected.
const WORDS: [&str; 13] = [
    "adsl",
    "broadband",
    "cable",
    "client",
    "dhcp",
    "dialup",
    "dsl",
    "dyn",
    "dynamic",
    "generic",
    "pool",
    "ppp",
    "unassigned",
];

/// What is answered where nobody was asked.
pub(super) fn addresses_of(known: Option<&Answer<IpAddr>>) -> Answer<IpAddr> {
    known.cloned().unwrap_or_else(|| Ok(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_made_of_addresses_are_told_from_names() {
        for (name, address) in [
            ("192-0-2-10.isp.example", "192.0.2.10"),
            ("host10.2.isp.example", "192.0.10.2"),
            ("c000020a.isp.example", "192.0.2.10"),
            ("10.2.0.192.dynamic.isp.example", "192.0.2.10"),
            ("mail.dsl.isp.example", "192.0.2.10"),
            (
                "ip-2001-0db8-000a-000a-0000-0000-0000-0010.isp.example",
                "2001:db8:a:a::10",
            ),
            (
                "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.isp.example",
                "2001:db8:a:a::10",
            ),
        ] {
            let expected = name != "host10.2.isp.example";
            assert_eq!(
                is_generic(name, address.parse().unwrap()),
                expected,
                "{name}"
            );
        }
        for (name, address) in [
            ("mail.customer.example", "192.0.2.10"),
            ("mx10.customer.example", "192.0.2.10"),
            ("mail.customer.example", "2001:db8:a:a::10"),
        ] {
            assert!(!is_generic(name, address.parse().unwrap()), "{name}");
        }
    }
}
