//! What a peer says while queued mail is handed over, with the functions that the property tests of
//! `relay_proto::check` call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::handover;

fuzz_target!(|input: &[u8]| {
    handover::frame(input);
    handover::headed_frame(input);
});
