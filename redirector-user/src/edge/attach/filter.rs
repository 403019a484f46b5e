//! The filter of `clsact` that runs a program, in a place of its own.

use std::{fmt, mem::ManuallyDrop};

use aya::programs::{
    Link as _, ProgramError, SchedClassifier, TcAttachType,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
};
use futures_util::TryStreamExt as _;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcMessage, TcOption};
use rustix::io::Errno;

use crate::edge::{
    EdgeError,
    error::errno,
    interface::{self, Interface, netlink_error},
};

/// A place of ours on an interface. The number tells it from other filters of its priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    side: TcAttachType,
    handle: TcHandle,
}

impl Filter {
    /// The edge's program, at the ingress.
    pub(crate) const EDGE: Self = Self::new(TcAttachType::Ingress, EDGE_HANDLE);
    /// What takes tunnels' headers off at a relay's host.
    pub(crate) const TUNNEL_IN: Self = Self::new(TcAttachType::Ingress, TUNNEL_HANDLE);
    /// What puts them on.
    pub(crate) const TUNNEL_OUT: Self = Self::new(TcAttachType::Egress, TUNNEL_HANDLE);

    const fn new(side: TcAttachType, minor: u16) -> Self {
        Self {
            side,
            handle: TcHandle::new(0, minor),
        }
    }

    /// Kernel's number of the program that runs there; `None` = there is no filter in our place.
    pub(crate) fn find(self, interface: &Interface) -> Result<Option<u32>, EdgeError> {
        let Ok(index) = i32::try_from(interface.index) else {
            return Ok(None);
        };
        let filters = interface::blocking(async {
            let handle = interface::connect()?;
            let request = handle.traffic_filter(index).get();
            let request = match self.side {
                TcAttachType::Egress => request.egress(),
                TcAttachType::Ingress | TcAttachType::Custom(_) => request.ingress(),
            };
            let filters = request.execute();
            filters.try_collect::<Vec<_>>().await.map_err(netlink_error)
        });
        match filters {
            Ok(filters) => Ok(filters.iter().find_map(|filter| self.program_in(filter))),
            // The interface went, or has no such discipline.
            Err(error)
                if matches!(
                    errno(&error),
                    Some(Errno::NODEV | Errno::INVAL | Errno::NOENT)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(EdgeError::kernel(
                format!("asking for the filters of {}", interface.name),
                error,
            )),
        }
    }

    /// Makes the filter, or swaps its program; then not one frame sees neither.
    pub(crate) fn put(
        self,
        instance: &mut SchedClassifier,
        interface: &Interface,
        replaces: bool,
    ) -> Result<(), ProgramError> {
        let id = if replaces {
            instance.attach_to_link(self.link(&interface.name)?)?
        } else {
            match tc::qdisc_add_clsact(&interface.name) {
                Ok(()) => {}
                // There is one already, ours or somebody else's: filters share it.
                Err(TcError::NetlinkError(error))
                    if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {}
                Err(error) => return Err(error.into()),
            }
            let place = TcAttachOptions::Netlink(NlOptions {
                priority: PRIORITY,
                handle: self.handle,
                classid: None,
            });
            instance.attach_with_options(&interface.name, self.side, place)?
        };
        // Dropped, it would take the filter away.
        let _stays = ManuallyDrop::new(instance.take_link(id)?);
        Ok(())
    }

    /// Takes the filter away. The discipline stays: somebody else may use it, and empty it costs nothing.
    pub(crate) fn remove(self, interface: &Interface) -> Result<(), EdgeError> {
        let removing =
            |error| EdgeError::kernel(format!("removing the filter of {}", interface.name), error);
        let link = self.link(&interface.name).map_err(removing)?;
        link.detach().map_err(removing)
    }

    fn link(self, interface: &str) -> Result<SchedClassifierLink, ProgramError> {
        SchedClassifierLink::attached(interface, self.side, PRIORITY, self.handle, None)
            .map_err(|error| TcError::IoError(error).into())
    }

    /// Kernel's number of the program of a filter, if that is the one in our place.
    fn program_in(self, filter: &TcMessage) -> Option<u32> {
        // The upper half of `tcm_info` is the priority.
        let in_place = filter.header.info >> 16 == u32::from(PRIORITY)
            && u32::from(filter.header.handle) == u32::from(self.handle);
        if !in_place {
            return None;
        }
        let attributes = filter.attributes.iter();
        attributes
            .filter_map(|attribute| match attribute {
                TcAttribute::Options(options) => Some(options),
                _ => None,
            })
            .flatten()
            .find_map(|option| match option {
                TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
                _ => None,
            })
    }
}

/// The place, and how one looks at it.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            TcAttachType::Egress => "egress",
            TcAttachType::Ingress | TcAttachType::Custom(_) => "ingress",
        };
        let handle = u32::from(self.handle);
        write!(
            f,
            "priority {PRIORITY} and handle {handle:#x} (`tc filter show dev IFACE {side}`)"
        )
    }
}

/// The first: filters of others come behind.
const PRIORITY: u16 = 1;
/// "OG".
const EDGE_HANDLE: u16 = 0x4f47;
/// "OT".
const TUNNEL_HANDLE: u16 = 0x4f54;
