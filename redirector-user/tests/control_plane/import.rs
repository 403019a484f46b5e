//! A file of flags: whole or not at all, whatever happens on the way.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Stdio};

use redirector_common::abi::Action;
use redirector_user::edge::{Edge, EdgeConfig};
use rustix::process::Signal;

use crate::lab::Lab;

impl Lab {
    fn file(&self, text: &str) -> PathBuf {
        let path = self.config().with_file_name("flags.csv");
        fs::write(&path, text).unwrap();
        path
    }

    #[track_caller]
    fn import(&self, code: i32, text: &str, more: &[&str]) -> serde_json::Value {
        let path = self.file(text);
        let import = [
            "flag",
            "import",
            path.to_str().unwrap(),
            "--override-guard",
            "it is meant",
        ];
        self.json(code, &[&import[..], more].concat())
    }
}

/// As many hosts and prefixes, IPv6.
fn many(action: &str) -> String {
    let hosts = (0..LINES / 2).map(|host| format!("2001:db8:a::{host:x},r,{action},yes\n"));
    let prefixes = (1..=LINES / 2).map(|net| format!("2001:db8:a:{net:x}::/64,r,{action},\n"));
    let lines: String = hosts.chain(prefixes).collect();
    format!("prefix,reason,action,exact\n{lines}")
}

#[test]
fn a_file_is_one_change_that_is_in_force_when_the_command_returns() {
    let lab = Lab::started();
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "r",
            "--action",
            "observe",
        ],
    );
    let file = "reason,prefix,action,for,ticket\n\
                \"spam, again\",192.0.2.10,drop,24h,T-1\n\
                no contract,192.0.2.64/28,reset,,\n\
                spam,2001:db8:a:a::10,drop,,\n";
    let judged = lab.import(0, file, &["--dry-run"]);
    assert_eq!(
        (&judged["flags"], &judged["replaced"]),
        (&3.into(), &1.into())
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["action"], "observe");

    let done = lab.import(0, file, &[]);
    assert_eq!(
        (&done["first"], &done["last"], &done["pending"]),
        (&2.into(), &4.into(), &0.into())
    );
    for (source, rule, verdict) in [
        ("192.0.2.10", "192.0.2.10/32", "drop"),
        ("192.0.2.70", "192.0.2.64/28", "tx"),
        ("2001:db8:a:a::11", "2001:db8:a:a::/64", "drop"),
    ] {
        let why = lab.json(0, &["why", source]);
        assert_eq!(
            (&why["rule"], &why["verdict"]),
            (&rule.into(), &verdict.into()),
            "{why:#}"
        );
    }
    let shown = lab.json(0, &["flag", "show", "192.0.2.10"]);
    assert_eq!(
        (
            &shown["reason"],
            &shown["actor"],
            &shown["ticket"],
            &shown["replaces"]
        ),
        (
            &"spam, again".into(),
            &"tester".into(),
            &"T-1".into(),
            &1.into()
        )
    );
    assert_eq!(shown["generation"], done["generation"]);
    let events: Vec<_> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["event"].clone())
        .collect();
    assert_eq!(events, ["flag added", "flag activated"]);
    assert_eq!(
        lab.json(0, &["flag", "show", "1"])["ended_reason"],
        "replaced by flag 2"
    );

    // Lists come in pages.
    let ids = |arguments: &[&str]| -> Vec<u64> {
        let list = lab.json(0, &[&["flag", "ls"], arguments].concat());
        let flags = list.as_array().unwrap().iter();
        flags.map(|flag| flag["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(&["--limit", "2"]), [2, 3]);
    assert_eq!(ids(&["--limit", "2", "--after", "3"]), [4]);
    let said = lab.outgate(&["flag", "ls", "--limit", "2"]);
    assert!(
        said.err.contains("there are more: `--after 3` goes on"),
        "{said:?}"
    );
}

#[test]
fn what_came_with_one_file_ends_in_few_changes() {
    let lab = Lab::started();
    let hosts = (1..=700).map(|host| format!("2001:db8:a::{host:x},r,drop,yes,5s\n"));
    let file = format!(
        "prefix,reason,action,exact,for\n{}",
        hosts.collect::<String>()
    );
    let imported = lab.import(0, &file, &[]);
    assert_eq!(lab.json(0, &["why", "2001:db8:a::2bc"])["verdict"], "drop");
    lab.until("all have ended", |lab| {
        lab.json(0, &["flag", "ls"]) == serde_json::json!([])
    });
    // Of so many, each by itself would keep the lock for long; all at once would, too.
    let after = lab.json(0, &["status"])["generation"].as_u64().unwrap();
    let changes = after - imported["generation"].as_u64().unwrap();
    assert!((3..20).contains(&changes), "{changes} changes");
    for source in ["2001:db8:a::1", "2001:db8:a::2bc"] {
        assert_eq!(lab.json(0, &["why", source])["verdict"], "pass");
    }
    for id in ["1", "256", "257", "700"] {
        let shown = lab.json(0, &["flag", "show", id]);
        assert_eq!(shown["ended_reason"], "expired", "{shown:#}");
    }
    lab.json(0, &["audit", "verify"]);
}

#[test]
fn one_bad_line_is_enough_and_all_of_them_are_named() {
    let lab = Lab::started();
    let before = lab.json(0, &["status"])["generation"].clone();
    let path = lab.file("prefix,reason\n192.0.2.10,r\n203.0.113.1,r\n192.0.2.300,r\n");
    let import = ["flag", "import", path.to_str().unwrap()];
    let said = lab.outgate(&import);
    assert_eq!(said.code, 1, "{said:?}");
    for part in [
        "2 bad lines",
        "line 3: 203.0.113.1/32 is not a customer",
        "line 4: \"192.0.2.300\"",
    ] {
        assert!(said.err.contains(part), "{part:?}: {said:?}");
    }
    let guarded = lab.file("prefix,reason\n203.0.113.1,r\n");
    assert_eq!(
        lab.outgate(&["flag", "import", guarded.to_str().unwrap()])
            .code,
        3
    );
    assert_eq!(
        lab.outgate(&["flag", "import", "/nowhere/flags.csv"]).code,
        1
    );
    assert_eq!(lab.json(0, &["status"])["generation"], before);
    assert_eq!(lab.json(0, &["flag", "ls"]).as_array().unwrap().len(), 0);
}

#[test]
fn a_kill_at_any_point_leaves_the_old_set_or_the_new_one() {
    let mut lab = Lab::started();
    let done = lab.import(0, &many("drop"), &[]);
    assert_eq!(done["flags"], LINES);
    let mut now = "drop";
    for (round, stage) in ["reading", "storing", "storing", "enforcing", "enforcing"]
        .iter()
        .enumerate()
    {
        let next = if now == "drop" { "reset" } else { "drop" };
        let path = lab.file(&many(next));
        let mut command = lab.inside(env!("CARGO_BIN_EXE_outgate"));
        command
            .env("OUTGATE_SOCKET", lab.socket())
            .args(["flag", "import", "--override-guard", "it is meant"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut import = command.spawn().unwrap();
        // Whichever stage the kill meets in the end, the outcome must be one of two.
        lab.until(stage, |lab| {
            let progress = lab.http("GET /v1/flags/import", "").1;
            progress["stage"] == *stage || import_ended(&mut import)
        });
        lab.end(Signal::KILL);
        import.wait().unwrap();

        let held = in_kernel(&lab);
        let whole = [(Action::Drop as u8, LINES), (Action::Reset as u8, LINES)];
        assert_eq!(held.len(), 1, "round {round}, {stage}: {held:?}");
        assert!(
            held.iter().all(|held| whole.contains(held)),
            "round {round}: {held:?}"
        );
        lab.start();
        // What is in the store decides; it is in force again before anybody is answered.
        let why = lab.json(0, &["why", "2001:db8:a::1"]);
        now = if why["action"] == "reset" {
            "reset"
        } else {
            "drop"
        };
        let wide = lab.json(0, &["why", "2001:db8:a:1::1"]);
        assert_eq!(wide["action"], why["action"]);
        let action = if now == "reset" {
            Action::Reset
        } else {
            Action::Drop
        };
        assert_eq!(in_kernel(&lab), BTreeSet::from([(action as u8, LINES)]));
    }
}

fn import_ended(import: &mut std::process::Child) -> bool {
    import.try_wait().unwrap().is_some()
}

/// Actions in the kernel, each with how many policies have it.
fn in_kernel(lab: &Lab) -> BTreeSet<(u8, usize)> {
    let edge = Edge::open(EdgeConfig {
        pin_dir: lab.pin_dir(),
        flows_max: 4096,
        policies_max: 262_144,
        syn_rate: 20,
        syn_burst: 100,
        heartbeat_limit_s: 300,
        debug_lines: false,
        radar_sources_max: 1024,
    });
    let policies = edge.unwrap().actual().unwrap().policies;
    let actions: BTreeSet<u8> = policies.values().map(|policy| policy.action).collect();
    let count = |action: u8| {
        policies
            .values()
            .filter(|policy| policy.action == action)
            .count()
    };
    actions
        .into_iter()
        .map(|action| (action, count(action)))
        .collect()
}

const LINES: usize = 2000;
