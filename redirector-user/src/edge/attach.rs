//! Attaching the program to interfaces, and finding where it is.
//!
//! What holds the program on an interface is a pinned link, so nothing changes for a packet when
//! the controller ends. The role of an attachment stands in ROLES under the untagged key of its
//! interface: an instance with a role of its own never reads it there, the next controller does.

mod refusal;

use std::{
    fs, io,
    time::{Duration, Instant},
};

use aya::{
    programs::{
        links::{FdLink, LinkError, PinnedLink},
        xdp::{XdpLink, XdpMode},
    },
    util::KernelVersion,
};
use redirector_common::abi::{Role, RoleKey, map};
use rustix::io::Errno;

use super::{
    AttachMode, Attachment, Edge, EdgeError,
    error::errno,
    interface::{self, Interface},
    maps, program,
};

impl Edge {
    /// Attaches the program to an interface, or changes role and mode of what is attached.
    ///
    /// In the same mode the running instance is replaced atomically. Another mode needs the old
    /// instance gone first: some frames of that moment pass unseen, and if the new mode is refused
    /// an instance as before comes back.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NoSuchInterface`], [`EdgeError::Busy`] if another XDP program is attached,
    /// [`EdgeError::AttachRefused`] if driver or kernel refuse the mode.
    pub fn attach(
        &mut self,
        interface: &str,
        role: Role,
        mode: AttachMode,
    ) -> Result<Attachment, EdgeError> {
        let found = look_up(interface)?.ok_or_else(|| EdgeError::NoSuchInterface {
            interface: interface.to_owned(),
        })?;
        let ours = self.link_on(&found)?;
        if ours.is_none() {
            refusal::busy(&found)?;
        }

        let mut object = program::open(&self.config, &self.pins, Some(role))?;
        let instance = program::load(&mut object)?;
        let program_id = instance
            .info()
            .map_err(|error| EdgeError::kernel("reading the loaded program", error))?
            .id();
        let previous_role = self.role_of(found.index)?;
        self.put_role(found.index, Some(role))?;
        self.maps
            .devices
            .insert(found.index, found.index, None, 0)
            .map_err(|error| EdgeError::kernel(format!("writing map {}", map::DEVICES), error))?;

        let running = found.xdp.map(|xdp| AttachMode::of(xdp.native));
        let attached = match (ours, running) {
            (Some(link), Some(running)) if running == mode => replace(instance, link),
            (Some(link), Some(running)) => {
                let restore = (running, previous_role);
                self.change_mode(instance, &found, link, mode, restore)
            }
            (None, _) | (Some(_), None) => self.attach_new(instance, &found, mode),
        };
        if let Err(error) = attached {
            self.put_role(found.index, previous_role)?;
            if previous_role.is_none() {
                self.forget_device(found.index)?;
            }
            return Err(error);
        }
        Ok(Attachment {
            interface: found.name,
            ifindex: found.index,
            role: role.name().to_owned(),
            mode,
            program_id,
        })
    }

    /// Takes the program off an interface.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NotAttached`] if it is not there.
    pub fn detach(&mut self, interface: &str) -> Result<(), EdgeError> {
        let path = self.pins.link(interface);
        let found = look_up(interface)?;
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EdgeError::NotAttached {
                    interface: interface.to_owned(),
                });
            }
            Err(error) => {
                return Err(EdgeError::kernel(
                    format!("removing {}", path.display()),
                    error,
                ));
            }
        }
        if let Some(found) = found {
            await_detached(&found)?;
            self.put_role(found.index, None)?;
            self.forget_device(found.index)?;
        }
        Ok(())
    }

    /// Where the program is, by the pinned links and by what the kernel says runs on the interfaces.
    ///
    /// An interface that has gone, or come back without the program, is not listed.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn attachments(&self) -> Result<Vec<Attachment>, EdgeError> {
        let mut attachments = Vec::new();
        for name in self.pins.linked()? {
            let Some(found) = look_up(&name)? else {
                continue;
            };
            let (Some(_), Some(xdp)) = (self.link_on(&found)?, found.xdp) else {
                continue;
            };
            attachments.push(Attachment {
                interface: found.name,
                ifindex: found.index,
                role: self
                    .role_of(found.index)?
                    .map_or("unknown", Role::name)
                    .to_owned(),
                mode: AttachMode::of(xdp.native),
                program_id: xdp.program_id,
            });
        }
        Ok(attachments)
    }

    /// The pinned link that holds the program on this very interface.
    ///
    /// A pin outlives its interface; an interface made anew under the old name is another one.
    fn link_on(&self, interface: &Interface) -> Result<Option<PinnedLink>, EdgeError> {
        let path = self.pins.link(&interface.name);
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
        instance: &mut aya::programs::Xdp,
        interface: &Interface,
        mode: AttachMode,
    ) -> Result<(), EdgeError> {
        // Without links aya would fall back to an attachment that ends with this process.
        if KernelVersion::current().is_ok_and(|version| version < LINKS_SINCE) {
            return Err(refusal::no_links(interface, mode));
        }
        let flags = match mode {
            AttachMode::Native => XdpMode::Driver,
            AttachMode::Generic => XdpMode::Skb,
        };
        let link: FdLink = instance
            .attach_to_if_index(interface.index, flags)
            .and_then(|id| instance.take_link(id))
            .map_err(|error| refusal::of_mode(interface, mode, &error))?
            .try_into()
            .map_err(|_not_a_link: LinkError| refusal::no_links(interface, mode))?;
        let path = self.pins.link(&interface.name);
        // A pin left by an interface that has gone holds nothing any more.
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(EdgeError::kernel(
                    format!("removing {}", path.display()),
                    error,
                ));
            }
        }
        link.pin(&path)
            .map_err(|error| EdgeError::kernel(format!("pinning {}", path.display()), error))?;
        Ok(())
    }

    /// Takes the running instance off and attaches the new one in another mode, which no link
    /// update can do. If that is refused, an instance as before comes back.
    fn change_mode(
        &self,
        instance: &mut aya::programs::Xdp,
        interface: &Interface,
        link: PinnedLink,
        mode: AttachMode,
        (previous_mode, previous_role): (AttachMode, Option<Role>),
    ) -> Result<(), EdgeError> {
        let link = link.unpin().map_err(|error| {
            EdgeError::kernel(format!("unpinning the link of {}", interface.name), error)
        })?;
        drop(link);
        await_detached(interface)?;
        self.attach_new(instance, interface, mode).inspect_err(|_refusal| {
            let restored = program::open(&self.config, &self.pins, previous_role)
                .and_then(|mut object| {
                    let instance = program::load(&mut object)?;
                    self.attach_new(instance, interface, previous_mode)
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

    /// Role of an interface's untagged traffic, as last attached.
    pub(crate) fn role_of(&self, ifindex: u32) -> Result<Option<Role>, EdgeError> {
        let key = RoleKey {
            ifindex,
            ..RoleKey::default()
        }
        .to_octets();
        let number = maps::found(map::ROLES, self.maps.roles.get(&key, 0))?;
        Ok(number
            .and_then(|number| u8::try_from(number).ok())
            .and_then(Role::from_number))
    }

    fn forget_device(&mut self, ifindex: u32) -> Result<(), EdgeError> {
        maps::removed(map::DEVICES, self.maps.devices.remove(ifindex))
    }

    fn put_role(&mut self, ifindex: u32, role: Option<Role>) -> Result<(), EdgeError> {
        let key = RoleKey {
            ifindex,
            ..RoleKey::default()
        }
        .to_octets();
        match role {
            Some(role) => self
                .maps
                .roles
                .insert(key, u32::from(role as u8), 0)
                .map_err(|error| maps::writing(map::ROLES, error)),
            None => maps::removed(map::ROLES, self.maps.roles.remove(&key)),
        }
    }
}

impl AttachMode {
    /// As the operator writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn of(native: bool) -> Self {
        if native { Self::Native } else { Self::Generic }
    }
}

/// Swaps the program of a pinned link; not one frame sees neither.
fn replace(instance: &mut aya::programs::Xdp, link: PinnedLink) -> Result<(), EdgeError> {
    let replacing = "replacing the attached program";
    let link = XdpLink::try_from(FdLink::from(link))
        .map_err(|error| EdgeError::kernel(replacing, error))?;
    // The instance keeps a descriptor of the link; closing it leaves the pinned link alone.
    instance
        .attach_to_link(link)
        .map(|_link_id| ())
        .map_err(|error| EdgeError::kernel(replacing, error))
}

fn look_up(name: &str) -> Result<Option<Interface>, EdgeError> {
    interface::blocking(async { interface::by_name(&interface::connect()?, name).await })
        .map_err(|error| EdgeError::kernel(format!("looking up interface {name}"), error))
}

/// Waits until the kernel has let go of an interface whose pin was removed.
///
/// The last reference of an unpinned link is dropped by a work queue after an RCU grace period, so
/// for some milliseconds the interface is still busy.
fn await_detached(interface: &Interface) -> Result<(), EdgeError> {
    let deadline = Instant::now() + DETACH_DEADLINE;
    while look_up(&interface.name)?.is_some_and(|now| now.xdp.is_some() && now.xdp == interface.xdp)
    {
        if Instant::now() > deadline {
            return Err(EdgeError::Kernel {
                what: format!("detaching from {}", interface.name),
                answer: "the program is still there; something else holds its link".to_owned(),
            });
        }
        std::thread::sleep(DETACH_POLL);
    }
    Ok(())
}

/// Linux 5.9 brought XDP links.
const LINKS_SINCE: KernelVersion = KernelVersion::new(5, 9, 0);
const DETACH_DEADLINE: Duration = Duration::from_secs(5);
const DETACH_POLL: Duration = Duration::from_millis(2);
