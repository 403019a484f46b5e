//! The tc entry point: the same core behind the kernel's own receive path.
//!
//! For interfaces whose driver has no XDP, or where another XDP program is. What is not ours is left to the
//! programs after this one.

use aya_ebpf::{
    bindings::{TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::generated::bpf_redirect,
    macros::classifier,
    programs::TcContext,
};
use redirector_common::{
    abi::Role,
    decide::{Ingress, judge},
    tables::Verdict,
};

use crate::{
    ROLE,
    capture::Shown as _,
    skb::SkbFrame,
    tables::{Devices, Exit, Maps},
    tell,
};

/// tc entry point, for tcx (where [`TC_ACT_UNSPEC`] is `TCX_NEXT`) and for a classifier in
/// direct-action mode. Inlined as the XDP entry point is, for the stack of Linux 6.1.
#[classifier]
#[inline(always)]
fn outgate_tc(context: TcContext) -> i32 {
    let mut frame = SkbFrame::new(&context);
    let ifindex = frame.ifindex();
    let ingress = Ingress {
        ifindex,
        role: Role::from_number(ROLE.load()),
    };
    let judged = judge(&mut frame, &mut Maps::<Egress>::new(), ingress);
    let (action, shown) = match judged.verdict {
        Verdict::Pass => (TC_ACT_UNSPEC, xdp_action::XDP_PASS),
        Verdict::Drop => (TC_ACT_SHOT, xdp_action::XDP_DROP),
        Verdict::Tx => {
            leave(ifindex);
            (TC_ACT_REDIRECT, xdp_action::XDP_TX)
        }
        // The exit was told when the core asked for it.
        Verdict::Redirect { .. } => (TC_ACT_REDIRECT, xdp_action::XDP_REDIRECT),
    };
    tell(&context, &frame, &judged, shown);
    action
}

/// Frames leave by the egress path of an interface, whatever its driver can do.
pub(crate) enum Egress {}

impl Exit for Egress {
    #[inline(always)]
    fn redirect(devices: &Devices, ifindex: u32) -> bool {
        match devices.get_ifindex(ifindex) {
            Some(ifindex) => {
                leave(ifindex);
                true
            }
            None => false,
        }
    }
}

#[inline(always)]
fn leave(ifindex: u32) {
    // SAFETY: the helper takes two numbers, and only remembers them. It refuses unknown flags alone.
    let _redirect = unsafe { bpf_redirect(ifindex, 0) };
}
