//! A place of fixed size in a frame, as the verifier follows it.

use core::intrinsics::is_val_statically_known;

use crate::machine::hidden;

/// The place of `N` octets at `at`, if the frame between `bounds` has them.
#[inline(always)]
pub(crate) fn window<const N: usize>(
    at: usize,
    bounds: impl FnOnce() -> (usize, usize),
) -> Option<*mut [u8; N]> {
    // Hidden from LLVM, or it would fold `at` into other sums and comparisons. The verifier must
    // see the bound on the very number that is added to the packet pointer, and the very sum that
    // is compared with the end in the access. A constant bounds itself.
    let at = if is_val_statically_known(at) {
        at
    } else {
        hidden(at)
    };
    if at > LAST_WINDOW {
        return None;
    }
    let (data, end) = bounds();
    let start = data + at;
    if start + N > end {
        None
    } else {
        Some(start as *mut [u8; N])
    }
}

/// Largest offset of a window: 22 octets of Ethernet, 40 of IPv6, its extension headers (the last of
/// which may start at 512 and be 2048 long), and a TCP header behind them.
pub(crate) const LAST_WINDOW: usize = 0xfff;
