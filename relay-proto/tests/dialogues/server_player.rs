//! Plays a script against a server session.
//!
//! `C` the client says a line, `c` octets as they are; `S` a reply line; `?` a question and `A` its answer
//! (`proceed`, `keys`, `offer` and what, a reply, or `close` and a reply; EHLO is answered without being shown
//! unless the script does so); `B` content; `X` a transaction aborted; `T` the handshake is
//! asked for, and succeeds; `E` the session closes; `H` the client hangs up; `W` so many seconds pass;
//! `D` the deadline, in seconds since the start, or `none`; `!` the caller is under stress, `high` or `none`;
//! `=` one of the [`PASSAGES`] that stand in many scripts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Action, Answer, Config, Offer, Question, Session, Stress};

use crate::player::{self, ARRIVALS, Arrival, compare, octets, seconds, take_lines, text};

mod words;

pub(crate) use words::reply;
use words::{answer, asked};

/// What most dialogues have in common, by name.
const PASSAGES: [(&str, &str); 9] = [
    (
        "greeting",
        "S: 220 relay.example ESMTP Outgate at Example Hosting",
    ),
    (
        "helo",
        r"C: HELO c
          ?: HELO c
          A: offer
          S: 250 relay.example",
    ),
    (
        "chunking",
        r"C: EHLO c
          ?: EHLO c
          A: offer chunking
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-CHUNKING
          S: 250 ENHANCEDSTATUSCODES",
    ),
    (
        "mail",
        r"C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok",
    ),
    (
        "recipient",
        r"C: RCPT TO:<c@d>
          ?: RCPT <c@d>
          A: 250 2.1.5 ok
          S: 250 2.1.5 ok",
    ),
    (
        "data",
        r"C: DATA
          ?: DATA
          A: proceed
          S: 354 end data with <CR><LF>.<CR><LF>",
    ),
    (
        "envelope",
        r"=: mail
          =: recipient",
    ),
    (
        "content",
        r"=: envelope
          =: data",
    ),
    (
        "taken",
        r"?: MESSAGE
          A: 250 2.6.0 taken
          S: 250 2.6.0 taken",
    ),
];

/// A configuration with small limits.
pub(crate) fn config() -> Config {
    Config {
        max_recipients: 2,
        max_errors: 4,
        max_commands: 30,
        minimum_rate: None,
        ..Config::new("relay.example", "Example Hosting")
    }
}

/// What is offered where a script does not answer EHLO itself.
pub(crate) fn offer() -> Offer {
    Offer {
        max_message_octets: 100,
        eight_bit_mime: true,
        smtputf8: true,
        starttls: true,
        ..Offer::default()
    }
}

/// Plays `script` against a session with the configuration above.
#[track_caller]
pub(crate) fn play(script: &str) {
    play_on(|| Session::new(Arc::new(config()), Duration::ZERO), script);
}

/// Plays `script` against the session that `start` makes at time zero.
#[track_caller]
pub(crate) fn play_on(start: impl Fn() -> Session, script: &str) {
    for arrival in ARRIVALS {
        let lines = lines(script);
        let mut player = Player::new(start(), &lines);
        player.run(arrival, &lines);
        let expected: Vec<String> = lines
            .iter()
            .filter(|(mark, _)| *mark != "A" && (arrival == Arrival::Lines || !is_input(mark)))
            .map(|(mark, rest)| format!("{mark}: {rest}"))
            .collect();
        compare(arrival, &expected, &player.seen);
        assert!(player.answers.is_empty(), "answers to no question");
    }
}

/// The lines of a script, its passages in full.
fn lines(script: &str) -> Vec<(&str, &str)> {
    player::lines(script)
        .into_iter()
        .flat_map(|(mark, rest)| match mark {
            "=" => {
                let passage = PASSAGES.iter().find(|(name, _)| *name == rest);
                let (_, passage) = passage.unwrap_or_else(|| panic!("no such passage: {rest}"));
                lines(passage)
            }
            _ => vec![(mark, rest)],
        })
        .collect()
}

struct Player {
    session: Session,
    now: Duration,
    answers: VecDeque<Answer>,
    /// The script answers EHLO itself.
    asks_hello: bool,
    seen: Vec<String>,
    sent: Vec<u8>,
    body: Vec<u8>,
}

impl Player {
    fn new(session: Session, lines: &[(&str, &str)]) -> Self {
        let answers = lines.iter().filter(|(mark, _)| *mark == "A");
        Self {
            session,
            now: Duration::ZERO,
            answers: answers.map(|(_, rest)| answer(rest)).collect(),
            asks_hello: lines
                .iter()
                .any(|(mark, rest)| *mark == "?" && is_hello(rest)),
            seen: Vec::new(),
            sent: Vec::new(),
            body: Vec::new(),
        }
    }

    fn run(&mut self, arrival: Arrival, lines: &[(&str, &str)]) {
        self.drain();
        let mut together = Vec::new();
        for (mark, rest) in lines {
            if arrival == Arrival::Together && !is_input(mark) && breaks(mark) {
                self.feed(&std::mem::take(&mut together));
            }
            match *mark {
                "C" | "c" => {
                    let mut piece = octets(rest);
                    if *mark == "C" {
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
                "H" => {
                    self.seen.push("H: ".to_owned());
                    self.session.hang_up();
                }
                "W" => {
                    self.seen.push(format!("W: {rest}"));
                    self.now += seconds(rest);
                    self.session.expire(self.now);
                }
                "!" => {
                    self.seen.push(format!("!: {rest}"));
                    self.session.set_stress(match *rest {
                        "high" => Stress::High,
                        _ => Stress::None,
                    });
                }
                "D" => {
                    let deadline = self.session.deadline();
                    let expected = (*rest != "none").then(|| seconds(rest));
                    assert_eq!(deadline, expected, "deadline in {arrival:?}");
                    self.seen.push(format!("D: {rest}"));
                }
                _ => {}
            }
            self.drain();
        }
        self.feed(&together);
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
                Action::Body(piece) => {
                    assert!(!piece.is_empty());
                    self.body.extend_from_slice(&piece);
                    continue;
                }
                // What an aborted message had so far depends on how it was cut, and is nobody's any more.
                Action::Aborted(_) => self.body.clear(),
                Action::Send(_) | Action::StartTls | Action::Ask(_) | Action::Close => {}
            }
            if !self.body.is_empty() {
                let body = std::mem::take(&mut self.body);
                self.seen.push(format!("B: {}", text(&body)));
            }
            match action {
                Action::Send(octets) => {
                    self.sent.extend_from_slice(&octets);
                    let lines = take_lines(&mut self.sent);
                    self.seen.extend(lines.iter().map(|l| format!("S: {l}")));
                    assert!(self.sent.is_empty(), "half a line was sent");
                }
                Action::StartTls => {
                    self.seen.push("T: ".to_owned());
                    self.session.tls_started(self.now);
                }
                Action::Ask(Question::Hello(_)) if !self.asks_hello => {
                    self.session.answer(self.now, Answer::Offer(offer()));
                }
                Action::Ask(question) => {
                    self.seen.push(format!("?: {}", asked(&question)));
                    if let Some(answer) = self.answers.pop_front() {
                        self.session.answer(self.now, answer);
                    }
                }
                Action::Aborted(cause) => self.seen.push(format!("X: {cause:?}")),
                Action::Close => self.seen.push("E: ".to_owned()),
                Action::Body(_) => unreachable!(),
            }
        }
    }
}

fn is_input(mark: &str) -> bool {
    matches!(mark, "C" | "c")
}

/// Whether what follows must not arrive before what came so far.
fn breaks(mark: &str) -> bool {
    matches!(mark, "H" | "W" | "D" | "T" | "!")
}

fn is_hello(question: &str) -> bool {
    question.starts_with("EHLO ") || question.starts_with("HELO ")
}
