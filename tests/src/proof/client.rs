//! The near end: sessions that send without a pause, and write down what was acknowledged.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, bail};

use super::{
    books::Book,
    chance::Chance,
    letter::{DOMAIN, Letter},
};

/// Who sends, to whom, and when it ends.
#[derive(Debug)]
pub(super) struct Client<'a> {
    pub(super) system: SocketAddr,
    /// In a PROXY header, for who wants one.
    pub(super) destination: Option<SocketAddrV4>,
    pub(super) book: &'a Book,
    pub(super) ended: &'a AtomicBool,
    pub(super) counts: &'a Counts,
    /// What the names of messages begin with.
    pub(super) run: u64,
    pub(super) seed: u64,
    pub(super) octets_max: usize,
}

/// What the sessions heard.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Messages that were refused for now, each with a reply.
    pub(super) refused: AtomicU64,
    /// What a session ended with that was not told to, the last one's.
    pub(super) ended: Mutex<Option<String>>,
    /// One reply that was not as expected, for a person.
    pub(super) surprise: Mutex<Option<String>>,
}

impl Client<'_> {
    /// Sends on so many sessions in the namespace that the caller is in, until it is ended; lost sessions are opened
    /// again.
    pub(super) fn send(&self, sessions: u64) {
        thread::scope(|scope| {
            for session in 0..sessions {
                scope.spawn(move || self.session(session));
            }
        });
    }

    fn session(&self, session: u64) {
        let mut chance = Chance::new(self.seed, self.run << 8 | session);
        let mut number = 0;
        while !self.is_over() {
            // An error is the end of a session, as faults have it; what was not acknowledged does not count.
            if let Err(error) = self.converse(session, &mut number, &mut chance) {
                let ended = &self.counts.ended;
                *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
            }
            thread::sleep(PAUSE);
        }
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn converse(&self, session: u64, number: &mut u64, chance: &mut Chance) -> Result<()> {
        let stream = TcpStream::connect_timeout(&self.system, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut wire = Wire(BufReader::new(stream));
        if let Some(destination) = self.destination {
            wire.0
                .get_mut()
                .write_all(&proxy_header(session, destination))?;
        }
        self.expect(220, wire.reply()?)?;
        self.expect(250, wire.ask("EHLO client.test")?)?;
        while !self.is_over() {
            *number += 1;
            let name = format!("r{}s{session}m{number}", self.run);
            let letter = Letter::new(&name, chance, self.octets_max);
            if !self.one(&mut wire, &letter)? {
                self.counts.refused.fetch_add(1, Ordering::SeqCst);
                self.expect(250, wire.ask("RSET")?)?;
                thread::sleep(PAUSE);
            }
        }
        wire.ask("QUIT")?;
        Ok(())
    }

    /// Whether a message was acknowledged; `false` = it was refused for now.
    fn one(&self, wire: &mut Wire, letter: &Letter) -> Result<bool> {
        let mut go_on = self.expect(250, wire.ask(&format!("MAIL FROM:<sender@{DOMAIN}>"))?)?;
        for entry in &letter.entries {
            go_on = go_on && self.expect(250, wire.ask(&format!("RCPT TO:<{entry}@{DOMAIN}>"))?)?;
        }
        if !go_on || !self.expect(354, wire.ask("DATA")?)? {
            return Ok(false);
        }
        wire.0.get_mut().write_all(&letter.wire)?;
        let taken = self.expect(250, wire.reply()?)?;
        if taken {
            self.book.enter(&letter.entries, true)?;
        }
        Ok(taken)
    }

    /// Whether a reply has this code; `false` for a refusal for now. Anything else ends the session, and is kept.
    fn expect(&self, code: u16, (heard, line): (u16, String)) -> Result<bool> {
        if heard == code {
            return Ok(true);
        }
        // 421 ends the session as well, but is said by who is being stopped.
        if heard / 100 != 4 {
            let mut surprise = self
                .counts
                .surprise
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            surprise.get_or_insert(line.clone());
        }
        if heard == 421 || heard / 100 != 4 {
            bail!("{line} instead of {code}");
        }
        Ok(false)
    }
}

struct Wire(BufReader<TcpStream>);

impl Wire {
    fn ask(&mut self, line: &str) -> Result<(u16, String)> {
        self.0
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// The last line of a reply, and its code.
    fn reply(&mut self) -> Result<(u16, String)> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                bail!("the end of the connection");
            }
            // A line that was cut off is no reply: acknowledged is what was heard to its end.
            if !line.ends_with("\r\n") {
                bail!("half a reply: {line:?}");
            }
            if line.get(3..4) != Some("-") {
                let code = line.get(..3).and_then(|code| code.parse().ok());
                return Ok((code.unwrap_or_default(), line.trim_end().to_owned()));
            }
        }
    }
}

/// Version 2, TCP over IPv4, each session a customer of its own.
pub(super) fn proxy_header(session: u64, destination: SocketAddrV4) -> Vec<u8> {
    let customer = session.to_le_bytes()[0].wrapping_add(10);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&[192, 0, 2, customer]);
    header.extend_from_slice(&destination.ip().octets());
    header.extend_from_slice(&40_000_u16.to_be_bytes());
    header.extend_from_slice(&destination.port().to_be_bytes());
    header
}

const PAUSE: Duration = Duration::from_millis(20);
/// Longer than a frozen system stays so, and than its slow disk takes.
const PATIENCE: Duration = Duration::from_secs(15);
