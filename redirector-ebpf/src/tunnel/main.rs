//! Kernel shell of what a relay's host does with tunnels: their outer headers come off at the ingress of the interface
//! that leads to the edges, and on at its egress.
//!
//! An object of its own, with maps of its own: it runs on another machine than the edge's program, and neither is to
//! cost the other's verifier anything. Everything that decides is `redirector_common::tunnel::host`.
//!
//! At the egress the kernel finds the way of the new header (`bpf_redirect_neigh`, Linux 5.10) instead of sending the
//! frame on by the way of the old one: that was found for the packet inside, whose next hop need not be the edge's.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(
    internal_features,
    reason = "the compiler is pinned, and this crate is built with its unstable features anyway"
)]

#[path = "../machine.rs"]
mod machine;
mod maps;
#[path = "../octets.rs"]
mod octets;
mod skb;
mod xdp;

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::generated::{bpf_redirect, bpf_redirect_neigh},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use redirector_common::tunnel::host::{Arrival, Departure, arrive, leave};

use crate::{
    maps::Maps,
    octets::{Skb, Xdp},
};

/// The ingress, in XDP. The stack takes the type of what is left from its Ethernet header.
#[xdp]
#[inline(always)]
fn tunnel_in_xdp(context: XdpContext) -> u32 {
    match arrive(&mut Xdp::new(&context), &mut Maps) {
        Arrival::Untouched | Arrival::Inner { .. } => xdp_action::XDP_PASS,
        Arrival::Dropped => xdp_action::XDP_DROP,
    }
}

/// The ingress, in tc.
#[classifier]
#[inline(always)]
fn tunnel_in_tc(context: TcContext) -> i32 {
    let mut frame = Skb::new(&context);
    match arrive(&mut frame, &mut Maps) {
        Arrival::Untouched
        | Arrival::Inner {
            other_family: false,
        } => TC_ACT_UNSPEC,
        Arrival::Inner { other_family: true } => {
            // The kernel has noted of which family the frame is, and only helpers since Linux 6.3 change that. Who
            // comes in by the interface once more is looked at anew, by us, too: what is inside is no tunnel's.
            // SAFETY: the helper takes two numbers, and only remembers them.
            let _redirect = unsafe { bpf_redirect(frame.ifindex(), u64::from(BPF_F_INGRESS)) };
            TC_ACT_REDIRECT
        }
        Arrival::Dropped => TC_ACT_SHOT,
    }
}

/// The egress.
#[classifier]
#[inline(always)]
fn tunnel_out_tc(context: TcContext) -> i32 {
    let mut frame = Skb::new(&context);
    match leave(&mut frame, &mut Maps) {
        Departure::Untouched => TC_ACT_UNSPEC,
        Departure::Wrapped => {
            // SAFETY: without parameters the helper takes numbers, and only remembers them; the frame then passes
            // here once more, as a tunnel's, which is left alone.
            let _redirect = unsafe { bpf_redirect_neigh(frame.ifindex(), ptr::null_mut(), 0, 0) };
            TC_ACT_REDIRECT
        }
        Departure::Dropped => TC_ACT_SHOT,
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in the core can panic; the verifier would refuse the endless loop if it were reachable.
    loop {}
}
