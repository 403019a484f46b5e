//! The kernel programs of the benchmark: a generator of frames, sinks that count them, and programs that
//! do a part of what Outgate does, to compare with.
//!
//! They are an object of their own, built by the crate `bench` alone: nothing of them is in the product.
//! The generator is for test runs with live frames, which do not restore the frame between runs: so it
//! writes every octet of the headers every time.
#![no_std]
#![no_main]

mod plan;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action},
    btf_maps::{Array, DevMap, PerCpuArray},
    helpers::bpf_redirect,
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};

use crate::plan::{FRAME_V4, FRAME_V6, Plan};

/// What to write.
#[btf_map]
static PLAN: Array<Plan, 1> = Array::new();
/// Number of the next frame, of this CPU.
#[btf_map]
static CURSOR: PerCpuArray<u64, 1> = PerCpuArray::new();
/// Frames that arrived, by the constants below.
#[btf_map]
static ARRIVED: PerCpuArray<u64, 3> = PerCpuArray::new();
/// Destination port of the frames that are to arrive, in network order.
#[btf_map]
static EXPECTED: Array<u32, 1> = Array::new();
/// Where [`forward`] sends everything.
#[btf_map]
static WAY: DevMap<1> = DevMap::new();

/// Where [`forward_tc`] sends everything.
#[btf_map]
static WAY_TC: Array<u32, 1> = Array::new();

/// Writes a frame of IPv4.
#[xdp]
fn generate_v4(context: XdpContext) -> u32 {
    generate::<FRAME_V4>(&context, &OFFSETS_V4)
}

/// Writes a frame of IPv6.
#[xdp]
fn generate_v6(context: XdpContext) -> u32 {
    generate::<FRAME_V6>(&context, &OFFSETS_V6)
}

/// Counts and drops what arrives beyond the device under test.
#[xdp]
fn sink(context: XdpContext) -> u32 {
    let expected = EXPECTED.get(0).copied().unwrap_or_default();
    let arrived = match destination_port(&context) {
        Some(port) if u32::from(port) == expected => AS_EXPECTED,
        _ => OTHERWISE,
    };
    count(arrived);
    xdp_action::XDP_DROP
}

/// Counts and drops what comes back to where the generator sends from.
#[xdp]
fn returned(_context: XdpContext) -> u32 {
    count(RETURNED);
    xdp_action::XDP_DROP
}

/// The empty program.
#[xdp]
fn pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// A program that drops everything.
#[xdp]
fn discard(_context: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// A program that redirects everything as it is.
#[xdp]
fn forward(_context: XdpContext) -> u32 {
    WAY.redirect(0, 0).unwrap_or(xdp_action::XDP_ABORTED)
}

/// The same in tc.
#[classifier]
fn forward_tc(_context: TcContext) -> i32 {
    let way = WAY_TC.get(0).copied().unwrap_or_default();
    // SAFETY: the helper takes two numbers.
    let action = unsafe { bpf_redirect(way, 0) };
    i32::try_from(action).unwrap_or(TC_ACT_SHOT)
}

/// Where things stand in a frame of one family.
struct Offsets {
    source: usize,
    ip_checksum: Option<usize>,
    source_port: usize,
    tcp_checksum: usize,
}

#[inline(always)]
fn generate<const N: usize>(context: &XdpContext, offsets: &Offsets) -> u32 {
    let (Some(plan), Some(cursor)) = (PLAN.get(0), CURSOR.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the pointer is to this CPU's own, aligned value.
    let number = unsafe { cursor.read() };
    // SAFETY: the same.
    unsafe { cursor.write(number + 1) };
    let (source, port) = plan.ends(number);

    let mut frame = [0; N];
    frame.copy_from_slice(&plan.template[..N]);
    let words = (source >> 16) + (source & 0xffff);
    if let Some(at) = offsets.ip_checksum {
        put(&mut frame, at, folded(plan.ip_sum + words).to_be_bytes());
    }
    let tcp_sum = plan.tcp_sum + words + u32::from(port);
    put(
        &mut frame,
        offsets.tcp_checksum,
        folded(tcp_sum).to_be_bytes(),
    );
    put(&mut frame, offsets.source, source.to_be_bytes());
    put(&mut frame, offsets.source_port, port.to_be_bytes());

    let start = context.data();
    if start + N > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the frame was just proved to have N octets, and an array of octets has alignment 1.
    unsafe { (start as *mut [u8; N]).write(frame) };
    xdp_action::XDP_TX
}

impl Plan {
    /// Address and port of a frame's source.
    #[inline(always)]
    fn ends(&self, number: u64) -> (u32, u16) {
        let (source, port) = if self.in_order != 0 {
            let sources = u64::from(self.sources.max(1));
            (number % sources, number / sources)
        } else {
            // Fibonacci hashing: neighbours in time are far apart in every table, and both halves
            // are spread evenly.
            let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let ports = (scattered & 0xffff_ffff) * u64::from(self.ports);
            (
                ((scattered >> 32) * u64::from(self.sources)) >> 32,
                ports >> 32,
            )
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below `sources` and `ports`"
        )]
        let (source, port) = (source as u32, port as u16);
        #[expect(clippy::cast_possible_truncation, reason = "a port")]
        let first_port = self.first_port as u16;
        (
            self.first_source.wrapping_add(source),
            first_port.wrapping_add(port),
        )
    }
}

#[inline(always)]
fn put<const N: usize, const M: usize>(frame: &mut [u8; N], at: usize, octets: [u8; M]) {
    // Offsets are constants of the caller, so the bound is decided when this is compiled.
    if let Some(window) = frame.get_mut(at..at + M) {
        window.copy_from_slice(&octets);
    }
}

/// The Internet checksum of an unfolded sum, RFC 1071.
#[inline(always)]
fn folded(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    #[expect(clippy::cast_possible_truncation, reason = "twice folded")]
    let sum = sum as u16;
    !sum
}

/// In network order, of TCP without extension headers.
#[inline(always)]
fn destination_port(context: &XdpContext) -> Option<u16> {
    let [a, b] = match read::<2>(context, 12)? {
        [0x08, 0x00] => read(context, 36)?,
        [0x86, 0xdd] => read(context, 56)?,
        _ => return None,
    };
    Some(u16::from_ne_bytes([a, b]))
}

#[inline(always)]
fn read<const N: usize>(context: &XdpContext, at: usize) -> Option<[u8; N]> {
    let start = context.data() + at;
    if start + N > context.data_end() {
        return None;
    }
    // SAFETY: the frame was just proved to reach that far, and an array of octets has alignment 1.
    Some(unsafe { (start as *const [u8; N]).read() })
}

#[inline(always)]
fn count(arrived: u32) {
    if let Some(value) = ARRIVED.get_ptr_mut(arrived) {
        // SAFETY: the pointer is to this CPU's own, aligned value.
        unsafe { *value += 1 };
    }
}

const OFFSETS_V4: Offsets = Offsets {
    source: 26,
    ip_checksum: Some(24),
    source_port: 34,
    tcp_checksum: 50,
};
/// The last 32 bits of the network part vary: each source has a /64 of its own.
const OFFSETS_V6: Offsets = Offsets {
    source: 26,
    ip_checksum: None,
    source_port: 54,
    tcp_checksum: 70,
};

/// At the sink, with the port that was expected.
const AS_EXPECTED: u32 = 0;
/// At the sink, with another.
const OTHERWISE: u32 = 1;
/// Back at the generator.
const RETURNED: u32 = 2;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Every index is a constant; the verifier would refuse the endless loop if it were reachable.
    loop {}
}
