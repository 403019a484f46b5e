//! The server's side where it says no: TLS, limits, malformed lines, hang-ups, refused sessions.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Action, Answer, Question, Session};

use crate::server::{after_ehlo, in_content};
use crate::server_player::{config, offer, play, play_on, reply};

#[test]
fn tls_forgets_what_was_said_before() {
    play(&after_ehlo(
        r"=: mail
          C: STARTTLS
          X: Reset
          S: 220 2.0.0 ready to start TLS
          T:
          C: MAIL FROM:<a@b>
          S: 503 5.5.1 say EHLO first
          C: EHLO c
          S: 250-relay.example
          S: 250-SIZE 100
          S: 250-PIPELINING
          S: 250-8BITMIME
          S: 250-SMTPUTF8
          S: 250 ENHANCEDSTATUSCODES
          C: STARTTLS
          S: 503 5.5.1 TLS is already on
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    ));
}

/// A session after EHLO, with nothing left to poll.
fn ready() -> Session {
    let mut session = Session::new(Arc::new(config()), Duration::ZERO);
    say_hello(&mut session, b"EHLO c\r\n");
    session
}

/// Says EHLO or HELO, and leaves nothing to poll.
fn say_hello(session: &mut Session, line: &[u8]) {
    session.receive(Duration::ZERO, line);
    while let Some(action) = session.poll() {
        if let Action::Ask(Question::Hello(_)) = action {
            session.answer(Duration::ZERO, Answer::Offer(offer()));
        }
    }
}

fn rest(session: &mut Session) -> Vec<Action> {
    std::iter::from_fn(|| session.poll()).collect()
}

#[test]
fn commands_injected_before_the_handshake_are_never_run() {
    let mut session = ready();
    session.receive(
        Duration::ZERO,
        b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@x>\r\n",
    );
    let actions = rest(&mut session);
    assert!(
        matches!(actions.as_slice(), [Action::Send(reply), Action::Close] if reply.starts_with(b"503 5.5.1")),
        "{actions:?}"
    );

    let mut session = ready();
    session.receive(Duration::ZERO, b"STARTTLS\r\n");
    session.receive(Duration::ZERO, b"MAIL FROM:<evil@x>\r\n");
    session.tls_started(Duration::ZERO);
    let actions = rest(&mut session);
    assert!(
        matches!(
            actions.as_slice(),
            [Action::Send(_), Action::StartTls, Action::Close]
        ),
        "{actions:?}"
    );
    assert!(!session.is_tls());
}

#[test]
fn the_facts_of_a_session_are_those_since_the_last_reset() {
    let mut session = ready();
    assert_eq!(session.ehlo().map(|name| name.as_str()), Some("c"));
    assert!(session.esmtp() && !session.is_tls());
    session.receive(Duration::ZERO, b"STARTTLS\r\n");
    session.tls_started(Duration::ZERO);
    assert!(session.ehlo().is_none() && session.is_tls());
    say_hello(&mut session, b"HELO d\r\n");
    assert!(session.ehlo().is_some() && !session.esmtp());
}

#[test]
fn a_message_over_the_limit_is_swallowed_and_then_refused() {
    let long = "x".repeat(60);
    play(&in_content(&format!(
        r"C: {long}
          C: {long}
          X: TooLarge
          C: RSET
          C: .
          S: 552 5.3.4 message larger than the limit of 100 octets
          C: NOOP
          S: 250 2.0.0 ok
          H:
          E: "
    )));
    let exact = "x".repeat(98);
    play(&in_content(&format!(
        r"C: {exact}
          C: .
          B: {exact}\r\n
          ?: MESSAGE
          A: 250 2.6.0 ok
          S: 250 2.6.0 ok
          H:
          E: "
    )));
}

#[test]
fn malformed_commands_are_refused_and_close() {
    for (octets, error, name) in [
        (r"NOOP\nNOOP", "BareLf", "bare LF"),
        (r"NOOP\rNOOP", "BareCr", "bare CR"),
        (r"NOOP\r\r", "BareCr", "bare CR"),
        (r"NO\0OP", "Nul", "NUL"),
    ] {
        play(&after_ehlo(&format!(
            r"=: mail
              C: {octets}
              X: Framing({error})
              S: 500 5.5.2 {name} in a command, see RFC 5321 section 2.3.8; closing
              E: "
        )));
    }
}

#[test]
fn a_long_command_line_is_refused_and_the_next_one_read() {
    let long = "x".repeat(5000);
    let longest = "x".repeat(2048 - "NOOP \r\n".len());
    play(&after_ehlo(&format!(
        r"C: NOOP {long}
          S: 500 5.5.2 command line too long
          C: NOOP {longest}
          S: 250 2.0.0 ok
          C: NOOP {longest}x
          S: 500 5.5.2 command line too long
          C: QUIT
          S: 221 2.0.0 bye
          E: "
    )));
}

#[test]
fn commands_are_counted() {
    let start = || {
        let mut config = config();
        config.max_commands = 2;
        Session::new(Arc::new(config), Duration::ZERO)
    };
    play_on(
        start,
        r"=: greeting
          C: NOOP
          S: 250 2.0.0 ok
          C: NOOP
          S: 250 2.0.0 ok
          C: NOOP
          S: 421 4.7.0 too many commands, closing
          E: ",
    );
}

#[test]
fn a_refused_session_closes_or_waits_for_quit() {
    let refuse = |text: &'static str| move || Session::refuse(reply(text), Duration::ZERO);
    play_on(
        refuse("421 4.3.2 try again"),
        r"S: 421 4.3.2 try again
          E:
          D: none",
    );
    play_on(
        refuse("554 5.7.1 not for you"),
        r"S: 554 5.7.1 not for you
          D: 30
          C: EHLO c
          S: 503 5.5.1 the session was refused, say QUIT
          C: MAIL FROM:<a@b>
          S: 503 5.5.1 the session was refused, say QUIT
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn a_probe_gets_a_banner_and_nothing_more() {
    play_on(
        || Session::probe(Arc::new(config()), Duration::ZERO),
        r"=: greeting
          C: NOOP
          S: 250 2.0.0 ok
          C: EHLO c
          S: 554 5.7.1 health checks are served NOOP and QUIT alone
          C: nonsense
          S: 554 5.7.1 health checks are served NOOP and QUIT alone
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn a_client_that_shuts_down_its_side_still_hears_its_replies() {
    let mut session = ready();
    let all = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n";
    session.receive(Duration::ZERO, all);
    session.hang_up();
    assert!(matches!(
        rest(&mut session)[..],
        [Action::Ask(Question::Mail(_))]
    ));
    session.answer(Duration::ZERO, Answer::Reply(reply("250 2.1.0 ok")));
    let actions = rest(&mut session);
    assert!(
        matches!(
            actions[..],
            [Action::Send(_), Action::Ask(Question::Recipient(_))]
        ),
        "{actions:?}"
    );
    session.answer(Duration::ZERO, Answer::Reply(reply("250 2.1.5 ok")));
    let actions = rest(&mut session);
    let [
        Action::Send(first),
        Action::Aborted(_),
        Action::Send(bye),
        Action::Close,
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(first, "250 2.1.5 ok\r\n");
    assert_eq!(bye, "221 2.0.0 bye\r\n");
}

#[test]
fn replies_to_pipelined_commands_leave_in_one_piece() {
    let mut session = ready();
    session.receive(
        Duration::ZERO,
        b"NOOP\r\nRSET\r\nVRFY x\r\nMAIL FROM:<a@b>\r\n",
    );
    let actions = rest(&mut session);
    let [Action::Send(replies), Action::Ask(_)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(replies.split(|octet| *octet == b'\n').count(), 4);
}

#[test]
fn input_behind_a_question_is_bounded() {
    let mut session = ready();
    session.receive(Duration::ZERO, b"MAIL FROM:<a@b>\r\n");
    assert!(matches!(rest(&mut session)[..], [Action::Ask(_)]));
    assert!(session.deadline().is_none());
    let noops = b"NOOP\r\n".repeat(11_000);
    assert!(session.wants_input());
    session.receive(Duration::ZERO, &noops);
    assert!(!session.wants_input() && session.poll().is_none());
    session.receive(Duration::ZERO, b"NOOP\r\n");
    let actions = rest(&mut session);
    assert!(
        matches!(&actions[..], [Action::Send(reply), Action::Close] if reply.starts_with(b"421 4.7.0")),
        "{actions:?}"
    );
    session.answer(Duration::ZERO, Answer::Reply(reply("250 2.1.0 ok")));
    assert!(session.poll().is_none());
}
