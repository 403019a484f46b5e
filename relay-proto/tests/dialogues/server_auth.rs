//! AUTH, where it is offered.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Action, Answer, Config, Offer, Question, Session};

use crate::server_player::{config, play, play_on};

/// Under TLS from the first octet, as on port 465, up to an EHLO that offers AUTH.
fn submits(rest: &str) {
    let start = || Session::under_tls(Arc::new(config()), Duration::ZERO);
    let ehlo = r"=: greeting
          C: EHLO c
          ?: EHLO c tls
          A: offer auth
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
          ";
    play_on(start, &(ehlo.to_owned() + rest));
}

const SCRAM_FIRST: &str = "biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=";
const SCRAM_ASKED: &str = "cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=";
const SCRAM_FINAL: &str = "Yz1iaXdzLHI9ck9wck5HZndFYmVSV2diTkVrcU8laHZZRHBXVWEyUmFUQ0FmdXhGSWxqKWhObEYkazAscD1kSHpiWmFwV0lrNGpVaE4rVXRlOXl0YWc5empmTUhnc3FtbWl6N0FuZFZRPQ==";
const SCRAM_SHOWN: &str = "dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==";

#[test]
fn plain_comes_with_the_command_or_after_it() {
    submits(
        r"C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: CLAIM ann sesame
          A: 535 5.7.8 no
          S: 535 5.7.8 no
          C: auth plain
          S: 334 
          C: AGFubgBzZXNhbWU=
          ?: CLAIM ann sesame
          A: 235 2.7.0 welcome
          S: 235 2.7.0 welcome
          C: MAIL FROM:<a@b> AUTH=<>
          ?: MAIL <a@b> auth
          A: 250 2.1.0 ok
          S: 250 2.1.0 ok
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          S: 503 5.5.1 a transaction is open, say RSET first
          C: RSET
          X: Reset
          S: 250 2.0.0 ok
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          S: 503 5.5.1 AUTH was said already, and who you are stays
          C: EHLO d
          ?: EHLO d tls
          A: offer auth
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
          C: QUIT
          S: 221 2.0.0 bye
          E: ",
    );
}

#[test]
fn login_asks_for_name_and_password() {
    submits(
        r"C: AUTH LOGIN
          S: 334 VXNlcm5hbWU6
          C: YW5u
          S: 334 UGFzc3dvcmQ6
          C: c2VzYW1l
          ?: CLAIM ann sesame
          A: 535 5.7.8 no
          S: 535 5.7.8 no
          C: AUTH LOGIN YW5u
          S: 334 UGFzc3dvcmQ6
          C: c2VzYW1l
          ?: CLAIM ann sesame
          A: 235 2.7.0 welcome
          S: 235 2.7.0 welcome
          H:
          E: ",
    );
}

#[test]
fn scram_proves_both_sides() {
    submits(&format!(
        r"C: AUTH SCRAM-SHA-256 {SCRAM_FIRST}
          ?: KEYS user
          A: keys
          S: 334 {SCRAM_ASKED}
          C: {SCRAM_FINAL}
          S: 334 {SCRAM_SHOWN}
          C:
          ?: CLAIM user Proven
          A: 235 2.7.0 welcome
          S: 235 2.7.0 welcome
          H:
          E: "
    ));
    let wrong = SCRAM_FINAL.replace("cD1kSHpi", "cD1lSHpi");
    let wrong = wrong.replace("scD1kSHpi", "scD1lSHpi");
    assert_ne!(wrong, SCRAM_FINAL);
    submits(&format!(
        r"C: AUTH SCRAM-SHA-256
          S: 334 
          C: {SCRAM_FIRST}
          ?: KEYS user
          A: keys
          S: 334 {SCRAM_ASKED}
          C: {wrong}
          ?: CLAIM user Disproven
          A: 535 5.7.8 no
          S: 535 5.7.8 no
          C: AUTH SCRAM-SHA-256 {SCRAM_FIRST}
          ?: KEYS user
          A: 454 4.7.0 not now
          S: 454 4.7.0 not now
          C: NOOP
          S: 250 2.0.0 ok
          H:
          E: "
    ));
}

#[test]
fn what_is_no_response_ends_the_exchange() {
    submits(
        r"C: AUTH LOGIN
          S: 334 VXNlcm5hbWU6
          C: *
          S: 501 5.7.0 authentication cancelled
          C: AUTH PLAIN
          S: 334 
          C: not base64
          S: 501 5.5.2 the response is not base64; authentication ended
          C: AUTH PLAIN =
          S: 501 5.5.2 PLAIN is a name and a password, each after a NUL; authentication ended
          C: NOOP
          S: 250 2.0.0 ok
          C: AUTH PLAIN Ym9iAGFubgBzZXNhbWU=
          S: 421 4.7.0 too many errors, closing
          E: ",
    );
    submits(
        r"C: AUTH PLAIN Ym9iAGFubgBzZXNhbWU=
          S: 535 5.7.8 nobody acts for another user here; leave the authorization identity out
          C: AUTH CRAM-MD5
          S: 504 5.5.4 the mechanisms here are SCRAM-SHA-256, PLAIN, LOGIN
          C: AUTH hunter2
          S: 504 5.5.4 the mechanisms here are SCRAM-SHA-256, PLAIN, LOGIN
          H:
          E: ",
    );
}

#[test]
fn lines_are_long_only_where_a_response_may_be() {
    let (most, more) = ("A".repeat(12_286), "A".repeat(12_287));
    let initial = "A".repeat(12_286 - "AUTH PLAIN ".len());
    submits(&format!(
        r"C: AUTH PLAIN
          S: 334 
          C: {most}
          S: 501 5.5.2 the response is not base64; authentication ended
          C: AUTH PLAIN
          S: 334 
          C: {more}
          S: 500 5.5.6 a response is at most 12288 octets; authentication ended
          C: AUTH PLAIN {initial}
          S: 501 5.5.2 the response is not base64; authentication ended
          C: NOOP {most}
          S: 421 4.7.0 too many errors, closing
          E: "
    ));
    let medium = "A".repeat(2048);
    submits(&format!(
        r"C: NOOP {medium}
          S: 500 5.5.2 command line too long
          C: AUTH PLAIN A{initial}
          S: 500 5.5.2 command line too long
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: CLAIM ann sesame
          A: 235 2.7.0 welcome
          S: 235 2.7.0 welcome
          C: AUTH PLAIN {initial}
          S: 500 5.5.2 command line too long
          H:
          E: "
    ));
}

#[test]
fn without_tls_or_ehlo_it_is_not_offered() {
    play(
        r"=: greeting
          C: EHLO c
          ?: EHLO c
          A: offer auth starttls
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 STARTTLS
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: AUTH PLAIN
          A: 538 5.7.11 first TLS
          S: 538 5.7.11 first TLS
          C: STARTTLS
          S: 220 2.0.0 ready to start TLS
          T:
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          S: 503 5.5.1 say EHLO first
          C: HELO c
          ?: HELO c tls
          A: offer auth
          S: 250 relay.example
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: AUTH PLAIN
          A: 502 5.5.1 say EHLO
          S: 502 5.5.1 say EHLO
          C: EHLO c
          ?: EHLO c tls
          A: offer auth
          S: 250-relay.example
          S: 250-SIZE
          S: 250-PIPELINING
          S: 250-ENHANCEDSTATUSCODES
          S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN
          H:
          E: ",
    );
}

#[test]
fn only_235_lets_in_and_a_wrong_answer_of_ours_does_not() {
    submits(
        r"C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: CLAIM ann sesame
          A: 250 2.0.0 ok
          S: 451 4.3.0 internal error, try again later
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: CLAIM ann sesame
          A: proceed
          S: 451 4.3.0 internal error, try again later
          C: AUTH PLAIN AGFubgBzZXNhbWU=
          ?: CLAIM ann sesame
          A: 421 4.7.0 too many attempts
          S: 421 4.7.0 too many attempts
          E: ",
    );
    submits(&format!(
        r"C: AUTH SCRAM-SHA-256 {SCRAM_FIRST}
          ?: KEYS user
          A: 235 2.7.0 welcome
          S: 451 4.3.0 internal error, try again later
          C: MAIL FROM:<a@b>
          ?: MAIL <a@b>
          A: keys
          S: 451 4.3.0 internal error, try again later
          H:
          E: "
    ));
}

#[test]
fn an_exchange_waits_as_a_command_does() {
    submits(
        r"D: 300
          W: 100
          C: AUTH PLAIN
          S: 334 
          D: 400
          W: 299.999
          W: 0.001
          S: 421 4.4.2 nothing came in time, closing
          E: ",
    );
    submits(
        r"C: AUTH PLAIN
          S: 334 
          c: AGFub\n
          S: 500 5.5.2 bare LF in a command, see RFC 5321 section 2.3.8; closing
          E: ",
    );
}

#[test]
fn a_session_in_an_exchange_shows_no_password() {
    let mut session = Session::under_tls(Arc::new(Config::new("a", "b")), Duration::ZERO);
    let mut say = |line: &[u8]| {
        session.receive(Duration::ZERO, line);
        while let Some(action) = session.poll() {
            let shown = format!("{action:?} {session:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
                "{shown}"
            );
            if let Action::Ask(Question::Hello(_)) = action {
                let auth = Offer {
                    auth: true,
                    ..Offer::default()
                };
                session.answer(Duration::ZERO, Answer::Offer(auth));
            }
        }
        let shown = format!("{session:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
            "{shown}"
        );
    };
    say(b"EHLO c\r\nAUTH LOGIN aHVudGVyMg==\r\n");
    say(b"aHVudGVyMg==\r\n");
    assert!(session.user().is_none());
    let welcome = relay_proto::reply::Reply::new(235, "2.7.0", "welcome");
    session.answer(Duration::ZERO, Answer::Reply(welcome));
    assert_eq!(session.user().unwrap().as_str(), "hunter2");
    assert!(!format!("{session:?}").contains("hunter2"));
}
