//! The far end: takes what it is given, says so, and writes it down; or is closed, or cuts connections wherever they are.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    books::{Book, Disturbance},
    chance::Chance,
    letter,
};

/// What it does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mood {
    /// Takes everything.
    Open,
    /// Says that it takes nothing now.
    Closed,
    /// Cuts each after some octets.
    Cutting,
}

/// One that listens, until the listener is gone with the process.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mood: AtomicU8,
    /// Numbers connections, for chance.
    connections: AtomicU64,
    cuts: Mutex<Vec<Instant>>,
    /// Of the run that is on.
    book: Mutex<Option<Arc<Book>>>,
    seed: u64,
}

impl Sink {
    /// Serves a listener, each connection on a thread.
    pub(super) fn serve(listener: TcpListener, seed: u64) -> Self {
        let sink = Self(Arc::new(Inner {
            mood: AtomicU8::new(Mood::Open as u8),
            connections: AtomicU64::new(0),
            cuts: Mutex::new(Vec::new()),
            book: Mutex::new(None),
            seed,
        }));
        let serving = sink.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sink = serving.clone();
                // An error is that the other end has gone, or was cut off: what it was not told does not count.
                thread::spawn(move || drop(sink.converse(stream)));
            }
        });
        sink
    }

    /// From now on entries go there.
    pub(super) fn write_to(&self, book: Option<Arc<Book>>) {
        *self.0.book.lock().unwrap_or_else(PoisonError::into_inner) = book;
    }

    pub(super) fn become_(&self, mood: Mood) {
        self.0.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// Whether it has cut anything since the last time of asking for it.
    pub(super) fn has_cut(&self) -> bool {
        let cuts = self.0.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        !cuts.is_empty()
    }

    /// Cuts since the last time of asking.
    pub(super) fn cuts(&self, begun: Instant) -> Vec<Disturbance> {
        let mut cuts = self.0.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let times = cuts.drain(..).map(|at| at.saturating_duration_since(begun));
        times.map(|at| Disturbance { from: at, to: at }).collect()
    }

    fn is(&self, mood: Mood) -> bool {
        self.0.mood.load(Ordering::SeqCst) == mood as u8
    }

    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        let number = self.0.connections.fetch_add(1, Ordering::SeqCst);
        let budget = if self.is(Mood::Cutting) {
            // From the middle of the greeting to some messages.
            let mut chance = Chance::new(self.0.seed, number);
            let most = [200, 2_000, 20_000, 400_000][usize::from(number.to_le_bytes()[0] & 3)];
            Some(chance.within(5..most))
        } else {
            None
        };
        let mut wire = BufReader::new(Cuttable { stream, budget });
        let outcome = self.dialogue(&mut wire);
        if wire.get_ref().budget == Some(0) {
            let mut cuts = self.0.cuts.lock().unwrap_or_else(PoisonError::into_inner);
            cuts.push(Instant::now());
        }
        outcome
    }

    fn dialogue(&self, wire: &mut BufReader<Cuttable>) -> io::Result<()> {
        if self.is(Mood::Closed) {
            return say(wire, "421 4.3.2 closed for now");
        }
        say(wire, "220 sink.test ESMTP")?;
        let mut entries = Vec::new();
        loop {
            let mut line = Vec::new();
            if wire.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => say(wire, "250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME")?,
                "MAIL" | "RSET" => {
                    entries.clear();
                    say(wire, "250 2.1.0 ok")?;
                }
                "RCPT" => {
                    let local = line
                        .split_once('<')
                        .and_then(|(_, path)| path.split_once('@'));
                    entries.extend(local.map(|(local, _)| local.to_owned()));
                    say(wire, "250 2.1.5 ok")?;
                }
                "DATA" if self.is(Mood::Closed) => say(wire, "451 4.3.2 closed for now")?,
                "DATA" => {
                    say(wire, "354 go ahead")?;
                    let content = content(wire)?;
                    // Taken only if the other end could have heard of it.
                    say(wire, "250 2.0.0 taken")?;
                    let book = self.0.book.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(book) = &*book {
                        let whole = letter::is_whole(&content);
                        book.enter(&entries, whole).map_err(io::Error::other)?;
                    }
                    entries.clear();
                }
                "QUIT" => return say(wire, "221 2.0.0 bye"),
                _ => say(wire, "250 2.0.0 ok")?,
            }
        }
    }
}

fn content(wire: &mut BufReader<Cuttable>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let begin = content.len();
        if wire.read_until(b'\n', &mut content)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match content.get(begin..) {
            Some(b".\r\n") => {
                content.truncate(begin);
                return Ok(content);
            }
            Some([b'.', ..]) => {
                content.remove(begin);
            }
            Some(_) | None => {}
        }
    }
}

fn say(wire: &mut BufReader<Cuttable>, line: &str) -> io::Result<()> {
    wire.get_mut().write_all(format!("{line}\r\n").as_bytes())
}

/// A connection that ends after so many octets, of both ways together.
struct Cuttable {
    stream: TcpStream,
    budget: Option<u64>,
}

impl Cuttable {
    /// How many of so many may pass; an error if none may.
    fn allowed(&mut self, wanted: usize) -> io::Result<usize> {
        let Some(budget) = self.budget else {
            return Ok(wanted);
        };
        let allowed = usize::try_from(budget).unwrap_or(usize::MAX).min(wanted);
        if allowed == 0 && wanted > 0 {
            self.stream.shutdown(Shutdown::Both)?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(allowed)
    }

    fn spend(&mut self, octets: usize) {
        if let Some(budget) = &mut self.budget {
            *budget = budget.saturating_sub(u64::try_from(octets).unwrap_or(u64::MAX));
        }
    }
}

impl Read for Cuttable {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowed(into.len())?;
        let received = self
            .stream
            .read(into.get_mut(..allowed).unwrap_or_default())?;
        self.spend(received);
        Ok(received)
    }
}

impl Write for Cuttable {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let allowed = self.allowed(octets.len())?;
        let sent = self
            .stream
            .write(octets.get(..allowed).unwrap_or_default())?;
        self.spend(sent);
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Longer than any system keeps an idle connection while a run lasts.
const IDLE: Duration = Duration::from_secs(120);
