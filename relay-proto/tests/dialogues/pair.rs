//! Our client against our server, over a wire with delay and cuts, on a virtual clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use relay_proto::reply::Reply;
use relay_proto::{client, server};

use crate::{client_player, server_player};

/// One way of the wire: octets in flight, each piece with the time of its arrival.
#[derive(Default)]
struct Wire {
    flying: VecDeque<(Duration, Vec<u8>)>,
}

impl Wire {
    fn send(&mut self, now: Duration, octets: &[u8], cut: usize) {
        for piece in octets.chunks(cut) {
            self.flying.push_back((now + DELAY, piece.to_vec()));
        }
    }

    /// After all that is in flight comes the end, as a piece without octets.
    fn close(&mut self, now: Duration) {
        self.flying.push_back((now + DELAY, Vec::new()));
    }

    fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (at, _) = self.flying.front()?;
        (*at <= now).then(|| self.flying.pop_front().unwrap().1)
    }
}

struct Pair {
    now: Duration,
    cut: usize,
    client: client::Session,
    server: server::Session,
    to_server: Wire,
    to_client: Wire,
    /// From this question on the server's application is silent.
    silent_at: Option<&'static str>,
    content: Vec<u8>,
    received: Vec<u8>,
    asked: Vec<&'static str>,
    /// Each side's handshake, once both have asked for it.
    handshakes: (bool, bool),
    log: Vec<String>,
    closed: (bool, bool),
}

impl Pair {
    fn new(content: &[u8], cut: usize) -> Self {
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
        }
    }

    /// Runs until both sides have closed.
    fn run(&mut self) {
        while self.closed != (true, true) {
            while self.server_acts() || self.client_acts() {}
            if self.handshakes == (true, true) {
                self.handshakes = (false, false);
                self.server.tls_started(self.now);
                self.client.tls_started(self.now);
                continue;
            }
            self.now = self.next_moment();
            while let Some(octets) = self.to_server.arrived(self.now) {
                if octets.is_empty() {
                    self.server.hang_up();
                    // A silent application gives up once its client is gone.
                    self.server.answer(self.now, ok());
                }
                self.server.receive(self.now, &octets);
            }
            while let Some(octets) = self.to_client.arrived(self.now) {
                if octets.is_empty() {
                    self.client.hang_up();
                }
                self.client.receive(self.now, &octets);
            }
            self.server.expire(self.now);
            self.client.expire(self.now);
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
            .expect("both sides wait for ever")
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
    starttls: true,
};

const DELAY: Duration = Duration::from_millis(20);

const DELIVERED: [&str; 5] = [
    "Mail 250 2.0.0 taken",
    "Rcpt 250 2.0.0 taken",
    "Data 354 end data with <CR><LF>.<CR><LF>",
    "Message 250 2.0.0 taken",
    "Quit 221 2.0.0 bye",
];

#[test]
fn a_message_crosses_with_tls_and_arrives_octet_for_octet() {
    let content = b"Subject: x\r\n\r\n.\r\n..\r\n.leading\r\n\r\nlast\r\n";
    for cut in [1, 2, 5, 1000] {
        let mut pair = Pair::new(content, cut);
        pair.run();
        assert_eq!(pair.log, DELIVERED, "cut {cut}");
        assert_eq!(pair.received, content, "cut {cut}");
        assert!(pair.server.is_tls() && pair.client.is_tls());
        // Greeting, EHLO, STARTTLS, EHLO and five commands: no step waits for a timer.
        assert!(pair.now < Duration::from_secs(1), "{:?}", pair.now);
    }
}

#[test]
fn a_silent_application_is_given_up_by_the_client_in_its_time() {
    for (question, lost, seconds) in [
        ("mail", "lost Mail no reply in time", 300),
        ("rcpt", "lost Rcpt no reply in time", 300),
        ("data", "lost Data no reply in time", 120),
        ("message", "lost Message no reply in time", 600),
    ] {
        let mut pair = Pair::new(b"x\r\n", 1000);
        pair.silent_at = Some(question);
        pair.run();
        assert!(pair.log.iter().any(|line| line == lost), "{:?}", pair.log);
        let over = pair.now - Duration::from_secs(seconds);
        assert!(over < Duration::from_secs(1), "{question}: {:?}", pair.now);
    }
}

proptest! {
    #[test]
    fn any_content_arrives_as_it_was_sent(
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(b".x\xff ".to_vec()), 0..6), 0..12),
        cut in 1_usize..40,
    ) {
        let content: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\r\n"].concat()).collect();
        let mut pair = Pair::new(&content, cut);
        pair.run();
        prop_assert_eq!(pair.log, DELIVERED);
        prop_assert_eq!(pair.received, content);
    }
}
