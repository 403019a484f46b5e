mod properties;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use mail_auth::SpfResult;

use super::{
    facts::{DomainFacts, Exchange, HostFacts, Knock, ListFacts, Listed, Silence},
    *,
};
use crate::policy::dial::Refusal;

fn question(target: &str) -> Question {
    let request = PrecheckRequest {
        target: target.to_owned(),
        domain: String::from("customer.example"),
        ..PrecheckRequest::default()
    };
    Question::read(&request).unwrap()
}

fn silence() -> Silence {
    Silence {
        what: String::from("TXT customer.example"),
        why: String::from("SERVFAIL"),
    }
}

/// Of one address, all well.
fn host(address: IpAddr) -> HostFacts {
    let name = String::from("mail.customer.example");
    HostFacts {
        address,
        names: Ok(vec![name.clone()]),
        forward: BTreeMap::from([(name.clone(), Ok(vec![address]))]),
        ehlo: Some((name, Ok(vec![address]))),
        spf: SpfResult::Pass,
        knock: Knock::Refused,
        listed: vec![Listed {
            name: String::from("10.2.0.192.list.example"),
            codes: Ok(Vec::new()),
            words: Ok(Vec::new()),
        }],
    }
}

fn domain(spf: &str) -> DomainFacts {
    let name = String::from("customer.example");
    DomainFacts {
        spf: BTreeMap::from([(name.clone(), Ok(vec![spf.to_owned()]))]),
        dmarc: Ok(vec![String::from("v=DMARC1; p=reject")]),
        exchangers: Ok(Vec::new()),
        addresses: BTreeMap::from([(name, Ok(vec![IpAddr::from([192, 0, 2, 10])]))]),
        ..DomainFacts::default()
    }
}

fn facts(question: &Question) -> Facts {
    Facts {
        hosts: question
            .addresses
            .iter()
            .map(|address| host(*address))
            .collect(),
        domain: domain("v=spf1 mx -all"),
        lists: vec![ListFacts {
            zone: Fqdn::new("list.example").unwrap(),
            family: crate::dnsbl::Family::V4,
            always: Ok(vec![Ipv4Addr::new(127, 0, 0, 2)]),
            never: Ok(Vec::new()),
        }],
    }
}

#[track_caller]
fn of(findings: &[Finding], check: Check) -> &Finding {
    findings
        .iter()
        .find(|finding| finding.check == check)
        .unwrap()
}

#[test]
fn what_is_asked_about_is_bounded() {
    let read = |target: &str, addresses: &[&str]| {
        let request = PrecheckRequest {
            target: target.to_owned(),
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            domain: String::from("Customer.Example."),
            ..PrecheckRequest::default()
        };
        Question::read(&request).map(|question| (question.addresses.len(), question.whole))
    };
    assert_eq!(read("192.0.2.10", &[]), Ok((1, true)));
    assert_eq!(read("192.0.2.0/24", &[]), Ok((256, true)));
    assert_eq!(read("2001:db8::/120", &[]), Ok((256, true)));
    assert_eq!(read("2001:db8::1", &[]), Ok((1, true)));
    assert_eq!(
        read("192.0.0.0/16", &["192.0.2.1", "192.0.2.1"]),
        Ok((1, false))
    );
    // The address of a host, and another that it has.
    assert_eq!(read("2001:db8::1", &["2001:db8::2"]), Ok((1, false)));
    for (target, addresses) in [
        ("192.0.2.0/23", &[][..]),
        ("2001:db8::/64", &[]),
        ("192.0.2.1/24", &[]),
        ("192.0.2.10", &["192.0.2.11"]),
        ("2001:db8::1", &["2001:db8:0:1::1"]),
    ] {
        assert!(
            matches!(read(target, addresses), Err(Refusal::Usage(_))),
            "{target}"
        );
    }
}

#[test]
fn addresses_are_turned_round_for_the_dns() {
    for (address, expected) in [
        ("192.0.2.10", "10.2.0.192.in-addr.arpa"),
        (
            "2001:db8:a::10",
            "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        ),
    ] {
        assert_eq!(crate::dns::arpa(address.parse().unwrap()), expected);
    }
}

/// Check, verdict, what is seen, and the fault that leads to it.
type Case<'case> = (Check, Verdict, &'case str, &'case dyn Fn(&mut Facts));

#[test]
fn what_is_well_passes_and_each_fault_is_found_alone() {
    let question = question("192.0.2.10");
    let findings = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts(&question);
        change(&mut facts);
        judge(&question, &facts)
    };
    let well = findings(&|_| {});
    // Without a selector nobody knows of DKIM.
    for finding in well.iter().filter(|finding| finding.check != Check::Dkim) {
        assert_eq!(finding.verdict, Verdict::Pass, "{finding:?}");
    }
    assert_eq!(worst(&well), Verdict::Unknown);
    let code = |last| Ok(vec![Ipv4Addr::new(127, 255, 255, last)]);
    let cases: [Case<'_>; 16] = [
        (Check::Ptr, Verdict::Unknown, "SERVFAIL", &|it| {
            it.hosts[0].names = Err(silence());
        }),
        (Check::Ptr, Verdict::Fail, "no PTR", &|it| {
            it.hosts[0].names = Ok(vec![]);
        }),
        (Check::Ptr, Verdict::Warn, "2 PTR records", &|it| {
            it.hosts[0].names = Ok(vec![
                String::from("a.customer.example"),
                String::from("b.customer.example"),
            ]);
        }),
        (Check::Ptr, Verdict::Warn, "192-0-2-10.isp.example", &|it| {
            it.hosts[0].names = Ok(vec![String::from("192-0-2-10.isp.example")]);
        }),
        (Check::Fcrdns, Verdict::Unknown, "SERVFAIL", &|it| {
            it.hosts[0].forward =
                BTreeMap::from([(String::from("mail.customer.example"), Err(silence()))]);
        }),
        (Check::Ehlo, Verdict::Fail, "EHLO localhost", &|it| {
            it.hosts[0].ehlo = Some((String::from("localhost"), Ok(vec![])));
        }),
        (Check::Ehlo, Verdict::Unknown, "SERVFAIL", &|it| {
            it.hosts[0].ehlo = Some((String::from("mail.customer.example"), Err(silence())));
        }),
        (Check::Spf, Verdict::Warn, "+all", &|it| {
            it.domain = domain("v=spf1 +all");
        }),
        (Check::Spf, Verdict::Fail, "says neutral", &|it| {
            it.hosts[0].spf = SpfResult::Neutral;
        }),
        (Check::Spf, Verdict::Unknown, "temperror", &|it| {
            it.hosts[0].spf = SpfResult::TempError;
        }),
        (Check::Dmarc, Verdict::Warn, "p=none", &|it| {
            it.domain.dmarc = Ok(vec![String::from("v=DMARC1; p=none")]);
        }),
        (Check::Dmarc, Verdict::Fail, "p=maybe is no policy", &|it| {
            it.domain.dmarc = Ok(vec![String::from("v=DMARC1; p=maybe")]);
        }),
        (Check::Dmarc, Verdict::Fail, "2 records", &|it| {
            it.domain.dmarc = Ok(vec![
                String::from("v=DMARC1; p=none"),
                String::from("v=DMARC1; p=reject"),
            ]);
        }),
        (Check::Bounces, Verdict::Unknown, "SERVFAIL", &|it| {
            it.domain.exchangers = Err(silence());
        }),
        (
            Check::Listing,
            Verdict::Unknown,
            "it refuses the question",
            &|it| it.lists[0].always = code(254),
        ),
        (
            Check::Listing,
            Verdict::Unknown,
            "it names everybody",
            &|it| {
                it.lists[0].never = Ok(vec![Ipv4Addr::new(127, 0, 0, 2)]);
            },
        ),
    ];
    for (check, verdict, seen, change) in cases {
        let found = findings(change);
        let finding = of(&found, check);
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(finding.seen.contains(seen), "{seen}: {finding:?}");
        assert!(finding.fix.is_some(), "{finding:?}");
    }
}

#[test]
fn a_policy_of_the_organisation_counts_below_it() {
    let mut question = question("192.0.2.10");
    question.domain = Fqdn::new("news.customer.example").unwrap();
    let judged = |text: &str| {
        let mut facts = facts(&question);
        facts.domain.dmarc = Ok(Vec::new());
        let above = Fqdn::new("customer.example").unwrap();
        facts.domain.dmarc_above = Some((above, Ok(vec![text.to_owned()])));
        dmarc::judge(&question, &facts.domain)
    };
    assert_eq!(judged("v=DMARC1; p=reject").verdict, Verdict::Pass);
    let open = judged("v=DMARC1; p=reject; sp=none");
    assert_eq!(open.verdict, Verdict::Warn);
    let expected = "_dmarc.customer.example. IN TXT \"v=DMARC1; p=reject; sp=quarantine\"";
    assert_eq!(open.paste.as_deref(), Some(expected));
    assert_eq!(judged("v=spf1 -all").verdict, Verdict::Fail);
}

#[test]
fn a_server_is_judged_by_what_it_does_with_a_strangers_recipient() {
    let question = question("192.0.2.10");
    let verdict = |replies: &[&str]| {
        let mut said = vec![String::new(), String::from("EHLO [192.0.2.1]")];
        said.extend(relay::script(&question, "nobody@example.com"));
        let exchanges = said
            .into_iter()
            .zip(replies)
            .map(|(command, reply)| Exchange {
                command,
                reply: match *reply {
                    "" => Err(String::from("not in time")),
                    reply => Ok(reply.to_owned()),
                },
            });
        let knock = Knock::Spoke(exchanges.collect());
        let finding = relay::judge(
            &question,
            &HostFacts {
                knock,
                ..host(IpAddr::from([192, 0, 2, 10]))
            },
        );
        finding.verdict
    };
    for (replies, expected) in [
        (
            &[
                "220 a",
                "250 a",
                "250 ok",
                "554 5.7.1 no",
                "250 ok",
                "250 ok",
                "554 5.7.1 no",
            ][..],
            Verdict::Pass,
        ),
        (
            &[
                "220 a",
                "250 a",
                "250 ok",
                "454 4.7.1 no",
                "250 ok",
                "250 ok",
                "454 4.7.1 no",
            ],
            Verdict::Pass,
        ),
        (&["220 a", "250 a", "250 ok", "250 ok"], Verdict::Fail),
        // Whoever says to be one of its own is believed.
        (
            &[
                "220 a", "250 a", "250 ok", "550 no", "250 ok", "250 ok", "250 ok",
            ],
            Verdict::Fail,
        ),
        (
            &[
                "220 a",
                "250 a",
                "250 ok",
                "451 4.7.1 greylisted",
                "250 ok",
                "250 ok",
                "550 no",
            ],
            Verdict::Unknown,
        ),
        (&["554 go away"], Verdict::Pass),
        (&["421 busy"], Verdict::Unknown),
        (&[""], Verdict::Unknown),
        (&["220 a", "250 a", "250 ok", ""], Verdict::Unknown),
        (&["220 a", "502 what"], Verdict::Unknown),
        // The end came before anything was asked.
        (&["220 a"], Verdict::Unknown),
    ] {
        assert_eq!(verdict(replies), expected, "{replies:?}");
    }
}

#[test]
fn terms_that_cannot_be_read_are_named() {
    let question = question("192.0.2.10");
    for (term, readable) in [
        ("ip4:192.0.2.0/24", true),
        ("ip6:2001:db8::1", true),
        ("include:%{d}.spf.example", true),
        ("?mx:customer.example/24//64", true),
        ("A/30", true),
        ("exp=why.customer.example", true),
        ("unknown=something", true),
        ("ipv4:192.0.2.1", false),
        ("ip4:192.0.2", false),
        ("ip4:2001:db8::1", false),
        ("ip6:192.0.2.1", false),
        ("include", false),
        ("include=a.example", false),
        ("all:x", false),
        ("mail.customer.example", false),
        ("-redirect=a.example", false),
        ("redirect=a.example", true),
    ] {
        let mut facts = facts(&question);
        facts.domain = domain(&format!("v=spf1 {term} -all"));
        let findings = judge(&question, &facts);
        let spf = of(&findings, Check::Spf);
        assert_eq!(!spf.seen.contains("cannot be read"), readable, "{spf:?}");
        if !readable {
            let rest = "customer.example. IN TXT \"v=spf1 -all\"";
            assert_eq!(
                (spf.verdict, spf.paste.as_deref()),
                (Verdict::Fail, Some(rest)),
                "{spf:?}"
            );
        }
    }
}

#[test]
fn records_that_lead_to_each_other_end() {
    let question = question("192.0.2.10");
    let mut facts = facts(&question);
    facts.domain = domain("v=spf1 include:other.example -all");
    let back = Ok(vec![String::from("v=spf1 include:customer.example -all")]);
    facts.domain.spf.insert(String::from("other.example"), back);
    let findings = judge(&question, &facts);
    let spf = of(&findings, Check::Spf);
    assert_eq!(spf.verdict, Verdict::Fail);
    assert!(spf.seen.contains("look-ups, 10 are allowed"), "{spf:?}");
}
