//! The maximum segment size that the ends of a connection tell one another (RFC 9293 section 3.7.1), lowered to
//! what a tunnel carries: they cannot know of it, and an answer that a segment was too big may be lost on its way.

use crate::{checksum::Difference, frame::Frame, parse::tcp};

/// Where the options are that are looked at, in octets from the frame's start. Plain integers throughout, in a map's
/// memory, out of which the verifier knows none of them: it would otherwise follow every length of every option.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// The next one.
    at: u16,
    /// The end of them all.
    end: u16,
}

/// Lowers the option of the SYN whose TCP header is at `l4` to `most`. One that says less stays, and so does a SYN
/// without one, whose sender is sent 536 or 1220 octets at a time. `false` = it could not be done, and the frame is
/// fit for nothing but a drop.
#[inline(never)]
pub(crate) fn lower<F: Frame>(frame: &mut F, options: &mut Options, l4: usize, most: u16) -> bool {
    if !begin(frame, options, l4) {
        return true;
    }
    // Each takes an octet at least.
    for _ in 0..OPTIONS_OCTETS {
        match next(frame, options) {
            Step::On => {}
            Step::Found => return put(frame, options, l4, most),
            Step::End => return true,
        }
    }
    true
}

/// Finds the options; `false` = the header is not there.
#[inline(never)]
fn begin<F: Frame>(frame: &F, options: &mut Options, l4: usize) -> bool {
    // Two octets: of one the verifier sees no bound.
    let Some([data_offset, _]) = frame.read::<2>(l4 + tcp::DATA_OFFSET_AT) else {
        return false;
    };
    // A frame has at most 64 KiB.
    let Ok(l4) = u16::try_from(l4) else {
        return false;
    };
    options.at = l4.saturating_add(FIXED_OCTETS);
    options.end = l4.saturating_add(u16::from(data_offset >> 4) * 4);
    true
}

/// What an option is.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Another one; the next has been gone on to.
    On,
    /// The maximum segment size.
    Found,
    /// There is none any more, or nobody could read on.
    End,
}

/// Looks at one option. Out of line, and answering in a register: so all that it leaves behind is in memory.
#[inline(never)]
fn next<F: Frame>(frame: &F, options: &mut Options) -> Step {
    let at = options.at;
    if at.saturating_add(MSS_OCTETS) > options.end {
        return Step::End;
    }
    let Some([kind, length]) = frame.read::<2>(at.into()) else {
        return Step::End;
    };
    let octets = match (kind, length) {
        (MSS, MSS_LENGTH) => return Step::Found,
        (END | MSS, _) => return Step::End,
        (NOTHING, _) => 1,
        (_, 0 | 1) => return Step::End,
        (_, length) => length,
    };
    options.at = at.saturating_add(octets.into());
    Step::On
}

/// Lowers the option that was found.
#[inline(never)]
fn put<F: Frame>(frame: &mut F, options: &Options, l4: usize, most: u16) -> bool {
    let at = usize::from(options.at) + 2;
    let Some(old) = frame.read::<2>(at) else {
        return true;
    };
    if u16::from_be_bytes(old) <= most {
        return true;
    }
    let new = most.to_be_bytes();
    // Behind an odd number of octets the same words count with their octets exchanged (RFC 1071 section 2, B).
    let difference = if at.wrapping_sub(l4) % 2 == 0 {
        Difference::none().word(old, new)
    } else {
        Difference::none().word([old[1], old[0]], [new[1], new[0]])
    };
    frame.write(at, &new)
        && frame.change_checksum(l4 + tcp::CHECKSUM_AT, Difference::none(), difference)
}

const FIXED_OCTETS: u16 = 20;
const _: () = assert!(FIXED_OCTETS as usize == tcp::HEADER_OCTETS);
/// Of the longest TCP header behind its fixed part.
const OPTIONS_OCTETS: usize = 40;
const END: u8 = 0;
const NOTHING: u8 = 1;
const MSS: u8 = 2;
const MSS_LENGTH: u8 = 4;
const MSS_OCTETS: u16 = 4;
