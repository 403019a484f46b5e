//! What was written between 354 and the dot, or in chunks, reaches the destination octet for octet.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::feed::{Fed, feed};
use crate::pair::DELIVERED;
use crate::wire::Pair;

const ENVELOPE: &[u8] = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";

/// Lines of any octets but CR and LF, and not a lone dot beside NUL.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let octet = prop_oneof![
        3 => prop::sample::select(b".\0 x".to_vec()),
        1 => any::<u8>().prop_filter("line ends", |octet| !b"\r\n".contains(octet)),
    ];
    let line = vec(octet, 0..6).prop_filter("refused", |line| {
        let without_nul: Vec<u8> = line.iter().copied().filter(|o| *o != 0).collect();
        without_nul != b"." || !line.contains(&0)
    });
    vec(line, 0..12)
}

fn content_of(lines: &[Vec<u8>]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| [line, &b"\r\n"[..]].concat())
        .collect()
}

/// As it is written after DATA, by the rule of RFC 5321 section 4.5.2 alone.
fn after_data(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = [ENVELOPE, b"DATA\r\n"].concat();
    for line in lines {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\nQUIT\r\n");
    wire
}

/// As chunks of these lengths, over and over; the last one is empty or not.
fn in_chunks(content: &[u8], lengths: &[usize], last_is_empty: bool) -> Vec<u8> {
    let mut wire = ENVELOPE.to_vec();
    let mut rest = content;
    for length in lengths.iter().cycle() {
        let (chunk, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        let last = rest.is_empty() && !last_is_empty;
        let mark = if last { " LAST" } else { "" };
        wire.extend_from_slice(format!("BDAT {}{mark}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        if rest.is_empty() {
            break;
        }
    }
    if last_is_empty {
        wire.extend_from_slice(b"BDAT 0 LAST\r\n");
    }
    [&wire, &b"QUIT\r\n"[..]].concat()
}

/// The message of this session, sent on by our client to another of our servers.
#[track_caller]
fn sent_on(fed: Fed, cut: usize) -> Vec<u8> {
    assert_eq!(fed.messages.len(), 1, "{fed:?}");
    assert!(fed.said.ends_with("221 2.0.0 bye\r\n"), "{fed:?}");
    let mut pair = Pair::new(&fed.messages[0], cut);
    pair.run();
    assert_eq!(pair.log, DELIVERED);
    pair.received
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn content_after_data_arrives_as_it_was_written(
        lines in lines(),
        step in 1_usize..40,
        cut in 1_usize..40,
    ) {
        let received = sent_on(feed(&after_data(&lines), step), cut);
        prop_assert_eq!(received, content_of(&lines));
    }

    #[test]
    fn content_in_chunks_cut_anywhere_arrives_as_it_was_written(
        lines in lines(),
        lengths in vec(1_usize..20, 1..5),
        last_is_empty in any::<bool>(),
        unended in any::<bool>(),
        step in 1_usize..40,
        cut in 1_usize..40,
    ) {
        let whole = content_of(&lines);
        // The last line's own CRLF is the one thing that is added.
        let written = match whole.strip_suffix(b"\r\n") {
            Some(unended_content) if unended && !unended_content.is_empty()
                && !unended_content.ends_with(b"\n") => unended_content,
            _ => &whole,
        };
        let wire = in_chunks(written, &lengths, last_is_empty);
        let received = sent_on(feed(&wire, step), cut);
        prop_assert_eq!(received, whole);
    }
}
