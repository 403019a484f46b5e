//! Congestion that was marked on the outer header (RFC 6040): whoever takes that off hands the mark on.

use super::outer::Plain;
use crate::{
    checksum::Difference,
    frame::Frame,
    parse::{
        ether::{IPV4_BE, Link},
        ipv4,
    },
};

/// Class of the packet inside after its outer header, with that class, was taken off; `None` = it must be dropped.
///
/// RFC 6040 section 4.2, figure 4: who cannot be told of congestion is told by a loss.
#[inline(always)]
#[must_use]
pub const fn handed_on(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (NOT_ECT | CE, _) => Some(inner),
        (_, CE) => Some(inner | CE),
        (ECT_0, ECT_1) => Some(inner & !MASK | ECT_1),
        _ => Some(inner),
    }
}

/// Changes the packet behind `link`, whose outer header has been taken off, accordingly. `false` = it is fit for
/// nothing but a drop.
#[inline(always)]
pub fn hand_on<F: Frame>(frame: &mut F, link: Link, plain: &Plain) -> bool {
    let old = plain.inner_class;
    let Some(new) = handed_on(old, plain.class) else {
        return false;
    };
    if new == old {
        return true;
    }
    let l3 = usize::from(link.octets);
    let Some([first, second]) = frame.read::<2>(l3) else {
        return false;
    };
    if link.ethertype_be == IPV4_BE {
        let difference = Difference::none().word([first, second], [first, new]);
        frame.write(l3, &[first, new])
            && frame.change_header_checksum(l3 + ipv4::CHECKSUM_AT, difference)
    } else {
        let words = [first & 0xf0 | new >> 4, new << 4 | second & 0x0f];
        frame.packet_changed(Difference::none().word([first, second], words));
        frame.write(l3, &words)
    }
}

/// The two bits of the class that are about congestion (RFC 3168).
const MASK: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_4_of_rfc_6040_holds() {
        // By the inner code point; each row by the outer one: Not-ECT, ECT(0), ECT(1), CE.
        let figure = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE); 4]),
        ];
        for (inner, row) in figure {
            for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                // The rest of the class is the inner header's, whatever the outer one's is.
                let answer = handed_on(0xb8 | inner, 0x48 | outer);
                assert_eq!(
                    answer,
                    expected.map(|code| 0xb8 | code),
                    "{inner:02b} in {outer:02b}"
                );
            }
        }
    }
}
