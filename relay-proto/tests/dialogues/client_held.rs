//! A client whose STARTTLS waits for its caller.

use crate::client_player::{play, play_held};

const OFFERED: &str = "
    S: 220 mx
    C: EHLO relay.example
    S: 250-mx
    S: 250-SIZE 100
    S: 250 STARTTLS
    E: ready starttls size
    D: none
";

#[track_caller]
fn play_after_offer(rest: &str) {
    play_held(&format!("{OFFERED}{rest}"));
}

#[test]
fn starttls_is_said_when_the_caller_says_so() {
    play_after_offer(
        ">: starttls
         C: STARTTLS
         S: 220 go ahead
         T:
         C: EHLO relay.example
         S: 250-mx
         S: 250 8BITMIME
         E: ready 8bitmime
         >: mail <a@b>
         C: MAIL FROM:<a@b>
         S: 250 ok
         E: Mail 250 ok",
    );
}

#[test]
fn nothing_of_a_message_is_said_where_tls_is_offered_and_not_on() {
    for command in ["mail <a@b>", "rcpt <a@b>", "data", "rset"] {
        let stage = "Ehlo";
        play_after_offer(&format!(
            ">: {command}
             E: lost {stage} command out of turn
             Z:"
        ));
    }
    play_after_offer(
        ">: quit
         C: QUIT
         S: 221 bye
         E: Quit 221 bye
         Z:",
    );
}

#[test]
fn tls_is_left_out_only_by_the_callers_word() {
    play_after_offer(
        ">: leave-tls-out
         D: none
         >: mail <a@b>
         C: MAIL FROM:<a@b>
         S: 250 ok
         E: Mail 250 ok",
    );
}

#[test]
fn a_refused_starttls_loses_the_session() {
    play_after_offer(
        ">: starttls
         C: STARTTLS
         S: 454 not now
         C: QUIT
         E: lost StartTls the server said 454 not now
         Z:",
    );
}

#[test]
fn starttls_without_an_offer_is_a_bug_of_the_caller() {
    let plain = "
        S: 220 mx
        C: EHLO relay.example
        S: 250 mx
        E: ready
        >: starttls
        E: lost StartTls command out of turn
        Z:";
    play_held(plain);
    play(plain);
}
