//! Ends of data that some servers take for one and others do not (RFC 5321 section 2.3.8).

use std::sync::Arc;
use std::time::Duration;

use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Action, Answer, Config, Offer, Question, Session, Timeouts};

/// Line ends that are none, and the true one.
const ENDS: [&str; 12] = [
    "\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\r", "\n\n", "\0\r\n", "\r\0\n", "\r\n\0", "\r\n\r",
    "\r\n\n",
];

#[derive(Debug, Default)]
struct Outcome {
    senders: Vec<String>,
    messages: Vec<Vec<u8>>,
    aborted: Vec<Abort>,
    /// What was said after 354.
    last_words: String,
    closed: bool,
}

/// Sends `content` and what follows it in pieces of `step` octets, to an application that takes everything.
fn send(content: &[u8], step: usize) -> Outcome {
    let config = Config {
        hostname: "relay.example".to_owned(),
        operator: "Example".to_owned(),
        max_recipients: 10,
        max_errors: 10,
        max_commands: 100,
        timeouts: Timeouts::default(),
    };
    let mut session = Session::new(Arc::new(config), Duration::ZERO);
    let mut outcome = Outcome::default();
    let mut body = Vec::new();
    let envelope = b"EHLO c\r\nMAIL FROM:<real@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n";
    for piece in std::iter::once(&envelope[..]).chain(content.chunks(step)) {
        session.receive(Duration::ZERO, piece);
        while let Some(action) = session.poll() {
            let answer = match action {
                Action::Ask(Question::Hello(_)) => Answer::Offer(Offer::default()),
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

const SMUGGLED: &str =
    "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n";

#[test]
fn no_malformed_end_of_data_ends_it() {
    for before in ENDS {
        for after in ENDS {
            if (before, after) == ("\r\n", "\r\n") {
                continue;
            }
            let content = format!("Subject: real\r\n\r\ntext{before}.{after}{SMUGGLED}QUIT\r\n");
            let true_end = content.find("\r\n.\r\n").unwrap();
            let broken = content
                .replace("\r\n", "  ")
                .find(['\r', '\n', '\0'])
                .unwrap();
            for step in [1, 2, 3, content.len()] {
                let outcome = send(content.as_bytes(), step);
                let shown = format!("{before:?} . {after:?} by {step}: {outcome:?}");
                assert_eq!(outcome.senders, ["<real@x>"], "{shown}");
                if true_end < broken {
                    // `CRLF . CRLF` and then something malformed where a command should be.
                    assert_eq!(outcome.messages.len(), 1, "{shown}");
                    assert!(outcome.last_words.ends_with("closing\r\n"), "{shown}");
                } else {
                    assert!(outcome.messages.is_empty(), "{shown}");
                    assert!(
                        matches!(outcome.aborted[..], [Abort::Framing(_)]),
                        "{shown}"
                    );
                    let words: Vec<&str> = outcome.last_words.lines().collect();
                    assert_eq!(words.len(), 2, "{shown}");
                    assert!(words[1].starts_with("554 5.6.0 "), "{shown}");
                    assert!(words[1].contains("RFC 5321 section 2.3.8"), "{shown}");
                }
                assert!(outcome.closed, "{shown}");
            }
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
    for (content, name) in [("a\nb", "bare LF"), ("a\rb", "bare CR"), ("a\0b", "NUL")] {
        let content = format!("{content}\r\n.\r\n");
        let words = send(content.as_bytes(), content.len()).last_words;
        assert!(
            words.contains(&format!("554 5.6.0 {name} in the message")),
            "{words}"
        );
    }
}
