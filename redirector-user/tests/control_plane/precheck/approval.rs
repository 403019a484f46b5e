//! Port 25 opened by an approval, and what is refused before anybody is asked.

use serde_json::Value;

use super::{ASKED, FREE, GOOD_NAMES, Street, good};

#[test]
fn an_approval_lets_out_within_a_limit_until_somebody_looks_again() {
    let street = Street::new(&good(), &GOOD_NAMES, ASKED);
    let lab = &street.lab;
    for range in ["192.0.2.0/24", "2001:db8:a::/48"] {
        let refuse = [
            "--action",
            "refuse",
            "--reason",
            "port 25 is closed; ask us",
        ];
        lab.json(0, &[&["range", "add", range], &refuse[..]].concat());
    }
    let opened = [
        "--approve",
        "--reason",
        "asked for, ticket 4713",
        "--limit",
        "30/min",
        "--review",
        "30d",
    ];
    for address in FREE {
        assert_eq!(lab.json(0, &["why", address])["action"], "refuse");
        let asked = [address, "--domain", "good.example", "--selector", "s1"];
        let view = street.precheck(0, &[&asked[..], &opened].concat());
        let flag = &view["flag"];
        assert_eq!(
            (
                &flag["action"],
                &flag["rate"],
                &flag["approval"],
                &flag["state"]
            ),
            (
                &"limit".into(),
                &"30/min".into(),
                &"pending".into(),
                &"active".into()
            ),
            "{view:#}"
        );
        assert_eq!(lab.json(0, &["why", address])["action"], "limit");
        let approve = [
            "flag", "approve", address, "--reason", "agreed", "--actor", "berta",
        ];
        let approved = lab.json(0, &approve);
        assert_eq!(approved["approval"], "approved", "{approved:#}");
        assert!(approved["review_at"].is_string(), "{approved:#}");
        let shown = lab.json(0, &["flag", "show", address]).to_string();
        assert!(
            shown.contains("prechecked") && shown.contains("good.example"),
            "{shown}"
        );
    }
    // The neighbour in the same range stays where it was.
    assert_eq!(lab.json(0, &["why", "192.0.2.11"])["action"], "refuse");

    // Who has failed stays closed, unless somebody says why it does not matter; which stands in the trail.
    let bad = ["192.0.2.20", "--domain", "bad.example"];
    let view = street.precheck(3, &[&bad[..], &opened].concat());
    assert_eq!(view["flag"], Value::Null);
    assert!(
        view["refused"]
            .as_str()
            .unwrap()
            .starts_with("not opened: "),
        "{view:#}"
    );
    assert_eq!(lab.json(0, &["why", bad[0]])["action"], "refuse");
    let view = street.precheck(
        0,
        &[&bad[..], &opened, &["--override", "moves on Friday"]].concat(),
    );
    assert_eq!(
        (&view["verdict"], &view["refused"]),
        (&"fail".into(), &Value::Null)
    );
    assert_eq!(lab.json(0, &["why", bad[0]])["action"], "limit");
    let subject = format!("flag:{}", view["flag"]["id"]);
    let trail = lab
        .json(0, &["audit", "ls", "--subject", &subject])
        .to_string();
    for words in [
        "prechecked",
        "moves on Friday",
        "fail ptr 192.0.2.20: no PTR record",
        "tester",
    ] {
        assert!(trail.contains(words), "{words}: {trail}");
    }
    assert_eq!(lab.outgate(&["audit", "verify"]).code, 0);
}

#[test]
fn what_cannot_be_asked_is_refused_before_anybody_is() {
    let street = Street::new(&good(), &GOOD_NAMES, ASKED);
    let opened = |limit: &'static str, review: &'static str| {
        [
            "192.0.2.10",
            "--approve",
            "--reason",
            "r",
            "--limit",
            limit,
            "--review",
            review,
        ]
    };
    for (code, arguments, words) in [
        (
            1,
            &["2001:db8:a:a::/64"][..],
            "has more than 256 addresses; name those that send (--address",
        ),
        (
            1,
            &["192.0.2.0/28", "--address", "192.0.2.16"],
            "is not in 192.0.2.0/28",
        ),
        (3, &["203.0.113.10"], "is not a customer"),
        (
            3,
            &["192.0.0.0/16", "--address", "192.0.2.1"],
            "wider than the customer prefix",
        ),
        (
            1,
            &["192.0.2.10", "--selector", "a b"],
            "not one; it is what s= says",
        ),
        (1, &opened("many", "30d"), "many"),
        (3, &opened("30/min", "1000d"), "366d"),
        (1, &["192.0.2.10", "--approve"], "--reason"),
    ] {
        let said = street
            .lab
            .outgate(&[&["precheck", "--domain", "good.example"], arguments].concat());
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    let said = street
        .lab
        .outgate(&["precheck", "192.0.2.10", "--domain", "localhost"]);
    assert!(
        said.code == 1 && said.err.contains("not the full name"),
        "{said:?}"
    );
    let asked = [
        "2001:db8:a:a::/64",
        "--address",
        FREE[1],
        "--domain",
        "good.example",
        "--selector",
        "s1",
    ];
    assert_eq!(street.precheck(0, &asked)["verdict"], "pass");
}
