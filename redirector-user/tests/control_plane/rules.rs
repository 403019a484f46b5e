//! Rules at work: what the radar has counted turns the dial, and people have the last word.

use std::{fs, path::PathBuf};

use aya::maps::{HashMap, Map, MapData};
use redirector_common::abi::{Sighting, map};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::lab::Lab;

const A: &str = "192.0.2.10/32";

/// Flags whoever sends more than 100 SYNs in a window of the radar, for six seconds.
pub(crate) const SPRAY: &str = r#"
[[rule]]
name = "spray"
window = "1s"
when = { all = ["syns > 100"] }
probation = "1h"
probation_factor = 0.25
max_lifts = 1
[rule.then]
action = "drop"
ttl = "6s"
reason = "{syns} SYNs in {window}"
"#;

/// A lab whose controller goes by these rules.
pub(crate) fn ruled(rules: &str) -> Lab {
    let mut lab = Lab::new();
    fs::write(file(&lab), rules).unwrap();
    let text = lab.text();
    let text = text.replace("log = ", &format!("rules = {:?}\nlog = ", file(&lab)));
    let text = text.replace("[radar]\n", "[radar]\nwindow = \"1s\"\n");
    fs::write(lab.config(), text).unwrap();
    lab.start();
    lab
}

fn file(lab: &Lab) -> PathBuf {
    lab.config().with_file_name("rules.toml")
}

/// Has the radar see so many SYNs of 192.0.2.10, in this window or the next.
pub(crate) fn sees(lab: &Lab, syns: u64) {
    let key = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 10];
    let sighting = Sighting {
        syns,
        ..Sighting::NOTHING
    };
    for name in [map::RADAR_EVEN, map::RADAR_ODD] {
        let data = MapData::from_pin(lab.pin_dir().join("v5").join(name)).unwrap();
        let table = Map::LruHashMap(data);
        let mut table: HashMap<_, [u8; 16], [u8; Sighting::SIZE]> = table.try_into().unwrap();
        table.insert(key, sighting.to_octets(), 0).unwrap();
    }
}

/// Flags there ever were of the customer, the newest last.
fn flags(lab: &Lab) -> Vec<Value> {
    let flags = lab.json(0, &["flag", "ls", "--all"]);
    flags.as_array().unwrap().clone()
}

/// Shows it to the radar until the newest flag is a rule's, and answers with that.
#[track_caller]
fn flagged(lab: &Lab, syns: u64, count: usize) -> Value {
    lab.until("a rule flags", |lab| {
        let done = flags(lab).len() >= count;
        if !done {
            sees(lab, syns);
        }
        done
    });
    let newest = flags(lab).pop().unwrap();
    assert_eq!(newest["actor"], "rule:spray", "{newest:#}");
    newest
}

#[track_caller]
fn until_ended(lab: &Lab, flag: &Value) {
    let id = flag["id"].to_string();
    lab.until("it ends by itself", |lab| {
        lab.json(0, &["flag", "show", &id])["state"] == "ended"
    });
}

#[test]
fn a_rule_flags_explains_itself_and_leads_into_probation() {
    let mut lab = ruled(SPRAY);
    assert_eq!(lab.json(0, &["rules", "ls"])["rules"][0]["flags"], 0);
    let flag = flagged(&lab, 200, 1);
    assert_eq!(
        (&flag["prefix"], &flag["action"]),
        (&A.into(), &"drop".into())
    );
    let cause = &flag["cause"];
    assert_eq!(cause["rule"], "spray");
    let compared = &cause["compared"][0];
    assert_eq!(
        (&compared["figure"], &compared["limit"]),
        (&"syns".into(), &json!(100.0))
    );
    let because = format!("syns {} (> 100) in 1s", compared["value"]).replace(".0 ", " ");
    let said = lab.outgate(&["flag", "show", "1"]);
    assert!(said.out.contains(&because), "{because}: {said:?}");

    until_ended(&lab, &flag);
    let rules = lab.json(0, &["rules", "ls"]);
    let probation = &rules["probation"][0];
    assert_eq!(
        (&probation["customer"], &probation["flag"]),
        (&A.into(), &1.into())
    );
    assert_eq!(
        (&probation["rule"], &probation["lifts"]),
        (&"spray".into(), &1.into())
    );
    assert_eq!(rules["rules"][0]["done"], 1);

    // What it remembers outlives it.
    lab.end(Signal::KILL);
    lab.start();
    assert_eq!(
        lab.json(0, &["rules", "ls"])["probation"],
        rules["probation"]
    );
    // A quarter of the limit is enough now, and one flag has ended by itself already.
    let second = flagged(&lab, 40, 2);
    assert_eq!(second["cause"]["probation_factor"], json!(0.25));
    assert_eq!(second["cause"]["only_by_person"], true);
    let why = lab.outgate(&["why", "192.0.2.10"]);
    assert!(
        why.out
            .contains("on probation (limits times 0.25); only a person lifts it"),
        "{why:?}"
    );

    // The same rules over what was recorded say the same; the second flag lived on.
    let file = file(&lab);
    let file = file.to_str().unwrap();
    let replay = lab.json(0, &["replay", "--rules", file, "--from", "1h"]);
    let first = &replay["would"][0];
    assert_eq!(
        (&first["customer"], &first["rule"], &first["dial"]),
        (&A.into(), &"spray".into(), &"drop".into())
    );
    assert_eq!(
        (&first["at"], &first["really"][0]["flag"]),
        (&cause["at"], &1.into()),
        "{replay:#}"
    );
    assert_eq!(replay["really_only"], json!([]));
    let said = lab.outgate(&["rules", "replay", "--rules", file, "--from", "1h"]);
    assert!(said.out.contains("flag 1 (drop, rule:spray)"), "{said:?}");
    // Milder rules would have flagged nobody, and say whom these did.
    fs::write(file, SPRAY.replace("> 100", "> 100000")).unwrap();
    let replay = lab.json(0, &["rules", "replay", "--rules", file, "--from", "1h"]);
    assert_eq!(
        (&replay["would"], &replay["really_only"][0]["flag"]),
        (&json!([]), &1.into())
    );
    assert_eq!(
        lab.outgate(&["replay", "--rules", file, "--from", "2h", "--to", "1h"])
            .code,
        2
    );

    // A person lifts it, and what was counted before is not judged again.
    lab.json(0, &["flag", "rm", "192.0.2.10", "--reason", "cleaned up"]);
    assert_eq!(lab.json(0, &["rules", "ls"])["probation"], json!([]));
}

#[test]
fn a_persons_flag_comes_back_after_a_rules() {
    let lab = ruled(SPRAY);
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "slow",
            "--action",
            "limit",
            "--rate",
            "30/min",
        ],
    );
    let raised = flagged(&lab, 200, 2);
    assert_eq!(
        (&raised["replaces"], &raised["cause"]["beneath"]["flag"]),
        (&1.into(), &1.into())
    );
    until_ended(&lab, &raised);
    lab.until("it is back", |lab| flags(lab).len() == 3);
    let back = lab.json(0, &["flag", "show", "192.0.2.10"]);
    assert_eq!(
        (&back["action"], &back["actor"], &back["reason"]),
        (&"limit".into(), &"tester".into(), &"slow".into())
    );
    assert_eq!(back["expires_at"], flags(&lab)[0]["expires_at"]);
    assert_eq!(
        (&back["history"][0]["event"], &back["history"][0]["actor"]),
        (&"flag restored".into(), &"outgated".into())
    );
    // An exemption is a person's word, too.
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "our own list server",
            "--action",
            "pass",
        ],
    );
    lab.until("it is held back", |lab| {
        sees(lab, 200);
        lab.json(0, &["rules", "log"])[0]["held_back_by"] == "exempted by flag 4"
    });
    assert_eq!(flags(&lab).len(), 4);
}

#[test]
fn frozen_rules_note_what_they_would_have_done() {
    let mut lab = ruled(SPRAY);
    assert_eq!(lab.outgate(&["rules", "freeze", "--reason", " "]).code, 3);
    lab.json(0, &["rules", "freeze", "--reason", "a wrong count"]);
    lab.until("it would have", |lab| {
        sees(lab, 200);
        lab.json(0, &["rules", "log"])[0]["outcome"] == "would have"
    });
    let said = lab.outgate(&["rules", "log"]);
    assert!(
        said.out.contains("would have, but frozen") && said.out.contains(A),
        "{said:?}"
    );
    assert_eq!(flags(&lab), Vec::<Value>::new());
    for kind in ["rules_frozen", "rule_would_have"] {
        let told = lab.json(0, &["events", "--kind", kind]);
        assert_eq!(told.as_array().unwrap().len(), 1, "{told:#}");
    }
    lab.end(Signal::TERM);
    lab.start();
    let said = lab.outgate(&["rules", "ls"]);
    assert!(
        said.out.contains("FROZEN since") && said.out.contains("by tester: a wrong count"),
        "{said:?}"
    );
    lab.json(0, &["rules", "unfreeze", "--reason", "counted right"]);
    assert_eq!(
        lab.outgate(&["rules", "unfreeze", "--reason", "again"])
            .code,
        2
    );
    flagged(&lab, 200, 1);
}

#[test]
fn what_relays_count_is_a_rules_business_and_a_release_is_a_mark() {
    let spam = SPRAY
        .replace("syns > 100", "spam > 5")
        .replace("{syns}", "{spam}");
    let lab = ruled(&spam.replace("\"6s\"", "\"1h\""));
    let post = |seq: u64, happening: Value| {
        let event = json!({
            "seq": seq, "at": "2026-03-01T12:00:00Z", "customer": "192.0.2.10", "flag_id": 1, "happening": happening,
        });
        let batch = json!({ "epoch": "e1", "events": [event] });
        let (status, said) = lab.http("POST /v1/relays/relay-1/events", &batch.to_string());
        assert_eq!(status, 200, "{said}");
    };
    post(
        1,
        json!({ "kind": "rates", "window_s": 60, "messages": 20, "spam": 6, "recipients": 20 }),
    );
    lab.until("a rule flags", |lab| flags(lab).len() == 1);
    let flag = lab.json(0, &["flag", "show", "1"]);
    assert_eq!(
        (&flag["reason"], &flag["actor"]),
        (&"6 SYNs in 1s".into(), &"rule:spray".into())
    );
    post(
        2,
        json!({ "kind": "released", "record": "r1", "by": "bob", "reason": "a newsletter" }),
    );
    let flag = lab.json(0, &["flag", "show", "1"]);
    assert_eq!(
        (&flag["state"], &flag["probation"]["by"]),
        (&"active".into(), &"bob".into()),
        "{flag:#}"
    );
    let events: Vec<&Value> = flag["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["event"])
        .collect();
    assert!(events.contains(&&"flag on probation".into()), "{events:?}");
    let said = lab.outgate(&["flag", "show", "1"]);
    assert!(said.out.contains("by bob: a newsletter"), "{said:?}");
}

#[test]
fn a_file_of_rules_is_taken_whole_or_not_at_all() {
    let mut lab = ruled(SPRAY);
    let path = file(&lab);
    let path = path.to_str().unwrap();
    let wrong = SPRAY.replace("window = \"1s\"", "window = \"1y\"");
    fs::write(
        path,
        format!("{SPRAY}{}", wrong.replace("\"spray\"", "\"other\"")),
    )
    .unwrap();
    for command in [
        &["rules", "reload"][..],
        &[
            "rules",
            "check",
            path,
            "--config",
            lab.config().to_str().unwrap(),
        ],
    ] {
        let said = lab.outgate(command);
        assert_eq!(said.code, 1, "{said:?}");
        let place = "line 16: rule[1].window: \"1y\": allowed are whole seconds from 1s to 2h";
        assert!(
            said.err.contains(path) && said.err.contains(place),
            "{said:?}"
        );
    }
    let names = |lab: &Lab| -> Vec<String> {
        let rules = lab.json(0, &["rules", "ls"])["rules"].clone();
        let names = rules.as_array().unwrap().iter();
        names
            .map(|rule| rule["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&lab), ["spray"]);
    fs::write(path, SPRAY.replace("\"spray\"", "\"second\"")).unwrap();
    lab.json(0, &["rules", "reload"]);
    assert_eq!(names(&lab), ["second"]);
    fs::write(path, SPRAY.replace("\"spray\"", "\"third\"")).unwrap();
    kill_process(Pid::from_raw(lab.pid()).unwrap(), Signal::HUP).unwrap();
    lab.until("SIGHUP is heard", |lab| names(lab) == ["third"]);

    let config = lab.config();
    let tried = [
        "rules",
        "test",
        path,
        "--config",
        config.to_str().unwrap(),
        "--figures",
        "syns=101",
    ];
    let said = lab.json(0, &tried);
    assert_eq!(
        (&said[0]["rule"], &said[0]["holds"]),
        (&"third".into(), &true.into())
    );
    assert_eq!(
        lab.json(0, &["rules", "check", "--config", config.to_str().unwrap()])["rules"],
        json!(["third"])
    );
    let said = lab.outgate(&[
        "flag",
        "add",
        "192.0.2.10",
        "--reason",
        "r",
        "--actor",
        "rule:third",
    ]);
    assert!(
        said.code == 1 && said.err.contains("say who you are"),
        "{said:?}"
    );

    // It does not start with rules that it cannot go by.
    lab.end(Signal::TERM);
    fs::write(path, "[[rule]]\n").unwrap();
    let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    let said = crate::command::said(command.arg("--config").arg(lab.config()));
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err.contains("rules.toml: line 1: rule[0].name"),
        "{said:?}"
    );
}
