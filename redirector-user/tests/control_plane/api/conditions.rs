//! What is done once, what is done only if, and what is done together.

use serde_json::{Value, json};

use crate::remote::{Answer, Remote};

/// A controller, and somebody who may flag.
struct Desk {
    remote: Remote,
    token: std::path::PathBuf,
}

impl Desk {
    fn open() -> Self {
        let remote = Remote::started("");
        let token = remote.token("desk", "flag");
        Self { remote, token }
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value, headers: &[&str]) -> Answer {
        let body = body.to_string();
        let mut more = vec![
            "--request",
            method,
            "--header",
            "Content-Type: application/json",
        ];
        if method != "GET" && method != "DELETE" {
            more.extend(["--data", &body]);
        }
        for header in headers {
            more.extend(["--header", header]);
        }
        self.remote.curl_as(&self.token, path, &more)
    }

    fn flags(&self) -> usize {
        let flags = self.remote.lab.json(0, &["flag", "ls", "--all"]);
        flags.as_array().unwrap().len()
    }
}

fn flag(target: &str, reason: &str) -> Value {
    json!({ "target": target, "reason": reason, "action": "drop" })
}

fn tag(answer: &Answer) -> String {
    let mut lines = answer.head.lines();
    let tag = lines.find_map(|line| line.strip_prefix("etag: "));
    tag.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[test]
fn what_is_put_twice_changes_nothing_the_second_time() {
    let desk = Desk::open();
    let path = "/v1/flags/2001:db8:a:a::%2F64";
    let wanted = flag("2001:db8:a:a::/64", "spam run");
    let put = |wanted: &Value| {
        let answer = desk.ask("PUT", path, wanted, &[]);
        (
            answer.status,
            answer.body["done"].clone(),
            answer.body["id"].clone(),
        )
    };
    assert_eq!(put(&wanted), (201, json!("added"), json!(1)));
    assert_eq!(put(&wanted), (200, json!("nothing"), json!(1)));
    let mut longer = wanted.clone();
    longer["for"] = json!("8d");
    assert_eq!(put(&longer), (200, json!("replaced"), json!(2)));
    assert_eq!(put(&longer), (200, json!("nothing"), json!(2)));
    assert_eq!(desk.flags(), 2);
    let elsewhere = desk.ask("PUT", "/v1/flags/192.0.2.10", &wanted, &[]);
    assert_eq!(elsewhere.status, 422, "{elsewhere:?}");
    let nobody = desk.ask(
        "PUT",
        "/v1/flags/203.0.113.1",
        &flag("203.0.113.1", "r"),
        &[],
    );
    assert_eq!(
        (nobody.status, &nobody.body["error"]["kind"]),
        (409, &json!("guard"))
    );
}

#[test]
fn a_change_is_done_only_if_the_flag_is_what_it_was_taken_for() {
    let desk = Desk::open();
    let path = "/v1/flags/192.0.2.10";
    let wanted = |reason: &str| flag("192.0.2.10", reason);
    let none = "If-None-Match: *";
    let absent = desk.ask("PUT", path, &wanted("a"), &["If-Match: *"]);
    assert_eq!(
        (absent.status, &absent.body["error"]["kind"]),
        (412, &json!("changed"))
    );
    assert_eq!(desk.ask("PUT", path, &wanted("a"), &[none]).status, 201);
    assert_eq!(desk.ask("PUT", path, &wanted("b"), &[none]).status, 412);
    let seen = format!(
        "If-Match: {}",
        tag(&desk.ask("GET", "/v1/flags/1", &Value::Null, &[]))
    );
    assert_eq!(desk.ask("PUT", path, &wanted("b"), &[&seen]).status, 200);
    // Flag 2 is there now, which is not what was seen.
    assert_eq!(desk.ask("PUT", path, &wanted("c"), &[&seen]).status, 412);
    let lift = "/v1/flags/2?reason=clean";
    assert_eq!(desk.ask("DELETE", lift, &Value::Null, &[&seen]).status, 412);
    let seen = format!(
        "If-Match: {}",
        tag(&desk.ask("GET", "/v1/flags/2", &Value::Null, &[]))
    );
    assert_eq!(desk.ask("DELETE", lift, &Value::Null, &[&seen]).status, 200);
    assert_eq!(
        desk.ask("PUT", path, &wanted("c"), &["If-None-Match: \"x\""])
            .status,
        422
    );

    let list = desk.ask("GET", "/v1/flags?all=true", &Value::Null, &[]);
    let known = format!("If-None-Match: {}", tag(&list));
    let again = desk.ask("GET", "/v1/flags?all=true", &Value::Null, &[&known]);
    assert_eq!((again.status, again.body), (304, Value::Null));
    assert_eq!(desk.ask("PUT", path, &wanted("d"), &[]).status, 201);
    assert_eq!(
        desk.ask("GET", "/v1/flags?all=true", &Value::Null, &[&known])
            .status,
        200
    );
}

#[test]
fn a_request_with_a_key_is_done_once_over_restarts() {
    let mut desk = Desk::open();
    let key = "Idempotency-Key: 7f0c";
    let first = desk.ask("POST", "/v1/flags", &flag("192.0.2.10", "a"), &[key]);
    assert_eq!(first.status, 201, "{first:?}");
    assert!(!first.head.contains("idempotent-replayed"), "{first:?}");
    desk.remote.lab.end(rustix::process::Signal::KILL);
    desk.remote.lab.start();
    let again = desk.ask("POST", "/v1/flags", &flag("192.0.2.10", "a"), &[key]);
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert!(
        again.head.contains("idempotent-replayed: true"),
        "{again:?}"
    );
    assert_eq!(desk.flags(), 1);
    let other = desk.ask("POST", "/v1/flags", &flag("192.0.2.11", "a"), &[key]);
    assert_eq!(other.status, 422, "{other:?}");
    assert_eq!(desk.flags(), 1);
    // What was refused is not remembered.
    let key = "Idempotency-Key: 8a1d";
    let refused = desk.ask("POST", "/v1/flags", &flag("203.0.113.1", "a"), &[key]);
    assert_eq!(refused.status, 409);
    assert_eq!(
        desk.ask("POST", "/v1/flags", &flag("192.0.2.12", "a"), &[key])
            .status,
        201
    );
    // A key belongs to its caller: the socket's is another.
    let long = format!("Idempotency-Key: {}", "x".repeat(201));
    for bad in ["Idempotency-Key;", &long] {
        let answer = desk.ask("POST", "/v1/flags", &flag("192.0.2.13", "a"), &[bad]);
        assert_eq!(answer.status, 422, "{bad}: {answer:?}");
    }
    assert_eq!(desk.flags(), 2);
}

#[test]
fn a_batch_tells_of_each_and_is_whole_if_it_must_be() {
    let desk = Desk::open();
    let outcomes = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer:?}"));
        items
            .iter()
            .map(|item| item["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    let (good, bad) = (flag("192.0.2.10", "a"), flag("203.0.113.1", "a"));
    let twice = flag("192.0.2.10", "b");
    let six = flag("2001:db8:a:b::/64", "a");
    let all = json!([good, bad, twice, six]);
    let batch = |flags: &Value, more: &Value| {
        let mut body = more.clone();
        body["flags"] = flags.clone();
        desk.ask("POST", "/v1/flags/batch", &body, &[])
    };
    let dry = batch(&all, &json!({ "dry_run": true }));
    assert_eq!(
        outcomes(&dry),
        ["would_add", "refused", "refused", "would_add"]
    );
    let atomic = batch(&all, &json!({ "atomic": true }));
    assert_eq!(
        outcomes(&atomic),
        ["held_back", "refused", "refused", "held_back"]
    );
    assert_eq!(desk.flags(), 0);
    let each = batch(&all, &json!({}));
    assert_eq!(outcomes(&each), ["active", "refused", "refused", "active"]);
    assert_eq!(
        (each.status, &each.body["sound"], &each.body["refused"]),
        (200, &json!(2), &json!(2))
    );
    let message = each.body["items"][2]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("flags[0] is about 192.0.2.10/32 already"),
        "{message}"
    );
    let whole = json!([good, six]);
    let atomic = batch(&whole, &json!({ "atomic": true, "actor": "somebody else" }));
    assert_eq!(outcomes(&atomic), ["active", "active"]);
    let shown = desk.remote.lab.json(0, &["flag", "show", "192.0.2.10"]);
    assert_eq!((&shown["id"], &shown["actor"]), (&json!(3), &json!("desk")));
    assert_eq!(desk.flags(), 4);

    let many: Vec<_> = (0..501).map(|_| good.clone()).collect();
    assert_eq!(batch(&json!(many), &json!({})).status, 422);
    assert_eq!(batch(&json!([]), &json!({})).status, 422);
    let wrong = batch(&json!([good, { "target": 7 }]), &json!({}));
    let message = wrong.body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("flags[1].target: "), "{message}");
    assert_eq!(desk.flags(), 4);
}
