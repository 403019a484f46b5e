//! Whose a prefix is, and was: a flag is for one customer, and ends when its prefix becomes another's.

use serde_json::Value;

use crate::lab::Lab;

impl Lab {
    /// Makes customers of these keys.
    fn customers(&self, keys: &[&str]) {
        for key in keys {
            self.json(0, &["customer", "add", key, "--name", "Example Ltd"]);
        }
    }

    /// Flags somebody; answers with the flag.
    fn observed(&self, target: &str) -> Value {
        let add = ["flag", "add", target, "--reason", "r", "--action", "drop"];
        self.json(0, &add)
    }
}

/// A customer's prefix, a host in it, a prefix around both, and the flag's own prefix.
const FAMILIES: [(&str, &str, &str, &str); 2] = [
    (
        "192.0.2.64/28",
        "192.0.2.70",
        "192.0.2.64/27",
        "192.0.2.70/32",
    ),
    (
        "2001:db8:a:a::/64",
        "2001:db8:a:a::10",
        "2001:db8:a:a::/63",
        "2001:db8:a:a::/64",
    ),
];

#[test]
fn a_flag_ends_when_its_prefix_becomes_another_customers() {
    let mut lab = Lab::started();
    lab.customers(&["C-1", "C-2"]);
    for (prefix, host, wide, flagged) in FAMILIES {
        lab.json(0, &["assign", prefix, "C-1"]);
        let flag = lab.observed(host);
        assert_eq!(
            (&flag["prefix"], &flag["customer"]),
            (&flagged.into(), &"C-1".into())
        );
        let around = lab.observed(wide);
        assert_eq!(around["customer"], Value::Null);
        let (id, around) = (flag["id"].to_string(), around["id"].to_string());
        // The same once more is no change of tenants.
        let again = lab.json(0, &["assign", prefix, "C-1"]);
        assert_eq!(
            (&again["changed"], &again["ended_flags"]),
            (&false.into(), &0.into())
        );

        let assigned = lab.json(0, &["assign", prefix, "C-2"]);
        assert_eq!(
            (&assigned["was"], &assigned["ended_flags"]),
            (&"C-1".into(), &1.into())
        );
        let ended = lab.json(0, &["flag", "show", &id]);
        assert_eq!(
            (&ended["state"], &ended["ended_by"], &ended["ended_reason"]),
            (
                &"ended".into(),
                &"outgated".into(),
                &"reassigned to C-2".into()
            )
        );
        let rows = ended["history"].as_array().unwrap();
        assert_eq!(rows.last().unwrap()["event"], "flag reassigned");
        // What is about others, too, stays, in the kernel as well.
        assert_eq!(lab.json(0, &["flag", "show", &around])["state"], "active");
        assert_eq!(lab.json(0, &["why", host])["rule"], wide);

        let flag = lab.observed(host);
        assert_eq!(flag["customer"], "C-2");
        lab.end(rustix::process::Signal::KILL);
        lab.start();
        let given_back = lab.json(0, &["unassign", prefix]);
        assert_eq!(given_back["ended_flags"], 1);
        let ended = lab.json(0, &["flag", "show", &flag["id"].to_string()]);
        assert_eq!(ended["ended_reason"], "reassigned to nobody");
        lab.json(0, &["flag", "rm", &around, "--reason", "r"]);
    }
    let events = lab.json(0, &["events", "--kind", "customer_reassigned"]);
    let told: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["customer"].clone(),
                event["detail"]["from"].clone(),
                event["detail"]["to"].clone(),
            )
        })
        .collect();
    for (prefix, ..) in FAMILIES {
        for (from, to) in [("C-1", Value::from("C-2")), ("C-2", Value::Null)] {
            let expected = (prefix.into(), from.into(), to);
            assert!(told.contains(&expected), "{expected:?} is not in {told:#?}");
        }
    }
}

#[test]
fn who_had_an_address_is_known_for_any_time() {
    let lab = Lab::started();
    let nobody = lab.outgate(&["who", "192.0.2.70"]);
    assert_eq!(nobody.code, 2, "{nobody:?}");
    assert!(nobody.err.contains("was nobody's"), "{nobody:?}");
    lab.customers(&["C-1", "C-2", "C-3"]);
    for (prefix, host, wide, flagged) in FAMILIES {
        lab.json(
            0,
            &["assign", wide, "C-3", "--from", "2026-01-01T00:00:00Z"],
        );
        lab.json(
            0,
            &["assign", prefix, "C-1", "--from", "2026-02-01T00:00:00Z"],
        );
        let flag = lab.observed(host);
        // Said late: it has been another's since before the flag, which is about that one then.
        let late = lab.json(
            0,
            &["assign", prefix, "C-2", "--from", "2026-03-01T00:00:00Z"],
        );
        assert_eq!(
            (&late["was"], &late["ended_flags"]),
            (&"C-1".into(), &0.into())
        );
        let shown = lab.json(0, &["flag", "show", &flag["id"].to_string()]);
        assert_eq!(
            (&shown["customer"], &shown["state"]),
            (&"C-2".into(), &"active".into())
        );
        let who = |at: &str| lab.json(0, &["who", host, "--at", at]);
        for (at, customer, part, to) in [
            ("2026-01-15T00:00:00Z", "C-3", wide, Value::Null),
            (
                "2026-02-01T00:00:00Z",
                "C-1",
                prefix,
                "2026-03-01T00:00:00Z".into(),
            ),
            (
                "2026-02-28T23:59:59Z",
                "C-1",
                prefix,
                "2026-03-01T00:00:00Z".into(),
            ),
            ("2026-03-01T00:00:00Z", "C-2", prefix, Value::Null),
        ] {
            let found = who(at)["assignment"].clone();
            assert_eq!(
                (&found["customer"], &found["prefix"], &found["to"]),
                (&customer.into(), &part.into(), &to),
                "{at}"
            );
        }
        let now = lab.json(0, &["who", host]);
        assert_eq!(now["customer"]["name"], "Example Ltd");
        assert_eq!(now["flags"][0]["prefix"], flagged);
        assert!(
            who("2026-03-02T00:00:00Z")["flags"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            lab.outgate(&["who", host, "--at", "2025-12-31T00:00:00Z"])
                .code,
            2
        );
        let listed = lab.outgate(&["flag", "ls"]);
        assert!(listed.out.contains("C-2"), "{listed:?}");
    }
    let history = lab.json(0, &["customer", "history", "C-1"]);
    assert_eq!(history["assignments"].as_array().unwrap().len(), 2);
    let history = lab.json(0, &["customer", "history", "C-2"]);
    assert_eq!(history["flags"].as_array().unwrap().len(), 2);
    let listed = lab.json(0, &["assign", "ls", "--customer", "C-3"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_is_refused() {
    let lab = Lab::started();
    lab.customers(&["C-1", "C-2"]);
    lab.json(0, &["assign", "192.0.2.64/28", "C-1"]);
    for (code, arguments, said) in [
        (
            3,
            &["customer", "add", "C-1"][..],
            "is there already; `outgate customer set`",
        ),
        (
            2,
            &["customer", "set", "C-9", "--name", "x"],
            "no customer C-9; `outgate customer add C-9`",
        ),
        (2, &["customer", "show", "C-9"], "no customer C-9"),
        (2, &["customer", "history", "C-9"], "no customer C-9"),
        (
            3,
            &["customer", "rm", "C-1"],
            "has 192.0.2.64/28; `outgate unassign 192.0.2.64/28` first",
        ),
        (
            1,
            &["customer", "add", "C 1"],
            "allowed are 1 to 64 letters",
        ),
        (
            1,
            &["customer", "add", "C-3", "--contact", "nobody"],
            "one address for mail",
        ),
        (2, &["assign", "192.0.2.1", "C-9"], "no customer C-9"),
        (
            3,
            &["assign", "203.0.113.1", "C-1"],
            "in none of customer_prefixes",
        ),
        (
            1,
            &["assign", "192.0.2.1/24", "C-1"],
            "the prefix is 192.0.2.0/24",
        ),
        (
            1,
            &[
                "assign",
                "192.0.2.1",
                "C-1",
                "--from",
                "2999-01-01T00:00:00Z",
            ],
            "still to come",
        ),
        (
            3,
            &[
                "assign",
                "192.0.2.64/28",
                "C-2",
                "--from",
                "2000-01-01T00:00:00Z",
            ],
            "was assigned or given back at",
        ),
        (2, &["unassign", "192.0.2.1"], "is not assigned"),
        (1, &["assign", "192.0.2.1"], "CUSTOMER"),
        (1, &["who", "nowhere"], "neither an address"),
    ] {
        let heard = lab.outgate(arguments);
        assert_eq!(heard.code, code, "{arguments:?}: {heard:?}");
        assert!(heard.err.contains(said), "{said:?} is not in: {heard:?}");
    }
    // Idempotent, over the API as well.
    let body = r#"{"name": "Example Ltd", "actor": "t"}"#;
    let [first, second] = [(); 2].map(|()| lab.http("PUT /v1/customers/C-1", body));
    assert_eq!((first.0, &first), (200, &second));
    let path = "PUT /v1/assignments/2001:db8:a:b::%2F64";
    let body = r#"{"customer": "C-2", "actor": "t"}"#;
    assert_eq!(lab.http(path, body).0, 201);
    assert_eq!(lab.http(path, body).0, 200);
    assert_eq!(
        lab.http("GET /v1/who?target=2001:db8:a:b::1", "").1["assignment"]["customer"],
        "C-2"
    );

    // A name can be taken away, and goes with the customer.
    let nameless = lab.json(0, &["customer", "set", "C-1", "--name", ""]);
    assert_eq!(nameless["name"], Value::Null);
    lab.json(0, &["unassign", "192.0.2.64/28"]);
    lab.json(0, &["customer", "rm", "C-1"]);
    assert_eq!(lab.outgate(&["customer", "show", "C-1"]).code, 2);
    let history = lab.json(0, &["customer", "history", "C-1"]);
    assert_eq!(history["assignments"].as_array().unwrap().len(), 1);
}
