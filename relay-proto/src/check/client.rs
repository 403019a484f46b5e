//! The client's session under any octets from the server.

use super::pieces;
use crate::Time;
use crate::address::{ForwardPath, ReversePath};
use crate::client::{Action, Config, Event, LostCause, Mail, Recipient, Session, Stage, Timeouts};

/// A session does the same however the replies of the server are cut; it ends at most once, and a
/// command is answered at most once. That two replies arrive together is no matter of cutting: the
/// second answers a command that has not been given, which is refused as far as it can be seen.
pub fn session(octets: &[u8], cuts: &[u8]) {
    let by_octet = run(pieces(octets, &[1]));
    let by_reply = run(replies(octets).into_iter());
    let in_pieces = run(replies(octets)
        .into_iter()
        .flat_map(|reply| pieces(reply, cuts)));
    assert_eq!(by_octet, by_reply);
    assert_eq!(by_octet, in_pieces);
    for actions in [
        by_octet,
        run(core::iter::once(octets)),
        run(pieces(octets, cuts)),
    ] {
        keeps_promises(&actions);
    }
}

/// Cuts behind each line that ends a reply: one without a hyphen after its code.
fn replies(octets: &[u8]) -> Vec<&[u8]> {
    let mut replies = Vec::new();
    let mut rest = octets;
    let mut end = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        end += line.len();
        if line.get(3) != Some(&b'-') {
            let (reply, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            replies.push(reply);
            rest = after;
            end = 0;
        }
    }
    replies.push(rest);
    replies
}

/// Feeds the pieces, up to a handshake, to a caller that sends one message and quits; then hangs up.
fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Action> {
    let config = Config {
        ehlo_name: "relay.example".to_owned(),
        timeouts: Timeouts::default(),
    };
    let mut session = Session::new(config, Time::ZERO);
    let mut actions = Vec::new();
    for piece in pieces {
        if actions.last() == Some(&Action::StartTls) {
            return actions;
        }
        session.receive(Time::ZERO, piece);
        drain(&mut session, &mut actions);
    }
    if actions.last() != Some(&Action::StartTls) {
        session.hang_up();
        drain(&mut session, &mut actions);
        assert_eq!(actions.last(), Some(&Action::Close), "open after the end");
        assert_eq!(session.deadline(), None, "a wait after the end");
    }
    actions
}

fn drain(session: &mut Session, actions: &mut Vec<Action>) {
    while let Some(action) = session.poll() {
        let next = action.clone();
        actions.push(action);
        let stage = match next {
            Action::Event(Event::Ready(_)) => Stage::Ehlo,
            Action::Event(Event::Answered { stage, ref reply }) => {
                if stage == Stage::Data && reply.code() != 354 {
                    Stage::Message
                } else {
                    stage
                }
            }
            Action::Event(Event::Lost { .. })
            | Action::Send(_)
            | Action::StartTls
            | Action::Close => continue,
        };
        let pipelined = actions.iter().any(
            |action| matches!(action, Action::Event(Event::Ready(extensions)) if extensions.pipelining),
        );
        if pipelined {
            proceed_in_one_go(session, stage);
        } else {
            proceed(session, stage);
        }
    }
}

/// The same message with its envelope in one go.
fn proceed_in_one_go(session: &mut Session, stage: Stage) {
    match stage {
        Stage::Greeting | Stage::Ehlo | Stage::StartTls => {
            let mail = Mail::new(ReversePath::Null);
            let recipient = Recipient::new(ForwardPath::Postmaster);
            assert!(session.can_pipeline(&mail, &[&recipient]));
            session.envelope(Time::ZERO, &mail, &[&recipient]);
        }
        // What follows has been asked already.
        Stage::Mail | Stage::Rcpt => {}
        Stage::Data | Stage::Message | Stage::Rset | Stage::Quit => proceed(session, stage),
    }
}

/// What the caller does after the reply of this stage.
fn proceed(session: &mut Session, stage: Stage) {
    let now = Time::ZERO;
    match stage {
        Stage::Greeting | Stage::Ehlo | Stage::StartTls => {
            let mail = Mail {
                size: Some(5),
                ..Mail::new(ReversePath::Null)
            };
            session.mail(now, &mail);
        }
        Stage::Mail => {
            session.rcpt(now, &Recipient::new(ForwardPath::Postmaster));
        }
        Stage::Rcpt => session.data(now),
        Stage::Data => {
            session.body(b"x\r\n");
            session.end(now);
        }
        Stage::Message => session.rset(now),
        Stage::Rset => session.quit(now),
        Stage::Quit => {}
    }
}

fn keeps_promises(actions: &[Action]) {
    let mut commands = 0_i32;
    for (index, action) in actions.iter().enumerate() {
        let remaining = actions.len() - index - 1;
        match action {
            Action::Send(octets) => {
                assert!(octets.ends_with(b"\r\n"));
                let lines = octets.iter().filter(|octet| **octet == b'\n').count();
                commands += i32::try_from(lines).unwrap_or(i32::MAX);
            }
            Action::Event(Event::Answered { .. }) => {
                commands -= 1;
                assert!(commands >= 0, "more replies than commands");
            }
            Action::Event(Event::Lost { cause, .. }) => {
                assert_eq!(remaining, 1, "something after the session was lost");
                let ours = matches!(cause, LostCause::OutOfTurn | LostCause::Content(_));
                assert!(!ours, "{cause}");
            }
            Action::Close => assert_eq!(remaining, 0, "something after the end"),
            Action::StartTls | Action::Event(Event::Ready(_)) => {}
        }
    }
}
