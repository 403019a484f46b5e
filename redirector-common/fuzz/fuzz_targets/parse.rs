//! A frame from the wire, before any map is asked.
//!
//! What must hold is in `redirector_common::check`, which the property tests call, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redirector_common::check;

fuzz_target!(|input: &[u8]| check::parsing(input));
