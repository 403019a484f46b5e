use jiff::SignedDuration;
use proptest::prelude::*;
use redirector_common::abi::Via;

use super::*;
use crate::policy::dial::Action;

fn judges() -> Judges {
    Judges {
        pools: vec![PoolTerms {
            name: String::from("default"),
            via: Via::Rewrite,
            third_party: false,
        }],
        guards: Guards {
            customer_prefixes: ["192.0.2.0/24", "2001:db8:a::/48"]
                .map(|prefix| prefix.parse().unwrap())
                .into(),
            ..Guards::default()
        },
        lines_max: 8,
    }
}

fn imported(file: impl AsRef<[u8]>) -> Result<Vec<Proposal>, BadLines> {
    read(file.as_ref(), "alice", &judges(), Timestamp::UNIX_EPOCH)
}

/// The one bad line of a file, and what is said of it.
#[track_caller]
fn refused(file: impl AsRef<[u8]>, line: u64, what: &str) {
    let bad = imported(file).unwrap_err();
    let said = bad.to_string();
    assert_eq!((bad.count, bad.lines[0].line), (1, line), "{said}");
    assert!(said.contains(what), "{what:?} is not in: {said}");
}

#[test]
fn a_file_says_what_flag_add_says() {
    let file = "\u{feff}prefix,action,for,ticket,reason,rate,burst,exact,cut,confirmed,delivery,limits\r\n\
                192.0.2.10,drop,24h,T-1,\"spam, run\",,,,yes,,,\r\n\
                2001:db8:a:a::10,limit,,,slow,30/min,5,no,,no,,\r\n\
                2001:db8:a:a::10,,,,r,,,yes,,yes,queue,small\r\n";
    let proposals = imported(file).unwrap();
    let [drop, limit, exact] = proposals.as_slice() else {
        panic!("{proposals:?}");
    };
    assert_eq!(drop.prefix.to_string(), "192.0.2.10/32");
    assert_eq!((&drop.action, drop.grace_s), (&Action::Drop, 0));
    assert_eq!(
        (
            drop.reason.as_str(),
            drop.actor.as_str(),
            drop.ticket.as_deref()
        ),
        ("spam, run", "alice", Some("T-1"))
    );
    let life = drop.expires_at.duration_since(drop.created_at);
    assert_eq!(life, SignedDuration::from_hours(24));
    assert_eq!(limit.prefix.to_string(), "2001:db8:a:a::/64");
    assert_eq!(limit.action.limit().unwrap().burst.get(), 5);
    assert_eq!(exact.prefix.to_string(), "2001:db8:a:a::10/128");
    let redirect = exact.action.redirect().unwrap();
    assert!(redirect.confirmed);
    assert_eq!(redirect.delivery, contract::Delivery::Queue);
    assert_eq!(redirect.limits.as_ref().unwrap().as_str(), "small");
}

#[test]
fn headers_are_judged_first() {
    refused("", 1, "the file is empty");
    refused("prefix\n192.0.2.1\n", 1, "no column reason");
    refused(
        "prefix,reason,expires\n",
        1,
        "column \"expires\": unknown; columns are prefix, reason",
    );
    refused("prefix,reason,prefix\n", 1, "named twice");
}

#[test]
fn each_bad_line_is_named_with_its_number() {
    let file = "prefix,reason\n192.0.2.10,r\n203.0.113.1,r\n192.0.2.11,\n192.0.2.12,r,extra\n192.0.2.0/33,r\n\
                \n192.0.2.10,again\n";
    let bad = imported(file).unwrap_err();
    let said: Vec<(u64, String)> = bad
        .lines
        .iter()
        .map(|bad| (bad.line, bad.what.to_string()))
        .collect();
    let expected = [
        (3, "203.0.113.1/32 is not a customer"),
        (4, "a flag needs a reason"),
        (5, "3 fields, and the header names 2"),
        (6, "is neither an address nor a prefix"),
        (8, "192.0.2.10/32 stands on line 2 already"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((line, what), (number, part)) in said.iter().zip(expected) {
        assert_eq!(*line, number, "{said:#?}");
        assert!(what.contains(part), "{part:?} is not in {what:?}");
    }
    assert!(!bad.are_guarded());
    let guarded = imported("prefix,reason\n203.0.113.1,r\n").unwrap_err();
    assert!(guarded.are_guarded());
}

#[test]
fn hostile_files_are_refused_with_the_line() {
    refused(b"prefix,reason\n192.0.2.10,caf\xe9\n", 2, "not UTF-8");
    refused(b"prefix,reason\n192.0.2.10,a\0b\n", 2, "holds NUL");
    refused(
        "prefix,reason\n192.0.2.10,\"a\nb\"\n",
        2,
        "allowed is one line",
    );
    let long = format!(
        "prefix,reason\n192.0.2.9,r\n192.0.2.10,{}\n",
        "x".repeat(5000)
    );
    refused(long, 3, "longer than 4096 octets");
    let open = format!(
        "prefix,reason\n192.0.2.10,\"{}",
        "192.0.2.11,r\n".repeat(1000)
    );
    refused(open, 2, "a quote without its end");
    let utf16: Vec<u8> = "prefix,reason\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    refused(utf16, 1, "UTF-16");
    let many: String = (0..20).map(|host| format!("192.0.2.{host},r\n")).collect();
    refused(
        format!("prefix,reason\n{many}"),
        10,
        "beyond edge.policies_max, which is 8",
    );
}

#[test]
fn lines_are_numbered_as_editors_do() {
    refused(
        "prefix,reason\r\n192.0.2.1,r\r\n\r\nnobody,r\r\n",
        4,
        "neither an address",
    );
    refused(
        "prefix,reason\r192.0.2.1,r\rnobody,r\r",
        3,
        "neither an address",
    );
    refused(
        "prefix,reason\n192.0.2.1,\"a\"\n\n\nnobody,r",
        5,
        "neither an address",
    );
}

#[test]
fn bad_lines_are_counted_beyond_those_that_are_named() {
    let file = format!("prefix,reason\n{}", "nobody,r\n".repeat(1200));
    let bad = imported(file).unwrap_err();
    assert_eq!((bad.count, bad.lines.len()), (1200, BadLines::NAMED));
    assert!(bad.to_string().ends_with("and 200 more"));
}

proptest! {
    /// Whatever the octets: every line is taken or named, and nothing panics.
    #[test]
    fn any_octets_are_read(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"prefix,reason\n".to_vec();
        file.extend(octets);
        if let Err(bad) = imported(&file) {
            prop_assert!(bad.count >= bad.lines.len() && !bad.lines.is_empty());
            let lines = file.iter().filter(|octet| **octet == b'\n' || **octet == b'\r').count() + 1;
            for line in &bad.lines {
                prop_assert!(line.line >= 1 && line.line <= lines as u64, "{line:?} of {lines}");
            }
        }
    }
}
