//! What the service manager is told: a reload from its beginning to its end, and that the relay lives only while its
//! runtime and the thread that writes its spool do.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::{Running, free_address, require_root};
use crate::program::{Home, Program};

/// A relay that is watched, with a spool.
fn home() -> Home {
    let listen = free_address();
    let mut home = Home::authorised(
        false,
        &format!(
            "[[authorised]]\nlisten = [\"{listen}\"]\nfrom = [\"192.0.2.0/24\"]\ndestination = \"so-original-dst\"\n"
        ),
    );
    let spool = home.path("spool");
    home.add_table(&format!("[spool]\ndir = {spool:?}\n"));
    home
}

/// Under a service manager that gives up after [`LIMIT`].
fn watched(home: &Home) -> Program {
    let limit = format!("WATCHDOG_USEC={}", LIMIT.as_micros());
    home.start_under(&["env", &limit])
}

/// The threads whose names begin so.
fn threads(program: &Program, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    let tasks = tasks.map(|task| task.unwrap().path());
    let found = tasks
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|it| it.starts_with(name)));
    found
        .map(|task| task.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Stops these threads in their next system call, as by a disk or a kernel that does not come back.
fn hang(threads: &[String]) -> Running {
    assert!(!threads.is_empty(), "a thread has that name");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", "trace=all"]);
    strace.args(["-e", "inject=all:delay_enter=3600s"]);
    strace.args(threads.iter().flat_map(|thread| ["-p", thread]));
    Running::start(strace.stdin(Stdio::null()).stderr(Stdio::null()))
}

#[track_caller]
fn silent_while_these_hang(name: &str) {
    require_root();
    let home = home();
    let program = watched(&home);
    for _ in 0..3 {
        assert_eq!(program.notification(), PING, "{}", home.log());
    }
    let traced = hang(&threads(&program, name));
    let began = Instant::now();
    while program.notification_within(2 * LIMIT).is_some() {
        assert!(began.elapsed() < PATIENCE, "it says that it lives");
    }
    drop(traced);
    let word = program.notification_within(PATIENCE);
    assert_eq!(word.as_deref(), Some(PING), "{}", home.log());
    assert!(program.stop().success(), "{}", home.log());
}

#[test]
fn a_spool_that_hangs_ends_the_pings_and_one_that_writes_brings_them_back() {
    silent_while_these_hang("spool-commit");
}

#[test]
fn a_runtime_that_hangs_ends_the_pings_and_one_that_runs_brings_them_back() {
    silent_while_these_hang("tokio-rt-worker");
}

#[test]
fn a_spool_that_hangs_is_said_in_the_log() {
    require_root();
    let home = home();
    let program = watched(&home);
    let traced = hang(&threads(&program, "spool-commit"));
    crate::host::wait_until("the trouble", || {
        home.log()
            .contains("the spool does not write any more: the service manager will start")
    });
    drop(traced);
    crate::host::wait_until("its end", || home.log().contains("the spool writes again"));
    assert!(program.stop().success());
}

#[test]
fn a_reload_has_a_beginning_and_an_end_whether_it_is_a_good_one_or_not() {
    let home = home();
    let program = home.start();
    let reload = || {
        program.hang_up();
        let began = program.notification();
        let (word, time) = began.split_once('\n').unwrap();
        assert_eq!(word, "RELOADING=1");
        let time = time.strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().is_ok_and(|usec| usec > 0), "{began}");
        assert_eq!(program.notification(), "READY=1");
    };
    reload();
    assert!(home.log().contains("configuration read again"));
    fs::write(home.path("relay.toml"), "name = 5\n").unwrap();
    reload();
    assert!(home.log().contains("the old one stays in force"));
    assert!(program.stop().success());
}

#[test]
fn nobody_who_does_not_watch_is_pinged() {
    let home = home();
    let program = home.start();
    assert_eq!(program.notification_within(LIMIT), None);
    assert!(program.stop().success());
}

const PING: &str = "WATCHDOG=1";
const LIMIT: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(60);
