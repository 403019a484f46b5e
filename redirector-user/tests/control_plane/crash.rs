//! Killed at any system call of a change: it is wholly there, or wholly not, and whoever heard of it was right.
//!
//! strace kills the controller as one of its threads is about to do its n-th write to the store, sync of the disk or change
//! of a map since the change was asked for. A first run says how many there are.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ipnetwork::IpNetwork;
use redirector_common::abi::{Action, Policy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    beneath::policies,
    command::Said,
    lab::{Lab, deadline},
};

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
enum Change {
    Add,
    Replace,
    Lift,
}

impl Change {
    const ALL: [Self; 3] = [Self::Add, Self::Replace, Self::Lift];

    /// What the customer meets before and after it.
    const fn verdicts(self) -> (&'static str, &'static str) {
        match self {
            Self::Add => ("pass", "drop"),
            Self::Replace => ("drop", "reset"),
            Self::Lift => ("drop", "pass"),
        }
    }

    /// What must be so before.
    fn prepare(self, lab: &Lab, customer: &str) {
        match self {
            Self::Add => {}
            Self::Replace | Self::Lift => assert_eq!(flag(lab, customer, "drop").code, 0),
        }
    }

    fn ask(self, lab: &Lab, customer: &str) -> Said {
        match self {
            Self::Add => flag(lab, customer, "drop"),
            Self::Replace => flag(lab, customer, "reset"),
            Self::Lift => lab.outgate(&["flag", "rm", customer, "--reason", "over"]),
        }
    }
}

fn flag(lab: &Lab, customer: &str, action: &str) -> Said {
    lab.outgate(&["flag", "add", customer, "--reason", "r", "--action", action])
}

/// strace on the controller, with all of its threads.
struct Strace(Child);

impl Strace {
    fn attach(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = Command::new("strace");
        let command = command
            .arg("-f")
            .args(arguments)
            .arg("-p")
            .arg(lab.pid().to_string());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let strace = Self(child.expect("strace is installed"));
        lab.until("strace holds every thread", |lab| {
            let tasks = fs::read_dir(format!("/proc/{}/task", lab.pid())).unwrap();
            let mut tasks = tasks.map(|task| task.unwrap().path().join("status"));
            // A thread that has ended meanwhile does not matter.
            tasks.all(|status| {
                fs::read_to_string(status).map_or(true, |text| !text.contains("TracerPid:\t0\n"))
            })
        });
        strace
    }

    /// Lets the controller go, if it still runs. Interrupted, it writes down what it has seen, but may wait for ever for
    /// threads of a controller that was killed; killed itself, it does neither.
    fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap();
    }
}

/// How often the busiest thread does each of them for one change.
fn counted(lab: &Lab, change: Change, customer: &str, log: &Path) -> BTreeMap<&'static str, usize> {
    change.prepare(lab, customer);
    let calls = format!("trace={}", CALLS.join(","));
    let strace = Strace::attach(lab, &["-e", &calls, "-o", log.to_str().unwrap()]);
    assert_eq!(change.ask(lab, customer).code, 0);
    strace.end(Signal::INT);
    let text = fs::read_to_string(log).unwrap();
    let most = |call: &str| {
        let mut threads: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines() {
            let Some((thread, rest)) = line.split_once(char::is_whitespace) else {
                continue;
            };
            if rest.trim_start().starts_with(&format!("{call}(")) {
                *threads.entry(thread).or_default() += 1;
            }
        }
        threads.into_values().max().unwrap_or_default()
    };
    CALLS.map(|call| (call, most(call))).into()
}

/// What the kernel does with a customer by its maps alone.
fn in_kernel(held: &BTreeMap<IpNetwork, Policy>, customer: &str) -> &'static str {
    let prefix: IpNetwork = customer.parse().unwrap();
    match held.get(&prefix).map(|policy| policy.action) {
        None => "pass",
        Some(action) if action == Action::Drop as u8 => "drop",
        Some(action) if action == Action::Reset as u8 => "reset",
        // A lifted flag stays for connections that are open.
        Some(action) if action == Action::Linger as u8 => "pass",
        Some(action) => panic!("{customer}: action {action}"),
    }
}

/// What store and trail say of a customer; fails if they do not agree.
#[track_caller]
fn told(lab: &Lab, customer: &str) -> String {
    let all = lab.json(0, &["flag", "ls", "--all"]);
    let all = all.as_array().unwrap();
    let added = lab.json(0, &["audit", "ls", "--kind", "flag added", "-n", "10000"]);
    assert_eq!(
        added.as_array().unwrap().len(),
        all.len(),
        "{customer}: flags and their rows of the trail"
    );
    let of_it = all.iter().filter(|flag| flag["prefix"] == customer);
    let mut active = Vec::new();
    for flag in of_it {
        let rows = lab.json(
            0,
            &["audit", "ls", "--subject", &format!("flag:{}", flag["id"])],
        );
        let kinds: Vec<_> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["kind"].as_str().unwrap())
            .collect();
        let ended = kinds
            .iter()
            .any(|kind| ["flag lifted", "flag replaced"].contains(kind));
        assert_eq!(kinds[0], "flag added", "{customer}: {rows}");
        assert_eq!(
            ended,
            flag["state"] == "ended",
            "{customer}: {flag}, {rows}"
        );
        active.extend((!ended).then(|| flag["action"].as_str().unwrap().to_owned()));
    }
    assert!(active.len() <= 1, "{customer}: {active:?}");
    active.pop().unwrap_or_else(|| String::from("pass"))
}

/// Kills the controller there, starts it again, and looks whether everything agrees. Whether it was killed at all.
#[track_caller]
fn killed_at(lab: &mut Lab, change: Change, customer: &str, call: &str, nth: usize) -> bool {
    let at = format!("{change:?} of {customer}, killed at {call} {nth}");
    let (before, after) = change.verdicts();
    change.prepare(lab, customer);
    let calls = format!("trace={call}");
    let fault = format!("inject={call}:signal=KILL:when={nth}");
    let strace = Strace::attach(lab, &["-e", &calls, "-e", &fault]);
    let said = change.ask(lab, customer);
    strace.end(Signal::KILL);
    // Whoever got no answer was not told so by a controller that lives.
    let killed = lab.has_ended_within(if said.code == 0 {
        Duration::ZERO
    } else {
        deadline()
    });
    assert!(killed || said.code == 0, "{at}: {said:?}");
    lab.end(Signal::KILL);
    let held = policies(lab);
    let held = in_kernel(&held, customer);
    assert!(
        [before, after].contains(&held),
        "{at}: the kernel holds {held}"
    );

    lab.start();
    let now = told(lab, customer);
    assert!(
        [before, after].contains(&now.as_str()),
        "{at}: the store says {now}"
    );
    assert!(
        said.code != 0 || now == after,
        "{at}: it was acknowledged, and the store says {now}"
    );
    assert!(
        held != after || now == after,
        "{at}: the kernel was told what the store does not know"
    );
    let why: Value = lab.json(0, &["why", customer.split('/').next().unwrap()]);
    let action = why["action"].as_str().filter(|action| *action != "linger");
    let action = action.unwrap_or("pass");
    assert_eq!(action, now, "{at}: {why}");
    let proven = lab.outgate(&["audit", "verify"]);
    assert_eq!(proven.code, 0, "{at}: {proven:?}");
    killed
}

#[test]
fn killed_at_any_system_call_a_change_is_wholly_there_or_wholly_not() {
    let mut lab = Lab::started();
    let directory = tempfile::tempdir().unwrap();
    let mut customers = (1..200_u32).map(|number| match number % 2 {
        0 => format!("2001:db8:a:{number:x}::/64"),
        _ => format!("192.0.2.{number}/32"),
    });
    let (mut killed, mut spared) = (0, 0);
    for change in Change::ALL {
        let customer = customers.next().unwrap();
        let counts = counted(&lab, change, &customer, &directory.path().join("log"));
        assert!(
            counts["pwrite64"] > 0 && counts["bpf"] > 0,
            "{change:?}: {counts:?}"
        );
        for (call, many) in counts.into_iter().filter(|(_, many)| *many > 0) {
            // The first, the last, and some between them.
            let mut places: Vec<_> = (0..PLACES)
                .map(|place| 1 + place * (many - 1) / (PLACES - 1))
                .collect();
            places.dedup();
            for nth in places {
                let customer = customers.next().unwrap();
                match killed_at(&mut lab, change, &customer, call, nth) {
                    true => killed += 1,
                    false => spared += 1,
                }
            }
        }
    }
    assert!(
        killed > spared,
        "killed {killed} times, spared {spared} times"
    );
    // All that was ever said is true at the end, too, in the maps and in the store.
    let active = lab.json(0, &["flag", "ls"]);
    let active: BTreeMap<String, String> = active
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| {
            let text = |key: &str| flag[key].as_str().unwrap().to_owned();
            (text("prefix"), text("action"))
        })
        .collect();
    lab.end(Signal::TERM);
    let held = policies(&lab);
    for (prefix, action) in &active {
        assert_eq!(in_kernel(&held, prefix), action, "{prefix}");
    }
    let more: Vec<_> = held
        .keys()
        .filter(|prefix| !active.contains_key(&prefix.to_string()))
        .collect();
    assert!(
        more.iter()
            .all(|prefix| in_kernel(&held, &prefix.to_string()) == "pass"),
        "{more:?}"
    );
}

/// What makes a change durable, and puts it into force.
const CALLS: [&str; 4] = ["pwrite64", "fdatasync", "fsync", "bpf"];
/// Of each, where in its course the controller is killed.
const PLACES: usize = 4;
