//! Making tables of the shape that the program was verified with.

use std::{io, path::Path};

use aya::maps::{MapData, MapError};
use aya_obj::generated::BPF_F_NO_PREALLOC;
use redirector_common::abi::Policy;

use super::kind::Kind;
use crate::edge::{EdgeError, batch::RawMap, pins::Shape};

/// Makes the maps that hold sets, in a directory on a BPF file system, where they are missing.
///
/// # Errors
///
/// Only what the kernel answers.
pub fn make_places(dir: &Path) -> Result<(), EdgeError> {
    for kind in Kind::ALL {
        let path = dir.join(kind.name());
        if path.exists() {
            continue;
        }
        let mut name = [0; 16];
        for (octet, given) in name.iter_mut().zip(kind.name().bytes()) {
            *octet = given;
        }
        let making =
            |error: io::Error| EdgeError::kernel(format!("making {}", path.display()), error);
        let places = make(kind, 1)?.places_for(name, 2).map_err(making)?;
        MapData::from_fd(places)
            .map_err(|error| EdgeError::kernel(format!("making {}", path.display()), error))?
            .pin(&path)
            .map_err(|error| EdgeError::kernel(format!("pinning {}", path.display()), error))?;
    }
    Ok(())
}

/// Makes an empty table of the shape that the program was verified with: the kernel compares them.
pub(super) fn make(kind: Kind, policies_max: u32) -> Result<RawMap, EdgeError> {
    let Shape {
        key_octets,
        value_octets,
        max_entries,
        ..
    } = expected_shape(kind, policies_max);
    let map = aya_obj::Map::new_from_params(
        kind.bpf_type() as u32,
        key_octets,
        value_octets,
        max_entries,
        BPF_F_NO_PREALLOC,
    );
    MapData::create(map, kind.name(), None)
        .and_then(RawMap::new)
        .map_err(|error| EdgeError::kernel(format!("making a table of {}", kind.name()), error))
}

pub(super) fn expected_shape(kind: Kind, policies_max: u32) -> Shape {
    Shape {
        map_type: kind.map_type(),
        key_octets: u32::try_from(kind.key_octets()).unwrap_or(u32::MAX),
        value_octets: u32::try_from(Policy::SIZE).unwrap_or(u32::MAX),
        max_entries: policies_max,
    }
}

pub(super) fn shape(kind: Kind, table: &RawMap) -> Result<Shape, EdgeError> {
    let read = || {
        let info = table.data().info()?;
        Ok(Shape {
            map_type: info.map_type()?,
            key_octets: info.key_size(),
            value_octets: info.value_size(),
            max_entries: info.max_entries(),
        })
    };
    read().map_err(|error: MapError| {
        EdgeError::kernel(format!("reading the shape of {}", kind.name()), error)
    })
}
