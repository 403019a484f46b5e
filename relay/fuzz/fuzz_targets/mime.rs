//! A message taken apart within limits: the first octets of the input are the limits, the rest is the message.
//!
//! The module is compiled here by itself: the relay around it would bring a runtime and a TLS library, which take minutes to
//! build with sanitizers. The property tests of `relay::scan::mime` call the same check.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/scan"]
mod scan {
    pub(crate) mod mime;
}

fuzz_target!(|input: &[u8]| scan::mime::check::limited(input));
