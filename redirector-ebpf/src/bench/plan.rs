//! What the benchmark tells its generator: one record, shared by the kernel program and by the crate
//! `bench`, which includes this file.

/// Octets of a template; an IPv4 frame uses [`FRAME_V4`] of them, an IPv6 frame [`FRAME_V6`].
pub(crate) const TEMPLATE_OCTETS: usize = 80;
/// A minimal Ethernet frame: with its check sequence it has 64 octets on a wire.
pub(crate) const FRAME_V4: usize = 60;
/// Ethernet, IPv6 and TCP without an option.
pub(crate) const FRAME_V6: usize = 74;

/// Frames to write, all alike but for the source's address and port.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The frame, with zeros where the source's address varies, in its port and in both checksums.
    pub(crate) template: [u8; TEMPLATE_OCTETS],
    /// Sum over the IPv4 header's 16-bit words as RFC 1071 has it, not folded.
    pub(crate) ip_sum: u32,
    /// The same over TCP and its pseudo-header.
    pub(crate) tcp_sum: u32,
    /// The 32 bits of the first source's address that vary.
    pub(crate) first_source: u32,
    /// How many addresses there are from it on.
    pub(crate) sources: u32,
    /// First port of each of them.
    pub(crate) first_port: u32,
    /// How many there are from it on.
    pub(crate) ports: u32,
    /// 1 = every address and port in its turn, for filling tables; 0 = scattered over all of them.
    pub(crate) in_order: u32,
    /// Zero.
    pub(crate) reserved: u32,
}
