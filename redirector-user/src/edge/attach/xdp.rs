//! The program in XDP, held by a pinned link.

use aya::{
    programs::{
        Xdp,
        links::{FdLink, LinkError, PinnedLink},
        xdp::{XdpLink, XdpMode},
    },
    util::KernelVersion,
};
use redirector_common::abi::Role;
use rustix::io::Errno;

use super::{Running, await_gone, refusal, remove_pin};
use crate::edge::{
    AttachMode, Edge, EdgeError, error::errno, interface::Interface, pins::Hook, program,
};

/// What was there before an attachment.
pub(super) struct Before<'a> {
    pub(super) running: &'a [Running],
    pub(super) role: Option<Role>,
}

impl Before<'_> {
    pub(super) fn has(&self, mode: AttachMode) -> bool {
        self.running.iter().any(|running| running.mode == mode)
    }

    /// What ran in XDP.
    fn xdp(&self) -> Option<Running> {
        let mut running = self.running.iter().copied();
        running.find(|running| running.mode.is_xdp())
    }
}

impl Edge {
    /// Our program in XDP on this very interface.
    pub(super) fn running_xdp(&self, interface: &Interface) -> Result<Option<Running>, EdgeError> {
        let (Some(_), Some(xdp)) = (self.xdp_link_on(interface)?, interface.xdp) else {
            return Ok(None);
        };
        Ok(Some(Running {
            mode: if xdp.native {
                AttachMode::Native
            } else {
                AttachMode::Generic
            },
            program_id: xdp.program_id,
        }))
    }

    /// Attaches in one of XDP's modes.
    pub(super) fn attach_xdp(
        &self,
        interface: &Interface,
        role: Role,
        mode: AttachMode,
        before: &Before<'_>,
    ) -> Result<u32, EdgeError> {
        let link = self.xdp_link_on(interface)?;
        if link.is_none() {
            refusal::busy(interface)?;
        }
        let mut object = program::open_on(&interface.name, &self.config, &self.pins, Some(role))?;
        let instance = program::load(&mut object)?;
        let program_id = instance
            .info()
            .map_err(|error| EdgeError::kernel("reading the loaded program", error))?
            .id();
        match (link, before.xdp()) {
            (Some(link), Some(running)) if running.mode == mode => replace(instance, link)?,
            (Some(link), Some(running)) => {
                self.change_mode(instance, interface, link, mode, (running, before.role))?;
            }
            (None, _) | (Some(_), None) => self.attach_new(instance, interface, mode)?,
        }
        Ok(program_id)
    }

    /// The pinned link that holds the program on this very interface.
    fn xdp_link_on(&self, interface: &Interface) -> Result<Option<PinnedLink>, EdgeError> {
        let path = self.pins.holder(Hook::Xdp, &interface.name);
        let opening = |error| EdgeError::kernel(format!("opening {}", path.display()), error);
        let link = match PinnedLink::from_pin(&path) {
            Ok(link) => FdLink::from(link),
            Err(error) if errno(&error) == Some(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(opening(error)),
        };
        let program_id = link.info().map_err(opening)?.program_id();
        if interface.xdp.is_none_or(|xdp| xdp.program_id != program_id) {
            return Ok(None);
        }
        PinnedLink::from_pin(&path).map(Some).map_err(opening)
    }

    /// Attaches a loaded instance to an interface without one, and pins the link.
    fn attach_new(
        &self,
        instance: &mut Xdp,
        interface: &Interface,
        mode: AttachMode,
    ) -> Result<(), EdgeError> {
        // Without links aya would fall back to an attachment that ends with this process.
        if KernelVersion::current().is_ok_and(|version| version < LINKS_SINCE) {
            return Err(refusal::no_links(interface, mode));
        }
        let flags = if mode == AttachMode::Native {
            XdpMode::Driver
        } else {
            XdpMode::Skb
        };
        let link: FdLink = instance
            .attach_to_if_index(interface.index, flags)
            .and_then(|id| instance.take_link(id))
            .map_err(|error| refusal::of_mode(interface, mode, &error))?
            .try_into()
            .map_err(|_not_a_link: LinkError| refusal::no_links(interface, mode))?;
        let path = self.pins.holder(Hook::Xdp, &interface.name);
        // A pin left by an interface that has gone holds nothing any more.
        remove_pin(&path)?;
        link.pin(&path)
            .map_err(|error| EdgeError::kernel(format!("pinning {}", path.display()), error))?;
        Ok(())
    }

    /// Takes the running instance off and attaches the new one in another mode, which no link
    /// update can do. If that is refused, an instance as before comes back.
    fn change_mode(
        &self,
        instance: &mut Xdp,
        interface: &Interface,
        link: PinnedLink,
        mode: AttachMode,
        (previous, previous_role): (Running, Option<Role>),
    ) -> Result<(), EdgeError> {
        let link = link.unpin().map_err(|error| {
            EdgeError::kernel(format!("unpinning the link of {}", interface.name), error)
        })?;
        drop(link);
        await_gone(interface, previous.program_id)?;
        self.attach_new(instance, interface, mode).inspect_err(|_refusal| {
            let restored = program::open_on(&interface.name, &self.config, &self.pins, previous_role)
                .and_then(|mut object| {
                    let instance = program::load(&mut object)?;
                    self.attach_new(instance, interface, previous.mode)
                });
            if let Err(error) = restored {
                tracing::error!(
                    interface = interface.name,
                    %error,
                    "the program is off the interface: what was there before could not be restored"
                );
            }
        })
    }
}

/// Swaps the program of a pinned link; not one frame sees neither.
fn replace(instance: &mut Xdp, link: PinnedLink) -> Result<(), EdgeError> {
    let replacing = "replacing the attached program";
    let link = XdpLink::try_from(FdLink::from(link))
        .map_err(|error| EdgeError::kernel(replacing, error))?;
    // The instance keeps a descriptor of the link; closing it leaves the pinned link alone.
    instance
        .attach_to_link(link)
        .map(|_link_id| ())
        .map_err(|error| EdgeError::kernel(replacing, error))
}

/// Linux 5.9 brought XDP links.
const LINKS_SINCE: KernelVersion = KernelVersion::new(5, 9, 0);
