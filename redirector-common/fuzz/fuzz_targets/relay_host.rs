//! A frame at a relay's host that ends tunnels; the first octet chooses the families.
//!
//! What must hold is in `redirector_common::tunnel::check`, which the property tests call, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redirector_common::tunnel::check;

fuzz_target!(|input: &[u8]| check::host(input));
