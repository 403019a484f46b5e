//! What the machine can do and the compiler does not know.
//!
//! LLVM copies sixteen octets of a frame one by one, because nothing tells it that they are aligned, and the
//! detour over the stack that [`core::hint::black_box`] takes costs more than a look at a port. Every JIT that
//! Outgate runs on loads and stores misaligned words, and the verifier of such a machine allows that in frames
//! (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`), so whole words are moved here by name.

use core::{arch::asm, mem::MaybeUninit};

/// The same number, of which LLVM knows nothing.
#[inline(always)]
pub(crate) fn hidden(number: usize) -> usize {
    let same: usize;
    // An instruction, because two lines of source at one offset are one too many for the kernel.
    // SAFETY: a register becomes another.
    unsafe {
        asm!("{0} = {1}", out(reg) same, in(reg) number,
            options(pure, nomem, nostack, preserves_flags));
    }
    same
}

macro_rules! moves {
    ($load:ident, $store:ident, $ty:ty, $octets:literal, $memory:literal) => {
        #[inline(always)]
        unsafe fn $load(from: *const u8) -> [u8; $octets] {
            let word: $ty;
            // SAFETY: the caller's, for so many octets.
            unsafe {
                asm!(concat!("{0} = *(", $memory, " *)({1} + 0)"), out(reg) word, in(reg) from,
                    options(pure, readonly, nostack, preserves_flags));
            }
            word.to_ne_bytes()
        }

        #[inline(always)]
        unsafe fn $store(to: *mut u8, octets: [u8; $octets]) {
            let word = <$ty>::from_ne_bytes(octets);
            // SAFETY: the caller's, for so many octets.
            unsafe {
                asm!(concat!("*(", $memory, " *)({0} + 0) = {1}"), in(reg) to, in(reg) word,
                    options(nostack, preserves_flags));
            }
        }
    };
}

moves!(load1, store1, u8, 1, "u8");
moves!(load2, store2, u16, 2, "u16");
moves!(load4, store4, u32, 4, "u32");
moves!(load8, store8, u64, 8, "u64");

/// Reads `N` octets wherever they start.
///
/// # Safety
/// All of them can be read.
#[inline(always)]
pub(crate) unsafe fn read<const N: usize>(from: *const [u8; N]) -> [u8; N] {
    let mut octets = MaybeUninit::<[u8; N]>::uninit();
    let (from, to) = (from.cast::<u8>(), octets.as_mut_ptr().cast::<u8>());
    let mut at = 0;
    macro_rules! words {
        ($load:ident, $octets:literal) => {
            while N - at >= $octets {
                // SAFETY: `at + $octets` is at most `N`, and both are so long.
                unsafe {
                    to.add(at)
                        .cast::<[u8; $octets]>()
                        .write($load(from.add(at)))
                };
                at += $octets;
            }
        };
    }
    words!(load8, 8);
    words!(load4, 4);
    words!(load2, 2);
    words!(load1, 1);
    // SAFETY: `at` is `N`: each of them was written.
    unsafe { octets.assume_init() }
}

/// Writes `N` octets wherever they start.
///
/// # Safety
/// All of them can be written, and nothing else refers to them.
#[inline(always)]
pub(crate) unsafe fn write<const N: usize>(to: *mut [u8; N], octets: &[u8; N]) {
    let (from, to) = (octets.as_ptr(), to.cast::<u8>());
    let mut at = 0;
    macro_rules! words {
        ($store:ident, $octets:literal) => {
            while N - at >= $octets {
                // SAFETY: `at + $octets` is at most `N`, and both are so long.
                unsafe { $store(to.add(at), from.add(at).cast::<[u8; $octets]>().read()) };
                at += $octets;
            }
        };
    }
    words!(store8, 8);
    words!(store4, 4);
    words!(store2, 2);
    words!(store1, 1);
}
