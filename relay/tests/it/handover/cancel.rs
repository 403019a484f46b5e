//! A hand-over that somebody stops: what the other relay has acknowledged is its own, the rest stays, and nothing arrives
//! twice.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::pair::{Letter, Site, lines, wait_for};
use crate::host::wait_until;
use crate::sink::Sink;

/// A way to the taker that takes no more than so many octets of the giver's first connection, and does not end it.
struct Valve {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
}

impl Valve {
    fn before(taker: SocketAddr, most: u64) -> Self {
        let listener = TcpListener::bind((taker.ip(), 0)).unwrap();
        // What is not taken must not find room in buffers.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 64 << 10).unwrap();
        let address = listener.local_addr().unwrap();
        let [connections, passed] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let [opened, counter] = [&connections, &passed].map(Arc::clone);
        thread::spawn(move || {
            for (number, giver) in listener.incoming().enumerate() {
                let most = if number == 0 { most } else { u64::MAX };
                join(giver.unwrap(), taker, most, &counter);
                opened.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            address,
            connections,
            passed,
        }
    }

    fn wait_until_shut(&self, most: u64) {
        wait_until("the connection to be stuck", || {
            let opened = self.connections.load(Ordering::Relaxed) > 0;
            opened && self.passed.load(Ordering::Relaxed) >= most
        });
    }
}

fn join(giver: TcpStream, taker: SocketAddr, most: u64, passed: &Arc<AtomicU64>) {
    let taker = TcpStream::connect(taker).unwrap();
    let (back, answers) = (giver.try_clone().unwrap(), taker.try_clone().unwrap());
    let passed = Arc::clone(passed);
    // How they end is the relays' business.
    thread::spawn(move || pass(giver, taker, most, &passed).is_ok());
    thread::spawn(move || pass(answers, back, u64::MAX, &AtomicU64::new(0)).is_ok());
}

fn pass(mut from: TcpStream, mut to: TcpStream, most: u64, passed: &AtomicU64) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    let mut left = most;
    while left > 0 {
        let room = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = from.read(&mut buffer[..room])?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&buffer[..count])?;
        left -= count as u64;
        passed.fetch_add(count as u64, Ordering::Relaxed);
    }
    loop {
        thread::park();
    }
}

/// So large that three of them are a batch.
fn letters() -> Vec<Letter> {
    let letter = |number: usize| {
        let body = lines(34_000);
        Letter::to(
            &["a@mx.example"],
            &format!("Subject: number {number}\r\n\r\n{body}"),
        )
    };
    (0..6).map(letter).collect()
}

pub(super) fn ordered(site: &Site) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate-relay"));
    command.arg("--config").arg(site.home.path("relay.toml"));
    command.args(["spool", "transfer", "--to", "other", "-j"]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(super) fn interrupt(child: &Child) {
    // It may have ended by itself.
    let _sent = kill_process(Pid::from_child(child), Signal::INT).is_ok();
}

/// How a hand-over is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Ctrl-C where the program itself hands a stopped relay's mail over.
    Directly,
    /// Ctrl-C where it waits for the running relay.
    Waiting,
    /// By another command.
    Word,
}

#[test]
fn what_is_not_acknowledged_when_it_is_stopped_stays_here() {
    for (stop, family, most, gone) in [
        (Stop::Directly, "127.0.0.1", 12 << 20, 3),
        (Stop::Waiting, "::1", 12 << 20, 3),
        (Stop::Word, "127.0.0.1", 12 << 20, 3),
        // Not even the handshake.
        (Stop::Directly, "::1", 0, 0),
        (Stop::Word, "::1", 0, 0),
    ] {
        let sink = Sink::start();
        let (mut from, mut to) = Site::pair(family, sink.address);
        let valve = Valve::before(to.listen, most);
        from.other.0 = valve.address;
        let all = letters();
        from.fill(&all);
        from.said(true, &[]);
        to.said(true, &[]);
        to.start();
        if stop != Stop::Directly {
            from.start();
            wait_until("the queue to be read", || from.queued() == all.len());
        }
        let giver = ordered(&from);
        valve.wait_until_shut(most);
        match stop {
            Stop::Directly | Stop::Waiting => interrupt(&giver),
            Stop::Word => {
                // It may not have begun.
                let mut said = String::new();
                wait_until("the relay to stop it", || {
                    let output = from.output(&["spool", "transfer", "--cancel", "-j"]);
                    said = String::from_utf8(output.stdout).unwrap();
                    output.status.success()
                });
                let said: Value = serde_json::from_str(&said).unwrap();
                assert_eq!(
                    (&said["handed_over"], &said["ended"]),
                    (&gone.into(), &true.into()),
                    "{said}"
                );
            }
        }
        let output = giver.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{stop:?}: {output:?}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["handed_over"], gone, "{stop:?}: {said}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("cancelled"), "{stop:?}: {error}");
        assert_eq!((from.queued(), to.queued()), (all.len() - gone, gone));

        // What stays is whole, and can be handed over again.
        let said = from.transfer(&[], 0);
        let left = all.len() - gone;
        assert!(
            said.contains(&format!("{left} of {left} messages")),
            "{said}"
        );
        to.runs(&["queue", "resume", "--all"], 0);
        wait_for(&mut to, 0, &sink, all.len());
        let taken = sink.taken();
        for letter in &all {
            let same = taken
                .iter()
                .filter(|it| it.content() == letter.content.as_bytes());
            assert_eq!(same.count(), 1, "{stop:?}");
        }
        if stop != Stop::Directly {
            from.stop();
        }
        to.stop();
    }
}

#[test]
fn what_does_not_run_cannot_be_stopped() {
    let sink = Sink::start();
    let (mut from, _to) = Site::pair("127.0.0.1", sink.address);
    from.fill(&[]);
    let cancel = ["spool", "transfer", "--cancel"];
    let said = from.runs(&cancel, 1);
    assert!(
        said.contains("no relay runs") && said.contains("Ctrl-C"),
        "{said}"
    );
    from.start();
    let said = from.runs(&cancel, 1);
    assert!(said.contains("handed nothing over"), "{said}");
    let both = from.output(&["spool", "transfer", "--cancel", "--to", "other"]);
    assert_eq!(both.status.code(), Some(2));
    from.stop();
}
