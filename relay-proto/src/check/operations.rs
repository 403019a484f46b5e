//! The server's session under any order of octets, time, stress, silence of its application, and the end.

use std::sync::Arc;

use super::server::{self, Event, Offered};
use crate::Time;
use crate::server::{
    Config, EarlyTalk, MAX_HELD_OCTETS, MinimumRate, Pregreet, Question, Session, Stress,
};

/// Each octet is one operation, or says how much of one. Whatever their order, the session keeps its promises;
/// it never waits for ever unless its application does; and a deadline that has come has consequences.
pub fn operations(octets: &[u8]) {
    let config = Config {
        minimum_rate: Some(MinimumRate {
            octets_per_second: 2,
            ..MinimumRate::default()
        }),
        pregreet: (octets.first() == Some(&0)).then_some(Pregreet {
            pause: Time::from_secs(3),
            early_talk: EarlyTalk::Deferred,
        }),
        ..server::config()
    };
    let mut run = Run {
        session: Session::new(Arc::new(config), Time::ZERO),
        now: Time::ZERO,
        application_is_silent: false,
        open: None,
        events: Vec::new(),
    };
    run.drain();
    let mut octets = octets.iter();
    while let (Some(operation), Some(amount)) = (octets.next(), octets.next()) {
        run.operate(*operation, *amount);
    }
    run.application_is_silent = false;
    run.answer_late();
    run.hang_up();
    server::keeps_promises(&run.events);
    assert_eq!(
        run.events.last(),
        Some(&Event::Closed),
        "open after the end"
    );
}

struct Run {
    session: Session,
    now: Time,
    application_is_silent: bool,
    /// The question that the application has not answered.
    open: Option<Question>,
    events: Vec<Event>,
}

impl Run {
    fn operate(&mut self, operation: u8, amount: u8) {
        match operation % 16 {
            0..8 => {
                let piece = PIECES.get(usize::from(amount) % PIECES.len());
                self.receive(piece.copied().unwrap_or_default());
            }
            8 | 9 => self.pass(Time::from_secs(amount.into())),
            10 | 11 => self.reach_the_deadline(),
            12 => self.session.set_stress(Stress::High),
            13 => self.session.set_stress(Stress::None),
            14 => self.application_is_silent = amount.is_multiple_of(2),
            _ => self.answer_late(),
        }
        self.drain();
        let waits = self.open.is_none() && !self.is_over();
        assert_eq!(self.session.deadline().is_some(), waits, "waits for ever");
        let held = self.session.held_octets();
        assert!(held <= MAX_HELD_OCTETS, "{held} octets held");
    }

    fn receive(&mut self, piece: &[u8]) {
        if self.session.wants_input() {
            self.session.receive(self.now, piece);
        }
    }

    fn pass(&mut self, time: Time) {
        self.now = self.now.saturating_add(time);
        self.session.expire(self.now);
    }

    fn reach_the_deadline(&mut self) {
        let Some(deadline) = self.session.deadline() else {
            return;
        };
        self.now = self.now.max(deadline);
        self.session.expire(self.now);
        let before = self.events.len();
        self.drain();
        assert!(self.events.len() > before, "nothing came of a deadline");
    }

    fn answer_late(&mut self) {
        if let Some(question) = self.open.take() {
            let answer = server::answer(&question, Offered::Chunking);
            self.session.answer(self.now, answer);
        }
        self.drain();
    }

    fn hang_up(&mut self) {
        self.session.hang_up();
        self.drain();
    }

    fn is_over(&self) -> bool {
        self.events.last() == Some(&Event::Closed)
    }

    fn drain(&mut self) {
        while let Some(action) = self.session.poll() {
            if let Some(question) = server::note(action, &mut self.events) {
                self.open = Some(question);
                if !self.application_is_silent {
                    return self.answer_late();
                }
            }
        }
    }
}

const PIECES: [&[u8]; 20] = [
    b"EHLO c\r\n",
    b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"RCPT TO:<no@d>\r\n",
    b"DATA\r\n",
    b"BDAT 6\r\n",
    b"BDAT 6 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 300 LAST\r\n",
    b"text\r\n",
    b".\r\n",
    b"RSET\r\n",
    b"AUTH PLAIN x\r\n",
    b"NONSENSE\r\n",
    b"Received: x\r\n",
    b"x",
    b"\r",
    b"\n",
    b"\0",
];
