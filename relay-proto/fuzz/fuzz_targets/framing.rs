//! What a client sends: the first four octets say how the rest is cut.
//!
//! The rest is tried as a whole session, as what follows 354, as bare content and as one command line, with
//! the functions that the property tests of `relay_proto::check` call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::{content, server};

const TO_CONTENT: &[u8] = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

fuzz_target!(|input: &[u8]| {
    let Some((cuts, octets)) = input.split_at_checked(4) else {
        return;
    };
    server::session(octets, cuts);
    server::session(&[TO_CONTENT, octets].concat(), cuts);
    server::command_line(octets);
    content::decoding(octets, cuts);
    content::round_trip(octets, cuts);
});
