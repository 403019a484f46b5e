//! Access to the octets of one frame, without saying where they live.

/// One frame under judgement.
///
/// Offsets count from the first octet of the Ethernet header. All windows are of fixed size, because
/// the verifier follows those best; a window that does not fit is `None`, never a panic.
pub trait Frame {
    /// Reads `N` octets at `at`.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Writes `N` octets at `at`; `false` = nothing was written.
    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool;

    /// Octets of the whole frame.
    fn octets(&self) -> usize;
}
