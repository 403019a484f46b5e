//! A frame and the maps that it meets; the first two octets choose the maps.
//!
//! What must hold is in `redirector_common::check`, which the property tests call, too.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use redirector_common::check;

fuzz_target!(|input: &[u8]| -> Corpus {
    if check::decision(input) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});
