//! The contract with the relays: a redirect is active only once they know of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::lab::Lab;

const ADD: [&str; 5] = ["flag", "add", "192.0.2.10", "--reason", "spam run"];

#[test]
fn a_redirect_waits_for_the_relay_and_comes_into_force_by_itself() {
    let lab = Lab::started();
    lab.until_relay_is("up");
    let started = Instant::now();
    let flag = lab.json(4, &ADD);
    assert!(
        started.elapsed() >= Duration::from_secs(5),
        "it waits before it gives up"
    );
    assert_eq!(
        (&flag["state"], &flag["awaiting"]),
        (&"pending".into(), &serde_json::json!(["relay-1"]))
    );
    assert_eq!(
        lab.json(0, &["why", "192.0.2.10"])["verdict"],
        "pass",
        "nothing is diverted to who does not know"
    );
    assert_eq!(lab.json(0, &["status"])["flags"]["pending"], 1);
    let said = lab.outgate(&["flag", "show", "192.0.2.10"]);
    assert!(said.out.contains("not acknowledged by relay-1"), "{said:?}");

    let (status, snapshot) = lab.poll("");
    assert_eq!(status, 200);
    assert_eq!(snapshot["generation"], flag["generation"]);
    assert_eq!(snapshot["customers"][0]["prefix"], "192.0.2.10/32");
    assert_eq!(snapshot["customers"][0]["reason"], "spam run");
    assert_eq!(
        snapshot["probe_sources"],
        serde_json::json!(["198.51.100.1"])
    );
    assert_eq!(
        lab.json(0, &["flag", "show", "1"])["state"],
        "pending",
        "reading is not acknowledging"
    );

    lab.acknowledge();
    assert_eq!(lab.json(0, &["flag", "show", "1"])["state"], "active");
    let why = lab.json(0, &["why", "192.0.2.10", "203.0.113.10"]);
    assert_eq!(
        (&why["relay_name"], &why["flag_id"]),
        (&"relay-1".into(), &1.into()),
        "{why}"
    );
    assert_eq!(why["verdict"], "redirect", "{why}");
    assert_eq!(
        lab.json(0, &["status"])["pools"][0]["relays"][0]["acknowledged"],
        flag["generation"]
    );
}

#[test]
fn a_relay_that_listens_has_the_redirect_in_force_before_the_command_returns() {
    let lab = Lab::started();
    lab.until_relay_is("up");
    lab.acknowledge();
    let generation = lab.poll("").1["generation"].as_u64().unwrap();
    thread::scope(|scope| {
        let relay = scope.spawn(|| {
            let (status, snapshot) = lab.poll(&format!("have={generation}&wait_s=10"));
            assert_eq!(status, 200, "the long poll ends with the flag");
            let newer = snapshot["generation"].as_u64().unwrap();
            assert!(newer > generation);
            assert_eq!(lab.poll(&format!("have={newer}&wait_s=0")).0, 204);
        });
        let started = Instant::now();
        let flag = lab.json(0, &ADD);
        assert_eq!(flag["state"], "active");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "it did not wait for the deadline"
        );
        relay.join().unwrap();
    });
    let said = lab.outgate(&["why", "192.0.2.10"]);
    for words in [
        "is sent to relay relay-1 (198.51.100.2)",
        "flag 1 on 192.0.2.10/32",
        "spam run",
        "counted as to_relay",
    ] {
        assert!(said.out.contains(words), "{words:?}: {said:?}");
    }
}

#[test]
fn a_long_poll_ends_in_time_and_old_news_comes_at_once() {
    let lab = Lab::started();
    let generation = lab.poll("").1["generation"].as_u64().unwrap();
    let started = Instant::now();
    assert_eq!(lab.poll(&format!("have={generation}&wait_s=1")).0, 204);
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&started.elapsed()));
    // A relay that knows a generation that never was is given what is.
    let (status, snapshot) = lab.poll("have=999999&wait_s=10");
    assert_eq!((status, &snapshot["generation"]), (200, &generation.into()));
    assert!(lab.json(0, &["status"])["pools"][0]["relays"][0]["acknowledged"].is_null());
}

#[test]
fn a_relay_that_is_down_holds_nothing_back_and_must_catch_up_before_it_serves() {
    let mut lab = Lab::started();
    lab.until_relay_is("up");
    lab.acknowledge();
    lab.silence_relay();
    lab.until_relay_is("down");
    let flag = lab.json(0, &ADD);
    assert_eq!(
        flag["state"], "active",
        "the pool's failure policy protects until a relay is back"
    );
    assert_eq!(flag["serving"], serde_json::json!([]));
    let said = lab.outgate(&["flag", "show", "192.0.2.10"]);
    assert!(
        said.out.contains("no relay of the pool takes connections"),
        "{said:?}"
    );
    let why = lab.json(0, &["why", "192.0.2.10"]);
    assert_eq!(
        (&why["verdict"], &why["relay"]),
        (&"drop".into(), &serde_json::Value::Null),
        "{why}"
    );
    let said = lab.outgate(&["why", "192.0.2.10"]);
    assert!(
        said.out
            .contains("no relay can take it, and the pool fails closed"),
        "{said:?}"
    );
}
