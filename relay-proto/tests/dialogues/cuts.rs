//! A connection that is lost at any octet of the dialogue: a message may arrive twice because its sender
//! tries again, it is never lost.

use crate::feed::{Fed, feed};
use crate::pair::DELIVERED;
use crate::wire::{Break, Kind, Pair, Way};

const CONTENT: &[u8] = b"Subject: x\r\n\r\n.\r\n..dots\r\nlast\r\n";

/// What the customer and its destination believe in the end.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    NotDelivered,
    /// The customer will try again, and the destination has it already.
    TwiceIfTriedAgain,
}

/// Runs, and asserts all that does not depend on where the wire broke.
#[track_caller]
fn run(mut pair: Pair, shown: &str) -> (Outcome, Pair) {
    pair.run();
    let log = &pair.log;
    let customer_heard_250 = log.iter().any(|line| line.starts_with("Message 250"));
    let destination_has_it = pair.asked.contains(&"message");
    let outcome = match (customer_heard_250, destination_has_it) {
        (true, true) => Outcome::Delivered,
        (false, false) => Outcome::NotDelivered,
        (false, true) => Outcome::TwiceIfTriedAgain,
        (true, false) => panic!("{shown}: lost: {log:?}"),
    };
    if destination_has_it {
        assert_eq!(pair.received, CONTENT, "{shown}");
    }
    // Every transaction that was begun ended, once.
    let begun = pair.asked.iter().filter(|asked| **asked == "mail").count();
    let aborted = log
        .iter()
        .filter(|line| line.starts_with("aborted"))
        .count();
    assert_eq!(
        begun,
        aborted + usize::from(destination_has_it),
        "{shown}: {log:?}"
    );
    // The customer knows how it ended, once.
    let lost = log.iter().filter(|line| line.starts_with("lost")).count();
    let quit = pair.log.iter().any(|line| line.starts_with("Quit"));
    assert!(
        lost <= 1 && !(quit && lost == 1),
        "{shown}: told twice: {log:?}"
    );
    (outcome, pair)
}

#[test]
fn a_connection_lost_at_any_octet_loses_no_message() {
    let (outcome, whole) = run(Pair::new(CONTENT, 1), "unbroken");
    assert_eq!(
        (outcome, &whole.log[..]),
        (Outcome::Delivered, &DELIVERED.map(str::to_owned)[..])
    );
    let (to_server, to_client) = whole.octets_arrived();
    let farewell = ("QUIT\r\n".len(), "221 2.0.0 bye\r\n".len());
    let (dot, taken) = (to_server - farewell.0, to_client - farewell.1);
    for kind in [Kind::Reset, Kind::Silence] {
        for (way, total) in [(Way::ToServer, to_server), (Way::ToClient, to_client)] {
            let mut outcomes = Vec::new();
            for after in 0..=total {
                let breaks = Break { way, after, kind };
                let (outcome, _) = run(Pair::breaking(CONTENT, breaks), &format!("{breaks:?}"));
                let expected = match way {
                    Way::ToServer if after < dot => Outcome::NotDelivered,
                    // The reply was still on its way.
                    Way::ToServer if after == dot => Outcome::TwiceIfTriedAgain,
                    // The client says QUIT only after it has heard the reply.
                    Way::ToServer => Outcome::Delivered,
                    Way::ToClient if after >= taken => Outcome::Delivered,
                    Way::ToClient => {
                        // Which of the two depends on whether the dot had been sent by then.
                        assert_ne!(outcome, Outcome::Delivered, "{breaks:?}");
                        outcomes.push(outcome);
                        continue;
                    }
                };
                assert_eq!(outcome, expected, "{breaks:?}");
            }
            if way == Way::ToClient {
                // The final reply is the only one that is said with the message already there.
                let reply = "250 2.0.0 taken\r\n".len();
                let twice = outcomes
                    .iter()
                    .filter(|o| **o == Outcome::TwiceIfTriedAgain);
                assert_eq!(twice.count(), reply - 1, "{kind:?}");
            }
        }
    }
}

/// A client that pipelines all it has to say, as far as it comes.
const CHUNKS: &[u8] = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 12\r\nSubject: x\r\nBDAT 0\r\nBDAT 19 LAST\r\n\r\n.\r\n..dots\r\nlast\r\nQUIT\r\n";

#[test]
fn chunks_cut_off_at_any_octet_are_no_message() {
    let whole = CHUNKS.len() - "QUIT\r\n".len();
    for end in 0..=CHUNKS.len() {
        for step in [1, CHUNKS.len()] {
            let Fed {
                said,
                mut messages,
                aborted,
            } = feed(&CHUNKS[..end], step);
            let message = messages.pop();
            assert!(messages.is_empty() && aborted <= 1);
            let begun = end >= CHUNKS.iter().position(|octet| *octet == b'>').unwrap() + 3;
            assert_eq!(message.is_some(), end >= whole, "{end}: {said}");
            assert_eq!(said.contains("the message is here"), end >= whole);
            assert_eq!(aborted == 1, begun && end < whole, "{end}: {said}");
            if let Some(message) = message {
                assert_eq!(message, CONTENT);
            }
        }
    }
}
