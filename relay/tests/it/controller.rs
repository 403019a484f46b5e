//! A controller that says what a test wants and remembers what it was asked: HTTP over a Unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use contract::Snapshot;
use contract::event::{Batch, Decision, Event, Happening, Taken};

/// A running controller. Its threads end with the process, its socket with the test's directory.
#[derive(Clone)]
pub(crate) struct Controller(Arc<Mutex<State>>);

struct State {
    snapshot: Snapshot,
    asked: Vec<String>,
    events: Vec<Event>,
}

impl Controller {
    pub(crate) fn start(socket: &Path, snapshot: Snapshot) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let this = Self(Arc::new(Mutex::new(State {
            snapshot,
            asked: Vec::new(),
            events: Vec::new(),
        })));
        let controller = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let controller = controller.clone();
                std::thread::spawn(move || controller.answer(&stream.unwrap()));
            }
        });
        this
    }

    pub(crate) fn set(&self, snapshot: Snapshot) {
        self.0.lock().unwrap().snapshot = snapshot;
    }

    /// Request targets so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    /// Whether the relay has acknowledged `generation`.
    pub(crate) fn acknowledged(&self, generation: u64) -> bool {
        self.asked()
            .iter()
            .any(|target| target.contains(&format!("?have={generation}&")))
    }

    /// Verdicts that the relay has told of, by the message's name and what became of it.
    pub(crate) fn verdicts(&self) -> Vec<(String, Decision)> {
        let state = self.0.lock().unwrap();
        let mut verdicts = Vec::new();
        for event in &state.events {
            if let Happening::Verdict(verdict) = &event.happening {
                verdicts.push((verdict.id.clone(), verdict.verdict));
            }
        }
        verdicts
    }

    /// Takes a batch, as outgated does.
    fn take(&self, head: &str, mut reader: BufReader<&UnixStream>) {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let batch: Batch = serde_json::from_slice(&body).unwrap();
        assert!(batch.is_sound(), "{batch:?}");
        let taken = Taken {
            through: batch.events.last().map_or(0, |last| last.seq),
            epoch: batch.epoch,
        };
        self.0.lock().unwrap().events.extend(batch.events);
        let body = serde_json::to_string(&taken).unwrap();
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let _told = reader.into_inner().write_all(answer.as_bytes()).is_ok();
    }

    fn answer(&self, stream: &UnixStream) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let target = head.split(' ').nth(1).unwrap().to_owned();
        if target.ends_with("/events") {
            return self.take(&head, reader);
        }
        self.0.lock().unwrap().asked.push(target.clone());
        let have: u64 = target.split(['=', '&']).nth(1).unwrap().parse().unwrap();
        let held_until = Instant::now() + Duration::from_secs(2);
        let answer = loop {
            let snapshot = self.0.lock().unwrap().snapshot.clone();
            if snapshot.generation.0 > have {
                let body = serde_json::to_string(&snapshot).unwrap();
                break format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
            if Instant::now() > held_until {
                break "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        // The relay may have gone while we held its question.
        let _told = (&*stream).write_all(answer.as_bytes()).is_ok();
    }
}
