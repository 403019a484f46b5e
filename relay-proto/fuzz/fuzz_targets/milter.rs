//! What a mail filter says, with the functions that the property tests of `relay_proto::check` call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::milter;

fuzz_target!(|input: &[u8]| {
    milter::frame(input);
    milter::section(input);
});
