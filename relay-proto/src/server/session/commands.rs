//! What each command does, and when it is out of order (RFC 5321 section 4.1.4).

use super::{
    Abort, Action, Asked, Chunk, EhloName, Greeted, Hello, MAX_COMMAND_OCTETS, Question, Role,
    Session, State, Transaction, replies,
};
use crate::envelope::{Mail, Recipient};
use crate::reply::Reply;
use crate::wire::command::{Command, CommandError};
use crate::wire::line::CRLF;

impl Session {
    /// Acts on one command line, given without its CRLF.
    pub(super) fn command(&mut self, line: &[u8]) {
        self.commands = self.commands.saturating_add(1);
        if self.commands > self.config.max_commands {
            self.abort(Abort::Violation);
            return self.close_with(&replies::too_many_commands());
        }
        match (self.role, Command::parse(line)) {
            (_, Ok(Command::Quit)) => self.quit(),
            (Role::Refused, _) => self.fail(&replies::only_quit()),
            (Role::Probe, Ok(Command::Noop)) => self.out.say(&replies::ok(), false),
            (Role::Probe, _) => self.fail(&replies::only_probing()),
            // Longer lines are for AUTH alone.
            (Role::Client, Ok(Command::Auth(mechanism))) => self.auth(mechanism, line),
            (Role::Client, _) if line.len() + CRLF.len() > MAX_COMMAND_OCTETS => {
                self.fail(&replies::line_too_long());
            }
            (Role::Client, Ok(command)) => self.serve(command),
            // How many octets of content follow is not known, and they must not be read as commands.
            (Role::Client, Err(error @ CommandError::Chunk)) => {
                self.abort(Abort::Violation);
                self.close_with(&replies::command_error(&error));
            }
            (Role::Client, Err(error)) => self.fail(&replies::command_error(&error)),
        }
    }

    fn serve(&mut self, command: Command) {
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.rcpt(recipient),
            Command::Data => self.data(),
            Command::Rset => {
                self.reset();
                self.out.say(&replies::ok(), false);
            }
            Command::Noop => self.out.say(&replies::ok(), false),
            Command::Vrfy => self.out.say(&replies::will_not_verify(), false),
            Command::Help => self.out.say(&replies::help(&self.config), false),
            Command::StartTls => self.start_tls(),
            Command::Auth(_) => self.fail(&replies::not_implemented()),
            Command::Unsupported => self.fail(&replies::not_implemented()),
            Command::Bdat { octets, last } => self.bdat(Chunk { octets, last }),
            // What follows is a body that somebody else may have chosen, with commands in it.
            Command::Foreign => {
                self.abort(Abort::Violation);
                self.close_with(&replies::not_smtp());
            }
            Command::Quit => self.quit(),
        }
    }

    fn quit(&mut self) {
        self.quit = true;
        self.abort(Abort::Quit);
        self.close_with(&replies::bye());
    }

    fn hello(&mut self, name: EhloName, esmtp: bool) {
        self.reset();
        let tls = self.tls;
        let hello = Hello { name, esmtp, tls };
        self.ask(Asked::Hello(hello.clone()), Question::Hello(hello));
    }

    fn reset(&mut self) {
        self.abort(Abort::Reset);
        self.state = State::Idle;
        self.chunks_refused = false;
    }

    fn mail(&mut self, mail: Mail) {
        let Some(Greeted { hello, offer }) = &self.hello else {
            return self.fail(&replies::out_of_order("say EHLO first"));
        };
        if self.is_in_transaction() {
            return self.fail(&replies::transaction_open());
        }
        if !hello.esmtp && mail.has_parameters() {
            return self.fail(&replies::parameter_without_ehlo());
        }
        if let Some(keyword) = offer.lacks(&mail, self.tls) {
            return self.fail(&replies::parameter_not_offered(keyword));
        }
        if !mail.smtputf8 && !mail.reverse_path.is_ascii() {
            return self.fail(&replies::needs_smtputf8());
        }
        if mail.size.is_some_and(|size| offer.is_exceeded_by(size)) {
            let limit = offer.max_message_octets;
            return self.out.say(&replies::too_large(limit), false);
        }
        if self.mails >= self.config.max_mails {
            return self.close_with(&replies::too_many_mails());
        }
        self.mails += 1;
        self.chunks_refused = false;
        let transaction = Transaction::new(mail.smtputf8);
        self.ask(Asked::Mail(transaction), Question::Mail(mail));
    }

    fn rcpt(&mut self, recipient: Recipient) {
        let State::Envelope(transaction) = self.state else {
            return self.fail(&self.no_envelope("say MAIL first"));
        };
        if !self.esmtp() && (recipient.notify.is_some() || recipient.original.is_some()) {
            return self.fail(&replies::parameter_without_ehlo());
        }
        if let Some(keyword) = self.offer().lacks_for(&recipient) {
            return self.fail(&replies::parameter_not_offered(keyword));
        }
        if !transaction.utf8 && !recipient.is_ascii() {
            return self.fail(&replies::needs_smtputf8());
        }
        let taken = transaction.recipients;
        if taken >= self.config.max_recipients || self.offer().is_full_of(taken) {
            return self.out.say(&replies::too_many_recipients(), false);
        }
        let question = Question::Recipient(recipient);
        self.ask(Asked::Recipient(transaction), question);
    }

    fn data(&mut self) {
        let State::Envelope(transaction) = self.state else {
            return self.fail(&self.no_envelope("say MAIL and RCPT first"));
        };
        if transaction.recipients == 0 {
            return self.fail(&replies::no_valid_recipients());
        }
        self.ask(Asked::Data(transaction, None), Question::Data);
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        matches!(self.state, State::Envelope(_) | State::BetweenChunks(_))
    }

    /// What a command of the envelope hears where there is none, or no more: DATA and BDAT do not go together
    /// (RFC 3030 section 2).
    fn no_envelope(&self, what_to_do: &str) -> Reply {
        match self.state {
            State::BetweenChunks(_) => replies::out_of_order(
                "the message has begun with BDAT, go on with that or say RSET",
            ),
            State::Pregreet
            | State::Idle
            | State::Authenticating(_)
            | State::Envelope(_)
            | State::Asked(_)
            | State::Content(_)
            | State::Chunk(_)
            | State::Discard(_)
            | State::Handshake
            | State::Closed => replies::out_of_order(what_to_do),
        }
    }

    fn start_tls(&mut self) {
        if self.tls {
            return self.fail(&replies::out_of_order("TLS is already on"));
        }
        let Some(Greeted { offer, .. }) = &self.hello else {
            return self.fail(&replies::out_of_order("say EHLO first"));
        };
        if !offer.starttls {
            return self.fail(&replies::not_implemented());
        }
        self.reset();
        // They came in clear text, and whoever put them there wants them to be taken for what the client
        // says under TLS (CVE-2011-0411).
        if !self.input.is_empty() {
            return self.close_with(&replies::octets_after_starttls());
        }
        self.hello = None;
        self.state = State::Handshake;
        self.out.say(&replies::ready_for_tls(), false);
        self.out.push(Action::StartTls);
    }
}
