//! The program in tc: by a pinned link (tcx), or by a filter (clsact).
//!
//! A link goes in front of the other programs of the hook: what is diverted is what the customer sent, and
//! not what somebody made of it. What is not ours goes on to them.
//!
//! A filter is not a link, and no pin holds it: it stays until [`Filter::remove`], or until its interface or the
//! queueing discipline goes. It is ours if it stands in our place and runs the program that is pinned for it.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use aya::{
    pin::PinError,
    programs::{
        MultiProgLink as _, ProgramInfo, SchedClassifier, TcAttachType,
        links::{FdLink, LinkError, LinkOrder, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
    util::KernelVersion,
};
use redirector_common::abi::Role;
use rustix::io::Errno;

use super::{Filter, Running, refusal, remove_pin};
use crate::edge::{
    AttachMode, Edge, EdgeError, error::errno, interface::Interface, ladder::TCX_SINCE, pins::Hook,
    program,
};

impl Edge {
    /// Our program in tcx on this very interface.
    pub(super) fn running_tcx(&self, interface: &Interface) -> Result<Option<Running>, EdgeError> {
        let Some(link) = self.tcx_link(interface)? else {
            return Ok(None);
        };
        let path = self.pins.holder(Hook::Tcx, &interface.name);
        let program_id = link
            .info()
            .map_err(|error| EdgeError::kernel(format!("opening {}", path.display()), error))?
            .program_id();
        let link = SchedClassifierLink::try_from(link)
            .map_err(|error| EdgeError::kernel(format!("opening {}", path.display()), error))?;
        let on = interface_of(&link).map_err(|error| {
            EdgeError::kernel(format!("asking where {} is", path.display()), error)
        })?;
        Ok((on == Some(interface.index)).then_some(Running {
            mode: AttachMode::Tcx,
            program_id,
        }))
    }

    /// Our program in a filter of this very interface.
    pub(super) fn running_clsact(
        &self,
        interface: &Interface,
    ) -> Result<Option<Running>, EdgeError> {
        let mut ours = Vec::new();
        for path in self.filter_pins(interface) {
            match ProgramInfo::from_pin(&path) {
                Ok(info) => ours.push(info.id()),
                Err(error) if errno(&error) == Some(Errno::NOENT) => {}
                Err(error) => {
                    return Err(EdgeError::kernel(
                        format!("opening {}", path.display()),
                        error,
                    ));
                }
            }
        }
        if ours.is_empty() {
            return Ok(None);
        }
        let found = Filter::EDGE
            .find(interface)?
            .filter(|program_id| ours.contains(program_id));
        Ok(found.map(|program_id| Running {
            mode: AttachMode::Clsact,
            program_id,
        }))
    }

    /// Attaches a link in front of all others, or replaces the program of the one that `running` says is
    /// there.
    pub(super) fn attach_tcx(
        &self,
        interface: &Interface,
        role: Role,
        running: bool,
    ) -> Result<u32, EdgeError> {
        if KernelVersion::current().is_ok_and(|version| version < TCX_SINCE) {
            return Err(refusal::no_tcx(interface));
        }
        let mut object = program::open_on(&interface.name, &self.config, &self.pins, Some(role))?;
        let instance = program::load_tc(&mut object)?;
        let program_id = id_of(instance)?;
        if running && let Some(link) = self.tcx_link(interface)? {
            let replacing = |error| EdgeError::kernel("replacing the attached program", error);
            let link = SchedClassifierLink::try_from(link)
                .map_err(|error| EdgeError::kernel("replacing the attached program", error))?;
            instance.attach_to_link(link).map_err(replacing)?;
            return Ok(program_id);
        }
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let link: FdLink = instance
            .attach_with_options(&interface.name, TcAttachType::Ingress, order)
            .and_then(|id| instance.take_link(id))
            .map_err(|error| refusal::of_mode(interface, AttachMode::Tcx, &error))?
            .try_into()
            .map_err(|_not_a_link: LinkError| refusal::no_tcx(interface))?;
        let path = self.pins.holder(Hook::Tcx, &interface.name);
        remove_pin(&path)?;
        link.pin(&path).map_err(|error| pinning(&path, error))?;
        Ok(program_id)
    }

    /// Makes the filter, or replaces its program if `running` says that it is there.
    pub(super) fn attach_clsact(
        &self,
        interface: &Interface,
        role: Role,
        running: bool,
    ) -> Result<u32, EdgeError> {
        if !running && Filter::EDGE.find(interface)?.is_some() {
            return Err(refusal::filter_taken(interface, Filter::EDGE));
        }
        let mut object = program::open_on(&interface.name, &self.config, &self.pins, Some(role))?;
        let instance = program::load_tc(&mut object)?;
        let program_id = id_of(instance)?;
        // Both are pinned while the one takes the other's place, so that a crash leaves no filter that is
        // nobody's.
        let [path, next] = self.filter_pins(interface);
        remove_pin(&next)?;
        instance.pin(&next).map_err(|error| pinning(&next, error))?;
        Filter::EDGE
            .put(instance, interface, running)
            .map_err(|error| refusal::of_mode(interface, AttachMode::Clsact, &error))?;
        fs::rename(&next, &path)
            .map_err(|error| EdgeError::kernel(format!("renaming {}", next.display()), error))?;
        Ok(program_id)
    }

    /// Where the program of an interface's filter is pinned, and where the one that is to follow it.
    fn filter_pins(&self, interface: &Interface) -> [PathBuf; 2] {
        [Hook::Clsact, Hook::NextClsact].map(|hook| self.pins.holder(hook, &interface.name))
    }

    /// The pinned link for an interface of this name.
    fn tcx_link(&self, interface: &Interface) -> Result<Option<FdLink>, EdgeError> {
        let path = self.pins.holder(Hook::Tcx, &interface.name);
        match PinnedLink::from_pin(&path) {
            Ok(link) => Ok(Some(link.into())),
            Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(None),
            Err(error) => Err(EdgeError::kernel(
                format!("opening {}", path.display()),
                error,
            )),
        }
    }
}

/// Index of the interface that a link is on; `None` = it has gone. Whoever lists all programs of an interface
/// needs CAP_SYS_ADMIN; what a descriptor of one's own is may be read by anybody.
pub(crate) fn interface_of(link: &SchedClassifierLink) -> io::Result<Option<u32>> {
    let descriptor = link.fd().map_err(io::Error::other)?.as_raw_fd();
    let said = fs::read_to_string(format!("/proc/thread-self/fdinfo/{descriptor}"))?;
    let index = said.lines().find_map(|line| line.strip_prefix("ifindex:"));
    let index = index.and_then(|index| index.trim().parse().ok());
    Ok(index.filter(|index| *index != 0))
}

fn id_of(instance: &SchedClassifier) -> Result<u32, EdgeError> {
    let info = instance.info();
    info.map(|info| info.id())
        .map_err(|error| EdgeError::kernel("reading the loaded program", error))
}

pub(crate) fn pinning(path: &Path, error: PinError) -> EdgeError {
    EdgeError::kernel(format!("pinning {}", path.display()), error)
}
