//! Loading the kernel program: one instance per interface, for XDP or for tc, all on the same pinned maps.

use std::{error::Error, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, SchedClassifier, Xdp},
};
use redirector_common::abi::{Role, map};
use rustix::io::Errno;

use super::{EdgeConfig, EdgeError, PROGRAM, error::errno, pins::Pins, radar::RADAR};

/// Opens the object: creates and pins whatever map is not there yet, and sets the globals.
///
/// [`Pins::prepare`] must have compared the shapes. The program itself is not loaded yet.
pub(crate) fn open(
    config: &EdgeConfig,
    pins: &Pins,
    role: Option<Role>,
) -> Result<Ebpf, EdgeError> {
    open_for(config, pins, role, false, &pins.map(map::COUNTERS))
}

/// Opens the object for the instance of an interface, which counts apart from the others.
pub(crate) fn open_on(
    interface: &str,
    config: &EdgeConfig,
    pins: &Pins,
    role: Option<Role>,
) -> Result<Ebpf, EdgeError> {
    open_for(config, pins, role, false, &pins.counters_of(interface))
}

/// Opens the object for an instance that only judges, and is never attached.
pub(crate) fn open_dry(config: &EdgeConfig, pins: &Pins, role: Role) -> Result<Ebpf, EdgeError> {
    open_for(config, pins, Some(role), true, &pins.map(map::COUNTERS))
}

fn open_for(
    config: &EdgeConfig,
    pins: &Pins,
    role: Option<Role>,
    dry_run: bool,
    counters: &Path,
) -> Result<Ebpf, EdgeError> {
    let role = role.map_or(LOOK_UP_ROLE, |role| role as u8);
    // What is only judged is not told of, either.
    let debug_lines = u8::from(config.debug_lines && !dry_run);
    let dry_run = u8::from(dry_run);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("ROLE", &role, true)
        .override_global("DEBUG_LINES", &debug_lines, true)
        .override_global("DRY_RUN", &dry_run, true)
        .map_max_entries(map::FLOWS, config.flows_max);
    for name in RADAR {
        loader.map_max_entries(name, config.radar_sources_max);
    }
    for name in pins.names() {
        let pin = match name {
            map::COUNTERS => counters.to_owned(),
            _ => pins.map(name),
        };
        loader.map_pin_path(name, pin);
    }
    loader
        .load(PROGRAM)
        .map_err(|error| EdgeError::program("opening the embedded program", error))
}

/// Loads the XDP program of an opened object into the kernel.
pub(crate) fn load(object: &mut Ebpf) -> Result<&mut Xdp, EdgeError> {
    let program: &mut Xdp = find(object, XDP)?
        .try_into()
        .map_err(|error| EdgeError::program(format!("{XDP} is no XDP program"), error))?;
    until_verified(|| program.load())
        .map_err(|error| EdgeError::program(format!("loading {XDP}"), error))?;
    Ok(program)
}

/// Loads the program for tc of an opened object into the kernel.
pub(crate) fn load_tc(object: &mut Ebpf) -> Result<&mut SchedClassifier, EdgeError> {
    let program: &mut SchedClassifier = find(object, TC)?
        .try_into()
        .map_err(|error| EdgeError::program(format!("{TC} is no classifier"), error))?;
    until_verified(|| program.load())
        .map_err(|error| EdgeError::program(format!("loading {TC}"), error))?;
    Ok(program)
}

/// Loads a program. A signal that comes while the verifier is at work ends that with EAGAIN, which says nothing about the
/// program (`do_check` of the kernel).
pub(crate) fn until_verified<E: Error + 'static>(
    mut load: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    for _ in 1..LOADS_MOST {
        match load() {
            Err(error) if errno(&error) == Some(Errno::AGAIN) => {}
            outcome => return outcome,
        }
    }
    load()
}

fn find<'object>(object: &'object mut Ebpf, name: &str) -> Result<&'object mut Program, EdgeError> {
    object
        .program_mut(name)
        .ok_or_else(|| EdgeError::Impossible(format!("the embedded object has no {name}")))
}

/// Names of the programs, as the kernel lists them.
pub(crate) const XDP: &str = "outgate_xdp";
const TC: &str = "outgate_tc";

/// As often as libbpf asks.
const LOADS_MOST: u32 = 5;

/// `ROLE` of an instance that finds the role by the frame's tags.
const LOOK_UP_ROLE: u8 = 0;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// How often it was loaded, and how that ended, if the first `fail` times end in this error.
    fn loaded(fail: u32, error: Errno) -> (u32, bool) {
        let mut loads = 0;
        let outcome = until_verified(|| {
            loads += 1;
            if loads <= fail {
                return Err(io::Error::from(error));
            }
            Ok(())
        });
        (loads, outcome.is_ok())
    }

    #[test]
    fn a_signal_is_no_verdict_on_a_program() {
        assert_eq!(loaded(0, Errno::AGAIN), (1, true));
        assert_eq!(loaded(3, Errno::AGAIN), (4, true));
        assert_eq!(loaded(9, Errno::AGAIN), (LOADS_MOST, false));
        assert_eq!(loaded(1, Errno::ACCESS), (1, false));
    }
}
