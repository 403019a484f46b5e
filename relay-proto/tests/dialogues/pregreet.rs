//! Clients that must wait for their greeting.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Config, EarlyTalk, Pregreet, Session};

use crate::defences::play_with;
use crate::server_player::{config, play_on};

fn patient(early_talk: EarlyTalk) -> impl Fn(&mut Config) {
    move |config| {
        config.pregreet = Some(Pregreet {
            pause: Duration::from_secs(5),
            early_talk,
        });
    }
}

#[test]
fn who_waits_is_greeted_after_the_pause() {
    play_with(
        patient(EarlyTalk::Refused),
        r"D: 5
              W: 4.999
              D: 5
              W: 0.001
              =: greeting
              D: 305
              C: QUIT
              S: 221 2.0.0 bye
              E: ",
    );
    play_with(
        patient(EarlyTalk::Refused),
        r"H:
          E: ",
    );
}

#[test]
fn who_talks_first_is_refused_and_known_for_it() {
    for (early_talk, reply) in [
        (
            EarlyTalk::Deferred,
            "421 4.7.0 you talked before the greeting, see RFC 5321 section 4.3.1; closing",
        ),
        (
            EarlyTalk::Refused,
            "554 5.7.1 you talked before the greeting, see RFC 5321 section 4.3.1; closing",
        ),
    ] {
        play_with(
            patient(early_talk),
            &format!(
                r"W: 1
                  C: EHLO spammer
                  S: {reply}
                  E: "
            ),
        );
    }
    let mut config = config();
    patient(EarlyTalk::Deferred)(&mut config);
    let mut session = Session::new(Arc::new(config), Duration::ZERO);
    assert!(!session.talked_early());
    session.receive(Duration::ZERO, b"");
    assert!(session.poll().is_none() && !session.talked_early());
    session.receive(Duration::ZERO, b"G");
    assert!(session.talked_early());
}

#[test]
fn a_probe_waits_for_nothing() {
    let mut config = config();
    patient(EarlyTalk::Refused)(&mut config);
    let config = Arc::new(config);
    play_on(
        || Session::probe(Arc::clone(&config), Duration::ZERO),
        "=: greeting\nH: \nE: ",
    );
}
