//! Kernel shell of the packet core: the XDP entry point.
//!
//! Everything that decides is `redirector_common::decide`; here are only the octets of the frame
//! ([`frame`]), the maps ([`tables`]), and the translation of a verdict.
#![no_std]
#![no_main]
// `core::sync::atomic` has no read-modify-write on BPF, although the machine has (xadd).
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the compiler is pinned, and this crate is built with its unstable features anyway"
)]

mod dry;
mod frame;
mod radar;
mod tables;

use aya_ebpf::{Global, bindings::xdp_action, macros::xdp, programs::XdpContext};
use redirector_common::{
    abi::{NO_RELAY, Role, trial::NO_COUNTER},
    counters::Counter,
    decide::{Ingress, Judged, judge},
    tables::Verdict,
};

use crate::{frame::XdpFrame, tables::Maps};

/// Role of every interface that this load of the program is attached to, as [`Role`]'s number; 0 = the
/// map `ROLES` says. Written by the loader.
#[unsafe(no_mangle)]
static ROLE: Global<u8> = Global::new(0);

/// 1 = a debug line for every frame that was counted. Written by the loader.
#[unsafe(no_mangle)]
static DEBUG_LINES: Global<u8> = Global::new(0);

/// XDP entry point.
#[xdp]
fn outgate_xdp(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let ifindex = if dry::is_run() {
        dry::begin()
    } else {
        frame.ingress_ifindex()
    };
    let ingress = Ingress {
        ifindex,
        role: Role::from_number(ROLE.load()),
    };
    let judged = judge(&mut frame, &mut Maps, ingress);
    if DEBUG_LINES.load() != 0 {
        debug_line(&context, ifindex, &judged);
    }
    if dry::is_run() {
        dry::record(
            judged.counter.map_or(NO_COUNTER, Counter::index),
            judged.relay.unwrap_or(NO_RELAY),
            u32::from(judged.policy.is_some()),
        );
    }
    match judged.verdict {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
        Verdict::Tx => xdp_action::XDP_TX,
        Verdict::Redirect { .. } => xdp_action::XDP_REDIRECT,
    }
}

/// Says what became of a frame. The numbers are those of the counter and the relay.
#[inline(always)]
fn debug_line(context: &XdpContext, ifindex: u32, judged: &Judged) {
    let Some(counter) = judged.counter else {
        return;
    };
    let flag_id = judged.policy.map_or(0, |policy| policy.flag_id);
    let relay = judged.relay.unwrap_or(u32::MAX);
    aya_log_ebpf::debug!(
        context,
        "judged ifindex={} counter={} flag_id={} relay={}",
        ifindex,
        counter.index(),
        flag_id,
        relay
    );
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in the core can panic; the verifier would refuse the endless loop if it were reachable.
    loop {}
}
