//! The scanner that needs no other program: patterns that nobody sends by accident.
//!
//! It knows GTUBE, the Generic Test for Unsolicited Bulk Email, with which an operator and a customer
//! can see the refusal without sending spam. It is looked for in the body as transmitted, whatever
//! the size, and in decoded MIME parts of messages up to [`DECODED_OCTETS_MAX`]. Such a message that has more parts, or
//! deeper ones, than are looked at is unscannable unless the pattern was found in the others.

use std::sync::Arc;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use memchr::memmem::Finder;
use relay_proto::verdict::{Concern, Finding, OnError};
use tokio::task::spawn_blocking;

use super::mime::{Bounded, Limits, Part};
use super::{Scan, ScanError, Scanner, Stage, Submission, Terms};

/// The scanner.
#[derive(Debug)]
pub(super) struct Builtin {
    gtube: Finder<'static>,
    /// The name of the field that says that a part is to be decoded.
    encoding: AhoCorasick,
}

impl Builtin {
    /// The only one there is.
    pub(super) fn new() -> Self {
        Self {
            gtube: Finder::new(GTUBE),
            encoding: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(["content-transfer-encoding"])
                .expect("one word is a pattern"),
        }
    }

    async fn look(&self, submission: &Submission) -> Result<Finding, ScanError> {
        let content = &submission.content;
        let mut search = BodySearch::new(&self.gtube);
        if content.octets() > DECODED_OCTETS_MAX {
            let mut reader = content.reader();
            while let Some(block) = reader.next().await.map_err(ScanError::Message)? {
                if search.push(&block) {
                    return Ok(found());
                }
            }
            return Ok(Finding::Clean);
        }
        let whole = content.read_whole().await.map_err(ScanError::Message)?;
        if search.push(&whole) {
            return Ok(found());
        }
        // Without the field every part is as it was transmitted (RFC 2045 section 6.1).
        if !self.encoding.is_match(&whole) {
            return Ok(Finding::Clean);
        }
        let finder = self.gtube.clone();
        // Decoding is work for the processor, not for the threads that serve sockets.
        spawn_blocking(move || look_into(whole, &finder))
            .await
            .map_err(|_panic| ScanError::Panicked)
    }
}

impl Scanner for Builtin {
    fn terms(&self) -> Terms {
        Terms {
            name: "builtin",
            stage: Stage::Body,
            deadline: Duration::from_secs(30),
            // Only our own disk can fail here, and then the message cannot be delivered either.
            on_error: OnError::Defer,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { Ok(self.look(&submission).await?.into()) })
    }
}

fn found() -> Finding {
    Finding::Found {
        concern: Concern::Spam,
        reason: "the message is spam: it contains the GTUBE test pattern".to_owned(),
    }
}

/// Looks for the pattern in all that can be decoded of a message.
fn look_into(whole: Bytes, finder: &Finder<'_>) -> Finding {
    let message = Bounded::parse(whole, Limits::default());
    let says = |octets: &[u8]| finder.find(octets).is_some();
    let contains = |part: &Part| {
        part.octets().is_some_and(|octets| says(octets))
            // In some charsets not even ASCII is what it is elsewhere.
            || part.charset.is_some() && part.text().is_some_and(|text| says(text.as_bytes()))
    };
    if message.parts.iter().any(contains) {
        return found();
    }
    match message.whole() {
        Ok(()) => Finding::Clean,
        Err(beyond) => Finding::Unscannable {
            reason: format!("the message cannot be judged: it has {beyond}"),
        },
    }
}

/// A search in what follows the header section, block by block.
#[derive(Debug)]
struct BodySearch<'a> {
    finder: &'a Finder<'static>,
    in_body: bool,
    /// The end of what was searched, as long as a match could begin in it.
    carry: Vec<u8>,
}

impl<'a> BodySearch<'a> {
    fn new(finder: &'a Finder<'static>) -> Self {
        // A message whose first line is empty has no header; the CRLF before it makes that one case.
        Self {
            finder,
            in_body: false,
            carry: b"\r\n".to_vec(),
        }
    }

    /// Takes the next block; whether the pattern has been found.
    fn push(&mut self, block: &[u8]) -> bool {
        self.carry.extend_from_slice(block);
        if !self.in_body {
            let Some(end) = memchr::memmem::find(&self.carry, HEADER_END) else {
                self.keep_last(HEADER_END.len() - 1);
                return false;
            };
            self.in_body = true;
            self.carry.drain(..end + HEADER_END.len());
        }
        let found = self.finder.find(&self.carry).is_some();
        self.keep_last(GTUBE.len() - 1);
        found
    }

    fn keep_last(&mut self, octets: usize) {
        let excess = self.carry.len().saturating_sub(octets);
        self.carry.drain(..excess);
    }
}

/// The pattern, as published by the SpamAssassin project.
const GTUBE: &[u8] = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
const HEADER_END: &[u8] = b"\r\n\r\n";
/// Larger messages are searched only as transmitted: a decoder holds all of a message in memory.
const DECODED_OCTETS_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MessageLimits;
    use crate::message::Intake;

    const CASES: [(&str, &str, bool); 9] = [
        (
            "in the body",
            "Subject: x\r\n\r\nhello\r\n{GTUBE}\r\n",
            true,
        ),
        ("within a line", "Subject: x\r\n\r\n>> {GTUBE} <<\r\n", true),
        ("a message without a header", "\r\n{GTUBE}\r\n", true),
        (
            "in a header field",
            "Subject: {GTUBE}\r\n\r\nhello\r\n",
            false,
        ),
        (
            "nowhere",
            "Subject: x\r\n\r\nXJS*C4JDBQADN1.NSBN3\r\n",
            false,
        ),
        ("no body", "Subject: x\r\n", false),
        (
            "in base64",
            "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n\
             WEpTKkM0SkRCUUFETjEuTlNCTjMqMklETkVOKkdUVUJFLVNUQU5EQVJELUFOVEktVUJFLVRFU1Qt\r\n\
             RU1BSUwqQy4zNFg=\r\n",
            true,
        ),
        (
            "in quoted-printable of a nested part",
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
             Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD=\r\n-ANTI-UBE-TEST-EMAIL*C=2E34X\r\n--b--\r\n",
            true,
        ),
        (
            "in UTF-7",
            "Content-Type: text/plain; charset=utf-7\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             +AFgASgBTACo-C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n",
            true,
        ),
    ];

    #[tokio::test]
    async fn gtube_is_found_in_bodies_and_nowhere_else() {
        for (name, template, expected) in CASES {
            let content = template.replace("{GTUBE}", std::str::from_utf8(GTUBE).unwrap());
            for memory_octets in [1, 1 << 20] {
                let limits = MessageLimits {
                    max_octets: 1 << 20,
                    memory_octets,
                    spill_dir: std::env::temp_dir(),
                };
                let mut intake = Intake::new(&limits);
                intake.append(content.as_bytes()).await;
                let submission = Submission {
                    id: "1".into(),
                    client: std::net::IpAddr::from([192, 0, 2, 10]),
                    user: None,
                    ehlo: None,
                    mail: relay_proto::envelope::Mail::new(relay_proto::address::ReversePath::Null),
                    recipients: vec![],
                    content: intake.finish().await.unwrap(),
                };
                let finding = Builtin::new().look(&submission).await.unwrap();
                let wanted = if expected { found() } else { Finding::Clean };
                assert_eq!(finding, wanted, "{name}");
            }
        }
    }

    #[test]
    fn blocks_cut_anywhere_change_nothing() {
        let finder = Finder::new(GTUBE);
        for (name, template, expected) in &CASES[..6] {
            let content = template.replace("{GTUBE}", std::str::from_utf8(GTUBE).unwrap());
            for size in [1, 2, 3, 5, 67, 68, 69, 1000] {
                let mut search = BodySearch::new(&finder);
                let found = content
                    .as_bytes()
                    .chunks(size)
                    .any(|block| search.push(block));
                assert_eq!(found, *expected, "{name} in blocks of {size}");
            }
        }
    }
}
