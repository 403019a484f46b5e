//! An XDP program that lets everything pass, for the far end of a veth.
//!
//! A veth hands a frame that was sent by XDP to its peer's NAPI. With generic receive offload on,
//! the peer has one, and frames that were *redirected* arrive; but a frame that a program sends
//! back where it came from (`XDP_TX`, a RST) lies there until something else wakes the peer:
//! `veth_xdp_flush` asks for a program, not for NAPI. So the hosts of the lab carry one. With it,
//! receive offload can stay off, and a tap sees every frame as it was on the wire.

use std::{fs, path::Path, path::PathBuf};

use anyhow::{Context as _, Result};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};

use crate::{netns::Namespace, process::checked};

/// The program's name, as the kernel lists it.
pub(crate) const NAME: &str = "lab_pass";

/// Writes the object file that `ip` loads.
pub(crate) fn write(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("xdp-pass.o");
    fs::write(&path, object_file()?).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Attaches it in native mode.
pub(crate) fn attach(namespace: &Namespace, interface: &str, object: &Path) -> Result<()> {
    let mut ip = namespace.command("ip");
    ip.args(["link", "set", "dev", interface, "xdpdrv", "object"])
        .arg(object)
        .args(["section", SECTION]);
    checked(&mut ip).map(drop)
}

fn object_file() -> Result<Vec<u8>> {
    let mut file = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let code = file.add_section(Vec::new(), SECTION.into(), SectionKind::Text);
    file.append_section_data(code, &PASS.concat(), 8);
    file.add_symbol(Symbol {
        name: NAME.into(),
        value: 0,
        size: 16,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(code),
        flags: SymbolFlags::None,
    });
    let license = file.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    file.append_section_data(license, b"Dual MIT/GPL\0", 1);
    file.write().context("building an object file")
}

const SECTION: &str = "xdp";

/// `r0 = XDP_PASS; exit`, RFC 9669 section 3.
const PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
