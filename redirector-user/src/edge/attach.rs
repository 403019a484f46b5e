//! Attaching the program to interfaces, and finding where it is.
//!
//! What holds the program on an interface is a pinned link, or a filter of the interface, so nothing
//! changes for a packet when the controller ends. The role of an attachment stands in ROLES under the
//! untagged key of its interface: an instance with a role of its own never reads it there, the next
//! controller does.
//!
//! [`xdp`] and [`tc`] know how it is held; here is what is common: the order of the modes, the maps that
//! say which interfaces there are, and that the old holder goes only when the new one stands.

pub(crate) mod filter;
pub(crate) mod refusal;
pub(crate) mod tc;
mod xdp;

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use redirector_common::abi::{Role, RoleKey, map};

use self::{filter::Filter, xdp::Before};
use super::{
    AttachMode, Attachment, Edge, EdgeError, Ladder, RefusedMode,
    interface::{self, Interface},
    maps,
    pins::Hook,
};

/// The program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    mode: AttachMode,
    program_id: u32,
}

impl Edge {
    /// Attaches the program to an interface, or changes role and mode of what is attached.
    ///
    /// Where it already sits in a mode of the ladder it stays in that mode, and is replaced atomically: no
    /// better mode is worth a frame that nobody judges. Else the modes are tried in their order. The old
    /// instance goes when the new one stands, except between the two modes of XDP: of those an interface
    /// has one, so some frames of that moment pass unseen, and if the new mode is refused an instance as
    /// before comes back.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NoSuchInterface`]. Of one mode: [`EdgeError::Busy`] if another XDP program is attached,
    /// [`EdgeError::AttachRefused`] if driver or kernel refuse; of several: [`EdgeError::EveryModeRefused`].
    pub fn attach(
        &mut self,
        interface: &str,
        role: Role,
        ladder: impl Into<Ladder>,
    ) -> Result<Attachment, EdgeError> {
        let ladder = ladder.into();
        let found = look_up(interface)?.ok_or_else(|| EdgeError::NoSuchInterface {
            interface: interface.to_owned(),
        })?;
        let running = self.running(&found)?;
        let previous_role = self.role_of(found.index)?;
        self.put_role(found.index, Some(role))?;
        self.maps
            .devices
            .insert(found.index, found.index, None, 0)
            .map_err(|error| EdgeError::kernel(format!("writing map {}", map::DEVICES), error))?;

        let kept = running.iter().find(|running| ladder.has(running.mode));
        let modes: Vec<AttachMode> = match kept {
            Some(kept) => vec![kept.mode],
            None => ladder.modes().collect(),
        };
        let mut refused = Vec::new();
        let outcome = modes
            .into_iter()
            .find_map(|mode| {
                let before = Before {
                    running: &running,
                    role: previous_role,
                };
                match self.attach_as(&found, role, mode, &before) {
                    Ok(program_id) => Some(Ok(Running { mode, program_id })),
                    Err(error) if error.is_of_mode() => {
                        refused.push((mode, error));
                        None
                    }
                    Err(error) => Some(Err(error)),
                }
            })
            .unwrap_or_else(|| Err(refusal::of_all(&found.name, std::mem::take(&mut refused))));
        let attached = match outcome {
            Ok(attached) => attached,
            Err(error) => {
                self.put_role(found.index, previous_role)?;
                if previous_role.is_none() {
                    self.forget_device(found.index)?;
                    self.retire_counters(&found.name)?;
                }
                return Err(error);
            }
        };
        self.adopt_counters(&found.name)?;
        for old in running {
            if old.mode.hook() != attached.mode.hook() {
                self.let_go(&found, old)?;
            }
        }
        let refused = refused.into_iter().map(RefusedMode::from).collect();
        Ok(Attachment {
            interface: found.name,
            ifindex: found.index,
            role: role.name().to_owned(),
            mode: attached.mode,
            program_id: attached.program_id,
            refused,
        })
    }

    /// Takes the program off an interface.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NotAttached`] if it is not there.
    pub fn detach(&mut self, interface: &str) -> Result<(), EdgeError> {
        let found = look_up(interface)?;
        let running = match &found {
            Some(found) => self.running(found)?,
            None => Vec::new(),
        };
        let mut held = !running.is_empty();
        if let Some(found) = &found {
            for running in running {
                self.let_go(found, running)?;
            }
        }
        // What is left is of an interface that has gone.
        for hook in Hook::ALL {
            held |= remove_pin(&self.pins.holder(hook, interface))?;
        }
        if !held {
            return Err(EdgeError::NotAttached {
                interface: interface.to_owned(),
            });
        }
        self.retire_counters(interface)?;
        if let Some(found) = found {
            self.put_role(found.index, None)?;
            self.forget_device(found.index)?;
        }
        Ok(())
    }

    /// Where the program is, by what is pinned and by what the kernel says runs on the interfaces.
    ///
    /// An interface that has gone, or come back without the program, is not listed.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn attachments(&self) -> Result<Vec<Attachment>, EdgeError> {
        let mut attachments = Vec::new();
        for name in self.pins.held()? {
            let Some(found) = look_up(&name)? else {
                continue;
            };
            // Two for a moment, while a mode changes: the older one still counts.
            let Some(running) = self.running(&found)?.into_iter().next() else {
                continue;
            };
            attachments.push(Attachment {
                interface: found.name,
                ifindex: found.index,
                role: self
                    .role_of(found.index)?
                    .map_or("unknown", Role::name)
                    .to_owned(),
                mode: running.mode,
                program_id: running.program_id,
                refused: Vec::new(),
            });
        }
        Ok(attachments)
    }

    /// What of ours runs on this very interface. A pin outlives its interface; an interface made anew
    /// under the old name is another one.
    fn running(&self, interface: &Interface) -> Result<Vec<Running>, EdgeError> {
        let found = [
            self.running_xdp(interface)?,
            self.running_tcx(interface)?,
            self.running_clsact(interface)?,
        ];
        Ok(found.into_iter().flatten().collect())
    }

    /// Puts an instance there in one mode; answers the kernel's number of the program.
    fn attach_as(
        &self,
        interface: &Interface,
        role: Role,
        mode: AttachMode,
        before: &Before<'_>,
    ) -> Result<u32, EdgeError> {
        match mode {
            AttachMode::Native | AttachMode::Generic => {
                self.attach_xdp(interface, role, mode, before)
            }
            AttachMode::Tcx => self.attach_tcx(interface, role, before.has(mode)),
            AttachMode::Clsact => self.attach_clsact(interface, role, before.has(mode)),
        }
    }

    /// Takes one instance off.
    fn let_go(&self, interface: &Interface, old: Running) -> Result<(), EdgeError> {
        if old.mode == AttachMode::Clsact {
            Filter::EDGE.remove(interface)?;
            remove_pin(&self.pins.holder(Hook::NextClsact, &interface.name))?;
        }
        remove_pin(&self.pins.holder(old.mode.hook(), &interface.name))?;
        if old.mode.is_xdp() {
            await_gone(interface, old.program_id)?;
        }
        Ok(())
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
    const fn hook(self) -> Hook {
        match self {
            Self::Native | Self::Generic => Hook::Xdp,
            Self::Tcx => Hook::Tcx,
            Self::Clsact => Hook::Clsact,
        }
    }
}

impl From<(AttachMode, EdgeError)> for RefusedMode {
    fn from((mode, error): (AttachMode, EdgeError)) -> Self {
        Self {
            mode,
            reason: error.to_string(),
        }
    }
}

pub(crate) fn look_up(name: &str) -> Result<Option<Interface>, EdgeError> {
    interface::blocking(async { interface::by_name(&interface::connect()?, name).await })
        .map_err(|error| EdgeError::kernel(format!("looking up interface {name}"), error))
}

/// Removes a pin; `false` = there was none.
pub(crate) fn remove_pin(path: &Path) -> Result<bool, EdgeError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EdgeError::kernel(
            format!("removing {}", path.display()),
            error,
        )),
    }
}

/// Waits until the kernel has let go of an interface whose pin in XDP was removed, or the next program could
/// not be attached.
///
/// The last reference of an unpinned link is dropped by a work queue after an RCU grace period, so
/// for some milliseconds the interface is still busy.
pub(crate) fn await_gone(interface: &Interface, program_id: u32) -> Result<(), EdgeError> {
    let deadline = Instant::now() + DETACH_DEADLINE;
    let still_there = || -> Result<bool, EdgeError> {
        let now = look_up(&interface.name)?.and_then(|found| found.xdp);
        Ok(now.is_some_and(|xdp| xdp.program_id == program_id))
    };
    while still_there()? {
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

const DETACH_DEADLINE: Duration = Duration::from_secs(5);
const DETACH_POLL: Duration = Duration::from_millis(2);
