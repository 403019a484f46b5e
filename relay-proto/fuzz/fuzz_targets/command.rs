//! What a client says in lines: the first four octets say how the rest is cut.
//!
//! Each line is read as a command for itself, and all of them as what follows EHLO and a taken recipient; and all
//! of it once more as operations on a session. The property tests of `relay_proto::check` call the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay_proto::check::{operations, server};

const TO_RECIPIENT: &[u8] = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";

fuzz_target!(|input: &[u8]| {
    let Some((cuts, octets)) = input.split_at_checked(4) else {
        return;
    };
    operations::operations(input);
    for line in octets.split(|octet| *octet == b'\n') {
        server::command_line(line);
    }
    let lines: Vec<u8> = octets
        .split(|octet| *octet == b'\n')
        .flat_map(|line| [line, b"\r\n".as_slice()].concat())
        .collect();
    server::session(&[b"EHLO c\r\n".as_slice(), &lines].concat(), cuts);
    server::session(&[TO_RECIPIENT, &lines].concat(), cuts);
});
