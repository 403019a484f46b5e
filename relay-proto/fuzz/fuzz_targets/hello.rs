//! What a client sends where TLS begins.
//!
//! Tried as it is, and as the body of a ClientHello in records of as many octets as the first one says, with the
//! function that the property tests of `relay_proto::check` call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::peek;

fuzz_target!(|input: &[u8]| {
    peek::prefixes(input);
    if let Some((&cut, body)) = input.split_first() {
        peek::prefixes(&peek::record(body, cut));
    }
});
