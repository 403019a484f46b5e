//! Content in chunks: where they are cut must not matter.

use std::sync::Arc;

use bytes::BytesMut;

use super::pieces;
use crate::Time;
use crate::reply::Reply;
use crate::server::{Action, Answer, Config, Offer, Question, Session};
use crate::wire::dot::Encoder;

/// What became of a message: its content, or the reply that refused it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken(Vec<u8>),
    Refused(String),
}

/// However content is cut into chunks, and the session's input into pieces, the same message is taken or
/// refused; whoever else is spoken to afterwards is understood; and what was taken can be sent on.
pub fn chunking(content: &[u8], cuts: &[u8]) {
    let whole = run(&in_chunks(core::iter::once(content)), &[0]);
    let by_octet = run(&in_chunks(core::iter::once(content)), &[1]);
    assert_eq!(whole, by_octet, "the input in pieces");
    let chunked = run(&in_chunks(pieces(content, cuts)), cuts);
    assert_eq!(whole, chunked, "the content in chunks");
    let framed = is_well_framed(content);
    match whole {
        Outcome::Taken(taken) => {
            assert!(framed, "malformed content was taken");
            let added = taken.strip_prefix(content);
            assert!(
                matches!(added, Some(b"" | b"\r\n")),
                "content was changed: {taken:?}"
            );
            assert!(taken.is_empty() || taken.ends_with(b"\r\n"), "half a line");
            let mut encoder = Encoder::default();
            let mut wire = BytesMut::new();
            assert_eq!(encoder.encode(&taken, &mut wire), Ok(()));
            assert_eq!(encoder.finish(&mut wire), Ok(()));
        }
        Outcome::Refused(reply) => assert!(!framed, "{reply}"),
    }
}

/// Bare CR and LF, and lines that are a lone dot beside NUL, on a second reading.
fn is_well_framed(content: &[u8]) -> bool {
    let text: String = content.iter().map(|octet| char::from(*octet)).collect();
    text.split("\r\n").all(|line| {
        let disguised = line.starts_with('\0') && line.replace('\0', "") == ".";
        !line.contains(['\r', '\n']) && !disguised
    })
}

fn in_chunks<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut wire = ENVELOPE.to_vec();
    for chunk in chunks {
        wire.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
    }
    wire.extend_from_slice(b"BDAT 0 LAST\r\nQUIT\r\n");
    wire
}

fn run(wire: &[u8], cuts: &[u8]) -> Outcome {
    let config = Config {
        max_errors: u32::MAX,
        ..Config::new("relay.example", "Example")
    };
    let mut session = Session::new(Arc::new(config), Time::ZERO);
    let (mut body, mut said, mut taken) = (Vec::new(), String::new(), false);
    for piece in pieces(wire, cuts) {
        session.receive(Time::ZERO, piece);
        while let Some(action) = session.poll() {
            let answer = match action {
                Action::Ask(Question::Hello(_)) => Answer::Offer(Offer {
                    chunking: true,
                    ..Offer::default()
                }),
                Action::Ask(Question::Data) => Answer::Proceed,
                Action::Ask(question) => {
                    taken |= matches!(question, Question::Message);
                    Answer::Reply(Reply::new(250, "2.0.0", "ok"))
                }
                Action::Body(piece) => {
                    body.extend_from_slice(&piece);
                    continue;
                }
                Action::Send(octets) => {
                    said.push_str(&String::from_utf8_lossy(&octets));
                    continue;
                }
                Action::Aborted(_) | Action::StartTls | Action::Close => continue,
            };
            session.answer(Time::ZERO, answer);
        }
    }
    assert!(said.ends_with("221 2.0.0 bye\r\n"), "{said}");
    let refusal = said.lines().find(|line| line.starts_with("554 "));
    match refusal {
        None => {
            assert!(taken, "{said}");
            Outcome::Taken(body)
        }
        Some(line) => {
            assert!(!taken, "{said}");
            Outcome::Refused(line.to_owned())
        }
    }
}

const ENVELOPE: &[u8] = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
