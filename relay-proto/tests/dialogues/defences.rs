//! What bounds a client that is slow, wrong, endless or in a loop.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Config, MinimumRate, Session};

use crate::server_player::{config, play_on};

const TO_CONTENT: &str = r"=: greeting
    =: helo
    =: content
";

/// Plays `script` under the usual configuration, changed.
#[track_caller]
pub(crate) fn play_with(change: impl Fn(&mut Config), script: &str) {
    let start = || {
        let mut config = config();
        change(&mut config);
        Session::new(Arc::new(config), Duration::ZERO)
    };
    play_on(start, script);
}

fn with_rate(config: &mut Config) {
    config.minimum_rate = Some(MinimumRate::default());
}

#[test]
fn content_must_come_at_an_average_rate() {
    // 500 octets are worth a second; 200 of 300 seconds had been used.
    let piece = "x".repeat(498);
    play_with(
        with_rate,
        &format!(
            r"{TO_CONTENT}
              D: 300
              W: 200
              C: {piece}
              D: 301
              W: 100.999
              D: 301
              W: 0.001
              X: Timeout
              S: 421 4.4.2 the message comes too slowly, closing
              E: "
        ),
    );
}

#[test]
fn a_slow_start_and_long_pauses_end_nobody_who_then_sends() {
    // 4000 octets are worth 400 seconds, but no credit is more than the window.
    let burst = "x".repeat(3998);
    let rate = MinimumRate {
        octets_per_second: 10,
        ..MinimumRate::default()
    };
    play_with(
        |config| config.minimum_rate = Some(rate),
        &format!(
            r"{TO_CONTENT}
              W: 299
              C: {burst}
              D: 599
              W: 299
              C: {burst}
              D: 898
              C: .
              B: {burst}\r\n{burst}\r\n
              =: taken
              H:
              E: "
        ),
    );
}

#[test]
fn a_chunk_must_come_at_the_same_rate_but_no_time_is_counted_between_chunks() {
    let piece = "x".repeat(500);
    play_with(
        with_rate,
        &format!(
            r"=: greeting
              =: chunking
              =: envelope
              C: BDAT 500
              ?: DATA
              A: proceed
              W: 200
              c: {piece}
              B: {piece}
              S: 250 2.0.0 500 octets received so far
              W: 250
              C: BDAT 500 LAST
              D: 551
              W: 101
              X: Timeout
              S: 421 4.4.2 the message comes too slowly, closing
              E: "
        ),
    );
}

#[test]
fn under_stress_the_idle_the_slow_and_the_wrong_make_room() {
    play_with(
        with_rate,
        r"=: greeting
              D: 300
              !: high
              D: 10
              !: none
              D: 300
              C: NONSENSE
              S: 500 5.5.2 command not recognized
              !: high
              W: 9
              C: NONSENSE
              S: 421 4.7.0 too many errors, closing
              E: ",
    );
    play_with(
        with_rate,
        r"=: greeting
              !: high
              W: 10
              S: 421 4.4.2 nothing came in time, closing
              E: ",
    );
    play_with(
        with_rate,
        &format!(
            r"{TO_CONTENT}
              !: high
              D: 30
              W: 30
              X: Timeout
              S: 421 4.4.2 the message comes too slowly, closing
              E: "
        ),
    );
}

#[test]
fn a_session_ends_between_messages_and_never_in_one() {
    let short = |config: &mut Config| config.timeouts.session = Duration::from_secs(400);
    play_with(
        short,
        r"=: greeting
              W: 290
              C: NOOP
              S: 250 2.0.0 ok
              D: 400
              W: 110
              S: 421 4.3.2 the session has lasted long enough, connect again; closing
              E: ",
    );
    play_with(
        short,
        &format!(
            r"{TO_CONTENT}
              W: 290
              C: x
              D: 590
              W: 290
              C: .
              B: x\r\n
              =: taken
              D: 400
              W: 0
              S: 421 4.3.2 the session has lasted long enough, connect again; closing
              E: "
        ),
    );
}

#[test]
fn a_line_that_is_too_long_has_the_message_refused() {
    let short = |config: &mut Config| config.content.max_line_octets = 20;
    let longest = "x".repeat(18);
    play_with(
        short,
        &format!(
            r"{TO_CONTENT}
              C: {longest}
              C: .
              B: {longest}\r\n
              =: taken
              =: content
              C: ok
              C: {longest}x
              X: LineTooLong
              C: more
              C: .
              S: 554 5.6.0 a line of the message is longer than 20 octets
              C: NOOP
              S: 250 2.0.0 ok
              H:
              E: "
        ),
    );
}

#[test]
fn a_message_that_passed_too_many_servers_is_refused() {
    let strict = |config: &mut Config| config.content.max_received = 2;
    play_with(
        strict,
        &format!(
            r"{TO_CONTENT}
              C: Received: a
              C: received : b
              C:  Received: folded
              C: Subject: x
              C:
              C: Received: in the body
              C: .
              B: Received: a\r\nreceived : b\r\n Received: folded\r\nSubject: x\r\n\r\nReceived: in the body\r\n
              =: taken
              H:
              E: "
        ),
    );
    play_with(
        strict,
        &format!(
            r"{TO_CONTENT}
              C: Received: a
              C: Received: b
              C: Subject: x
              C: Received: c
              X: Loop
              C:
              C: .
              S: 554 5.4.6 mail loop: the message has more than 2 Received fields
              C: NOOP
              S: 250 2.0.0 ok
              H:
              E: "
        ),
    );
}
