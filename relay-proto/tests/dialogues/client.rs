//! The client's side, dialogue by dialogue.

use crate::client_player::play;

const READY: &str = r"S: 220 mx.example
    C: EHLO relay.example
    S: 250-mx.example
    S: 250-SIZE 1000
    S: 250-8BITMIME
    S: 250 SMTPUTF8
    E: ready size 8bitmime smtputf8
    ";

const BARE: &str = r"S: 220 mx.example
    C: EHLO relay.example
    S: 250 mx.example
    E: ready
    ";

const CONTENT: &str = r">: mail <>
    C: MAIL FROM:<>
    S: 250 ok
    E: Mail 250 ok
    >: rcpt <b@example.net>
    C: RCPT TO:<b@example.net>
    S: 250-2.1.5 ok
    S: 250 2.1.5 really
    E: Rcpt 250 2.1.5 ok 2.1.5 really
    >: data
    C: DATA
    S: 354 go ahead
    E: Data 354 go ahead
    ";

#[track_caller]
fn play_after(parts: &[&str], rest: &str) {
    play(&(parts.concat() + rest));
}

#[test]
fn a_message_is_delivered_over_tls() {
    play(
        r"S: 220-mx.example
          S: 220 ESMTP
          C: EHLO relay.example
          S: 250-mx.example
          S: 250-PIPELINING
          S: 250 STARTTLS
          C: STARTTLS
          S: 220 2.0.0 go
          T:
          C: EHLO relay.example
          S: 250-mx.example
          S: 250-STARTTLS
          S: 250-SIZE
          S: 250 ENHANCEDSTATUSCODES
          E: ready size enhanced
          >: mail <a@example.org> 70 8bit
          C: MAIL FROM:<a@example.org> SIZE=70
          S: 250 2.1.0 ok
          E: Mail 250 2.1.0 ok
          >: rcpt <b@example.net>
          C: RCPT TO:<b@example.net>
          S: 250 2.1.5 ok
          E: Rcpt 250 2.1.5 ok
          >: data
          C: DATA
          S: 354 go ahead
          E: Data 354 go ahead
          >: body Subject: x\r\n\r\n.
          C: Subject: x
          C:
          >: body dot\r\n..\r\nlast\r
          C: ..dot
          C: ...
          >: body \n
          C: last
          >: end
          C: .
          S: 250 2.6.0 queued as 7
          E: Message 250 2.6.0 queued as 7
          >: quit
          C: QUIT
          S: 221 2.0.0 bye
          E: Quit 221 2.0.0 bye
          Z: ",
    );
}

#[test]
fn parameters_are_said_only_if_offered() {
    play_after(
        &[READY],
        r">: mail <ä@example.org> 70 8bit utf8
          C: MAIL FROM:<ä@example.org> SIZE=70 BODY=8BITMIME SMTPUTF8
          S: 250 ok
          E: Mail 250 ok
          >: rcpt <ö@example.net>
          C: RCPT TO:<ö@example.net>
          S: 550 5.1.1 nobody
          E: Rcpt 550 5.1.1 nobody
          >: rset
          C: RSET
          S: 250 ok
          E: Rset 250 ok
          >: mail <a@example.org> 7bit
          C: MAIL FROM:<a@example.org> BODY=7BIT
          S: 250 ok
          E: Mail 250 ok
          >: rcpt <ö@example.net>
          E: Rcpt 550 5.6.7 the destination does not take SMTPUTF8
          ",
    );
    play_after(
        &[BARE],
        r">: mail <a@example.org> 70 8bit utf8
          E: Mail 550 5.6.7 the destination does not take SMTPUTF8
          >: mail <ä@example.org>
          E: Mail 550 5.6.7 the destination does not take SMTPUTF8
          >: mail <a@example.org> 70 8bit
          C: MAIL FROM:<a@example.org>
          S: 250 ok
          E: Mail 250 ok
          ",
    );
}

#[test]
fn helo_follows_only_where_ehlo_is_not_known() {
    for code in ["500", "501", "502", "504"] {
        play(&format!(
            r"S: 220 mx.example
              C: EHLO relay.example
              S: {code} what
              C: HELO relay.example
              S: 250 mx.example
              E: ready
              "
        ));
    }
    play(
        r"S: 220 mx.example
          C: EHLO relay.example
          S: 554 5.7.1 not you
          C: QUIT
          E: lost Ehlo the server said 554 5.7.1 not you
          Z: ",
    );
    play(
        r"S: 220 mx.example
          C: EHLO relay.example
          S: 500 what
          C: HELO relay.example
          S: 500 what
          C: QUIT
          E: lost Ehlo the server said 500 what
          Z: ",
    );
}

#[test]
fn the_end_of_data_is_said_once_whatever_the_content_ends_in() {
    for (body, wire) in [
        ("", ""),
        (r">: body x\r\n", "C: x\n"),
        (">: body .", "C: ..\n"),
        (r">: body .\r\n.\r\n", "C: ..\nC: ..\n"),
    ] {
        let end = if body.ends_with(r"\n") || body.is_empty() {
            format!("{body}\n{wire}>: end\n")
        } else {
            format!("{body}\n>: end\n{wire}")
        };
        play_after(
            &[READY, CONTENT, &end],
            r"C: .
              S: 451 later
              E: Message 451 later
              ",
        );
    }
}

#[test]
fn a_refused_data_leaves_the_session_ready() {
    play_after(
        &[BARE],
        r">: data
          C: DATA
          S: 503 5.5.1 no
          E: Data 503 5.5.1 no
          >: rset
          C: RSET
          S: 250 ok
          E: Rset 250 ok
          ",
    );
}

#[test]
fn a_greeting_that_refuses_loses_the_session() {
    for code in ["554", "450", "250"] {
        play(&format!(
            r"S: {code} no
              C: QUIT
              E: lost Greeting the server said {code} no
              Z: "
        ));
    }
}

#[test]
fn a_421_or_a_hang_up_at_any_time_loses_the_session() {
    let greeted = "S: 220 mx\nC: EHLO relay.example\n";
    let starttls = format!("{greeted}S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n");
    let ready = READY.to_owned();
    let mail = format!("{READY}>: mail <a@b>\nC: MAIL FROM:<a@b>\n");
    let rcpt = format!("{READY}>: rcpt <a@b>\nC: RCPT TO:<a@b>\n");
    let data = format!("{READY}>: data\nC: DATA\n");
    let content = format!("{READY}{CONTENT}>: body x\\r\\n\nC: x\n");
    let message = format!("{content}>: end\nC: .\n");
    let rset = format!("{READY}>: rset\nC: RSET\n");
    for (dialogue, stage) in [
        ("", "Greeting"),
        (greeted, "Ehlo"),
        (&starttls, "StartTls"),
        (&ready, "Ehlo"),
        (&mail, "Mail"),
        (&rcpt, "Rcpt"),
        (&data, "Data"),
        (&content, "Message"),
        (&message, "Message"),
        (&rset, "Rset"),
    ] {
        play(&format!(
            "{dialogue}S: 421 4.3.2 going down\nE: lost {stage} the server said 421 4.3.2 going down\nZ: "
        ));
        play(&format!(
            "{dialogue}s: 25\nH: \nE: lost {stage} the server closed the connection\nZ: "
        ));
    }
    for end in ["H: \nZ: ", "S: 421 bye\nE: Quit 421 bye\nZ: "] {
        play(&format!("{READY}>: quit\nC: QUIT\n{end}"));
    }
}

#[test]
fn replies_that_are_none_lose_the_session() {
    let long = "x".repeat(2048);
    for (said, cause) in [
        ("S: hello", "malformed reply: no reply code"),
        ("S: 999 x", "malformed reply: no reply code"),
        (
            "S: 250x",
            "malformed reply: no space or hyphen after the reply code",
        ),
        (
            "S: 250-a\nS: 251 b",
            "malformed reply: lines with different reply codes",
        ),
        (r"s: 250 a\n", "bare LF in a reply"),
        (r"s: 250 a\rb", "bare CR in a reply"),
        (r"s: 250 a\0b", "NUL in a reply"),
        (&format!("S: 250 {long}"), "reply line too long"),
        ("S: 354 go", "a reply that nothing asked for"),
    ] {
        play(&format!(
            "{READY}>: mail <a@b>\nC: MAIL FROM:<a@b>\n{said}\nE: lost Mail {cause}\nZ: "
        ));
    }
    let many = "S: 250-x\n".repeat(129);
    play(&format!(
        "{READY}>: rset\nC: RSET\n{many}E: lost Rset malformed reply: reply too long\nZ: "
    ));
}

#[test]
fn a_reply_that_nothing_asked_for_loses_the_session() {
    play_after(
        &[READY],
        "S: 250 ok\nE: lost Ehlo a reply that nothing asked for\nZ: ",
    );
    play_after(
        &[READY, CONTENT],
        "S: 250 ok\nE: lost Message a reply that nothing asked for\nZ: ",
    );
    play_after(
        &[READY, CONTENT],
        "S: 552 5.3.4 too large\nE: lost Message the server said 552 5.3.4 too large\nZ: ",
    );
}

#[test]
fn there_is_no_way_from_an_offered_starttls_to_clear_text() {
    let offered = "S: 220 mx\nC: EHLO relay.example\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n";
    play(&format!(
        "{offered}S: 454 4.7.0 not now\nC: QUIT\nE: lost StartTls the server said 454 4.7.0 not now\nZ: "
    ));
    play(&format!(
        "{offered}S: 220 go\nT!: \nE: lost StartTls the TLS handshake failed\nZ: "
    ));
}

#[test]
fn clear_text_before_the_handshake_is_an_attack() {
    use relay_proto::client::{Action, Event, LostCause, Session};
    use std::time::Duration;
    let reply = b"220 go\r\n250-mx.evil\r\n250 SIZE\r\n";
    for split in [8, reply.len()] {
        let mut session = Session::new(crate::client_player::config(), Duration::ZERO);
        session.receive(Duration::ZERO, b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n");
        let (first, second) = reply.split_at(split);
        session.receive(Duration::ZERO, first);
        session.receive(Duration::ZERO, second);
        if split == 8 {
            session.tls_started(Duration::ZERO);
        }
        let events: Vec<Action> = std::iter::from_fn(|| session.poll()).collect();
        assert!(
            matches!(
                events[..],
                [
                    ..,
                    Action::Event(Event::Lost {
                        cause: LostCause::Injected,
                        ..
                    }),
                    Action::Close
                ]
            ),
            "{events:?}"
        );
        assert!(!session.is_tls());
    }
}

#[test]
fn bugs_of_the_caller_end_the_session_and_never_the_data() {
    for command in ["data", "body x", "end", "quit"] {
        play_after(
            &[READY],
            &format!(">: rset\nC: RSET\n>: {command}\nE: lost Rset command out of turn\nZ: \n"),
        );
    }
    play_after(
        &[READY, CONTENT],
        ">: rset\nE: lost Message command out of turn\nZ: ",
    );
    for (body, name) in [
        (r"a\nb", "bare LF"),
        (r"a\rb", "bare CR"),
        (r"\0.\r", "a lone dot beside NUL"),
    ] {
        play_after(
            &[READY, CONTENT],
            &format!(">: body {body}\nE: lost Message content with {name}\nZ: "),
        );
    }
    play_after(
        &[READY, CONTENT],
        ">: body a\\r\n>: end\nE: lost Message content with bare CR\nZ: ",
    );
}
