//! The feed of events: relays tell, people and programs follow.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::lab::Lab;

/// A batch of relay-1: for each number a message that was kept.
fn batch(epoch: &str, numbers: impl IntoIterator<Item = u64>) -> Value {
    let events = numbers.into_iter().map(|seq| {
        json!({
            "seq": seq,
            "at": happened(),
            "customer": if seq % 2 == 0 { "192.0.2.10" } else { "2001:db8:a:a::10" },
            "flag_id": 1,
            "happening": { "kind": "kept", "record": format!("{epoch}-{seq}") },
        })
    });
    json!({ "epoch": epoch, "events": events.collect::<Vec<_>>() })
}

/// Two hours ago: within what is kept.
fn happened() -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2)
}

fn tell(lab: &Lab, batch: &Value) -> (u16, Value) {
    lab.http("POST /v1/relays/relay-1/events", &batch.to_string())
}

/// Records of kept messages, as `outgate events` lists them.
fn kept(lab: &Lab, more: &[&str]) -> Vec<String> {
    let events = lab.json(0, &[&["events", "--kind", "kept"], more].concat());
    let record = |event: &Value| event["detail"]["record"].as_str().unwrap().to_owned();
    events.as_array().unwrap().iter().map(record).collect()
}

fn records(epoch: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|seq| format!("{epoch}-{seq}"))
        .collect()
}

#[test]
fn what_a_relay_tells_is_taken_once_over_every_restart() {
    let mut lab = Lab::started();
    let before = happened();
    let taken = |through: u64| (200, json!({ "epoch": "a", "through": through }));
    assert_eq!(tell(&lab, &batch("a", 1..=3)), taken(3));
    // The answer was lost; a part was; nothing is new.
    assert_eq!(tell(&lab, &batch("a", 1..=3)), taken(3));
    assert_eq!(tell(&lab, &batch("a", 2..=5)), taken(5));
    assert_eq!(tell(&lab, &batch("a", [])), taken(5));
    lab.end(Signal::KILL);
    lab.start();
    assert_eq!(tell(&lab, &batch("a", 4..=5)), taken(5));
    assert_eq!(tell(&lab, &batch("b", [1, 7])).0, 200);
    assert_eq!(tell(&lab, &batch("a", [9])), taken(9));
    let expected = [records("a", 1..=5), records("b", [1, 7]), records("a", [9])].concat();
    assert_eq!(kept(&lab, &[]), expected);
    // By customer, address and prefix; from a number on; the newest.
    let four: Vec<_> = [records("a", [2, 4])].concat();
    assert_eq!(kept(&lab, &["--customer", "192.0.2.10"]), four);
    assert_eq!(kept(&lab, &["--customer", "192.0.2.0/24"]), four);
    assert_eq!(
        kept(&lab, &["--customer", "192.0.2.11"]),
        Vec::<String>::new()
    );
    let six = [
        records("a", [1, 3, 5]),
        records("b", [1, 7]),
        records("a", [9]),
    ]
    .concat();
    assert_eq!(kept(&lab, &["--customer", "2001:db8:a:a::77"]), six);
    assert_eq!(kept(&lab, &["--limit", "1"]), records("a", [9]));
    assert_eq!(kept(&lab, &["--since", "1h"]), Vec::<String>::new());
    assert_eq!(kept(&lab, &["--since", &before.to_string()]), expected);
    let all = lab.json(0, &["events", "--limit", "1000"]);
    let numbers: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let after = lab.json(0, &["events", "--after", &(numbers.len() - 1).to_string()]);
    assert_eq!(after.as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_batch_is_refused_and_nothing_of_it_is_kept() {
    let lab = Lab::started();
    let sound = batch("a", [1]).to_string();
    let (status, body) = lab.http("POST /v1/relays/relay-9/events", &sound);
    assert_eq!((status, &body["error"]["kind"]), (404, &json!("not_found")));
    let mut backwards = batch("a", [1, 2]);
    backwards["events"][0]["seq"] = json!(2);
    let mut nobody = batch("a", [1]);
    nobody["events"][0]["customer"] = json!("not an address");
    let hostile = [
        String::new(),
        String::from("{"),
        String::from("[]"),
        "[".repeat(100_000),
        sound.replace("\"a\"", "\"../a\""),
        sound.replace("\"a\"", "\"\""),
        sound.replace("\"seq\":1", "\"seq\":0"),
        sound.replace("\"seq\":1", "\"seq\":-1"),
        sound.replace("\"seq\":1", "\"seq\":1e30"),
        backwards.to_string(),
        nobody.to_string(),
        batch("a", 1..=501).to_string(),
    ];
    for body in &hostile {
        let shown: String = body.chars().take(80).collect();
        let (status, answer) = lab.http("POST /v1/relays/relay-1/events", body);
        assert_eq!(
            (status, &answer["error"]["kind"]),
            (422, &json!("usage")),
            "{shown}"
        );
    }
    // Longer than a batch may be: the controller hangs up, and may not be heard.
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    let long = sound.replace("a-1", &"x".repeat(3 << 20));
    let head =
        "POST /v1/relays/relay-1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    drop(stream.write_all(request.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer}"
    );
    assert_eq!(kept(&lab, &[]), Vec::<String>::new());
    // What a newer relay says is kept; a terminal is not told what messages say.
    let later = json!({ "epoch": "c", "events": [{
        "seq": 1, "at": happened(), "later": 1,
        "happening": { "kind": "teleported", "to": "\u{1b}[2J\r\nnowhere" },
    }]});
    assert_eq!(tell(&lab, &later).0, 200);
    let events = lab.json(0, &["events", "--kind", "teleported"]);
    assert_eq!(events[0]["detail"], json!({ "to": "\u{1b}[2J\r\nnowhere" }));
    let table = lab.outgate(&["events", "--kind", "teleported"]).out;
    assert!(table.contains("to=?[2J??nowhere"), "{table}");
    let said = lab.outgate(&["events", "--customer", "nobody"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("neither an address nor a prefix"),
        "{said:?}"
    );
    let said = lab.outgate(&["events", "--since", "yesterday"]);
    assert!(said.err.contains("as 2h or 7d"), "{said:?}");
}

#[test]
fn the_controller_tells_what_it_does_itself() {
    let mut lab = Lab::started();
    lab.until_relay_is("up");
    lab.acknowledge();
    let flag = lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "r",
            "--action",
            "drop",
        ],
    );
    assert_eq!(flag["seen"], Value::Null);
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "r",
            "--action",
            "refuse",
        ],
    );
    lab.json(0, &["flag", "rm", "192.0.2.10", "--reason", "over"]);
    lab.silence_relay();
    lab.until_relay_is("down");
    let told = |lab: &Lab| -> Vec<String> {
        let events = lab.json(0, &["events"]);
        let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
        events.as_array().unwrap().iter().map(kind).collect()
    };
    lab.until("the failure policy is told", |lab| {
        told(lab)
            .last()
            .is_some_and(|kind| kind == "failure_policy")
    });
    let told = told(&lab);
    // A pool begins without a relay.
    let expected = [
        "failure_policy",
        "relay_up",
        "failure_policy_over",
        "flag_added",
        "flag_in_force",
        "flag_replaced",
        "flag_added",
        "flag_in_force",
        "flag_lifted",
        "relay_down",
        "failure_policy",
    ];
    assert_eq!(told, expected);
    let lifted = lab.json(0, &["events", "--kind", "flag_lifted"]);
    assert_eq!(lifted[0]["customer"], "192.0.2.10/32");
    assert_eq!(lifted[0]["flag"], 2);
    assert_eq!(
        lifted[0]["detail"],
        json!({ "by": "tester", "reason": "over" })
    );
    let down = lab.json(0, &["events", "--kind", "failure_policy", "--limit", "1"]);
    assert_eq!(
        down[0]["detail"],
        json!({ "pool": "default", "on_failure": "closed" })
    );
}

#[test]
fn a_flag_says_what_relays_saw() {
    let lab = Lab::started();
    lab.acknowledge();
    let said = lab.outgate(&["flag", "add", "192.0.2.0/28", "--reason", "r"]);
    assert!(matches!(said.code, 0 | 4), "{said:?}");
    let now = jiff::Timestamp::now();
    let rates = |seq: u64, ago_min: i64, customer: &str, messages: u64| {
        json!({
            "seq": seq,
            "at": now - jiff::SignedDuration::from_mins(ago_min),
            "customer": customer,
            "flag_id": 1,
            "happening": { "kind": "rates", "window_s": 60, "messages": messages, "refused": 1, "spam": 1 },
        })
    };
    let events = [
        rates(1, 25 * 60, "192.0.2.3", 1000),
        rates(2, 120, "192.0.2.3", 100),
        rates(3, 10, "192.0.2.3", 10),
        rates(4, 5, "192.0.2.4", 5),
        rates(5, 5, "192.0.2.99", 7),
    ];
    assert_eq!(
        tell(&lab, &json!({ "epoch": "a", "events": events })).0,
        200
    );
    let flag = lab.json(0, &["flag", "show", "1"]);
    let expected = json!({
        "hour": { "messages": 15, "refused": 2, "spam": 2 },
        "day": { "messages": 115, "refused": 3, "spam": 3 },
    });
    assert_eq!(flag["seen"], expected);
    let table = lab.outgate(&["flag", "show", "1"]).out;
    let line =
        "last hour: 15 messages, 2 refused, 2 spam; last 24 h: 115 messages, 3 refused, 3 spam";
    assert!(table.contains(line), "{table}");
}

/// A program that follows, and what it has read so far.
struct Follower {
    child: Child,
    read: std::path::PathBuf,
}

impl Follower {
    fn start(lab: &Lab, name: &str, command: &mut Command) -> Self {
        let read = lab.config().with_file_name(name);
        let out = fs::File::create(&read).unwrap();
        let child = command.stdout(out).stderr(Stdio::null()).spawn().unwrap();
        Self { child, read }
    }

    /// curl, as a program would: unbuffered, and going on after `last`.
    fn curl(lab: &Lab, name: &str, last: Option<u64>) -> Self {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--no-buffer", "--unix-socket"])
            .arg(lab.socket())
            .args(["--header", "Accept: text/event-stream"]);
        if let Some(last) = last {
            command
                .arg("--header")
                .arg(format!("Last-Event-ID: {last}"));
        }
        Self::start(
            lab,
            name,
            command.arg("http://outgated/v1/events?kind=kept"),
        )
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.read).unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_follower_goes_on_where_it_was() {
    let mut lab = Lab::started();
    tell(&lab, &batch("a", 1..=2));
    let seen = lab.json(0, &["events", "--kind", "kept"])[0]["seq"]
        .as_u64()
        .unwrap();
    let curl = Follower::curl(&lab, "curl-1", Some(seen));
    lab.until("curl goes on", |_| curl.text().contains("\"a-2\""));
    let mut watch = lab.inside(env!("CARGO_BIN_EXE_outgate"));
    watch
        .env("OUTGATE_SOCKET", lab.socket())
        .args(["watch", "-j", "--kind", "kept", "--after"]);
    let watch = Follower::start(&lab, "watch", watch.arg(seen.to_string()));
    lab.until("watch goes on", |_| watch.text().contains("\"a-2\""));
    tell(&lab, &batch("a", 3..=3));
    lab.until("curl hears at once", |_| curl.text().contains("\"a-3\""));
    let text = curl.text();
    assert!(!text.contains("\"a-1\""), "{text}");
    // Each as the standard has it: a number, a kind, the data, an empty line.
    let event = text
        .split("\n\n")
        .find(|it| it.contains("\"a-3\""))
        .unwrap();
    let number = event
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap();
    assert!(event.lines().any(|line| line == "event: kept"), "{event}");
    let data = event
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["seq"].to_string(), number);

    // A stop ends the stream; who follows goes on with the next controller.
    assert_eq!(lab.end(Signal::TERM), Some(0));
    lab.start();
    assert_eq!(tell(&lab, &batch("a", 4..=503)).0, 200);
    lab.until("watch has it all", |_| watch.text().contains("\"a-503\""));
    let curl = Follower::curl(&lab, "curl-2", number.parse().ok());
    lab.until("curl has it all", |_| curl.text().contains("\"a-503\""));
    let watched = watch.text();
    let watched = watched.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["detail"]["record"].as_str().unwrap().to_owned()
    });
    assert_eq!(watched.collect::<Vec<_>>(), records("a", 2..=503));
    let (status, body) = {
        let request = "GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: x\r\nX-Y: ";
        lab.http(request, "")
    };
    assert_eq!((status, &body["error"]["kind"]), (422, &json!("usage")));
}
