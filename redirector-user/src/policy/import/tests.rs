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
    let read = read(file.as_ref(), "alice", &judges(), Timestamp::UNIX_EPOCH);
    read.map(|rows| rows.into_iter().map(|row| row.it).collect())
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
        (&*drop.reason, &*drop.actor, drop.ticket.as_deref()),
        ("spam, run", "alice", Some("T-1"))
    );
    let life = drop.expires_at.at().duration_since(drop.created_at.at());
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
    let file = format!("prefix,reason\n{}", "x,r\n".repeat(BadLines::MOST + 5));
    let bad = imported(file).unwrap_err();
    assert_eq!(bad.count, BadLines::MOST);
    assert!(
        bad.to_string()
            .ends_with("the rest of the file was not looked at")
    );
}

fn assigned(file: impl AsRef<[u8]>) -> Result<Wanted, BadLines> {
    read_assignments(file.as_ref(), &judges())
}

fn in_words(wanted: &Wanted) -> Vec<(u64, String, String)> {
    let rows = wanted.assignments.iter().flatten();
    let words = rows.map(|row| {
        let (prefix, customer) = (row.it.prefix.to_string(), row.it.customer.to_string());
        (row.line, prefix, customer)
    });
    words.collect()
}

fn row(line: u64, prefix: &str, customer: &str) -> (u64, String, String) {
    (line, prefix.to_owned(), customer.to_owned())
}

#[test]
fn json_says_what_csv_says() {
    let csv = "prefix,reason,action,rate,burst,exact,ticket\n\
               2001:db8:a:a::10,slow,limit,30/min,5,yes,T-1\n\
               192.0.2.10,spam,drop,,,,\n";
    let json = r#"
        [ {"prefix": "2001:db8:a:a::10", "reason": "slow", "action": "limit", "rate": "30/min", "burst": 5,
           "exact": true, "ticket": "T-1"},
          {"prefix": "192.0.2.10", "reason": "spam", "action": "drop", "ticket": null, "exact": false} ] "#;
    assert_eq!(imported(csv).unwrap(), imported(json).unwrap());
    assert_eq!(imported("[]").unwrap(), []);
}

#[test]
fn hostile_json_is_refused_with_the_line() {
    let one = r#"{"prefix": "192.0.2.10", "reason": "r"}"#;
    for (file, line, what) in [
        (
            format!("[{one},\n{{\"prefix\": 7}}]"),
            2,
            "neither an address",
        ),
        (format!("[\n{one}\n{one}]"), 3, "no comma"),
        (format!("[{one},"), 1, "the file ends here"),
        (format!("[{one}\n"), 2, "the array has no end"),
        (format!("[{one}]\n[]"), 2, "something follows"),
        (format!("[{one},\n\n[1]]"), 3, "invalid type"),
        (String::from("[{\"prefix\": [1]}]"), 1, "text, a number"),
        (
            String::from("[{\"prefixes\": 1}]"),
            1,
            "unknown; columns are prefix",
        ),
        (format!("[{one},\n{one}]"), 2, "stands on line 1 already"),
        (format!("[\n{}", "[".repeat(500)), 2, "not JSON"),
        (
            format!("[\n\"{}\"]", "x".repeat(70_000)),
            2,
            "longer than 65536 octets",
        ),
        (
            format!(
                "[{{\"prefix\": \"192.0.2.1\", \"reason\": \"a{}\"}}]",
                "\\u0000"
            ),
            1,
            "NUL",
        ),
        (String::from("{}"), 1, "an array of objects is expected"),
    ] {
        refused(&file, line, what);
    }
    refused(b"[{\"prefix\": \"caf\xe9\"}]", 1, "not JSON");
    refused(b"\xff\xfe[\0", 1, "UTF-16");
}

#[test]
fn a_record_takes_no_more_memory_than_a_record_may() {
    let open = format!(
        "prefix,reason\n192.0.2.9,r\n192.0.2.10,\"{}",
        "x,\n".repeat(100_000)
    );
    refused(open, 3, "longer than 4096 octets");
    refused("x".repeat(1_000_000), 1, "longer than 4096 octets");
}

#[test]
fn assignments_are_read_from_csv_and_json() {
    let csv = "\u{feff}customer,prefix,name,contact\r\nC-1,192.0.2.64/28,\"Example, Ltd\",a@b.example\r\n\
               C-1,2001:db8:a:a::10,,\r\n";
    let wanted = assigned(csv).unwrap();
    let expected = [
        row(2, "192.0.2.64/28", "C-1"),
        row(3, "2001:db8:a:a::/64", "C-1"),
    ];
    assert_eq!(in_words(&wanted), expected);
    let customer = &wanted.customers[0].it;
    assert_eq!(customer.name.as_deref(), Some("Example, Ltd"));
    assert_eq!(customer.contact.as_deref(), Some("a@b.example"));
    let json = r#"[{"prefix": "192.0.2.64/28", "customer": "C-1", "name": "Example, Ltd", "contact": "a@b.example"},
{"prefix": "2001:db8:a:a::10", "customer": "C-1"}]"#;
    let same = assigned(json).unwrap();
    assert_eq!(same.customers[0].it, *customer);
    assert_eq!(in_words(&same)[1].1, "2001:db8:a:a::/64");
}

#[test]
fn assignments_that_contradict_each_other_are_refused() {
    for (rows, line, what) in [
        (
            "192.0.2.1,C-1,,\n192.0.2.1,C-1,,\n",
            3,
            "stands on line 2 already",
        ),
        (
            "192.0.2.1,C-1,A,\n192.0.2.2,C-1,B,\n",
            3,
            "line 2 says \"A\"",
        ),
        ("192.0.2.1,,,\n", 2, "no customer"),
        ("192.0.2.1,C 1,,\n", 2, "allowed are 1 to 64 letters"),
        ("192.0.2.1,C-1,,nobody\n", 2, "one address for mail"),
        ("203.0.113.1,C-1,,\n", 2, "in none of customer_prefixes"),
    ] {
        let bad = assigned(format!("prefix,customer,name,contact\n{rows}")).unwrap_err();
        let said = bad.to_string();
        assert_eq!((bad.count, bad.lines[0].line), (1, line), "{said}");
        assert!(said.contains(what), "{what:?} is not in: {said}");
    }
}

#[test]
fn what_netbox_exports_is_read() {
    let export = r#"{"count": 7, "next": null, "previous": null, "results": [
        {"id": 1, "prefix": "192.0.2.0/28", "tenant": {"id": 4, "name": "Example Ltd", "slug": "example-ltd"},
         "status": {"value": "active", "label": "Active"}, "tags": [{"x": [1, {"y": null}]}]},
        {"id": 2, "prefix": "192.0.2.32/28", "tenant": null, "status": {"value": "active"}},
        {"id": 3, "prefix": "192.0.2.48/28", "tenant": {"name": "Old", "slug": "old"}, "status": {"value": "deprecated"}},
        {"id": 4, "prefix": "203.0.113.0/24", "tenant": {"name": "Far", "slug": "far"}, "status": "active"},
        {"id": 5, "address": "192.0.2.20/24", "tenant": {"name": "Six", "slug": "six"}, "status": {"value": "active"}},
        {"id": 6, "address": "2001:db8:a:a::1/48", "tenant": {"name": "Six", "slug": "six"}, "status": {"value": "slaac"}},
        {"id": 7, "address": "2001:db8:a:a::2/48", "tenant": {"name": "Six", "slug": "six"}, "status": {"value": "active"}}
    ], "more": 1}"#;
    let wanted = assigned(export).unwrap();
    let expected = [
        row(2, "192.0.2.0/28", "example-ltd"),
        row(7, "192.0.2.20/32", "six"),
        row(8, "2001:db8:a:a::/64", "six"),
    ];
    assert_eq!(in_words(&wanted), expected);
    assert_eq!(wanted.customers[0].it.name.as_deref(), Some("Example Ltd"));
    let skipped = BTreeMap::from([
        ("not active", 1),
        ("outside of customer_prefixes", 1),
        ("without a tenant", 1),
    ]);
    assert_eq!(wanted.skipped, skipped);
    for (export, what) in [
        (
            r#"{"next": "https://netbox/?offset=50", "results": []}"#,
            "one page of several",
        ),
        (r#"{"count": 1}"#, "there is no results"),
        (r#"{"results": {}}"#, "an array of objects is expected"),
        (
            r#"{"results": [{"tenant": {"slug": "x"}}]}"#,
            "neither a prefix nor an address",
        ),
        (
            r#"{"results": [{"address": "2001:db8:a:a::1/64", "tenant": {"slug": "a"}},
               {"address": "2001:db8:a:a::2/64", "tenant": {"slug": "b"}}]}"#,
            "stands on line 1 already",
        ),
    ] {
        let said = assigned(export).unwrap_err().to_string();
        assert!(said.contains(what), "{what:?} is not in: {said}");
    }
}

#[test]
fn a_policy_is_customers_assignments_and_flags() {
    let policy =
        |text: &str| read_policy(text.as_bytes(), "alice", &judges(), Timestamp::UNIX_EPOCH);
    let text = "origin = \"p\"\n\n[[customer]]\nid = \"C-1\"\nname = \"Example\"\n\n[[assignment]]\n\
                prefix = \"192.0.2.0/28\"\ncustomer = \"C-1\"\n\n[[flag]]\nprefix = \"192.0.2.1\"\n\
                reason = \"r\"\naction = \"limit\"\nrate = \"30/min\"\nburst = 5\ncut = true\n";
    let wanted = policy(text).unwrap();
    assert_eq!(wanted.origin.as_deref(), Some("p"));
    assert_eq!(in_words(&wanted), [row(7, "192.0.2.0/28", "C-1")]);
    let flags = wanted.flags.unwrap();
    assert_eq!((flags[0].line, flags[0].it.grace_s), (11, 0));
    for (more, line, what) in [
        (
            "[[flag]]\nprefix = \"192.0.2.1\"\nreason = \"r\"\n",
            19,
            "stands on line 11 already",
        ),
        (
            "[[flag]]\nprefix = \"192.0.2.2\"\nreasons = \"r\"\n",
            19,
            "reasons: unknown",
        ),
        (
            "[[flag]]\nprefix = \"192.0.2.2\"\nreason = 1.5\n",
            19,
            "text, a whole number",
        ),
        (
            "[[customer]]\nid = \"C-1\"\n",
            19,
            "stands on line 3 already",
        ),
        (
            "[[customer]]\nid = \"C-2\"\nnames = 1\n",
            21,
            "unknown field",
        ),
        ("[[flag]\n", 19, ""),
        ("[[flag]]\nreason = \"open\n", 20, ""),
    ] {
        let bad = policy(&format!("{text}\n{more}")).unwrap_err();
        let said = bad.to_string();
        assert_eq!(bad.lines[0].line, line, "{more}: {said}");
        assert!(said.contains(what), "{what:?} is not in: {said}");
    }
    assert!(
        policy("[[flag]]\n")
            .unwrap_err()
            .to_string()
            .contains("origin")
    );
}

proptest! {
    /// Whatever the octets, in whichever format: every row is taken or named, and nothing panics.
    #[test]
    fn any_octets_are_read_whatever_they_claim_to_be(
        begin in prop_oneof![Just("["), Just("{\"results\": ["), Just("[{\"prefix\":"), Just("origin = \"")],
        octets in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let file = [begin.as_bytes(), octets.as_slice()].concat();
        let read = [
            imported(&file).err(),
            assigned(&file).err(),
            read_policy(&file, "alice", &judges(), Timestamp::UNIX_EPOCH).err(),
        ];
        for bad in read.into_iter().flatten() {
            prop_assert!(bad.count >= bad.lines.len() && !bad.lines.is_empty());
            let lines = file.iter().filter(|octet| **octet == b'\n' || **octet == b'\r').count() + 1;
            for line in &bad.lines {
                prop_assert!(line.line >= 1 && line.line <= lines as u64, "{line:?} of {lines}");
            }
        }
    }
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
