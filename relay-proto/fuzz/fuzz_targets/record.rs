//! What stands in a spool, with the functions that the property tests of `relay_proto::check` call.
//!
//! Tried as a header in its own right, with the checksum that it lacks put right, as an envelope and as a list of what is done.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::record;

fuzz_target!(|input: &[u8]| {
    record::header(input);
    record::proven_header(input);
    record::envelope(input);
    record::done(input);
});
