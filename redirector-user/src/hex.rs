//! Octets as two hexadecimal digits each: how frames travel in JSON.

use std::fmt::Write as _;

/// The digits of some octets.
pub(crate) fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // A string takes whatever it is given.
        let _infallible = write!(text, "{octet:02x}");
    }
    text
}

/// The octets of some digits; `None` if they are none.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let octets = pairs.iter().map(|[high, low]| {
        let octet = digit(*high)? << 4 | digit(*low)?;
        u8::try_from(octet).ok()
    });
    octets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_back() {
        let octets: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&octets)), Some(octets));
        assert_eq!(decode("0aFf"), Some(vec![10, 255]));
        for wrong in ["0", "0x", "+1", "é"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
