//! Answering a segment with RST.

use crate::{
    answer::Answer,
    frame::Frame,
    parse::tcp::{self, Flags},
    reply,
    rewrite::Before,
};

/// Puts the numbers of the RST of RFC 9293 section 3.10.7.1 (state CLOSED) into `answer`. The segment
/// must not be an RST itself. `false` = it is not whole.
#[inline(never)]
pub(crate) fn numbers<F: Frame>(frame: &F, before: &Before, answer: &mut Answer) -> bool {
    let segment = &before.segment;
    let Some(l4_octets) = reply::l4_octets(frame, before) else {
        return false;
    };
    let Some(header) = frame.read::<{ tcp::HEADER_OCTETS }>(segment.l4.into()) else {
        return false;
    };
    let [_, _, _, _, q0, q1, q2, q3, a0, a1, a2, a3, data_offset, ..] = header;
    answer.window = 0;
    if segment.flags.has(Flags::ACK) {
        // "<SEQ=SEG.ACK><CTL=RST>"
        answer.sequence = u32::from_be_bytes([a0, a1, a2, a3]);
        answer.acknowledged = 0;
        answer.flags = Flags::RST;
        return true;
    }
    // "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"; SYN and FIN count one each.
    let length = reply::text_octets(l4_octets, data_offset)
        + u32::from(segment.flags.has(Flags::SYN))
        + u32::from(segment.flags.has(Flags::FIN));
    answer.sequence = 0;
    answer.acknowledged = u32::from_be_bytes([q0, q1, q2, q3]).wrapping_add(length);
    answer.flags = Flags::RST | Flags::ACK;
    true
}
