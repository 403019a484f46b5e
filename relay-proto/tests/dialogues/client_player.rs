//! Plays a script against a client session.
//!
//! `S` the server says a line, `s` octets as they are; `C` a line that the client sends; `>` a command of the
//! caller; `E` an event; `T` the handshake is asked for and succeeds, `T!` fails, `T~` does not end; `Z` the
//! session closes; `H` the server hangs up; `W` so many seconds pass; `D` the deadline, in seconds since
//! the start, or `none`.

use std::time::Duration;

use relay_proto::client::{Action, BodyType, Config, Event, Mail, Recipient, Session, Timeouts};
use relay_proto::envelope::{Ret, TlsTag};

use crate::player::{ARRIVALS, Arrival, compare, lines, octets, seconds, take_lines};

/// Plays `script` against a session that starts at time zero.
#[track_caller]
pub(crate) fn play(script: &str) {
    play_on(Session::new, script);
}

/// The same against a session that does not say STARTTLS by itself.
#[track_caller]
pub(crate) fn play_held(script: &str) {
    play_on(Session::held, script);
}

#[track_caller]
fn play_on(start: fn(Config, Duration) -> Session, script: &str) {
    for arrival in ARRIVALS {
        let lines = lines(script);
        let mut player = Player {
            session: start(config(), Duration::ZERO),
            now: Duration::ZERO,
            seen: Vec::new(),
            sent: Vec::new(),
            handshakes: lines
                .iter()
                .map(|(mark, _)| *mark)
                .filter(|mark| mark.starts_with('T'))
                .map(str::to_owned)
                .collect(),
        };
        player.run(arrival, &lines);
        let expected: Vec<String> = lines
            .iter()
            .filter(|(mark, _)| arrival == Arrival::Lines || !matches!(*mark, "S" | "s"))
            .map(|(mark, rest)| format!("{mark}: {rest}"))
            .collect();
        compare(arrival, &expected, &player.seen);
    }
}

pub(crate) fn config() -> Config {
    Config {
        ehlo_name: "relay.example".to_owned(),
        timeouts: Timeouts::default(),
    }
}

struct Player {
    session: Session,
    now: Duration,
    seen: Vec<String>,
    sent: Vec<u8>,
    handshakes: Vec<String>,
}

impl Player {
    fn run(&mut self, arrival: Arrival, lines: &[(&str, &str)]) {
        let mut together = Vec::new();
        for (mark, rest) in lines {
            if !matches!(*mark, "S" | "s") {
                self.feed(&std::mem::take(&mut together));
            }
            match *mark {
                "S" | "s" => {
                    let mut piece = octets(rest);
                    if *mark == "S" {
                        piece.extend_from_slice(b"\r\n");
                    }
                    match arrival {
                        Arrival::Together => together.extend_from_slice(&piece),
                        Arrival::Octets => piece.iter().for_each(|octet| self.feed(&[*octet])),
                        Arrival::Lines => {
                            self.seen.push(format!("{mark}: {rest}"));
                            self.feed(&piece);
                        }
                    }
                }
                ">" => {
                    self.seen.push(format!(">: {rest}"));
                    self.command(arrival, rest);
                }
                "H" => {
                    self.seen.push("H: ".to_owned());
                    self.session.hang_up();
                }
                "W" => {
                    self.seen.push(format!("W: {rest}"));
                    self.now += seconds(rest);
                    self.session.expire(self.now);
                }
                "D" => {
                    let expected = (*rest != "none").then(|| seconds(rest));
                    assert_eq!(self.session.deadline(), expected, "deadline in {arrival:?}");
                    self.seen.push(format!("D: {rest}"));
                }
                _ => {}
            }
            self.drain();
        }
        self.feed(&together);
    }

    fn command(&mut self, arrival: Arrival, text: &str) {
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        let now = self.now;
        match verb {
            "mail" => {
                let mut words = argument.split(' ');
                let mut mail = Mail::new(words.next().unwrap().parse().unwrap());
                for word in words {
                    match word {
                        "8bit" => mail.body = Some(BodyType::EightBitMime),
                        "7bit" => mail.body = Some(BodyType::SevenBit),
                        "utf8" => mail.smtputf8 = true,
                        "full" => mail.ret = Some(Ret::Full),
                        "requiretls" => mail.tls = TlsTag::Required,
                        "envid" => mail.envelope_id = Some("id+3D7".parse().unwrap()),
                        size => mail.size = Some(size.parse().unwrap()),
                    }
                }
                self.session.mail(now, &mail);
            }
            "rcpt" => {
                let (path, words) = argument.split_once(' ').unwrap_or((argument, ""));
                let mut recipient = Recipient::new(path.parse().unwrap());
                for word in words.split_ascii_whitespace() {
                    match word.split_once('=').unwrap() {
                        ("notify", when) => recipient.notify = Some(when.parse().unwrap()),
                        ("orcpt", original) => recipient.original = Some(original.parse().unwrap()),
                        other => panic!("no such parameter: {other:?}"),
                    }
                }
                self.session.rcpt(now, &recipient);
            }
            "envelope" => {
                let mut words = argument.split(' ');
                let mail = Mail::new(words.next().unwrap().parse().unwrap());
                let recipients: Vec<Recipient> = words
                    .map(|path| Recipient::new(path.parse().unwrap()))
                    .collect();
                let recipients: Vec<&Recipient> = recipients.iter().collect();
                assert!(self.session.can_pipeline(&mail, &recipients));
                self.session.envelope(now, &mail, &recipients);
            }
            "data" => self.session.data(now),
            "body" if arrival == Arrival::Octets => {
                octets(argument)
                    .iter()
                    .for_each(|octet| self.session.body(&[*octet]));
            }
            "body" => self.session.body(&octets(argument)),
            "end" => self.session.end(now),
            "rset" => self.session.rset(now),
            "quit" => self.session.quit(now),
            "starttls" => self.session.starttls(now),
            "leave-tls-out" => self.session.leave_tls_out(),
            other => panic!("no such command: {other}"),
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.session.receive(self.now, piece);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll() {
            match action {
                Action::Send(octets) => {
                    self.sent.extend_from_slice(&octets);
                    let lines = take_lines(&mut self.sent);
                    self.seen.extend(lines.iter().map(|l| format!("C: {l}")));
                }
                Action::StartTls => {
                    let mark = self.handshakes.remove(0);
                    match mark.as_str() {
                        "T" => self.session.tls_started(self.now),
                        "T!" => self.session.tls_failed(self.now),
                        _ => {}
                    }
                    self.seen.push(format!("{mark}: "));
                }
                Action::Event(event) => self.seen.push(format!("E: {}", told(&event))),
                Action::Close => self.seen.push("Z: ".to_owned()),
            }
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Ready(extensions) => {
            let mut text = "ready".to_owned();
            for (word, offered) in [
                ("starttls", extensions.starttls),
                ("size", extensions.size.is_some()),
                ("pipelining", extensions.pipelining),
                ("8bitmime", extensions.eight_bit_mime),
                ("smtputf8", extensions.smtputf8),
                ("enhanced", extensions.enhanced_status_codes),
                ("chunking", extensions.chunking),
                ("dsn", extensions.dsn),
                ("requiretls", extensions.require_tls),
            ] {
                if offered {
                    text += &format!(" {word}");
                }
            }
            if let Some(limits) = extensions.limits.parameters() {
                text += &format!(" {limits}");
            }
            text
        }
        Event::Answered { stage, reply } => format!("{stage:?} {reply}"),
        Event::Lost { stage, cause } => format!("lost {stage:?} {cause}"),
    }
}
