//! What a session holds, at most, for its peer.

use std::sync::Arc;
use std::time::Duration;

use relay_proto::server::{Action, Answer, Config, MAX_HELD_OCTETS, Offer, Question, Session};

use crate::server_player::config;

/// A session after EHLO that has been offered everything.
fn ready() -> Session {
    let config = Config {
        max_commands: u32::MAX,
        max_errors: u32::MAX,
        ..config()
    };
    let mut session = Session::new(Arc::new(config), Duration::ZERO);
    session.receive(Duration::ZERO, b"EHLO c\r\n");
    while let Some(action) = session.poll() {
        if let Action::Ask(Question::Hello(_)) = action {
            let offer = Offer {
                chunking: true,
                ..Offer::default()
            };
            session.answer(Duration::ZERO, Answer::Offer(offer));
        }
    }
    session
}

#[test]
fn replies_that_nobody_reads_are_bounded_and_none_is_lost() {
    let mut session = ready();
    let mut replies = 0;
    for _ in 0..20 {
        // The replies are ten times as long as the commands.
        let flood = b"HELP\r\n".repeat(2_700);
        session.receive(Duration::ZERO, &flood);
        let held = session.held_octets();
        assert!(held <= MAX_HELD_OCTETS + flood.len(), "{held}");
        while let Some(action) = session.poll() {
            let Action::Send(octets) = action else {
                panic!("{action:?}");
            };
            assert!(octets.len() < 66_000, "{}", octets.len());
            replies += octets.iter().filter(|octet| **octet == b'\n').count();
            assert!(session.held_octets() <= MAX_HELD_OCTETS + flood.len());
        }
        assert_eq!(session.held_octets(), 0);
    }
    assert_eq!(replies, 20 * 2_700);
}

#[test]
fn content_is_handed_over_as_it_comes() {
    let mut session = ready();
    session.receive(
        Duration::ZERO,
        b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 10000000\r\n",
    );
    let mut body = 0;
    for _ in 0..100 {
        session.receive(Duration::ZERO, &b"0123456789abcd\r\n".repeat(1_000));
        while let Some(action) = session.poll() {
            match action {
                Action::Ask(Question::Data) => session.answer(Duration::ZERO, Answer::Proceed),
                Action::Ask(_) => {
                    let ok = relay_proto::reply::Reply::new(250, "2.0.0", "ok");
                    session.answer(Duration::ZERO, Answer::Reply(ok));
                }
                Action::Body(piece) => body += piece.len(),
                _ => {}
            }
        }
        assert_eq!(session.held_octets(), 0);
    }
    assert_eq!(body, 1_600_000);
}

#[test]
fn a_session_itself_is_small() {
    // Ten thousand idle ones are held by one relay, each beside its sockets.
    assert!(size_of::<Session>() <= 1024, "{}", size_of::<Session>());
}
