//! The kernel's own messages, drained into the log as they come.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, RawFd},
};

use redirector_common::{
    abi::{Event, EventKind, NO_RELAY},
    addr::Addr,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::edge::{DebugLines, EventReader};

/// A ring buffer of the kernel: owns one descriptor for all its life, which `as_raw_fd` names.
pub(super) trait Ring: AsRawFd {
    /// Takes out all that is in it.
    fn drain(&mut self);
}

/// Events of flows.
pub(super) struct Events {
    pub(super) reader: EventReader,
    /// For what is said when the table is full.
    pub(super) flows_max: u32,
}

/// Drains a ring buffer each time the kernel says that something is in it; ends only on an error.
pub(super) async fn read_ring(mut ring: impl Ring) {
    // What came in before anybody waited raises no edge.
    ring.drain();
    // SAFETY: `ring` moves into the `AsyncFd` with the descriptor that it owns, and a `Ring` names that one
    // for all its life.
    let registered = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
    let mut ring = match registered {
        Ok(ring) => ring,
        Err(error) => return tracing::error!(%error, "the kernel's messages cannot be read"),
    };
    loop {
        match ring.readable_mut().await {
            Ok(mut guard) => {
                guard.clear_ready();
                guard.get_inner_mut().drain();
            }
            Err(error) => return tracing::error!(%error, "the kernel's messages cannot be read"),
        }
    }
}

impl Ring for Events {
    fn drain(&mut self) {
        while let Some(event) = self.reader.next_event() {
            report(&event, self.flows_max);
        }
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

impl Ring for DebugLines {
    fn drain(&mut self) {
        self.forward();
    }
}

fn report(event: &Event, flows_max: u32) {
    let customer = IpAddr::from(Addr::from_mapped(event.customer, event.family));
    let destination = IpAddr::from(Addr::from_mapped(event.original_dst, event.family));
    let port = u16::from_be_bytes(event.customer_port_be);
    let relay = (event.relay != NO_RELAY).then_some(event.relay);
    match EventKind::from_number(event.kind) {
        Some(EventKind::FlowOpened) => tracing::debug!(
            customer.addr = %customer, customer.port = port, original.dst = %destination,
            flag.id = event.flag_id, relay.number = relay, "connection diverted"
        ),
        Some(EventKind::FlowTableFull) => tracing::error!(
            customer.addr = %customer, original.dst = %destination, flag.id = event.flag_id, flows_max,
            "no room for a flow; raise edge.flows_max"
        ),
        Some(EventKind::NoRelay) => tracing::warn!(
            customer.addr = %customer, original.dst = %destination, flag.id = event.flag_id,
            "no relay could take a connection; the pool's failure policy was applied"
        ),
        None => tracing::warn!(
            kind = event.kind,
            "the kernel program reports something unknown"
        ),
    }
}
