//! BDAT, dialogue by dialogue (RFC 3030).

use crate::server_player::play;

/// A dialogue in which CHUNKING is offered, up to a taken recipient.
fn with_recipient(rest: &str) -> String {
    let envelope = r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer chunking 100
          S: 250-relay.example
          S: 250-SIZE 100
          S: 250-PIPELINING
          S: 250-CHUNKING
          S: 250 ENHANCEDSTATUSCODES
          =: envelope
          ";
    envelope.to_owned() + rest
}

#[test]
fn a_message_in_chunks_cut_anywhere_is_taken() {
    play(&with_recipient(
        r"C: BDAT 13
          ?: DATA
          A: proceed
          c: Subject: x\r\n\r
          B: Subject: x\r\n\r
          S: 250 2.0.0 13 octets received so far
          C: BDAT 0
          S: 250 2.0.0 13 octets received so far
          C: NOOP
          S: 250 2.0.0 ok
          C: bdat 20 last
          c: \nQUIT\r\n.\r\n..\r\nlast\r\n
          B: \nQUIT\r\n.\r\n..\r\nlast\r\n
          =: taken
          C: BDAT 3 LAST
          c: abc
          S: 503 5.5.1 say MAIL and RCPT first
          =: mail
          C: QUIT
          X: Quit
          S: 221 2.0.0 bye
          E: ",
    ));
}

#[test]
fn an_empty_message_is_one() {
    play(&with_recipient(
        r"C: BDAT 0 LAST
          ?: DATA
          A: proceed
          ?: MESSAGE
          A: 550 5.6.0 nothing in it
          S: 550 5.6.0 nothing in it
          H:
          E: ",
    ));
}

#[test]
fn data_and_bdat_do_not_mix_and_rset_ends_it() {
    play(&with_recipient(
        r"C: BDAT 5
          ?: DATA
          A: proceed
          c: abc\r\n
          B: abc\r\n
          S: 250 2.0.0 5 octets received so far
          C: DATA
          S: 503 5.5.1 the message has begun with BDAT, go on with that or say RSET
          C: RCPT TO:<e@f>
          S: 503 5.5.1 the message has begun with BDAT, go on with that or say RSET
          C: MAIL FROM:<e@f>
          S: 503 5.5.1 a transaction is open, say RSET first
          C: RSET
          X: Reset
          S: 250 2.0.0 ok
          H:
          E: ",
    ));
}

#[test]
fn chunks_behind_a_refused_one_are_read_and_not_counted() {
    let chunks =
        "C: BDAT 6\nc: QUIT\\r\\n\nS: 503 5.5.1 the message was refused already, say RSET\n";
    let many = chunks.repeat(10);
    play(&with_recipient(&format!(
        r"C: BDAT 12
          ?: DATA
          A: proceed
          c: bare\nRSET\r\n\r
          X: Framing(BareLf)
          S: 554 5.6.0 bare LF in the message: lines must end in CRLF and nothing else, see RFC 5321 section 2.3.8; message refused
          {many}C: BDAT 2 LAST
          c: xx
          S: 503 5.5.1 the message was refused already, say RSET
          C: RSET
          S: 250 2.0.0 ok
          C: BDAT 1
          c: x
          S: 503 5.5.1 say MAIL and RCPT first
          C: QUIT
          S: 221 2.0.0 bye
          E: "
    )));
}

#[test]
fn the_application_refuses_and_the_chunk_is_read() {
    play(&with_recipient(
        r"C: BDAT 6 LAST
          ?: DATA
          A: 452 4.3.1 disk full
          c: QUIT\r\n
          S: 452 4.3.1 disk full
          C: NOOP
          S: 250 2.0.0 ok
          H:
          E: ",
    ));
    play(&with_recipient(
        r"C: BDAT 0 LAST
          ?: DATA
          A: 421 4.3.2 going down
          S: 421 4.3.2 going down
          E: ",
    ));
}

#[test]
fn a_chunk_without_recipients_is_read_and_refused() {
    play(
        r"=: greeting
          =: chunking
          =: mail
          C: BDAT 6
          X: Violation
          c: QUIT\r\n
          S: 554 5.5.1 no valid recipients
          C: BDAT 6 LAST
          c: QUIT\r\n
          S: 503 5.5.1 the message was refused already, say RSET
          H:
          E: ",
    );
}

#[test]
fn a_chunk_that_is_too_large_is_refused_at_its_end() {
    let long = "x".repeat(101);
    play(&with_recipient(&format!(
        r"C: BDAT 101 LAST
          X: TooLarge
          c: {long}
          S: 552 5.3.4 message larger than the limit of 100 octets
          C: NOOP
          S: 250 2.0.0 ok
          H:
          E: "
    )));
    let sixty = "x".repeat(58);
    play(&with_recipient(&format!(
        r"C: BDAT 60
          ?: DATA
          A: proceed
          c: {sixty}\r\n
          B: {sixty}\r\n
          S: 250 2.0.0 60 octets received so far
          C: BDAT 41 LAST
          X: TooLarge
          c: {}
          S: 552 5.3.4 message larger than the limit of 100 octets
          H:
          E: ",
        "y".repeat(41)
    )));
}

#[test]
fn who_leaves_in_mid_chunk_has_sent_nothing() {
    play(&with_recipient(
        r"C: BDAT 50 LAST
          ?: DATA
          A: proceed
          c: abc\r\n
          H:
          X: HangUp
          E: ",
    ));
    play(&with_recipient(
        r"C: BDAT 3
          ?: DATA
          A: proceed
          c: abc
          B: abc
          S: 250 2.0.0 3 octets received so far
          H:
          X: HangUp
          E: ",
    ));
    play(&with_recipient(
        r"C: BDAT 9
          ?: DATA
          A: proceed
          c: a\n
          X: Framing(BareLf)
          H:
          E: ",
    ));
}

#[test]
fn a_chunk_of_unknown_length_or_without_an_offer_closes() {
    play(&with_recipient(
        r"C: BDAT many LAST
          X: Violation
          S: 501 5.5.4 BDAT needs a number of octets, and then LAST or nothing; closing
          E: ",
    ));
    play(
        r"=: greeting
          C: HELO c
          ?: HELO c
          A: offer chunking
          S: 250 relay.example
          C: BDAT 6 LAST
          S: 502 5.5.1 CHUNKING is not offered; closing
          E: ",
    );
}

#[test]
fn chunks_have_their_time() {
    play(&with_recipient(
        r"C: BDAT 9
          ?: DATA
          A: proceed
          D: 300
          W: 200
          c: abc
          D: 500
          W: 300
          X: Timeout
          S: 421 4.4.2 nothing came in time, closing
          E: ",
    ));
    play(&with_recipient(
        r"C: BDAT 3
          ?: DATA
          A: proceed
          W: 100
          c: abc
          B: abc
          S: 250 2.0.0 3 octets received so far
          D: 400
          W: 300
          X: Timeout
          S: 421 4.4.2 nothing came in time, closing
          E: ",
    ));
    play(&with_recipient(
        r"C: BDAT 9
          ?: DATA
          A: 452 4.3.1 disk full
          c: abc
          W: 300
          S: 452 4.3.1 disk full
          E: ",
    ));
}
