//! What a server sends: the first four octets say how the rest is cut.
//!
//! The rest is tried from the greeting on and as what follows EHLO, with the function that the property tests of
//! `relay_proto::check` call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::client;

const TO_READY: &[u8] = b"220 mx\r\n250 mx\r\n";

fuzz_target!(|input: &[u8]| {
    let Some((cuts, octets)) = input.split_at_checked(4) else {
        return;
    };
    client::session(octets, cuts);
    client::session(&[TO_READY, octets].concat(), cuts);
});
