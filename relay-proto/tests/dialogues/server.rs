//! The server's side, dialogue by dialogue.

use crate::server_player::play;

#[test]
fn a_message_is_taken() {
    play(
        r"=: greeting
          C: EHLO client.example
          S: 250-relay.example
          S: 250-SIZE 100
          S: 250-PIPELINING
          S: 250-8BITMIME
          S: 250-SMTPUTF8
          S: 250-ENHANCEDSTATUSCODES
          S: 250 STARTTLS
          C: MAIL FROM:<a@example.org> SIZE=20 BODY=8BITMIME
          ?: MAIL <a@example.org> 20 EightBitMime
          A: 250 2.1.0 sender taken
          S: 250 2.1.0 sender taken
          C: RCPT TO:<b@example.net>
          ?: RCPT <b@example.net>
          A: 250 2.1.5 recipient taken
          S: 250 2.1.5 recipient taken
          =: data
          C: Subject: x
          C:
          C: ..dot
          C: .
          B: Subject: x\r\n\r\n.dot\r\n
          ?: MESSAGE
          A: 250 2.6.0 queued as 1\n2.6.0 by mx.example
          S: 250-2.6.0 queued as 1
          S: 250 2.6.0 by mx.example
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    );
}

/// A dialogue up to 354, in a session that said HELO.
pub(crate) fn in_content(rest: &str) -> String {
    let envelope = r"=: greeting
          C: HELO c
          S: 250 relay.example
          C: MAIL FROM:<>
          ?: MAIL <>
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: RCPT TO:<b@example.net>
          ?: RCPT <b@example.net>
          A: 250 2.1.5 ok
          S: 250 2.1.5 ok
          =: data
          ";
    envelope.to_owned() + rest
}

/// A dialogue after EHLO.
pub(crate) fn after_ehlo(rest: &str) -> String {
    let ehlo = r"=: greeting
          C: EHLO c
          S: 250-relay.example
          S: 250-SIZE 100
          S: 250-PIPELINING
          S: 250-8BITMIME
          S: 250-SMTPUTF8
          S: 250-ENHANCEDSTATUSCODES
          S: 250 STARTTLS
          ";
    ehlo.to_owned() + rest
}

#[test]
fn an_empty_message_and_another_one_in_the_same_session() {
    play(&in_content(
        r"C: .
          ?: MESSAGE
          A: 250 queued
          S: 250 2.0.0 queued
          C: RCPT TO:<b@example.net>
          S: 503 5.5.1 say MAIL first
          C: MAIL FROM:<c@example.org>
          ?: MAIL <c@example.org>
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          H:
          X: HangUp
          E: ",
    ));
}

#[test]
fn commands_out_of_order_say_what_comes_first() {
    play(
        r"=: greeting
          C: MAIL FROM:<a@b>
          S: 503 5.5.1 say EHLO first
          C: STARTTLS
          S: 503 5.5.1 say EHLO first
          C: DATA
          S: 503 5.5.1 say MAIL and RCPT first
          C: NOOP
          S: 250 2.0.0 ok
          C: RSET
          S: 250 2.0.0 ok
          C: VRFY someone
          S: 252 2.0.0 addresses are not verified, try to send
          C: HELP
          S: 214 2.0.0 mail filter of Example Hosting; commands as in RFC 5321
          C: RCPT TO:<a@b>
          S: 421 4.7.0 too many errors, closing
          E: ",
    );
    play(&after_ehlo(
        r"=: mail
          C: MAIL FROM:<a@b>
          S: 503 5.5.1 a transaction is open, say RSET first
          C: DATA
          S: 554 5.5.1 no valid recipients
          C: RSET
          X: Reset
          S: 250 2.0.0 ok
          C: DATA
          S: 503 5.5.1 say MAIL and RCPT first
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    ));
}

#[test]
fn what_is_not_offered_is_refused() {
    play(&after_ehlo(
        r"C: EXPN list
          S: 502 5.5.1 command not implemented
          C: AUTH PLAIN AGEAYg==
          ?: AUTH PLAIN
          A: 530 5.7.0 say it to your own provider
          S: 530 5.7.0 say it to your own provider
          C: ETRN example.org
          S: 502 5.5.1 command not implemented
          C: MAIL FROM:<a@b> AUTH=<>
          S: 421 4.7.0 too many errors, closing
          E: ",
    ));
    play(&after_ehlo(
        r"C: MAIL FROM:<a@b> RET=HDRS
          S: 555 5.5.4 RET is not offered
          C: MAIL FROM:<a b>
          S: 501 5.1.7 the part before the @ is malformed
          C: MAIL FROM:<a@b> SIZE=x
          S: 501 5.5.4 SIZE must be a number of octets
          C: MAIL FROM:<a@b> SIZE=101
          S: 552 5.3.4 message larger than the limit of 100 octets
          C: MAIL FROM:<a@b> SIZE=100
          ?: MAIL <a@b> 100
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: BDAT 10 LAST
          X: Violation
          S: 502 5.5.1 CHUNKING is not offered; closing
          E: ",
    ));
    play(&after_ehlo(
        r"C: GET / HTTP/1.1
          S: 500 5.5.2 this is an SMTP server; closing
          E: ",
    ));
    play(
        r"=: greeting
          C: HELO c
          S: 250 relay.example
          C: MAIL FROM:<a@b> SIZE=1
          S: 555 5.5.4 parameters need EHLO
          C: RCPT TO:<a@b> MT-PRIORITY=3
          S: 555 5.5.4 parameter not recognized: MT-PRIORITY
          C: nonsense
          S: 500 5.5.2 command not recognized
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn the_application_refuses_and_the_dialogue_goes_on() {
    play(&after_ehlo(
        r"C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: 450 4.7.1 not now
          S: 450 4.7.1 not now
          C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: 250 ok
          S: 250 2.0.0 ok
          C: RCPT TO:<no@c>
          ?: RCPT <no@c>
          A: 550 5.1.1 nobody
          S: 550 5.1.1 nobody
          C: RCPT TO:<one@c>
          ?: RCPT <one@c>
          A: 251 2.1.5 ok
          S: 251 2.1.5 ok
          C: RCPT TO:<two@c>
          ?: RCPT <two@c>
          A: 250 2.1.5 ok
          S: 250 2.1.5 ok
          C: RCPT TO:<three@c>
          S: 452 4.5.3 too many recipients, send the rest in another transaction
          C: DATA
          ?: DATA
          A: 452 4.3.1 disk full
          S: 452 4.3.1 disk full
          C: DATA
          S: 503 5.5.1 say MAIL and RCPT first
          C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: close 421 4.4.1 no route
          S: 421 4.4.1 no route
          E: ",
    ));
}

#[test]
fn a_421_closes_whoever_says_it_and_a_wrong_answer_is_temporary() {
    play(&after_ehlo(
        r"C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: proceed
          S: 451 4.3.0 internal error, try again later
          =: envelope
          C: DATA
          ?: DATA
          A: 250 2.0.0 strange
          S: 451 4.3.0 internal error, try again later
          C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: 421 4.3.2 going down
          S: 421 4.3.2 going down
          E: ",
    ));
}

#[test]
fn utf8_needs_smtputf8_and_then_replies_may_have_it() {
    play(&after_ehlo(
        r"C: MAIL FROM:<ä@b>
          S: 553 5.6.7 the address needs SMTPUTF8, which MAIL did not say
          C: MAIL FROM:<ä@b> SMTPUTF8
          ?: MAIL <ä@b> utf8
          A: 250 2.1.0 schön
          S: 250 2.1.0 schön
          C: RSET
          X: Reset
          S: 250 2.0.0 ok
          C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: 250 2.1.0 schön
          S: 250 2.1.0 sch?n
          C: RCPT TO:<ö@d>
          S: 553 5.6.7 the address needs SMTPUTF8, which MAIL did not say
          C: EHLO again
          X: Reset
          S: 250-relay.example
          S: 250-SIZE 100
          S: 250-PIPELINING
          S: 250-8BITMIME
          S: 250-SMTPUTF8
          S: 250-ENHANCEDSTATUSCODES
          S: 250 STARTTLS
          =: mail
          C: QUIT
          X: Quit
          S: 221 2.0.0 bye
          E: ",
    ));
}
