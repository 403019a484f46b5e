//! What EHLO offers, and that the client is held to it.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Config, Session};

use crate::server_player::{config, play, play_on};

#[test]
fn the_application_says_what_is_offered() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250 ENHANCEDSTATUSCODES
          C: MAIL FROM:<a@b> BODY=8BITMIME
          S: 555 5.5.4 BODY is not offered
          C: MAIL FROM:<ä@b> SMTPUTF8
          S: 555 5.5.4 SMTPUTF8 is not offered
          C: STARTTLS
          S: 502 5.5.1 command not implemented
          C: MAIL FROM:<a@b> SIZE=9999999
          ?: MAIL <a@b> 9999999
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: QUIT
          X: Quit
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn each_ehlo_replaces_the_offer_and_aborts_the_transaction() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer 8bitmime starttls 100
          S: 250-relay.example
          S: 250-SIZE 100
          S: 250-PIPELINING
          S: 250-8BITMIME
          S: 250-ENHANCEDSTATUSCODES
          S: 250 STARTTLS
          C: MAIL FROM:<a@b> SIZE=101
          S: 552 5.3.4 message larger than the limit of 100 octets
          C: MAIL FROM:<a@b> BODY=8BITMIME
          ?: MAIL <a@b> EightBitMime
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: STARTTLS
          X: Reset
          S: 220 2.0.0 ready to start TLS
          T:
          C: EHLO d
          ?: EHLO d tls
          A: offer smtputf8 starttls
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-SMTPUTF8
          S: 250 ENHANCEDSTATUSCODES
          C: MAIL FROM:<a@b> BODY=8BITMIME
          S: 555 5.5.4 BODY is not offered
          C: MAIL FROM:<ä@b> SMTPUTF8 SIZE=101
          ?: MAIL <ä@b> 101 utf8
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: HELO e
          X: Reset
          ?: HELO e tls
          A: offer 8bitmime
          S: 250 relay.example
          C: MAIL FROM:<a@b> BODY=8BITMIME
          S: 555 5.5.4 parameters need EHLO
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn a_refused_ehlo_leaves_the_one_before() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: 550 5.7.1 not today
          S: 550 5.7.1 not today
          C: MAIL FROM:<a@b>
          S: 503 5.5.1 say EHLO first
          C: EHLO c
          ?: EHLO c
          A: offer smtputf8
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-SMTPUTF8
          S: 250 ENHANCEDSTATUSCODES
          C: EHLO d
          ?: EHLO d
          A: 250 2.0.0 not an offer
          S: 451 4.3.0 internal error, try again later
          C: MAIL FROM:<ä@b> SMTPUTF8
          ?: MAIL <ä@b> utf8
          A: offer
          S: 451 4.3.0 internal error, try again later
          C: EHLO d
          ?: EHLO d
          A: close 421 4.4.1 cannot reach mx.example
          S: 421 4.4.1 cannot reach mx.example
          E: ",
    );
}

#[test]
fn auth_is_for_the_application_to_refuse() {
    play(
        r"=: greeting
          C: AUTH PLAIN AGEAYg==
          S: 503 5.5.1 say EHLO first
          C: HELO c
          S: 250 relay.example
          C: AUTH hunter2
          ?: AUTH unregistered
          A: 502 5.5.1 use port 587
          S: 502 5.5.1 use port 587
          =: mail
          C: AUTH LOGIN
          S: 503 5.5.1 a transaction is open, say RSET first
          C: RSET
          X: Reset
          S: 250 2.0.0 ok
          C: AUTH CRAM-MD5
          ?: AUTH CRAM-MD5
          A: 502 5.5.1 use port 587
          S: 421 4.7.0 too many errors, closing
          E: ",
    );
    play(
        r"=: greeting
          C: HELO c
          S: 250 relay.example
          C: AUTH LOGIN
          ?: AUTH LOGIN
          A: 334 VXNlcm5hbWU6
          S: 451 4.3.0 internal error, try again later
          C: AUTH LOGIN
          ?: AUTH LOGIN
          A: 235 2.7.0 come in
          S: 451 4.3.0 internal error, try again later
          C: AUTH LOGIN
          ?: AUTH LOGIN
          A: close 554 5.7.1 go away
          S: 554 5.7.1 go away
          E: ",
    );
}

#[test]
fn notifications_are_asked_for_where_that_is_offered() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer dsn smtputf8
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-SMTPUTF8
          S: 250-DSN
          S: 250 ENHANCEDSTATUSCODES
          C: MAIL FROM:<a@b> RET=HDRS ENVID=QQ+2B7
          ?: MAIL <a@b> HDRS QQ+2B7
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;e@f
          ?: RCPT <c@d> SUCCESS,DELAY rfc822;e@f
          A: 250 2.1.5 ok
          S: 250 2.1.5 ok
          C: RCPT TO:<c@d> ORCPT=utf-8;ä@f
          S: 553 5.6.7 the address needs SMTPUTF8, which MAIL did not say
          C: RCPT TO:<c@d> NOTIFY=NEVER,FAILURE
          S: 501 5.5.4 NOTIFY must be NEVER, or some of SUCCESS, FAILURE and DELAY
          C: RSET
          X: Reset
          S: 250 2.0.0 ok
          C: HELO c
          ?: HELO c
          A: offer dsn
          S: 250 relay.example
          =: mail
          C: RCPT TO:<c@d> NOTIFY=NEVER
          S: 555 5.5.4 parameters need EHLO
          H:
          X: HangUp
          E: ",
    );
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250 ENHANCEDSTATUSCODES
          C: MAIL FROM:<a@b> ENVID=1
          S: 555 5.5.4 ENVID is not offered
          =: mail
          C: RCPT TO:<c@d> ORCPT=rfc822;e@f
          S: 555 5.5.4 ORCPT is not offered
          H:
          X: HangUp
          E: ",
    );
}

#[test]
fn requiretls_is_offered_and_taken_under_tls_alone() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer starttls requiretls
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 STARTTLS
          C: MAIL FROM:<a@b> REQUIRETLS
          S: 555 5.5.4 REQUIRETLS is not offered
          C: STARTTLS
          S: 220 2.0.0 ready to start TLS
          T:
          C: EHLO c
          ?: EHLO c tls
          A: offer starttls requiretls
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 REQUIRETLS
          C: MAIL FROM:<a@b> REQUIRETLS=1
          S: 501 5.5.4 REQUIRETLS takes no value
          C: MAIL FROM:<a@b> REQUIRETLS SIZE=5
          ?: MAIL <a@b> 5 requiretls
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: HELO c
          X: Reset
          ?: HELO c tls
          A: offer requiretls
          S: 250 relay.example
          C: MAIL FROM:<a@b> REQUIRETLS
          S: 555 5.5.4 parameters need EHLO
          C: EHLO c
          ?: EHLO c tls
          A: offer
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250 ENHANCEDSTATUSCODES
          C: MAIL FROM:<> REQUIRETLS
          S: 421 4.7.0 too many errors, closing
          E: ",
    );
}

#[test]
fn limits_are_named_and_the_smaller_one_holds() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer MAILMAX=3 RCPTMAX=1 RCPTDOMAINMAX=7
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 LIMITS MAILMAX=3 RCPTMAX=1 RCPTDOMAINMAX=7
          =: envelope
          C: RCPT TO:<e@f>
          S: 452 4.5.3 too many recipients, send the rest in another transaction
          C: EHLO c
          X: Reset
          ?: EHLO c
          A: offer RCPTMAX=9
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 LIMITS RCPTMAX=9
          =: envelope
          =: recipient
          C: RCPT TO:<e@f>
          S: 452 4.5.3 too many recipients, send the rest in another transaction
          C: QUIT
          X: Quit
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn a_session_takes_so_many_messages_whatever_becomes_of_them() {
    let reset = r"C: RSET
          X: Reset
          S: 250 2.0.0 ok
          ";
    let refused = r"C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: 550 5.7.1 no
          S: 550 5.7.1 no
          ";
    let short = || {
        let config = Config {
            max_mails: 3,
            ..config()
        };
        Session::new(Arc::new(config), Duration::ZERO)
    };
    let script = format!(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer MAILMAX=3
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 LIMITS MAILMAX=3
          =: mail
          {reset}
          {refused}
          =: mail
          C: HELO d
          X: Reset
          ?: HELO d
          A: offer
          S: 250 relay.example
          C: MAIL FROM:<a@b>
          S: 421 4.7.0 too many messages in one session, connect again; closing
          E: "
    );
    play_on(short, &script);
}

#[test]
fn a_session_shows_no_password() {
    let mut session = Session::new(Arc::new(config()), Duration::ZERO);
    session.receive(
        Duration::ZERO,
        b"EHLO c\r\nAUTH PLAIN hunter2\r\nAUTH LOGIN hunter2",
    );
    while session.poll().is_some() {}
    assert!(session.held_octets() > 0);
    assert!(!format!("{session:?}").contains("hunter2"), "{session:?}");
}
