//! Why an interface cannot have the program, in words that say what to do.

use aya::programs::{ProgramError, loaded_programs};
use rustix::io::Errno;

use super::filter::Filter;
use crate::edge::{AttachMode, EdgeError, RefusedMode, error::errno, interface::Interface};

/// Refuses an interface that another XDP program owns, and says whose it is.
pub(crate) fn busy(interface: &Interface) -> Result<(), EdgeError> {
    let Some(xdp) = interface.xdp else {
        return Ok(());
    };
    let program_name = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == xdp.program_id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unnamed".to_owned());
    Err(EdgeError::Busy {
        interface: interface.name.clone(),
        program_id: xdp.program_id,
        program_name,
        beside: AttachMode::beside_xdp(),
    })
}

/// What is said of one or more modes that were refused.
pub(crate) fn of_all(interface: &str, mut refused: Vec<(AttachMode, EdgeError)>) -> EdgeError {
    match refused.pop() {
        Some((_, only)) if refused.is_empty() => only,
        last => EdgeError::EveryModeRefused {
            interface: interface.to_owned(),
            refused: refused
                .into_iter()
                .chain(last)
                .map(RefusedMode::from)
                .collect(),
        },
    }
}

/// Refuses a kernel that has no tcx.
pub(crate) fn no_tcx(interface: &Interface) -> EdgeError {
    let reason = "this kernel has no tcx; it needs Linux 6.6 or newer: use --mode clsact";
    refused(interface, AttachMode::Tcx, reason)
}

/// Refuses a place that another filter has.
pub(crate) fn filter_taken(interface: &Interface, filter: Filter) -> EdgeError {
    let reason = format!(
        "another filter has {filter}, maybe of an Outgate with another pin directory; detach it there, or `tc filter del`"
    );
    refused(interface, AttachMode::Clsact, &reason)
}

/// Refuses a kernel that has no links to pin.
pub(crate) fn no_links(interface: &Interface, mode: AttachMode) -> EdgeError {
    refused(
        interface,
        mode,
        "this kernel has no XDP links; Linux 5.9 or newer is needed",
    )
}

/// What the kernel's refusal means for the operator.
pub(crate) fn of_mode(interface: &Interface, mode: AttachMode, error: &ProgramError) -> EdgeError {
    let reason = match errno(error) {
        Some(Errno::OPNOTSUPP) if mode == AttachMode::Native => {
            "the driver has no native XDP (EOPNOTSUPP); use --mode tcx, or the slower --mode generic"
        }
        Some(Errno::RANGE) => {
            "the MTU is too large for a program without fragments (ERANGE); lower the MTU at both ends of a veth, or use --mode tcx or generic"
        }
        Some(Errno::NOMEM) => {
            "the driver lacks queues or memory (ENOMEM; virtio needs two queues per CPU); add queues, or use --mode tcx or generic"
        }
        Some(Errno::BUSY) if mode.is_xdp() => {
            "another XDP program came first (EBUSY); `ip link show` names it"
        }
        Some(Errno::INVAL) if mode.is_xdp() => {
            "the driver refuses with its present settings (EINVAL); switch LRO off (`ethtool -K IFACE lro off`), check the MTU, or use --mode tcx or generic"
        }
        Some(Errno::PERM) => {
            return EdgeError::NotPermitted {
                what: format!("attaching to {}", interface.name),
            };
        }
        Some(other) => return refused(interface, mode, &format!("the kernel said {other}")),
        None => return refused(interface, mode, &error.to_string()),
    };
    refused(interface, mode, reason)
}

fn refused(interface: &Interface, mode: AttachMode, reason: &str) -> EdgeError {
    EdgeError::AttachRefused {
        interface: interface.name.clone(),
        mode,
        reason: reason.to_owned(),
    }
}
