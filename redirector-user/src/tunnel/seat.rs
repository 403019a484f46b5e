//! Where one of the programs sits: by a pinned link, or in a filter of the interface.
//!
//! What runs already in a mode of the ladder stays in that mode and is swapped there; then not one frame meets no
//! program. A change of mode takes the old one off when the new one stands; both do no harm to a frame, because
//! what the one has done is nothing to the other. Only between the two modes of XDP, of which an interface has one, some
//! frames meet none.

use std::path::{Path, PathBuf};

use aya::{
    Ebpf,
    programs::{
        Program, ProgramInfo, SchedClassifier, TcAttachType, Xdp,
        links::{FdLink, LinkError, LinkOrder, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
        xdp::{XdpLink, XdpMode},
    },
    util::KernelVersion,
};
use rustix::io::Errno;

use super::pins::Pins;
use crate::edge::{
    AttachMode, EdgeError, Ladder, RefusedMode,
    attach::{
        await_gone,
        filter::Filter,
        refusal, remove_pin,
        tc::{interface_of, pinning},
    },
    error::errno,
    interface::Interface,
    ladder::TCX_SINCE,
    program::until_verified,
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// At the ingress.
    In,
    /// At the egress.
    Out,
}

/// How a program is attached, and the kernel's number of it.
pub(super) type Running = (AttachMode, u32);

impl Seat {
    /// In the order in which they are vacated.
    pub(super) const ALL: [Self; 2] = [Self::In, Self::Out];

    /// What sits here, on this very interface. A pin outlives its interface, and one that was made anew under the old
    /// name is another one.
    pub(super) fn running(
        self,
        interface: &Interface,
        pins: &Pins,
    ) -> Result<Option<Running>, EdgeError> {
        if let Some(link) = pinned_link(&self.xdp_pin(pins))? {
            let program_id = program_of(&link)?;
            let xdp = interface.xdp.filter(|xdp| xdp.program_id == program_id);
            if let Some(xdp) = xdp {
                let mode = if xdp.native {
                    AttachMode::Native
                } else {
                    AttachMode::Generic
                };
                return Ok(Some((mode, program_id)));
            }
        }
        if let Some(link) = pinned_link(&self.tcx_pin(pins))? {
            let program_id = program_of(&link)?;
            let link = SchedClassifierLink::try_from(link).map_err(of_link)?;
            if interface_of(&link).map_err(of_link)? == Some(interface.index) {
                return Ok(Some((AttachMode::Tcx, program_id)));
            }
        }
        let mut ours = Vec::new();
        for pin in self.clsact_pins(pins) {
            match ProgramInfo::from_pin(&pin) {
                Ok(info) => ours.push(info.id()),
                Err(error) if errno(&error) == Some(Errno::NOENT) => {}
                Err(error) => return Err(opening(&pin, error)),
            }
        }
        if ours.is_empty() {
            return Ok(None);
        }
        let found = self.filter().find(interface)?;
        Ok(found
            .filter(|program_id| ours.contains(program_id))
            .map(|program_id| (AttachMode::Clsact, program_id)))
    }

    /// Puts the program here, in the first mode that is to be had. `refused` is told of the others.
    pub(super) fn put(
        self,
        object: &mut Ebpf,
        interface: &Interface,
        pins: &Pins,
        ladder: &Ladder,
        refused: &mut Vec<RefusedMode>,
    ) -> Result<(), EdgeError> {
        let running = self.running(interface, pins)?;
        let kept = running.filter(|(mode, _)| ladder.has(*mode));
        let modes: Vec<AttachMode> = match kept {
            Some((mode, _)) => vec![mode],
            None => ladder.modes().collect(),
        };
        let mut errors = Vec::new();
        for mode in modes {
            if let Some(old) = running
                && kept.is_none()
                && old.0.is_xdp()
                && mode.is_xdp()
            {
                self.leave(interface, pins, old)?;
            }
            match self.put_as(object, interface, pins, mode, kept.is_some()) {
                Ok(()) => {
                    if let Some(old) = running.filter(|old| kept.is_none() && old.0 != mode) {
                        self.leave(interface, pins, old)?;
                    }
                    refused.extend(errors.into_iter().map(RefusedMode::from));
                    return Ok(());
                }
                Err(error) if error.is_of_mode() => errors.push((mode, error)),
                Err(error) => return Err(error),
            }
        }
        Err(refusal::of_all(&interface.name, errors))
    }

    /// Takes the program off; there may be none.
    pub(super) fn vacate(self, interface: &Interface, pins: &Pins) -> Result<(), EdgeError> {
        // More than one while a mode was being changed, when somebody pulled the plug.
        while let Some(running) = self.running(interface, pins)? {
            self.leave(interface, pins, running)?;
        }
        Ok(())
    }

    fn leave(self, interface: &Interface, pins: &Pins, old: Running) -> Result<(), EdgeError> {
        let (mode, program_id) = old;
        match mode {
            AttachMode::Native | AttachMode::Generic => {
                remove_pin(&self.xdp_pin(pins))?;
                await_gone(interface, program_id)?;
            }
            AttachMode::Tcx => {
                remove_pin(&self.tcx_pin(pins))?;
            }
            AttachMode::Clsact => {
                self.filter().remove(interface)?;
                for pin in self.clsact_pins(pins) {
                    remove_pin(&pin)?;
                }
            }
        }
        Ok(())
    }

    /// Puts it here in one mode; `swaps` = one of ours sits here in that mode.
    fn put_as(
        self,
        object: &mut Ebpf,
        interface: &Interface,
        pins: &Pins,
        mode: AttachMode,
        swaps: bool,
    ) -> Result<(), EdgeError> {
        match mode {
            AttachMode::Native | AttachMode::Generic => {
                put_xdp(object, interface, &self.xdp_pin(pins), mode, swaps)
            }
            AttachMode::Tcx => self.put_tcx(object, interface, pins, swaps),
            AttachMode::Clsact => self.put_clsact(object, interface, pins, swaps),
        }
    }

    fn put_tcx(
        self,
        object: &mut Ebpf,
        interface: &Interface,
        pins: &Pins,
        swaps: bool,
    ) -> Result<(), EdgeError> {
        if KernelVersion::current().is_ok_and(|version| version < TCX_SINCE) {
            return Err(refusal::no_tcx(interface));
        }
        let instance = self.classifier(object)?;
        let path = self.tcx_pin(pins);
        if swaps && let Some(link) = pinned_link(&path)? {
            let link = SchedClassifierLink::try_from(link).map_err(of_link)?;
            return instance
                .attach_to_link(link)
                .map(|_link_id| ())
                .map_err(|error| EdgeError::kernel(REPLACING, error));
        }
        // In front at the ingress, to see tunnels as they come; behind at the egress, to put around what others made.
        let order = TcAttachOptions::TcxOrder(match self {
            Self::In => LinkOrder::first(),
            Self::Out => LinkOrder::last(),
        });
        let link: FdLink = instance
            .attach_with_options(&interface.name, self.side(), order)
            .and_then(|id| instance.take_link(id))
            .map_err(|error| refusal::of_mode(interface, AttachMode::Tcx, &error))?
            .try_into()
            .map_err(|_not_a_link: LinkError| refusal::no_tcx(interface))?;
        remove_pin(&path)?;
        link.pin(&path)
            .map(|_pinned| ())
            .map_err(|error| pinning(&path, error))
    }

    fn put_clsact(
        self,
        object: &mut Ebpf,
        interface: &Interface,
        pins: &Pins,
        swaps: bool,
    ) -> Result<(), EdgeError> {
        if !swaps && self.filter().find(interface)?.is_some() {
            return Err(refusal::filter_taken(interface, self.filter()));
        }
        let instance = self.classifier(object)?;
        // The new program is pinned before the filter runs it, and takes the old one's name after, so that a crash
        // leaves no filter that is nobody's: what is found under either name is ours.
        let [path, next] = self.clsact_pins(pins);
        remove_pin(&next)?;
        instance.pin(&next).map_err(|error| pinning(&next, error))?;
        self.filter()
            .put(instance, interface, swaps)
            .map_err(|error| refusal::of_mode(interface, AttachMode::Clsact, &error))?;
        std::fs::rename(&next, &path)
            .map_err(|error| EdgeError::kernel(format!("renaming {}", next.display()), error))
    }

    /// The program for tc, loaded.
    fn classifier(self, object: &mut Ebpf) -> Result<&mut SchedClassifier, EdgeError> {
        let name = match self {
            Self::In => "tunnel_in_tc",
            Self::Out => "tunnel_out_tc",
        };
        let program: &mut SchedClassifier = find(object, name)?
            .try_into()
            .map_err(|error| EdgeError::program(format!("{name} is no classifier"), error))?;
        if program.fd().is_err() {
            let loading = |error| EdgeError::program(format!("loading {name}"), error);
            until_verified(|| program.load()).map_err(loading)?;
        }
        Ok(program)
    }

    const fn side(self) -> TcAttachType {
        match self {
            Self::In => TcAttachType::Ingress,
            Self::Out => TcAttachType::Egress,
        }
    }

    const fn filter(self) -> Filter {
        match self {
            Self::In => Filter::TUNNEL_IN,
            Self::Out => Filter::TUNNEL_OUT,
        }
    }

    fn xdp_pin(self, pins: &Pins) -> PathBuf {
        pins.holder(match self {
            Self::In => "in-xdp",
            // Never there: XDP has no egress.
            Self::Out => "out-xdp",
        })
    }

    fn tcx_pin(self, pins: &Pins) -> PathBuf {
        pins.holder(match self {
            Self::In => "in-tcx",
            Self::Out => "out-tcx",
        })
    }

    /// Where the program of the filter is pinned, and the one that is to follow it.
    fn clsact_pins(self, pins: &Pins) -> [PathBuf; 2] {
        match self {
            Self::In => ["in-clsact", "in-clsact-next"],
            Self::Out => ["out-clsact", "out-clsact-next"],
        }
        .map(|name| pins.holder(name))
    }
}

fn put_xdp(
    object: &mut Ebpf,
    interface: &Interface,
    path: &Path,
    mode: AttachMode,
    swaps: bool,
) -> Result<(), EdgeError> {
    if !swaps {
        // What was there in XDP's other mode has gone just now, and is still in what was seen of the interface.
        if let Some(now) = crate::edge::attach::look_up(&interface.name)? {
            refusal::busy(&now)?;
        }
    }
    let instance: &mut Xdp = find(object, XDP)?
        .try_into()
        .map_err(|error| EdgeError::program(format!("{XDP} is no XDP program"), error))?;
    if instance.fd().is_err() {
        let loading = |error| EdgeError::program(format!("loading {XDP}"), error);
        until_verified(|| instance.load()).map_err(loading)?;
    }
    if swaps && let Some(link) = pinned_link(path)? {
        let link = XdpLink::try_from(link).map_err(of_link)?;
        return instance
            .attach_to_link(link)
            .map(|_link_id| ())
            .map_err(|error| EdgeError::kernel(REPLACING, error));
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
    remove_pin(path)?;
    link.pin(path)
        .map(|_pinned| ())
        .map_err(|error| pinning(path, error))
}

fn find<'object>(object: &'object mut Ebpf, name: &str) -> Result<&'object mut Program, EdgeError> {
    object
        .program_mut(name)
        .ok_or_else(|| EdgeError::Impossible(format!("the embedded object has no {name}")))
}

fn pinned_link(path: &Path) -> Result<Option<FdLink>, EdgeError> {
    match PinnedLink::from_pin(path) {
        Ok(link) => Ok(Some(link.into())),
        Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(None),
        Err(error) => Err(opening(path, error)),
    }
}

fn program_of(link: &FdLink) -> Result<u32, EdgeError> {
    Ok(link.info().map_err(of_link)?.program_id())
}

fn of_link(error: impl std::error::Error + 'static) -> EdgeError {
    EdgeError::kernel("reading a pinned link", error)
}

fn opening(path: &Path, error: impl std::error::Error + 'static) -> EdgeError {
    EdgeError::kernel(format!("opening {}", path.display()), error)
}

const XDP: &str = "tunnel_in_xdp";
const REPLACING: &str = "replacing the attached program";
