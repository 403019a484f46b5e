//! The header section of a message, read into memory within a bound.

use std::io;

use memchr::memmem;

use super::Message;

/// What stands above the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeaderSection {
    /// The fields, and the empty line behind them if there is one.
    pub(crate) octets: Vec<u8>,
    /// It goes on behind these octets.
    pub(crate) is_cut: bool,
}

impl HeaderSection {
    /// Without the empty line.
    pub(crate) fn fields(mut self) -> Vec<u8> {
        if self.octets.ends_with(END) || self.octets == LINE_END {
            self.octets.truncate(self.octets.len() - LINE_END.len());
        }
        self.octets
    }
}

impl Message {
    /// Its header section, of which there are at most so many octets; all of a message that has no body.
    pub(crate) async fn header_section(&self, most: usize) -> io::Result<HeaderSection> {
        let mut reader = self.reader();
        // A message whose first line is empty has no field; the line's end before it makes that one case.
        let mut octets = LINE_END.to_vec();
        let mut is_cut = false;
        while let Some(block) = reader.next().await? {
            // The empty line may lie on the border of two blocks.
            let seen = octets.len().saturating_sub(END.len() - 1);
            octets.extend_from_slice(&block);
            let fresh = octets.get(seen..).unwrap_or_default();
            if let Some(end) = memmem::find(fresh, END) {
                octets.truncate(seen + end + END.len());
                break;
            }
            if octets.len() > LINE_END.len() + most {
                break;
            }
        }
        octets.drain(..LINE_END.len());
        if octets.len() > most {
            octets.truncate(most);
            is_cut = true;
        }
        Ok(HeaderSection { octets, is_cut })
    }
}

const LINE_END: &[u8] = b"\r\n";
const END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::MessageLimits;
    use crate::message::Intake;

    async fn section(content: &'static str, most: usize) -> HeaderSection {
        let message = Message::from(Bytes::from_static(content.as_bytes()));
        message.header_section(most).await.unwrap()
    }

    #[tokio::test]
    async fn it_ends_with_the_empty_line_and_its_fields_before_that() {
        for (content, octets, fields) in [
            ("A: b\r\n\r\nbody\r\n", "A: b\r\n\r\n", "A: b\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n\r\n", "A: b\r\n"),
            ("A: b\r\n", "A: b\r\n", "A: b\r\n"),
            ("\r\nbody\r\n\r\nmore\r\n", "\r\n", ""),
            ("", "", ""),
        ] {
            let found = section(content, 1000).await;
            assert!(!found.is_cut, "{content:?}");
            assert_eq!(found.octets, octets.as_bytes(), "{content:?}");
            assert_eq!(found.fields(), fields.as_bytes(), "{content:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_cut_and_says_so() {
        let found = section("A: b\r\nC: d\r\n\r\nbody\r\n", 8).await;
        assert_eq!(
            (&found.octets[..], found.is_cut),
            (&b"A: b\r\nC:"[..], true)
        );
        let found = section("A: b\r\n\r\nbody\r\n", 8).await;
        assert_eq!(
            (&found.octets[..], found.is_cut),
            (&b"A: b\r\n\r\n"[..], false)
        );
    }

    #[tokio::test]
    async fn it_ends_there_wherever_blocks_end() {
        let directory = tempfile::tempdir().unwrap();
        let limits = MessageLimits {
            max_octets: 1 << 20,
            memory_octets: 1000,
            spill_dir: directory.path().to_owned(),
        };
        for length in [
            10, 65_530, 65_531, 65_532, 65_533, 65_534, 65_535, 65_536, 70_000,
        ] {
            let mut text = b"X: ".to_vec();
            text.resize(length, b'x');
            text.extend_from_slice(b"\r\n\r\nbody\r\n\r\nmore\r\n");
            let mut intake = Intake::new(&limits);
            intake.append(&text).await;
            let message = intake.finish().await.unwrap();
            let found = message.header_section(1 << 20).await.unwrap();
            assert_eq!(found.octets, text[..length + 4], "{length}");
        }
    }
}
