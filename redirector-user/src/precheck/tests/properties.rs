//! Whatever strangers publish, or do not answer.

use mail_auth::{common::parse::TxtRecordParser as _, spf::Spf};
use proptest::prelude::*;

use super::*;

/// Something of a record.
fn term() -> impl Strategy<Value = String> {
    let mechanism = prop_oneof![
        Just("a"),
        Just("mx"),
        Just("a:mail.example.net"),
        Just("mx/24"),
        Just("include:spf.example.net"),
        Just("ip4:198.51.100.0/24"),
        Just("ip6:2001:db8:b::/48"),
        Just("exists:%{i}.example.net"),
        Just("ptr"),
        Just("all"),
        Just("redirect=spf.example.net"),
        Just("ipv4:192.0.2.1"),
        Just("A:Mail.Example.NET"),
    ];
    (
        prop_oneof![Just(""), Just("+"), Just("-"), Just("~"), Just("?")],
        mechanism,
    )
        .prop_map(
            |(sign, mechanism)| match mechanism.starts_with("redirect") {
                true => mechanism.to_owned(),
                false => format!("{sign}{mechanism}"),
            },
        )
}

proptest! {
    /// Whatever strangers publish, there is a finding about every check, and nothing panics.
    #[test]
    fn any_text_is_judged(texts in proptest::collection::vec("[ -~]{0,80}", 0..4), odd in "[ -~]{0,60}") {
        let question = question("192.0.2.10");
        let mut facts = facts(&question);
        facts.domain.spf.insert(String::from("customer.example"), Ok(texts.clone()));
        facts.domain.dmarc = Ok(texts.iter().map(|text| format!("v=DMARC1;{text}")).collect());
        facts.domain.dkim = vec![(String::from("s1"), Ok(texts.clone()))];
        facts.domain.exchangers = Ok(texts);
        facts.hosts[0].names = Ok(vec![odd.clone()]);
        facts.hosts[0].ehlo = Some((odd.clone(), Ok(Vec::new())));
        facts.hosts[0].knock = Knock::Spoke(vec![Exchange { command: String::new(), reply: Ok(odd) }]);
        let findings = judge(&question, &facts);
        for finding in &findings {
            prop_assert_eq!(finding.fix.is_some(), finding.verdict != Verdict::Pass, "{:?}", finding);
        }
        for check in [Check::Ptr, Check::Ehlo, Check::Spf, Check::Dkim, Check::Dmarc, Check::Bounces, Check::OpenRelay] {
            prop_assert!(findings.iter().any(|finding| finding.check == check));
        }
    }

    /// What is proposed in the place of a record can be read, keeps all that it said, and names the address first.
    #[test]
    fn what_mends_a_record_is_a_record(terms in proptest::collection::vec(term(), 0..8)) {
        let record = format!("v=spf1 {}", terms.join(" ")).trim_end().to_owned();
        let question = question("192.0.2.10");
        let mut facts = facts(&question);
        facts.domain = domain(&record);
        facts.hosts[0].spf = SpfResult::Fail;
        let findings = judge(&question, &facts);
        let spf = of(&findings, Check::Spf);
        prop_assert_eq!(spf.verdict, Verdict::Fail);
        let paste = spf.paste.as_ref().unwrap();
        let text = paste.strip_prefix("customer.example. IN TXT \"").unwrap().strip_suffix('"').unwrap();
        prop_assert!(!text.contains("  "), "{}", text);
        if spf.subject == "192.0.2.10" {
            prop_assert!(Spf::parse(text.as_bytes()).is_ok(), "{}", text);
            let rest = record.strip_prefix("v=spf1").unwrap();
            prop_assert_eq!(text, format!("v=spf1 ip4:192.0.2.10{rest}"));
        }
    }

    /// Silence of anybody is never a pass of what was asked of him.
    #[test]
    fn silence_never_passes(of_names: bool, of_spf: bool, of_dmarc: bool, of_mx: bool, of_list: bool) {
        let question = question("2001:db8::10");
        let mut facts = facts(&question);
        let mut expected = Vec::new();
        if of_names {
            facts.hosts[0].names = Err(silence());
            expected.push(Check::Ptr);
        }
        if of_spf {
            facts.domain.spf.insert(String::from("customer.example"), Err(silence()));
            expected.push(Check::Spf);
        }
        if of_dmarc {
            facts.domain.dmarc = Err(silence());
            expected.push(Check::Dmarc);
        }
        if of_mx {
            facts.domain.exchangers = Err(silence());
            expected.push(Check::Bounces);
        }
        if of_list {
            facts.hosts[0].listed[0].codes = Err(silence());
            expected.push(Check::Listing);
        }
        let findings = judge(&question, &facts);
        for check in expected {
            prop_assert_eq!(of(&findings, check).verdict, Verdict::Unknown);
        }
    }
}
