//! Kernel shell of the packet core: the XDP entry point, and the one for tc ([`tc`]).
//!
//! Everything that decides is `redirector_common::decide`; here are only the octets of the frame
//! ([`frame`], [`skb`]), the maps ([`tables`]), and the translation of a verdict.
#![no_std]
#![no_main]
// `core::sync::atomic` has no read-modify-write on BPF, although the machine has (xadd).
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(
    internal_features,
    reason = "the compiler is pinned, and this crate is built with its unstable features anyway"
)]

mod capture;
mod dry;
mod entry;
mod frame;
mod machine;
mod octets;
mod radar;
mod skb;
mod tables;
mod tc;

use aya_ebpf::{EbpfContext, Global, bindings::xdp_action, macros::xdp, programs::XdpContext};
use redirector_common::{
    abi::{Policy, Role, trial::NO_COUNTER},
    counters::Counter,
    decide::{Ingress, Judged, is_bystander, judge},
    tables::Verdict,
};

use crate::{
    frame::XdpFrame,
    tables::{Devices, Exit, Maps},
};

/// Role of every interface that this load of the program is attached to, as [`Role`]'s number; 0 = the
/// map `ROLES` says. Written by the loader.
#[unsafe(no_mangle)]
static ROLE: Global<u8> = Global::new(0);

/// 1 = a debug line for every frame that was counted. Written by the loader.
#[unsafe(no_mangle)]
static DEBUG_LINES: Global<u8> = Global::new(0);

/// XDP entry point. Inlined into what the macro makes of it, however long it grows: Linux 6.1 counts 32
/// octets of stack for a function that has none.
#[xdp]
#[inline(always)]
fn outgate_xdp(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    if ROLE.load() == Role::Customer as u8 && !dry::is_run() && is_bystander(&frame) {
        return xdp_action::XDP_PASS;
    }
    let ifindex = if dry::is_run() {
        dry::begin()
    } else {
        frame.ingress_ifindex()
    };
    let ingress = Ingress {
        ifindex,
        role: Role::from_number(ROLE.load()),
    };
    let judged = judge(&mut frame, &mut Maps::<Driver>::new(), ingress);
    let action = match judged.verdict {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
        Verdict::Tx => xdp_action::XDP_TX,
        Verdict::Redirect { .. } => xdp_action::XDP_REDIRECT,
    };
    tell(&context, &frame, &judged, action);
    action
}

/// Tells whoever has asked what became of a frame; `action` is the verdict in numbers of XDP.
#[inline(always)]
pub(crate) fn tell<C: EbpfContext, F: capture::Shown>(
    context: &C,
    frame: &F,
    judged: &Judged,
    action: u32,
) {
    let counter = judged.counter.map_or(NO_COUNTER, Counter::index);
    let Judged {
        policy: Policy { flag_id, .. },
        relay,
        ..
    } = *judged;
    if DEBUG_LINES.load() != 0 && counter != NO_COUNTER {
        debug_line(context, frame.ifindex(), counter, flag_id, relay);
    }
    if dry::is_run() {
        dry::record(counter, relay, u32::from(judged.has_policy));
    } else if action != xdp_action::XDP_PASS {
        capture::show(frame, action, counter, relay, flag_id);
    }
}

/// Frames leave by the driver of an interface, which must know XDP.
pub(crate) enum Driver {}

impl Exit for Driver {
    #[inline(always)]
    fn redirect(devices: &Devices, ifindex: u32) -> bool {
        devices.redirect(ifindex, 0).is_ok()
    }
}

/// Says what became of a frame. The numbers are those of the counter and the relay. Out of line: what a line
/// needs of the stack is not there while a frame is judged.
#[inline(never)]
fn debug_line<C: EbpfContext>(context: &C, ifindex: u32, counter: u32, flag_id: u32, relay: u32) {
    aya_log_ebpf::debug!(
        context,
        "judged ifindex={} counter={} flag_id={} relay={}",
        ifindex,
        counter,
        flag_id,
        relay
    );
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in the core can panic; the verifier would refuse the endless loop if it were reachable.
    loop {}
}
