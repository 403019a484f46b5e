//! The filter of `clsact` that runs the program, in a place of its own.

use std::mem::ManuallyDrop;

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

/// The place of our filter at an interface's ingress.
pub(super) struct Filter;

impl Filter {
    /// Kernel's number of the program that runs there; `None` = there is no filter in our place.
    pub(super) fn find(interface: &Interface) -> Result<Option<u32>, EdgeError> {
        let Ok(index) = i32::try_from(interface.index) else {
            return Ok(None);
        };
        let filters = interface::blocking(async {
            let handle = interface::connect()?;
            let filters = handle.traffic_filter(index).get().ingress().execute();
            filters.try_collect::<Vec<_>>().await.map_err(netlink_error)
        });
        match filters {
            Ok(filters) => Ok(filters.iter().find_map(program_in_our_place)),
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
    pub(super) fn put(
        instance: &mut SchedClassifier,
        interface: &Interface,
        replaces: bool,
    ) -> Result<(), ProgramError> {
        let id = if replaces {
            instance.attach_to_link(Self::link(&interface.name)?)?
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
                handle: HANDLE,
                classid: None,
            });
            instance.attach_with_options(&interface.name, TcAttachType::Ingress, place)?
        };
        // Dropped, it would take the filter away.
        let _stays = ManuallyDrop::new(instance.take_link(id)?);
        Ok(())
    }

    /// Takes the filter away. The discipline stays: somebody else may use it, and empty it costs nothing.
    pub(super) fn remove(interface: &Interface) -> Result<(), EdgeError> {
        let removing =
            |error| EdgeError::kernel(format!("removing the filter of {}", interface.name), error);
        let link = Self::link(&interface.name).map_err(removing)?;
        link.detach().map_err(removing)
    }

    fn link(interface: &str) -> Result<SchedClassifierLink, ProgramError> {
        let ingress = TcAttachType::Ingress;
        SchedClassifierLink::attached(interface, ingress, PRIORITY, HANDLE, None)
            .map_err(|error| TcError::IoError(error).into())
    }
}

fn program_in_our_place(filter: &TcMessage) -> Option<u32> {
    // The upper half of `tcm_info` is the priority.
    let in_place = filter.header.info >> 16 == u32::from(PRIORITY)
        && u32::from(filter.header.handle) == u32::from(HANDLE);
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

/// The first: filters of others come behind.
const PRIORITY: u16 = 1;
/// Told from other filters of that priority by "OG".
const HANDLE: TcHandle = TcHandle::new(0, 0x4f47);
