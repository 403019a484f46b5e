//! Checks of [`crate::peek`], for any octets.

use crate::peek::{MAX_OCTETS, Peeked, peek};

/// What was once sure stays as it is, however the octets come, and at the bound it is sure.
pub fn prefixes(octets: &[u8]) {
    let whole = peek(octets);
    if octets.len() >= MAX_OCTETS {
        assert_ne!(whole, Peeked::Incomplete);
    }
    let mut sure = None;
    // Each prefix is read from its beginning: a bound keeps this from being quadratic in a long input.
    let steps = octets.len().min(MAX_OCTETS);
    for length in (0..=steps).step_by(1 + steps / 512) {
        let Some(prefix) = octets.get(..length) else {
            return;
        };
        let now = peek(prefix);
        match &sure {
            None if now == Peeked::Incomplete => {}
            None => sure = Some(now),
            Some(before) => assert_eq!(&now, before, "at octet {length}"),
        }
    }
    if let Some(before) = sure {
        assert_eq!(before, whole);
    }
    if let Peeked::Hello(hello) = whole
        && let Some(name) = hello.server_name
    {
        assert!(name.is_ascii() && !name.contains(|c: char| c.is_ascii_control() || c == ' '));
    }
}

/// `body` as the body of a ClientHello in records of `cut` octets each; 0 counts as the most that a record holds.
#[must_use]
pub fn record(body: &[u8], cut: u8) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let message = [&[1, high, middle, low], body].concat();
    let cut = if cut == 0 { 1 << 14 } else { usize::from(cut) };
    let mut octets = Vec::new();
    for fragment in message.chunks(cut) {
        let [high, low] = u16::try_from(fragment.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        octets.extend_from_slice(&[22, 3, 1, high, low]);
        octets.extend_from_slice(fragment);
    }
    octets
}
