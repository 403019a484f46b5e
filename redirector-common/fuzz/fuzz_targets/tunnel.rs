//! The fields of a steered connection's segment, on its way through a tunnel.
//!
//! What must hold is in `redirector_common::check`, which the property tests call, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redirector_common::check;

fuzz_target!(|input: &[u8]| check::tunnelling(input));
