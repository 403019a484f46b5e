//! How long flags stand: longer ends, reviews, and two people for "for ever".

use rustix::process::Signal;
use serde_json::Value;

use crate::lab::Lab;

const FOUR: &str = "192.0.2.10";
const SIX: &str = "2001:db8:a:a::10";

fn add<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let flag = [
        "flag", "add", target, "--reason", "spam run", "--action", "drop",
    ];
    [&flag, more].concat()
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Days from one moment to another, rounded.
fn days(from: &Value, to: &Value) -> i64 {
    let hours = time(to).duration_since(time(from)).as_hours();
    (hours + 12) / 24
}

#[track_caller]
fn refused(lab: &Lab, code: i32, arguments: &[&str], words: &str) {
    let said = lab.outgate(arguments);
    assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    assert!(said.err.contains(words), "{arguments:?}: {said:?}");
}

fn kinds(lab: &Lab) -> Vec<String> {
    let events = lab.json(0, &["events"]);
    let events = events.as_array().unwrap().iter();
    events
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_flag_lives_longer_by_a_persons_word_and_the_trail_keeps_the_end_that_it_had() {
    let lab = Lab::started();
    for target in [FOUR, SIX] {
        let flag = lab.json(0, &add(target, &[]));
        let extend = |life, code| {
            let words = [
                "flag",
                "extend",
                target,
                "--for",
                life,
                "--reason",
                "still sends",
            ];
            (lab.outgate(&words), code)
        };
        let (said, code) = extend("14d", 0);
        assert_eq!(said.code, code, "{said:?}");
        let shown = lab.json(0, &["flag", "show", target]);
        assert_eq!(days(&shown["created_at"], &shown["expires_at"]), 14);
        let last = shown["history"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["event"], &last["actor"]),
            (&"flag extended".into(), &"tester".into())
        );
        assert_eq!(last["detail"]["expired_at_before"], flag["expires_at"]);
        assert_eq!(last["detail"]["reason"], "still sends");
        for (life, code, words) in [
            ("13d", 3, "lives until"),
            ("91d", 3, "at most 90d"),
            ("ever", 1, "flagging anew"),
            ("soon", 1, "not a duration"),
        ] {
            let (said, code) = extend(life, code);
            assert_eq!(said.code, code, "{life}: {said:?}");
            assert!(said.err.contains(words), "{life}: {said:?}");
        }
    }
    refused(
        &lab,
        3,
        &["flag", "extend", FOUR, "--review", "30d", "--reason", "r"],
        "has no reviews",
    );
    let told = kinds(&lab);
    let extended = told.iter().filter(|kind| *kind == "flag_extended");
    assert_eq!(extended.count(), 2, "{told:?}");
    // Whoever asks by HTTP must say one of the two.
    let body = r#"{"reason": "r", "actor": "a"}"#;
    let (status, answer) = lab.http("POST /v1/flags/1/extend", body);
    assert_eq!((status, &answer["error"]["kind"]), (422, &"usage".into()));
}

#[test]
fn the_history_of_a_prefix_has_every_flag_and_change_the_newest_first() {
    let lab = Lab::started();
    for target in [FOUR, SIX] {
        lab.json(0, &add(target, &[]));
        lab.json(0, &add(target, &["--for", "14d"]));
        lab.json(0, &["flag", "rm", target, "--reason", "clean"]);
        let changes = lab.json(0, &["flag", "history", target]);
        let changes = changes.as_array().unwrap();
        let events: Vec<_> = changes.iter().map(|one| one["event"].clone()).collect();
        let (first, second) = (&changes.last().unwrap()["flag"], &changes[0]["flag"]);
        assert_eq!(first.as_u64().unwrap() + 1, second.as_u64().unwrap());
        assert_eq!(
            (&events[0], events.last().unwrap()),
            (&"flag lifted".into(), &"flag added".into()),
            "{events:?}"
        );
        let replaced = changes.iter().find(|one| one["event"] == "flag replaced");
        assert_eq!(&replaced.unwrap()["flag"], first);
        let times: Vec<_> = changes.iter().map(|one| time(&one["at"])).collect();
        assert!(
            times.is_sorted_by(|newer, older| newer >= older),
            "{times:?}"
        );
    }
    let said = lab.outgate(&["flag", "history", FOUR]);
    for words in ["flag lifted", "clean", "drop, spam run", "tester"] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    // A prefix around it is another one.
    refused(&lab, 2, &["flag", "history", "192.0.2.0/24"], "never was");
}

#[test]
fn for_ever_takes_a_second_person_and_comes_up_for_review() {
    let mut lab = Lab::started();
    let ever = ["--for", "ever", "--review", "2s"];
    for (target, id) in [(FOUR, 1), (SIX, 2)] {
        let flag = lab.json(0, &add(target, &ever));
        assert_eq!(
            (&flag["approval"], &flag["state"], &flag["review_at"]),
            (&"pending".into(), &"active".into(), &Value::Null)
        );
        assert_eq!(days(&flag["created_at"], &flag["expires_at"]), 90);
        assert_eq!(lab.json(0, &["why", target])["verdict"], "drop");
        let approve = ["flag", "approve", target, "--reason", "checked"];
        refused(&lab, 3, &approve, "tester has asked");
        let other = [&approve[..], &["--actor", "bob"]].concat();
        let approved = lab.json(0, &other);
        assert_eq!(
            (&approved["approval"], &approved["decided_by"]),
            (&"approved".into(), &"bob".into())
        );
        assert_eq!(approved["expires_at"], "9999-01-01T00:00:00Z");
        refused(&lab, 3, &other, "bob has approved already");
        // Its review is told once, and listed until somebody has moved it.
        lab.until("its review comes", |lab| {
            let told = kinds(lab);
            told.iter().any(|kind| kind == "flag_review_due")
                && lab.json(0, &["flag", "ls", "--due", "0s"])[0]["id"] == id
        });
        let list = lab.outgate(&["flag", "ls", "--due", "1h"]);
        assert!(list.out.contains("never; review"), "{list:?}");
        let review = [
            "flag", "extend", target, "--review", "60d", "--reason", "stays",
        ];
        let moved = lab.json(0, &review);
        assert!(time(&moved["review_at"]) > time(&approved["review_at"]));
        let none = lab.json(0, &["flag", "ls", "--due", "7d"]);
        assert_eq!(none.as_array().unwrap().len(), 0, "{none:#}");
        let in_time = lab.json(0, &["flag", "ls", "--due", "61d"]);
        assert_eq!(in_time[0]["id"], 1);
        refused(
            &lab,
            3,
            &["flag", "extend", target, "--for", "14d", "--reason", "r"],
            "stands for ever",
        );
    }
    let before = lab.json(0, &["flag", "show", SIX]);
    lab.end(Signal::KILL);
    lab.start();
    let after = lab.json(0, &["flag", "show", SIX]);
    for field in [
        "approval",
        "decided_by",
        "review_at",
        "expires_at",
        "history",
    ] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(lab.json(0, &["why", SIX])["verdict"], "drop");
    let told = kinds(&lab);
    let reviews = told.iter().filter(|kind| *kind == "flag_review_due");
    assert_eq!(reviews.count(), 2, "{told:?}");
}

/// What no file may lose: neither what two people have agreed upon, nor what one waits for.
#[test]
fn a_file_changes_no_flag_that_stands_for_ever() {
    let mut lab = Lab::started();
    for target in [FOUR, SIX] {
        lab.json(0, &add(target, &["--for", "ever", "--review", "30d"]));
    }
    let approve = [
        "flag", "approve", FOUR, "--reason", "checked", "--actor", "bob",
    ];
    lab.json(0, &approve);
    let shown = |lab: &Lab| [FOUR, SIX].map(|target| lab.json(0, &["flag", "show", target]));
    let before = shown(&lab);
    assert_eq!(
        (&before[0]["approval"], &before[1]["approval"]),
        (&"approved".into(), &"pending".into())
    );

    let path = lab.config().with_file_name("flags.csv");
    let file = path.to_str().unwrap();
    let import = ["flag", "import", file, "--override-guard", "it is meant"];
    let with = |more: &[&'static str]| [&import[..], more].concat();
    // What they are already, but for how long: nothing is changed, and nothing refused.
    let same =
        "prefix,reason,action,for\n192.0.2.10,spam run,drop,24h\n2001:db8:a:a::10,spam run,drop,\n";
    std::fs::write(&path, same).unwrap();
    assert_eq!(lab.json(0, &import)["unchanged"], 2);
    assert_eq!(shown(&lab), before);
    // Otherwise the file is refused, whole, with each line.
    let other = "prefix,reason,action\n192.0.2.11,spam run,drop\n192.0.2.10,spam run,reset\n2001:db8:a:a::10,worse,drop\n";
    std::fs::write(&path, other).unwrap();
    let approved = "line 3: flag 1 on 192.0.2.10/32 stands for ever, which bob has approved, and a file cannot change that; \
                    take the line out, or `outgate flag rm 1 --reason ...` first";
    let pending =
        "line 4: flag 2 on 2001:db8:a:a::/64 waits for a second person, to stand for ever";
    for more in [&[][..], &["--dry-run"], &["--diff"]] {
        refused(&lab, 3, &with(more), approved);
        refused(&lab, 3, &with(more), pending);
    }
    let policy = lab.config().with_file_name("policy.toml");
    let text = "origin = \"policy\"\n\n[[flag]]\nprefix = \"192.0.2.10\"\nreason = \"r\"\naction = \"reset\"\n";
    std::fs::write(&policy, text).unwrap();
    let apply = ["apply", "-f", policy.to_str().unwrap()];
    // Another's it leaves alone in any case.
    assert_eq!(lab.json(4, &apply)["conflicts"], 1);
    refused(
        &lab,
        3,
        &[&apply[..], &["--take-over"]].concat(),
        "flag 1 on 192.0.2.10/32 stands for ever, which bob has approved",
    );
    assert_eq!(shown(&lab), before);
    assert_eq!(lab.json(0, &["why", FOUR])["verdict"], "drop");
    assert_eq!(lab.outgate(&["flag", "show", "192.0.2.11"]).code, 2);

    // As it says: lifted first, the file is taken.
    for flag in ["1", "2"] {
        lab.json(0, &["flag", "rm", flag, "--reason", "the file has it"]);
    }
    assert_eq!(lab.json(0, &import)["flags"], 3);
    lab.end(Signal::KILL);
    lab.start();
    assert_eq!(lab.json(0, &["why", FOUR])["action"], "reset");
}

#[test]
fn what_is_rejected_ends_as_any_other() {
    let lab = Lab::started();
    let flag = lab.json(0, &add(FOUR, &["--for", "ever", "--review", "30d"]));
    let reject = [
        "flag",
        "reject",
        FOUR,
        "--reason",
        "ends in June",
        "--actor",
        "bob",
    ];
    let rejected = lab.json(0, &reject);
    assert_eq!(
        (&rejected["approval"], &rejected["decided_by"]),
        (&"rejected".into(), &"bob".into())
    );
    assert_eq!(rejected["expires_at"], flag["expires_at"]);
    refused(
        &lab,
        3,
        &["flag", "approve", FOUR, "--reason", "r", "--actor", "carol"],
        "bob has rejected already",
    );
    let said = lab.outgate(&["flag", "show", FOUR]);
    assert!(
        said.out.contains("for ever was rejected by bob"),
        "{said:?}"
    );
}
