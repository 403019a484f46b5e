//! Both relays, killed at any moment, and hand-overs that are cancelled then: every message arrives, and arrives once.
//!
//! Deliveries are paused until the end: a relay that is killed while it delivers may make a second copy, which is another
//! matter.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::cancel;
use super::pair::{Letter, Site, lines, wait_for};
use crate::host::wait_until;
use crate::sink::Sink;

const ROUNDS: usize = 8;

fn letters(from: usize, count: usize) -> Vec<Letter> {
    let letter = |number: usize| {
        // Every eighth is too large for a segment's records.
        let body = lines(if number.is_multiple_of(8) { 3_300 } else { 3 });
        Letter::to(
            &["a@mx.example"],
            &format!("Subject: number {number}\r\n\r\n{body}"),
        )
    };
    (from..from + count).map(letter).collect()
}

fn ordered(site: &Site) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate-relay"));
    command.arg("--config").arg(site.home.path("relay.toml"));
    command.args(["spool", "transfer", "--to", "other"]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait(mut child: Child) {
    wait_until("the hand-over to end", || {
        child.try_wait().unwrap().is_some()
    });
}

fn kill(mut child: Child) {
    // It may have ended by itself.
    let _killed = child.kill().is_ok();
    child.wait().unwrap();
}

#[test]
fn whoever_is_killed_nothing_is_lost_and_nothing_is_doubled() {
    for family in ["127.0.0.1", "::1"] {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let sink = Sink::start();
        let (mut from, mut to) = Site::pair(family, sink.address);
        from.said(true, &[]);
        to.said(true, &[]);
        to.start();
        let mut all = Vec::new();
        for round in 0..ROUNDS {
            let more = letters(all.len(), 24);
            from.fill(&more);
            all.extend(more);
            let moment = Duration::from_millis(random.u64(..250));
            match random.usize(..5) {
                0 => {
                    let giver = ordered(&from);
                    sleep(moment);
                    kill(giver);
                }
                1 => {
                    let giver = ordered(&from);
                    sleep(moment);
                    to.kill();
                    to.start();
                    wait(giver);
                }
                2 => {
                    let giver = cancel::ordered(&from);
                    sleep(moment);
                    cancel::interrupt(&giver);
                    wait(giver);
                }
                3 => {
                    from.start();
                    let asked = ordered(&from);
                    sleep(moment);
                    // It may not have begun, or have ended.
                    let _stopped = from.output(&["spool", "transfer", "--cancel"]);
                    wait(asked);
                    from.stop();
                }
                _ => {
                    from.start();
                    let asked = ordered(&from);
                    sleep(moment);
                    from.kill();
                    wait(asked);
                }
            }
            let here = from.queued();
            println!(
                "seed {seed}, round {round}: {here} of {} messages are still here",
                all.len()
            );
        }
        from.transfer(&[], 0);
        assert_eq!(
            (from.queued(), to.queued()),
            (0, all.len()),
            "seed {seed}: {}",
            to.home.log()
        );
        to.runs(&["queue", "resume", "--all"], 0);
        wait_for(&mut to, 0, &sink, all.len());
        let taken = sink.taken();
        for letter in &all {
            let same = taken
                .iter()
                .filter(|it| it.content() == letter.content.as_bytes());
            assert_eq!(
                same.count(),
                1,
                "seed {seed}: {}",
                letter.content.lines().next().unwrap()
            );
        }
        to.stop();
    }
}
