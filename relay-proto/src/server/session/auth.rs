//! What AUTH does where it is offered (RFC 4954), and what it hears where it is not.
//!
//! A session that has let a user in has it until its end; there is no second AUTH.

use super::{Asked, Greeted, Question, Session, State, replies};
use crate::sasl::{Exchange, Mechanism, Step};
use crate::server::Auth;
use crate::wire::auth::{self, Response};

impl Session {
    /// AUTH, with its whole line.
    pub(super) fn auth(&mut self, mechanism: auth::Mechanism, line: &[u8]) {
        if self.hello.is_none() {
            return self.fail(&replies::out_of_order("say EHLO first"));
        }
        // RFC 4954 section 4.
        if self.is_in_transaction() {
            return self.fail(&replies::transaction_open());
        }
        if !self.offers_auth() {
            let question = Question::Auth(Auth::NotOffered(mechanism));
            return self.ask(Asked::Auth, question);
        }
        if self.user.is_some() {
            return self.fail(&replies::already_authenticated());
        }
        let Some(mechanism) = Mechanism::from_name(mechanism.as_str()) else {
            return self.fail(&replies::no_such_mechanism());
        };
        let exchange = Box::new(Exchange::new(mechanism));
        match auth::initial_response(line) {
            Some(response) => self.respond(exchange, response),
            None => {
                let opening = replies::challenge(exchange.opening().as_bytes());
                self.state = State::Authenticating(exchange);
                self.out.say(&opening, false);
            }
        }
    }

    /// A line in an exchange.
    pub(super) fn auth_response(&mut self, exchange: Box<Exchange>, line: &[u8]) {
        self.respond(exchange, auth::response(line));
    }

    fn respond(&mut self, mut exchange: Box<Exchange>, response: Response) {
        match response {
            Response::Octets(octets) => {
                let step = exchange.respond(&octets.0);
                self.auth_step(exchange, step);
            }
            Response::Cancelled => self.fail(&replies::auth_cancelled()),
            Response::Malformed => self.fail(&replies::not_base64()),
        }
    }

    /// Goes on as the exchange wants; whatever ends it leaves the session waiting for a command.
    pub(super) fn auth_step(&mut self, exchange: Box<Exchange>, step: Step) {
        match step {
            Step::Challenge(octets) => {
                self.state = State::Authenticating(exchange);
                self.out.say(&replies::challenge(&octets), false);
            }
            Step::Keys(user) => {
                let question = Question::Auth(Auth::Keys(user));
                self.ask(Asked::Keys(exchange), question);
            }
            Step::Claim(claim) => {
                let asked = Asked::Claim(claim.user.clone());
                self.ask(asked, Question::Auth(Auth::Claim(claim)));
            }
            Step::Malformed(problem) => self.fail(&replies::auth_malformed(problem)),
            Step::Refused(problem) => self.fail(&replies::auth_refused(problem)),
        }
    }

    /// Octets of the longest line that is taken now. Only AUTH and its responses need long ones.
    pub(super) fn max_line_octets(&self) -> usize {
        match self.state {
            State::Authenticating(_) => MAX_AUTH_OCTETS,
            State::Idle if self.user.is_none() && self.offers_auth() => MAX_AUTH_OCTETS,
            State::Idle
            | State::Pregreet
            | State::Envelope(_)
            | State::Asked(_)
            | State::Content(_)
            | State::Chunk(_)
            | State::BetweenChunks(_)
            | State::Discard(_)
            | State::Handshake
            | State::Closed => super::MAX_COMMAND_OCTETS,
        }
    }

    fn offers_auth(&self) -> bool {
        let offered = |Greeted { hello, offer }: &Greeted| offer.auth && hello.esmtp;
        self.tls && self.hello.as_ref().is_some_and(offered)
    }
}

/// Bound on the line of AUTH and on a response, CRLF included (RFC 4954 section 4).
const MAX_AUTH_OCTETS: usize = 12_288;
