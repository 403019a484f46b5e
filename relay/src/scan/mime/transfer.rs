//! Transfer encodings, read as programs that show mail read them: what does not belong is passed over.
//!
//! A stricter reader would show a scanner less than what reaches a reader's eyes. Both stop at a number of octets.

/// What came of decoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) octets: Vec<u8>,
    /// There is more.
    pub(super) cut: bool,
}

/// At most `max` octets of what `encoded` is the base64 of. Padding in the middle ends a group and no more: pieces that were
/// encoded one by one are shown whole by most programs.
pub(super) fn base64(encoded: &[u8], max: usize) -> Decoded {
    let mut octets = Vec::with_capacity(max.min(encoded.len() / 4 * 3 + 3));
    let (mut group, mut digits) = (0_u32, 0_u8);
    let mut cut = false;
    for &octet in encoded {
        let digit = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                end_group(&mut octets, group, digits);
                digits = 0;
                continue;
            }
            _ => continue,
        };
        group = group << 6 | u32::from(digit);
        digits += 1;
        if digits == 4 {
            let [_, first, second, third] = group.to_be_bytes();
            octets.extend([first, second, third]);
            (group, digits) = (0, 0);
        }
        if octets.len() > max {
            cut = true;
            break;
        }
    }
    end_group(&mut octets, group, digits);
    cut |= octets.len() > max;
    octets.truncate(max);
    Decoded { octets, cut }
}

fn end_group(octets: &mut Vec<u8>, group: u32, digits: u8) {
    match digits {
        2 => octets.extend([last_octet(group >> 4)]),
        3 => octets.extend([last_octet(group >> 10), last_octet(group >> 2)]),
        _ => {}
    }
}

fn last_octet(bits: u32) -> u8 {
    let [.., last] = bits.to_be_bytes();
    last
}

/// At most `max` octets of what `encoded` is the quoted-printable of. An equals sign before anything else stands for itself.
pub(super) fn quoted_printable(encoded: &[u8], max: usize) -> Decoded {
    let mut octets = Vec::with_capacity(max.min(encoded.len()));
    let mut rest = encoded;
    while let [first, behind @ ..] = rest {
        if octets.len() == max {
            break;
        }
        if *first != b'=' {
            octets.push(*first);
            rest = behind;
            continue;
        }
        if let [high, low, next @ ..] = behind
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            octets.push(high << 4 | low);
            rest = next;
        } else if let Some(next) = behind_soft_break(behind) {
            rest = next;
        } else {
            octets.push(b'=');
            rest = behind;
        }
    }
    Decoded {
        octets,
        cut: !rest.is_empty(),
    }
}

/// What follows the end of the line, if nothing stands before it but blanks, which some server has added.
fn behind_soft_break(octets: &[u8]) -> Option<&[u8]> {
    let blanks = octets
        .iter()
        .take(BLANKS_MAX)
        .take_while(|octet| matches!(octet, b' ' | b'\t' | b'\r'));
    match &octets[blanks.count()..] {
        [] => Some(&[]),
        [b'\n', next @ ..] => Some(next),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// More of them are no accident, and would be looked at again from each equals sign.
const BLANKS_MAX: usize = 78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_belong_is_passed_over() {
        let cases: [(&str, &str); 9] = [
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8=\r\n", "hello"),
            ("aGVsbG8", "hello"),
            ("aG!Vs*bG8=", "hello"),
            ("aGVsbG8=aGVsbG8=", "hellohello"),
            ("aGVsbG8=====", "hello"),
            ("aGVsbA==a", "hell"),
            ("", ""),
            ("====", ""),
        ];
        for (encoded, expected) in cases {
            let decoded = base64(encoded.as_bytes(), 100);
            assert_eq!(decoded.octets, expected.as_bytes(), "{encoded}");
            assert!(!decoded.cut, "{encoded}");
        }
        let cases: [(&str, &str); 7] = [
            ("caf=C3=A9", "café"),
            ("caf=c3=a9", "café"),
            ("one =\r\nline", "one line"),
            ("one = \t\r\nline", "one line"),
            ("1=2 =XY =4", "1=2 =XY =4"),
            ("end=", "end"),
            ("", ""),
        ];
        for (encoded, expected) in cases {
            let decoded = quoted_printable(encoded.as_bytes(), 100);
            assert_eq!(decoded.octets, expected.as_bytes(), "{encoded}");
            assert!(!decoded.cut, "{encoded}");
        }
    }

    #[test]
    fn nothing_is_decoded_beyond_the_limit() {
        for max in 0..8 {
            let whole = base64(b"aGVsbG8=", max);
            assert_eq!(whole.octets, b"hello"[..max.min(5)]);
            assert_eq!(whole.cut, max < 5, "{max}");
            let whole = quoted_printable(b"h=65llo", max);
            assert_eq!(whole.octets, b"hello"[..max.min(5)]);
            assert_eq!(whole.cut, max < 5, "{max}");
        }
    }
}
