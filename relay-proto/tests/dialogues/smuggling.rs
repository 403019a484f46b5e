//! Ends of data that some servers take for one and others do not (RFC 5321 section 2.3.8): refused on their
//! way in, after DATA and in chunks, and never sent on.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Action, Answer, Config, Offer, Question, Session};
use relay_proto::wire::dot::Encoder;

use crate::lenient;

/// Line ends that are none, and the true one. Any of them before and after a dot, with and without NUL
/// beside it, make up all that the public scanners try, and more.
const ENDS: [&str; 16] = [
    "\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\r", "\n\n", "\0\r\n", "\r\0\n", "\r\n\0", "\r\n\r",
    "\r\n\n", "\0\n", "\n\0", "\0\r", "\r\0",
];

const DOTS: [&str; 6] = [".", "\0.", ".\0", "\0.\0", "..", "\0\0.\0\0"];

#[derive(Debug, Default)]
struct Outcome {
    senders: Vec<String>,
    messages: Vec<Vec<u8>>,
    aborted: Vec<Abort>,
    /// What was said after the content was asked for.
    last_words: String,
    closed: bool,
}

/// Sends `content` and what follows it in pieces of `step` octets, to an application that takes everything.
fn send(content: &[u8], step: usize) -> Outcome {
    send_after(b"DATA\r\n", content, step)
}

fn send_after(command: &[u8], content: &[u8], step: usize) -> Outcome {
    let config = Config::new("relay.example", "Example");
    let mut session = Session::new(Arc::new(config), Duration::ZERO);
    let mut outcome = Outcome::default();
    let mut body = Vec::new();
    let envelope = b"EHLO c\r\nMAIL FROM:<real@x>\r\nRCPT TO:<b@y>\r\n";
    let pieces = [&envelope[..], command].into_iter();
    for piece in pieces.chain(content.chunks(step)) {
        session.receive(Duration::ZERO, piece);
        while let Some(action) = session.poll() {
            let answer = match action {
                Action::Ask(Question::Hello(_)) => Answer::Offer(Offer {
                    chunking: true,
                    ..Offer::default()
                }),
                Action::Ask(Question::Data) => {
                    outcome.last_words.clear();
                    Answer::Proceed
                }
                Action::Ask(question) => {
                    match question {
                        Question::Mail(mail) => outcome.senders.push(mail.reverse_path.to_string()),
                        Question::Message => outcome.messages.push(std::mem::take(&mut body)),
                        Question::Hello(_)
                        | Question::Auth(_)
                        | Question::Recipient(_)
                        | Question::Data => {}
                    }
                    Answer::Reply(Reply::new(250, "2.0.0", "taken"))
                }
                Action::Body(piece) => {
                    body.extend_from_slice(&piece);
                    continue;
                }
                Action::Send(octets) => {
                    outcome.last_words += &String::from_utf8_lossy(&octets);
                    continue;
                }
                Action::Aborted(cause) => {
                    body.clear();
                    outcome.aborted.push(cause);
                    continue;
                }
                Action::Close => {
                    outcome.closed = true;
                    continue;
                }
                Action::StartTls => unreachable!(),
            };
            session.answer(Duration::ZERO, answer);
        }
    }
    outcome
}

/// What a line by line reading finds in content after DATA.
#[derive(Debug, PartialEq)]
enum Fate {
    /// The content, if it ends.
    Whole(Vec<u8>),
    Refused,
}

fn judge(wire: &str) -> Fate {
    let mut content = String::new();
    for line in wire.split("\r\n") {
        if line == "." {
            return Fate::Whole(content.into_bytes());
        }
        let unstuffed = line.strip_prefix('.').unwrap_or(line);
        let leaves_as_dot = unstuffed.starts_with('\0') && is_dot_without_nul(unstuffed);
        if line.contains(['\r', '\n']) || is_dot_without_nul(line) || leaves_as_dot {
            return Fate::Refused;
        }
        content = content + unstuffed + "\r\n";
    }
    panic!("no end in {wire:?}")
}

fn is_dot_without_nul(line: &str) -> bool {
    line.replace('\0', "") == "."
}

/// Whether content, without the dots of DATA, breaks a framing rule.
fn is_malformed(content: &str) -> bool {
    content.split("\r\n").any(|line| {
        line.contains(['\r', '\n']) || (line.starts_with('\0') && is_dot_without_nul(line))
    })
}

/// Asserts that no reader, however lenient, finds an end of data in `content` before its true one.
#[track_caller]
fn leaves_as_one_message(content: &[u8]) {
    let mut wire = bytes::BytesMut::new();
    let mut encoder = Encoder::default();
    encoder.encode(content, &mut wire).unwrap();
    encoder.finish(&mut wire).unwrap();
    for reader in lenient::READERS {
        let end = reader.end_of_data(&wire);
        assert_eq!(
            end,
            Some(wire.len()),
            "{reader:?} {:?}",
            wire.escape_ascii()
        );
    }
}

fn sequences() -> impl Iterator<Item = String> {
    ENDS.into_iter().flat_map(|before| {
        DOTS.into_iter().flat_map(move |dot| {
            ENDS.into_iter()
                .map(move |after| format!("{before}{dot}{after}"))
        })
    })
}

const SMUGGLED: &str =
    "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n";

#[test]
fn no_malformed_end_of_data_ends_it() {
    for sequence in sequences() {
        for after in [format!("{SMUGGLED}QUIT\r\n"), "\r\n.\r\n".to_owned()] {
            let wire = format!("Subject: real\r\n\r\ntext{sequence}{after}");
            let fate = judge(&wire);
            for step in [1, 2, 3, wire.len()] {
                let outcome = send(wire.as_bytes(), step);
                let shown = format!("{sequence:?} by {step}: {outcome:?}");
                match &fate {
                    Fate::Whole(content) => {
                        assert_eq!(outcome.messages.first(), Some(content), "{shown}");
                        leaves_as_one_message(content);
                    }
                    Fate::Refused => {
                        assert_eq!(outcome.senders, ["<real@x>"], "{shown}");
                        assert!(outcome.messages.is_empty(), "{shown}");
                        assert!(
                            matches!(outcome.aborted[..], [Abort::Framing(_)]),
                            "{shown}"
                        );
                        let words: Vec<&str> = outcome.last_words.lines().collect();
                        assert_eq!(words.len(), 2, "{shown}");
                        assert!(words[1].starts_with("554 5.6.0 "), "{shown}");
                        assert!(words[1].contains("RFC 5321 section 2.3.8"), "{shown}");
                        assert!(outcome.closed, "{shown}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_ends_that_scanners_try_are_all_refused() {
    for sequence in [
        "\n.\n",
        "\n.\r\n",
        "\n.\r",
        "\r.\r",
        "\r.\n",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\r\r\n.\r\r\n",
        "\n\r.\n\r",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n\0.\0\r\n",
        "\r\n\0.\0\n",
        "\r\0\n.\r\n",
        "\r\0\n.\r\0\n",
        "\n\0.\n",
        "\r\0.\r",
    ] {
        let wire = format!("text{sequence}{SMUGGLED}");
        assert_eq!(judge(&wire), Fate::Refused, "{sequence:?}");
        let outcome = send(wire.as_bytes(), wire.len());
        assert_eq!(outcome.senders, ["<real@x>"], "{sequence:?}");
        assert!(outcome.closed && outcome.messages.is_empty());
    }
}

#[test]
fn nothing_in_a_chunk_ends_it_and_what_is_malformed_is_refused_at_its_end() {
    for sequence in sequences() {
        let content = format!("Subject: real\r\n\r\ntext{sequence}{SMUGGLED}");
        let malformed = is_malformed(&content);
        for cut in [content.len(), content.find(&sequence).unwrap() + 1] {
            let (first, second) = content.split_at(cut);
            let wire = format!(
                "{first}BDAT {} LAST\r\n{second}MAIL FROM:<honest@x>\r\n",
                second.len()
            );
            let command = format!("BDAT {}\r\n", first.len());
            for step in [1, 7, wire.len()] {
                let outcome = send_after(command.as_bytes(), wire.as_bytes(), step);
                let shown = format!("{sequence:?} cut {cut} by {step}: {outcome:?}");
                assert_eq!(outcome.senders, ["<real@x>", "<honest@x>"], "{shown}");
                assert!(!outcome.closed, "{shown}");
                if malformed {
                    assert!(outcome.messages.is_empty(), "{shown}");
                    assert!(
                        matches!(outcome.aborted[..], [Abort::Framing(_)]),
                        "{shown}"
                    );
                    assert!(outcome.last_words.contains("554 5.6.0 "), "{shown}");
                } else {
                    assert_eq!(outcome.messages, [content.as_bytes()], "{shown}");
                    leaves_as_one_message(content.as_bytes());
                }
            }
        }
    }
}

#[test]
fn malformed_content_never_leaves_as_far_as_an_end_that_anybody_sees() {
    for sequence in sequences() {
        let content = format!("Subject: real\r\n\r\ntext{sequence}{SMUGGLED}");
        for step in [1, 5, content.len()] {
            let mut encoder = Encoder::default();
            let mut wire = bytes::BytesMut::new();
            let sound = content
                .as_bytes()
                .chunks(step)
                .all(|piece| encoder.encode(piece, &mut wire).is_ok());
            assert_eq!(sound, !is_malformed(&content), "{sequence:?} by {step}");
            // Until the end of data is sent on purpose, nobody sees one.
            for reader in lenient::READERS {
                let end = reader.end_of_data(&wire);
                assert_eq!(end, None, "{reader:?} {sequence:?} by {step}");
            }
        }
    }
}

#[test]
fn content_that_does_not_end_in_crlf_is_given_one() {
    for (content, handed_over) in [
        ("text", Some("text\r\n")),
        (".", Some(".\r\n")),
        ("", Some("")),
        ("text\r\n", Some("text\r\n")),
        ("\0", Some("\0\r\n")),
        ("text\r", None),
        // With its CRLF it would be a lone dot beside NUL.
        ("\0.", None),
    ] {
        let command = format!("BDAT {} LAST\r\n", content.len());
        let outcome = send_after(command.as_bytes(), content.as_bytes(), 1);
        let message = outcome.messages.first().map(Vec::as_slice);
        let expected = handed_over.map(str::as_bytes);
        assert_eq!(message, expected, "{content:?}: {outcome:?}");
        match handed_over {
            Some(handed_over) => leaves_as_one_message(handed_over.as_bytes()),
            None => assert!(outcome.last_words.contains("554 5.6.0"), "{outcome:?}"),
        }
    }
}

#[test]
fn other_characters_that_break_lines_elsewhere_are_content() {
    for separator in [
        "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}", "\u{1e}", " ", "\t", "\u{feff}",
    ] {
        for (before, after) in [
            (separator, separator),
            ("\r\n", separator),
            (separator, "\r\n"),
        ] {
            let content = format!("text{before}.{after}{SMUGGLED}");
            for step in [1, content.len()] {
                let outcome = send(content.as_bytes(), step);
                let shown = format!("{before:?} . {after:?} by {step}: {outcome:?}");
                assert_eq!(outcome.senders, ["<real@x>"], "{shown}");
                assert_eq!(outcome.messages.len(), 1, "{shown}");
                assert!(
                    String::from_utf8_lossy(&outcome.messages[0]).contains("smuggled"),
                    "{shown}"
                );
                assert!(outcome.aborted.is_empty() && !outcome.closed, "{shown}");
            }
        }
    }
}

#[test]
fn the_refusal_names_what_is_wrong() {
    for (content, name) in [
        ("a\nb", "bare LF"),
        ("a\rb", "bare CR"),
        ("\0.", "a lone dot beside NUL"),
    ] {
        let content = format!("{content}\r\n.\r\n");
        let words = send(content.as_bytes(), content.len()).last_words;
        assert!(
            words.contains(&format!("554 5.6.0 {name} in the message")),
            "{words}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_leaves_as_one_message(
        parts in prop::collection::vec(
            prop::sample::select(&["\r\n", "\n", "\r", "\0", ".", "\r\n.", "x", "\r\n\0"][..]),
            0..12,
        ),
        in_chunks in any::<bool>(),
    ) {
        let content = parts.concat();
        let outcome = if in_chunks {
            let command = format!("BDAT {} LAST\r\n", content.len());
            send_after(command.as_bytes(), content.as_bytes(), 3)
        } else {
            send(format!("{content}\r\n.\r\n").as_bytes(), 3)
        };
        for message in &outcome.messages {
            leaves_as_one_message(message);
        }
        prop_assert_eq!(outcome.senders, ["<real@x>"]);
    }
}
