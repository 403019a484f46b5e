//! What holds for any octets in any pieces, as functions that panic if it does not.
//!
//! The property tests and the fuzz targets call the same ones, so that a crash found by the fuzzer is
//! repeated by a test with the octets it found.

pub mod chunks;
pub mod client;
pub mod content;
pub mod handover;
pub mod milter;
pub mod operations;
pub mod peek;
pub mod proxy;
pub mod record;
pub mod server;

/// Cuts `octets` into pieces of the lengths in `cuts`, over and over; 0 counts as 256.
pub(crate) fn pieces<'a>(octets: &'a [u8], cuts: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let cuts = if cuts.is_empty() { &[1] } else { cuts };
    let mut lengths = cuts.iter().cycle();
    let mut rest = octets;
    core::iter::from_fn(move || {
        let length = match lengths.next() {
            Some(0) | None => 256,
            Some(&length) => usize::from(length),
        };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests;
