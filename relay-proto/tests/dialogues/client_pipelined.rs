//! An envelope that is said in one go.

use crate::client_player::play;

const READY: &str = r"S: 220 mx.example
    C: EHLO relay.example
    S: 250-mx.example
    S: 250 PIPELINING
    E: ready pipelining
    ";

#[track_caller]
fn play_ready(rest: &str) {
    play(&(READY.to_owned() + rest));
}

#[test]
fn each_command_gets_its_own_answer_and_its_own_time() {
    play_ready(
        r">: envelope <a@example.org> <b@example.net> <c@example.net>
          C: MAIL FROM:<a@example.org>
          C: RCPT TO:<b@example.net>
          C: RCPT TO:<c@example.net>
          C: DATA
          D: 300
          W: 10
          S: 250 2.1.0 ok
          E: Mail 250 2.1.0 ok
          D: 310
          S: 250 2.1.5 ok
          E: Rcpt 250 2.1.5 ok
          S: 550 5.1.1 nobody
          E: Rcpt 550 5.1.1 nobody
          D: 130
          S: 354 go ahead
          E: Data 354 go ahead
          D: none
          >: body x\r\n
          C: x
          >: end
          C: .
          S: 250 2.0.0 taken
          E: Message 250 2.0.0 taken
          >: envelope <> <b@example.net>
          C: MAIL FROM:<>
          C: RCPT TO:<b@example.net>
          C: DATA
          ",
    );
}

#[test]
fn whoever_says_go_ahead_to_nobody_gets_nothing() {
    play_ready(
        r">: envelope <a@example.org> <b@example.net>
          C: MAIL FROM:<a@example.org>
          C: RCPT TO:<b@example.net>
          C: DATA
          S: 250 ok
          E: Mail 250 ok
          S: 450 4.2.0 later
          E: Rcpt 450 4.2.0 later
          S: 354 go ahead
          E: Data 354 go ahead
          >: end
          C: .
          S: 554 5.5.1 no valid recipients
          E: Message 554 5.5.1 no valid recipients
          >: quit
          C: QUIT
          ",
    );
}

#[test]
fn a_refusal_of_mail_is_followed_by_the_others() {
    play_ready(
        r">: envelope <a@example.org> <b@example.net>
          C: MAIL FROM:<a@example.org>
          C: RCPT TO:<b@example.net>
          C: DATA
          S: 550 5.7.1 not you
          E: Mail 550 5.7.1 not you
          S: 503 5.5.1 MAIL first
          E: Rcpt 503 5.5.1 MAIL first
          S: 503 5.5.1 MAIL first
          E: Data 503 5.5.1 MAIL first
          >: rset
          C: RSET
          ",
    );
}

#[test]
fn a_server_that_leaves_in_the_middle_leaves_the_rest_unanswered() {
    play_ready(
        r">: envelope <a@example.org> <b@example.net>
          C: MAIL FROM:<a@example.org>
          C: RCPT TO:<b@example.net>
          C: DATA
          S: 250 ok
          E: Mail 250 ok
          S: 421 4.3.2 bye
          E: lost Rcpt the server said 421 4.3.2 bye
          Z:",
    );
    play_ready(
        r">: envelope <a@example.org> <b@example.net>
          C: MAIL FROM:<a@example.org>
          C: RCPT TO:<b@example.net>
          C: DATA
          S: 250 ok
          E: Mail 250 ok
          W: 300
          E: lost Rcpt no reply in time
          Z:",
    );
}
