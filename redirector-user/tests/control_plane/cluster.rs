//! Two edges, two controllers, one PostgreSQL of Debian's.

mod tls;

use std::{fs, thread, time::Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{lab::Lab, postgres::Postgres};

/// An edge at a store.
fn edge(url: &str, name: &str) -> Lab {
    let mut lab = Lab::new();
    let store = format!("\n[store]\nurl = \"{url}\"\nedge = \"{name}\"\n");
    fs::write(lab.config(), lab.text() + &store).unwrap();
    lab.start();
    lab
}

fn two() -> (Postgres, Lab, Lab) {
    let server = Postgres::start();
    let url = server.database();
    let (a, b) = (edge(&url, "a"), edge(&url, "b"));
    (server, a, b)
}

fn add(lab: &Lab, target: &str, action: &str) -> (u16, Value) {
    let body =
        json!({ "target": target, "action": action, "reason": "spam run", "actor": "tester" });
    lab.http("POST /v1/flags", &body.to_string())
}

/// What the kernel does to a customer.
fn verdict(lab: &Lab, customer: &str) -> String {
    let why = lab.json(0, &["why", customer]);
    why["verdict"].as_str().unwrap_or_default().to_owned()
}

fn ids(lab: &Lab) -> Vec<u64> {
    let flags = lab.json(0, &["flag", "ls"]);
    let ids = flags.as_array().unwrap().iter();
    let mut ids: Vec<_> = ids.map(|flag| flag["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_one_edge_is_told_is_in_force_at_the_other() {
    let (_server, a, b) = two();
    for (from, to, customer) in [
        (&a, &b, "192.0.2.10"),
        (&b, &a, "2001:db8:a::10"),
        (&a, &b, "2001:db8:a::11"),
        (&b, &a, "192.0.2.11"),
    ] {
        assert_eq!(add(from, customer, "drop").0, 201);
        to.until("it is in the other's kernel", |lab| {
            verdict(lab, customer) == "drop"
        });
    }
    assert_eq!(ids(&a), ids(&b));

    // A flag of one is lifted at the other.
    let first = ids(&a)[0];
    assert_eq!(
        b.http(
            &format!("DELETE /v1/flags/{first}?reason=over&actor=tester"),
            ""
        )
        .0,
        200
    );
    a.until("it is free", |lab| verdict(lab, "192.0.2.10") != "drop");
    // What ends by itself ends at both, once.
    let short = b.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.12",
            "--reason",
            "r",
            "--action",
            "drop",
            "--for",
            "3s",
        ],
    );
    let id = short["id"].as_u64().unwrap();
    a.until("it came", |lab| verdict(lab, "192.0.2.12") == "drop");
    for lab in [&a, &b] {
        lab.until("it has ended", |lab| {
            verdict(lab, "192.0.2.12") != "drop" && !ids(lab).contains(&id)
        });
    }
    let shown = a.json(0, &["flag", "show", &id.to_string()]);
    let history = shown["history"].as_array().unwrap().iter();
    let expired = history.filter(|row| row["event"] == "flag expired").count();
    assert_eq!(expired, 1, "{shown:#}");

    // Exemptions, bypasses, users, drains.
    b.json(
        0,
        &[
            "bypass",
            "add",
            "203.0.113.0/24",
            "--why",
            "their own servers",
        ],
    );
    a.until("the bypass came", |lab| {
        lab.json(0, &["bypass", "ls"])[0]["destination"] == "203.0.113.0/24"
    });
    a.json(0, &["relay", "drain", "relay-1", "--reason", "disk"]);
    b.until("the drain came", |lab| {
        lab.json(0, &["status"])["pools"][0]["relays"][0]["drained"] != Value::Null
    });

    // Both wrote, and either proves both.
    let proof = a.json(0, &["audit", "verify"]);
    let writers = proof["writers"].as_array().map(Vec::len);
    assert_eq!(writers, Some(2), "{proof}");
}

#[test]
fn the_same_prefix_at_both_edges_at_once_loses_nobodys_word() {
    let (_server, a, b) = two();
    thread::scope(|scope| {
        for lab in [&a, &b] {
            for action in ["drop", "observe", "drop", "refuse", "drop"] {
                scope.spawn(move || {
                    let (status, flag) = add(lab, "192.0.2.20", action);
                    assert!([200, 201, 503].contains(&status), "{flag}");
                });
            }
        }
    });
    a.until("both know the same one", |_| {
        ids(&a) == ids(&b) && ids(&a).len() == 1
    });
    // Each but the first has replaced the one before it: none was judged without the others.
    let all = a.json(0, &["flag", "ls", "--all"]);
    let mut chain: Vec<(u64, Option<u64>)> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| (flag["id"].as_u64().unwrap(), flag["replaces"].as_u64()))
        .collect();
    chain.sort_unstable();
    for (before, (_, replaces)) in chain.iter().zip(chain.iter().skip(1)) {
        assert_eq!(*replaces, Some(before.0), "{chain:?}");
    }
    assert_eq!(
        verdict(&a, "192.0.2.20"),
        verdict(&b, "192.0.2.20"),
        "and the kernels, too"
    );
}

#[test]
fn an_edge_without_its_store_enforces_and_catches_up() {
    let (mut server, mut a, b) = two();
    assert_eq!(add(&a, "192.0.2.30", "drop").0, 201);
    b.until("it came", |lab| verdict(lab, "192.0.2.30") == "drop");

    server.stop();
    for lab in [&a, &b] {
        lab.until("it says that the store is away", |lab| {
            let (status, said) = add(lab, "192.0.2.31", "drop");
            status == 503 && said["error"]["message"].to_string().contains("away since")
        });
        assert_eq!(verdict(lab, "192.0.2.30"), "drop");
        let said = lab.outgate(&["status"]);
        assert!(said.out.contains("AWAY since"), "{said:?}");
    }
    // The heart beats and relays are probed as ever.
    a.until_relay_is("up");
    server.again();
    a.until("it takes changes again", |lab| {
        add(lab, "192.0.2.32", "drop").0 == 201
    });
    b.until("it has caught up", |lab| {
        verdict(lab, "192.0.2.32") == "drop"
    });
    // What came is in force before the connection that brought it is said to be back.
    b.until("it says that the store is back", |lab| {
        let store = &lab.json(0, &["status"])["store"];
        store["edge"] == "b" && store["away_since"] == Value::Null
    });

    // One that is killed finds what came meanwhile.
    a.end(Signal::KILL);
    assert_eq!(add(&b, "192.0.2.33", "drop").0, 201);
    a.start();
    a.until("it is in its kernel", |lab| {
        verdict(lab, "192.0.2.33") == "drop"
    });
    assert_eq!(ids(&a), ids(&b));
    assert!(!a.logged().contains("panicked"), "{}", a.logged());
    // It was away once, and so it came back once.
    let told = b.logged();
    for line in ["the store is away;", "the store is back"] {
        assert_eq!(told.matches(line).count(), 1, "{line}: {told}");
    }
}

#[test]
fn how_long_the_other_edge_takes_is_told() {
    let (_server, a, b) = two();
    let mut took = Vec::new();
    for host in 1..=40 {
        let customer = format!("192.0.2.{host}");
        assert_eq!(add(&a, &customer, "drop").0, 201);
        let begun = Instant::now();
        let wanted = ids(&a).len();
        while b.http("GET /v1/flags", "").1.as_array().map(Vec::len) != Some(wanted) {
            assert!(begun.elapsed() < crate::lab::deadline(), "{}", b.logged());
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    // Figures for a person; no time is asserted.
    eprintln!(
        "p50 {:?}, p99 {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
}
