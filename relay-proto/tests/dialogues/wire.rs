//! Our client and our server at the ends of a wire with delay, on a virtual clock; the wire may break.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::limits::Limits;
use relay_proto::reply::Reply;
use relay_proto::{client, server};

use crate::{client_player, server_player};

/// Where and how the wire breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Break {
    /// On which way.
    pub(crate) way: Way,
    /// After so many octets of that way have arrived.
    pub(crate) after: usize,
    pub(crate) kind: Kind,
}

/// From whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Both sides see the end of the connection.
    Reset,
    /// Nothing arrives any more, and nobody is told.
    Silence,
}

/// One way of the wire: octets in flight, each piece with the time of its arrival.
#[derive(Default)]
struct Wire {
    flying: VecDeque<(Duration, Vec<u8>)>,
    broken: bool,
    octets_arrived: usize,
}

impl Wire {
    fn send(&mut self, now: Duration, octets: &[u8], cut: usize) {
        if self.broken {
            return;
        }
        for piece in octets.chunks(cut) {
            self.flying.push_back((now + DELAY, piece.to_vec()));
        }
    }

    /// After all that is in flight comes the end, as a piece without octets.
    fn close(&mut self, now: Duration) {
        if !self.broken {
            self.flying.push_back((now + DELAY, Vec::new()));
        }
    }

    fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (at, _) = self.flying.front()?;
        let octets = (*at <= now).then(|| self.flying.pop_front().unwrap().1)?;
        self.octets_arrived += octets.len();
        Some(octets)
    }

    fn break_off(&mut self) {
        self.flying.clear();
        self.broken = true;
    }
}

pub(crate) struct Pair {
    pub(crate) now: Duration,
    cut: usize,
    pub(crate) client: client::Session,
    pub(crate) server: server::Session,
    to_server: Wire,
    to_client: Wire,
    /// From this question on the server's application is silent.
    pub(crate) silent_at: Option<&'static str>,
    content: Vec<u8>,
    pub(crate) received: Vec<u8>,
    pub(crate) asked: Vec<&'static str>,
    /// Each side's handshake, once both have asked for it.
    handshakes: (bool, bool),
    pub(crate) log: Vec<String>,
    closed: (bool, bool),
    breaks: Option<Break>,
}

impl Pair {
    pub(crate) fn new(content: &[u8], cut: usize) -> Self {
        let now = Duration::ZERO;
        Self {
            now,
            cut,
            client: client::Session::new(client_player::config(), now),
            server: server::Session::new(Arc::new(server_player::config()), now),
            to_server: Wire::default(),
            to_client: Wire::default(),
            silent_at: None,
            content: content.to_vec(),
            received: Vec::new(),
            asked: Vec::new(),
            handshakes: (false, false),
            log: Vec::new(),
            closed: (false, false),
            breaks: None,
        }
    }

    /// The same, over a wire that breaks.
    pub(crate) fn breaking(content: &[u8], breaks: Break) -> Self {
        Self {
            breaks: Some(breaks),
            ..Self::new(content, 1)
        }
    }

    /// Octets that have arrived at the server and at the client.
    pub(crate) fn octets_arrived(&self) -> (usize, usize) {
        (self.to_server.octets_arrived, self.to_client.octets_arrived)
    }

    /// Runs until both sides have closed.
    pub(crate) fn run(&mut self) {
        loop {
            while self.server_acts() || self.client_acts() {}
            if self.closed == (true, true) {
                return;
            }
            if self.handshakes == (true, true) {
                self.handshakes = (false, false);
                self.server.tls_started(self.now);
                self.client.tls_started(self.now);
                continue;
            }
            self.now = self.next_moment();
            self.break_if_due();
            while let Some(octets) = self.to_server.arrived(self.now) {
                if octets.is_empty() {
                    self.server_hears_the_end();
                }
                self.server.receive(self.now, &octets);
                self.break_if_due();
            }
            while let Some(octets) = self.to_client.arrived(self.now) {
                if octets.is_empty() {
                    self.client.hang_up();
                }
                self.client.receive(self.now, &octets);
                self.break_if_due();
            }
            self.server.expire(self.now);
            self.client.expire(self.now);
        }
    }

    fn server_hears_the_end(&mut self) {
        self.server.hang_up();
        // A silent application gives up once its client is gone.
        if self.silent_at.is_some() {
            self.server.answer(self.now, ok());
        }
    }

    fn break_if_due(&mut self) {
        let Some(Break { way, after, kind }) = self.breaks else {
            return;
        };
        let (to_server, to_client) = self.octets_arrived();
        let arrived = match way {
            Way::ToServer => to_server,
            Way::ToClient => to_client,
        };
        if arrived < after {
            return;
        }
        self.breaks = None;
        self.to_server.break_off();
        self.to_client.break_off();
        if kind == Kind::Reset {
            self.server_hears_the_end();
            self.client.hang_up();
        }
    }

    fn next_moment(&self) -> Duration {
        let wires = [&self.to_server, &self.to_client];
        let arrivals = wires
            .iter()
            .filter_map(|wire| wire.flying.front().map(|(at, _)| *at));
        let deadlines = [self.server.deadline(), self.client.deadline()];
        arrivals
            .chain(deadlines.into_iter().flatten())
            .min()
            .unwrap_or_else(|| panic!("both sides wait for ever: {:?}", self.log))
    }

    fn server_acts(&mut self) -> bool {
        let Some(action) = self.server.poll() else {
            return false;
        };
        match action {
            server::Action::Send(octets) => self.to_client.send(self.now, &octets, self.cut),
            server::Action::StartTls => self.handshakes.0 = true,
            server::Action::Body(piece) => self.received.extend_from_slice(&piece),
            server::Action::Aborted(cause) => self.log.push(format!("aborted {cause:?}")),
            server::Action::Close => {
                self.closed.0 = true;
                self.to_client.close(self.now);
            }
            server::Action::Ask(question) => {
                let (name, answer) = match question {
                    server::Question::Hello(_) => ("hello", server::Answer::Offer(OFFER)),
                    server::Question::Auth(_) => unreachable!("the client never says AUTH"),
                    server::Question::Mail(_) => ("mail", ok()),
                    server::Question::Recipient(_) => ("rcpt", ok()),
                    server::Question::Data => ("data", server::Answer::Proceed),
                    server::Question::Message => ("message", ok()),
                };
                self.asked.push(name);
                if self.silent_at != Some(name) {
                    self.server.answer(self.now, answer);
                }
            }
        }
        true
    }

    fn client_acts(&mut self) -> bool {
        let Some(action) = self.client.poll() else {
            return false;
        };
        let now = self.now;
        match action {
            client::Action::Send(octets) => self.to_server.send(now, &octets, self.cut),
            client::Action::StartTls => self.handshakes.1 = true,
            client::Action::Close => {
                self.closed.1 = true;
                self.to_server.close(now);
            }
            client::Action::Event(event) => match event {
                client::Event::Ready(_) => self.client.mail(
                    now,
                    &client::Mail {
                        size: Some(self.content.len() as u64),
                        ..client::Mail::new("<a@example.org>".parse().unwrap())
                    },
                ),
                client::Event::Lost { stage, cause } => {
                    self.log.push(format!("lost {stage:?} {cause}"));
                }
                client::Event::Answered { stage, reply } => {
                    self.log.push(format!("{stage:?} {reply}"));
                    self.after(stage);
                }
            },
        }
        true
    }

    fn after(&mut self, stage: client::Stage) {
        let now = self.now;
        match stage {
            client::Stage::Mail => {
                let recipient = client::Recipient::new("<b@example.net>".parse().unwrap());
                self.client.rcpt(now, &recipient);
            }
            client::Stage::Rcpt => self.client.data(now),
            client::Stage::Data => {
                let content = std::mem::take(&mut self.content);
                content
                    .chunks(self.cut)
                    .for_each(|piece| self.client.body(piece));
                self.client.end(now);
            }
            client::Stage::Message => self.client.quit(now),
            other => assert_eq!(other, client::Stage::Quit),
        }
    }
}

fn ok() -> server::Answer {
    server::Answer::Reply(Reply::new(250, "2.0.0", "taken"))
}

const OFFER: server::Offer = server::Offer {
    max_message_octets: 0,
    eight_bit_mime: true,
    smtputf8: true,
    chunking: false,
    dsn: false,
    auth: false,
    starttls: true,
    require_tls: true,
    limits: Limits::NONE,
};

const DELAY: Duration = Duration::from_millis(20);
