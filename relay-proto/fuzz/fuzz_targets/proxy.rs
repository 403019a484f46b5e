//! What a proxy sends first, with the function that the property tests of `relay_proto::check` call.
//!
//! Signature and version are put in front, because no fuzzer needs to find them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::proxy;

fuzz_target!(|input: &[u8]| {
    proxy::header(input);
    proxy::header(&[b"\r\n\r\n\0\r\nQUIT\n\x21", input].concat());
});
