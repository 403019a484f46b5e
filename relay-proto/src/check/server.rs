//! The server's session under any octets, with an application that takes nearly everything.

use core::num::NonZeroU32;
use std::sync::Arc;

use super::pieces;
use crate::Time;
use crate::envelope::{Mail, TlsTag};
use crate::limits::Limits;
use crate::reply::Reply;
use crate::server::{
    Abort, Action, Answer, Auth, Config, ContentLimits, Keys, MAX_HELD_OCTETS, Offer, Question,
    Session,
};
use crate::wire::command::Command;

/// What a session did. Pieces of content are joined, and replies are split into lines, because how many
/// there are depends on how the input was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Said(String),
    Asked(Question),
    Body(Vec<u8>),
    Aborted(Abort),
    StartTls,
    Closed,
}

/// What is offered at each EHLO.
#[derive(Clone, Copy, Debug)]
pub(super) enum Offered {
    Nothing,
    StartTls,
    Chunking,
    /// With AUTH, under TLS from the first octet.
    Auth,
}

/// A session does the same however its input is cut, and what it does keeps the promises of
/// [`crate::server`]; above all, nothing is taken after a framing error.
pub fn session(octets: &[u8], cuts: &[u8]) {
    for offered in [
        Offered::Nothing,
        Offered::StartTls,
        Offered::Chunking,
        Offered::Auth,
    ] {
        let by_octet = run(pieces(octets, &[1]), offered);
        keeps_promises(&by_octet);
        for events in [
            run(core::iter::once(octets), offered),
            run(pieces(octets, cuts), offered),
        ] {
            keeps_promises(&events);
            same(&by_octet, &events);
        }
    }
}

/// A command line is read without a panic, and an address or a parameter that was taken is the same when
/// it is said again: what this server understood is what the next one will.
pub fn command_line(line: &[u8]) {
    let Ok(command) = Command::parse(line) else {
        return;
    };
    let again = match &command {
        Command::Mail(mail) => {
            let path = mail.reverse_path.to_string();
            assert_eq!(path.parse().as_ref(), Ok(&mail.reverse_path));
            let tls = match mail.tls {
                TlsTag::Required => " REQUIRETLS",
                TlsTag::None | TlsTag::Optional => "",
            };
            let again = format!(
                "MAIL FROM:{path}{}{}{tls}",
                parameter("RET", mail.ret.as_ref()),
                parameter("ENVID", mail.envelope_id.as_ref())
            );
            let mail = Mail {
                size: None,
                body: None,
                smtputf8: false,
                auth: false,
                ..mail.clone()
            };
            assert_eq!(Command::parse(again.as_bytes()), Ok(Command::Mail(mail)));
            again
        }
        Command::Rcpt(recipient) => {
            let path = recipient.forward_path.to_string();
            assert_eq!(path.parse().as_ref(), Ok(&recipient.forward_path));
            let again = format!(
                "RCPT TO:{path}{}{}",
                parameter("NOTIFY", recipient.notify.as_ref()),
                parameter("ORCPT", recipient.original.as_ref())
            );
            assert_eq!(Command::parse(again.as_bytes()).as_ref(), Ok(&command));
            again
        }
        Command::Ehlo(name) | Command::Helo(name) => name.to_string(),
        Command::Auth(mechanism) => mechanism.to_string(),
        Command::Data
        | Command::Rset
        | Command::Noop
        | Command::Vrfy
        | Command::Help
        | Command::Quit
        | Command::StartTls
        | Command::Bdat { .. }
        | Command::Unsupported
        | Command::Foreign => return,
    };
    assert!(!again.chars().any(char::is_control), "{again:?}");
}

fn parameter(keyword: &str, value: Option<&impl ToString>) -> String {
    let said = |value: &_| format!(" {keyword}={}", ToString::to_string(value));
    value.map_or_else(String::new, said)
}

pub(super) fn config() -> Config {
    Config {
        max_recipients: 3,
        max_commands: 200,
        content: ContentLimits {
            max_line_octets: 120,
            max_received: 2,
            ..ContentLimits::default()
        },
        ..Config::new("relay.example", "Example")
    }
}

fn offer(offered: Offered) -> Offer {
    Offer {
        max_message_octets: 200,
        eight_bit_mime: true,
        smtputf8: true,
        chunking: matches!(offered, Offered::Chunking),
        dsn: matches!(offered, Offered::Chunking),
        starttls: matches!(offered, Offered::StartTls),
        require_tls: true,
        limits: Limits {
            recipients: NonZeroU32::new(2),
            ..Limits::NONE
        },
        auth: matches!(offered, Offered::Auth),
    }
}

/// Feeds the pieces, up to a handshake, then hangs up.
fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>, offered: Offered) -> Vec<Event> {
    let config = Arc::new(config());
    let mut session = match offered {
        Offered::Auth => Session::under_tls(config, Time::ZERO),
        Offered::Nothing | Offered::StartTls | Offered::Chunking => {
            Session::new(config, Time::ZERO)
        }
    };
    let mut events = Vec::new();
    for piece in pieces {
        if events.last() == Some(&Event::StartTls) {
            return events;
        }
        session.receive(Time::ZERO, piece);
        let held = session.held_octets();
        assert!(held <= MAX_HELD_OCTETS + piece.len(), "{held} octets held");
        drain(&mut session, &mut events, offered);
    }
    if events.last() != Some(&Event::StartTls) {
        session.hang_up();
        drain(&mut session, &mut events, offered);
        assert_eq!(events.last(), Some(&Event::Closed), "open after the end");
        assert_eq!(session.deadline(), None, "a wait after the end");
    }
    events
}

fn drain(session: &mut Session, events: &mut Vec<Event>, offered: Offered) {
    while let Some(action) = session.poll() {
        if let Some(question) = note(action, events) {
            session.answer(Time::ZERO, answer(&question, offered));
        }
    }
}

/// Keeps what happened; the question, if it was one.
pub(super) fn note(action: Action, events: &mut Vec<Event>) -> Option<Question> {
    match action {
        Action::Send(octets) => {
            let text = String::from_utf8_lossy(&octets);
            assert!(text.ends_with("\r\n"), "half a line");
            let lines = text.split_terminator("\r\n");
            events.extend(lines.map(|line| Event::Said(line.to_owned())));
        }
        Action::Body(piece) => match events.last_mut() {
            Some(Event::Body(body)) => body.extend_from_slice(&piece),
            Some(_) | None => events.push(Event::Body(piece.to_vec())),
        },
        Action::Aborted(cause) => {
            // How far an aborted message got depends on how it was cut, and is nobody's any more.
            if let Some(Event::Body(_)) = events.last() {
                events.pop();
            }
            events.push(Event::Aborted(cause));
        }
        Action::Ask(question) => {
            events.push(Event::Asked(question.clone()));
            return Some(question);
        }
        Action::StartTls => events.push(Event::StartTls),
        Action::Close => events.push(Event::Closed),
    }
    None
}

pub(super) fn answer(question: &Question, offered: Offered) -> Answer {
    match question {
        Question::Hello(_) => Answer::Offer(offer(offered)),
        Question::Auth(Auth::NotOffered(_)) => Answer::Reply(Reply::new(502, "5.5.1", "no")),
        Question::Auth(Auth::Keys(_)) => Answer::Keys {
            keys: Keys {
                salt: b"salt".to_vec(),
                iterations: 4096,
                stored_key: [0; 32],
                server_key: [0; 32],
            },
            nonce: "nonce".to_owned(),
        },
        Question::Auth(Auth::Claim(claim)) if claim.user.as_str().contains('u') => {
            Answer::Reply(Reply::new(235, "2.7.0", TAKEN))
        }
        Question::Auth(Auth::Claim(_)) => Answer::Reply(Reply::new(535, "5.7.8", "no")),
        Question::Data => Answer::Proceed,
        Question::Recipient(recipient) if recipient.forward_path.to_string().contains("no") => {
            Answer::Reply(Reply::new(550, "5.1.1", "nobody"))
        }
        Question::Mail(_) | Question::Recipient(_) | Question::Message => {
            Answer::Reply(Reply::new(250, "2.0.0", TAKEN))
        }
    }
}

/// The same events, but for STARTTLS: octets that arrived together with it are refused, octets that arrive
/// later belong to the handshake.
fn same(by_octet: &[Event], events: &[Event]) {
    if let [before @ .., Event::Said(_), Event::StartTls] = by_octet
        && let [also_before @ .., Event::Said(refusal), Event::Closed] = events
        && refusal.starts_with("503 5.5.1 nothing may follow STARTTLS")
    {
        assert_eq!(before, also_before);
    } else {
        assert_eq!(by_octet, events);
    }
}

pub(super) fn keeps_promises(events: &[Event]) {
    let mut body: &[u8] = &[];
    // Whether the application believes in a transaction.
    let mut open = false;
    let mut broken = false;
    for (index, event) in events.iter().enumerate() {
        match event {
            Event::Said(line) => {
                let accepts = line.starts_with('2') || line.starts_with('3');
                assert!(!(broken && accepts), "{line} after a framing error");
                assert!(line.len() <= 510 && !line.contains(['\r', '\n', '\0']));
            }
            Event::Asked(question) => {
                assert!(!broken, "{question:?} after a framing error");
                let (needs, leaves) = match question {
                    Question::Hello(_) | Question::Auth(_) => (false, false),
                    Question::Mail(_) => (false, true),
                    Question::Recipient(_) | Question::Data => (true, true),
                    Question::Message => (true, false),
                };
                assert_eq!(open, needs, "{question:?}");
                open = leaves;
                if matches!(question, Question::Message) {
                    well_framed(core::mem::take(&mut body));
                }
            }
            Event::Body(content) => {
                assert!(open && !broken, "content of nothing");
                body = content;
            }
            Event::Aborted(cause) => {
                assert!(open, "{cause:?} of nothing");
                open = false;
                // Where a chunk ends is known whatever is in it, so the session goes on after that.
                let in_chunk = matches!(events.get(index + 1), Some(Event::Said(line)) if line.ends_with("message refused"));
                broken |= matches!(cause, Abort::Framing(_)) && !in_chunk;
                body = &[];
            }
            Event::StartTls => assert!(!open && !broken),
            Event::Closed => {
                assert_eq!(index + 1, events.len(), "something after the end");
                assert!(!open, "a transaction without an end");
            }
        }
    }
}

fn well_framed(content: &[u8]) {
    let text: String = content.iter().map(|octet| char::from(*octet)).collect();
    assert!(text.is_empty() || text.ends_with("\r\n"), "half a line");
    assert!(
        !text.replace("\r\n", "").contains(['\r', '\n']),
        "malformed content was handed over"
    );
}

const TAKEN: &str = "taken";
