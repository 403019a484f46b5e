//! Every wait has an end (RFC 5321 section 4.5.3.2), on a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Action, Answer, Session};

use crate::client_player;
use crate::server_player::{config, offer, play, play_on, reply};

#[test]
fn an_unfinished_command_does_not_extend_the_wait() {
    play(
        r"=: greeting
          D: 300
          W: 200
          c: NO
          W: 99.999
          D: 300
          W: 0.001
          S: 421 4.4.2 nothing came in time, closing
          E:
          D: none",
    );
}

#[test]
fn every_command_starts_the_wait_anew() {
    play(
        r"=: greeting
          W: 299
          C: HELO c
          S: 250 relay.example
          D: 599
          =: mail
          W: 300
          X: Timeout
          S: 421 4.4.2 nothing came in time, closing
          E: ",
    );
}

const TO_CONTENT: &str = r"C: HELO c
          S: 250 relay.example
          =: content
";

#[test]
fn silence_in_the_content_ends_it() {
    play(&format!(
        r"=: greeting
          {TO_CONTENT}
          D: 300
          W: 100
          C: text
          D: 400
          W: 299.999
          D: 400
          W: 0.001
          X: Timeout
          S: 421 4.4.2 nothing came in time, closing
          E: "
    ));
}

#[test]
fn a_trickle_of_content_ends_too() {
    let hour: String = (0..14).map(|_| "W: 250\nC: x\n").collect();
    play(&format!(
        r"=: greeting
          {TO_CONTENT}{hour}
          D: 3600
          W: 100
          X: Timeout
          S: 421 4.4.2 the message comes too slowly, closing
          E: "
    ));
}

#[test]
fn who_ends_a_message_wrongly_hears_why_after_a_short_while() {
    play(&format!(
        r"=: greeting
          {TO_CONTENT}
          C: text
          c: .\n
          X: Framing(BareLf)
          D: 10
          W: 5
          c: x
          D: 15
          W: 10
          S: 554 5.6.0 bare LF in the message: lines must end in CRLF and nothing else, see RFC 5321 section 2.3.8; message refused, closing
          E: "
    ));
}

#[test]
fn silence_after_too_large_a_message_is_bounded() {
    let long = "x".repeat(101);
    play(&format!(
        r"=: greeting
          {TO_CONTENT}
          C: {long}
          X: TooLarge
          W: 300
          S: 421 4.4.2 nothing came in time, closing
          E: "
    ));
}

#[test]
fn a_handshake_that_does_not_end_closes_without_a_word() {
    let mut session = Session::new(Arc::new(config()), Duration::ZERO);
    session.receive(Duration::ZERO, b"EHLO c\r\nSTARTTLS\r\n");
    while let Some(action) = session.poll() {
        if let Action::Ask(_) = action {
            assert_eq!(session.deadline(), None);
            session.answer(Duration::ZERO, Answer::Offer(offer()));
        }
    }
    assert_eq!(session.deadline(), Some(Duration::from_secs(60)));
    session.expire(Duration::from_secs(59));
    assert_eq!(session.poll(), None);
    session.expire(Duration::from_secs(60));
    assert_eq!(session.poll(), Some(Action::Close));
    session.tls_started(Duration::from_secs(61));
    assert_eq!(session.poll(), None);
}

#[test]
fn refused_clients_and_probes_do_not_stay() {
    play_on(
        || Session::refuse(reply("554 5.7.1 no"), Duration::ZERO),
        r"S: 554 5.7.1 no
          W: 30
          S: 421 4.4.2 nothing came in time, closing
          E: ",
    );
    play_on(
        || Session::probe(Arc::new(config()), Duration::ZERO),
        r"=: greeting
              W: 300
              S: 421 4.4.2 nothing came in time, closing
              E: ",
    );
}

#[test]
fn the_client_waits_for_each_reply_as_long_as_the_rfc_says() {
    let greeted = "S: 220 mx\nC: EHLO relay.example\n";
    let ready = format!("{greeted}S: 250-mx\nS: 250 SIZE\nE: ready size\nD: none\n");
    let mail = format!("{ready}>: mail <a@b>\nC: MAIL FROM:<a@b>\n");
    let rcpt = format!("{mail}S: 250 ok\nE: Mail 250 ok\n>: rcpt <c@d>\nC: RCPT TO:<c@d>\n");
    let data = format!("{rcpt}S: 250 ok\nE: Rcpt 250 ok\n>: data\nC: DATA\n");
    let content = format!("{data}S: 354 go\nE: Data 354 go\nD: none\n");
    let message = format!("{content}>: end\nC: .\n");
    let rset = format!("{ready}>: rset\nC: RSET\n");
    let helo = format!("{greeted}S: 502 what\nC: HELO relay.example\n");
    let starttls = format!("{greeted}S: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n");
    let cases = [
        ("", "Greeting", "300"),
        (greeted, "Ehlo", "300"),
        (&helo, "Ehlo", "300"),
        (&starttls, "StartTls", "120"),
        (&mail, "Mail", "300"),
        (&rcpt, "Rcpt", "300"),
        (&data, "Data", "120"),
        (&message, "Message", "600"),
        (&rset, "Rset", "300"),
    ];
    for (dialogue, stage, seconds) in cases {
        let almost = seconds.parse::<u32>().unwrap() - 1;
        client_player::play(&format!(
            "{dialogue}D: {seconds}\nW: {almost}\nD: {seconds}\nW: 1\nE: lost {stage} no reply in time\nZ: \nD: none"
        ));
    }
    // Nothing depends on the reply to QUIT.
    client_player::play(&format!("{ready}>: quit\nC: QUIT\nD: 10\nW: 10\nZ: "));
    client_player::play(&format!(
        "{starttls}S: 220 go\nT~: \nD: 120\nW: 120\nE: lost StartTls no reply in time\nZ: "
    ));
}
