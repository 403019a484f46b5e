//! Many who turn the dial at once.

use std::{collections::BTreeSet, thread};

use serde_json::{Value, json};

use crate::lab::Lab;

#[test]
fn many_at_once_are_all_served_and_each_as_if_alone() {
    let lab = Lab::started();
    let add = |host: u32, action: &str| {
        let body = json!({
            "target": format!("192.0.2.{host}"), "action": action, "reason": "spam run", "actor": "tester"
        });
        let (status, flag) = lab.http("POST /v1/flags", &body.to_string());
        assert_eq!(status, 201, "{flag}");
        flag
    };
    let flags: Vec<Value> = thread::scope(|scope| {
        let apart = (1..=40).map(|host| scope.spawn(move || add(host, "drop")));
        let apart: Vec<_> = apart.collect();
        // These want the same prefix: one after another.
        let same: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| add(200, "observe")))
            .collect();
        let refused = scope.spawn(|| {
            let body = json!({ "target": "198.51.100.9", "reason": "nobody's", "actor": "tester" });
            lab.http("POST /v1/flags", &body.to_string()).0
        });
        assert_eq!(
            refused.join().unwrap(),
            409,
            "others' company changes nothing"
        );
        let flags = apart.into_iter().chain(same);
        flags.map(|flag| flag.join().unwrap()).collect()
    });
    let ids: BTreeSet<u64> = flags
        .iter()
        .map(|flag| flag["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), 48);

    let active = lab.json(0, &["flag", "ls"]);
    let active = active.as_array().unwrap();
    assert_eq!(active.len(), 41);
    assert_eq!(lab.json(0, &["why", "192.0.2.40"])["verdict"], "drop");
    // Each of the eight but the first has replaced the one before it.
    let all = lab.json(0, &["flag", "ls", "--all"]);
    let of_one: Vec<(u64, Option<u64>)> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|flag| flag["prefix"] == "192.0.2.200/32")
        .map(|flag| (flag["id"].as_u64().unwrap(), flag["replaces"].as_u64()))
        .collect();
    assert_eq!(of_one.len(), 8, "{all}");
    for (id, replaces) in &of_one {
        let before = of_one
            .iter()
            .map(|(other, _)| *other)
            .filter(|other| other < id);
        assert_eq!(*replaces, before.max(), "{of_one:?}");
    }

    let lifted: Vec<u16> = thread::scope(|scope| {
        let lift = |id: u64| {
            let path = format!("DELETE /v1/flags/{id}?reason=over&actor=tester");
            lab.http(&path, "").0
        };
        let lifts: Vec<_> = active
            .iter()
            .map(|flag| flag["id"].as_u64().unwrap())
            // The last one is asked for twice.
            .chain(active.last().and_then(|flag| flag["id"].as_u64()))
            .map(|id| scope.spawn(move || lift(id)))
            .collect();
        lifts.into_iter().map(|lift| lift.join().unwrap()).collect()
    });
    assert_eq!(lifted.iter().filter(|status| **status == 200).count(), 41);
    assert_eq!(lifted.iter().filter(|status| **status == 404).count(), 1);
    assert_eq!(lab.json(0, &["status"])["flags"]["active"], 0);
}
