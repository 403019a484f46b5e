//! Loading the kernel program: one instance per interface, all on the same pinned maps.

use aya::{Ebpf, EbpfLoader, programs::Xdp};
use redirector_common::abi::{Role, map};

use super::{EdgeConfig, EdgeError, PROGRAM, pins::Pins, radar::RADAR};

/// Opens the object: creates and pins whatever map is not there yet, and sets the globals.
///
/// [`Pins::prepare`] must have compared the shapes. The program itself is not loaded yet.
pub(crate) fn open(
    config: &EdgeConfig,
    pins: &Pins,
    role: Option<Role>,
) -> Result<Ebpf, EdgeError> {
    open_for(config, pins, role, false)
}

/// Opens the object for an instance that only judges, and is never attached.
pub(crate) fn open_dry(config: &EdgeConfig, pins: &Pins, role: Role) -> Result<Ebpf, EdgeError> {
    open_for(config, pins, Some(role), true)
}

fn open_for(
    config: &EdgeConfig,
    pins: &Pins,
    role: Option<Role>,
    dry_run: bool,
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
        loader.map_pin_path(name, pins.map(name));
    }
    loader
        .load(PROGRAM)
        .map_err(|error| EdgeError::program("opening the embedded program", error))
}

/// Loads the XDP program of an opened object into the kernel.
pub(crate) fn load(object: &mut Ebpf) -> Result<&mut Xdp, EdgeError> {
    let program = object
        .program_mut(NAME)
        .ok_or_else(|| EdgeError::Impossible(format!("the embedded object has no {NAME}")))?;
    let program: &mut Xdp = program
        .try_into()
        .map_err(|error| EdgeError::program(format!("{NAME} is no XDP program"), error))?;
    program
        .load()
        .map_err(|error| EdgeError::program(format!("loading {NAME}"), error))?;
    Ok(program)
}

/// Name of the program, as the kernel lists it.
pub(crate) const NAME: &str = "outgate_xdp";

/// `ROLE` of an instance that finds the role by the frame's tags.
const LOOK_UP_ROLE: u8 = 0;
