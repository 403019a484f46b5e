//! What a client sends in chunks: the first four octets say how the rest is cut.
//!
//! The rest is tried as content in chunks, and as what follows the first BDAT, with the functions that the property
//! tests of `relay_proto::check` call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::{chunks, server};

const TO_CHUNK: &[u8] = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT ";

fuzz_target!(|input: &[u8]| {
    let Some((cuts, octets)) = input.split_at_checked(4) else {
        return;
    };
    chunks::chunking(octets, cuts);
    server::session(&[TO_CHUNK, octets].concat(), cuts);
});
