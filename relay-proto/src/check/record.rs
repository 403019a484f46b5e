//! The spool's records under any octets from a disk.

use crate::record::{
    ALIGN_OCTETS, Epoch, HEADER_OCTETS, Header, NoHeader, checksum, done, envelope,
};

/// What is read as a header is written the same again, and belongs to the one life of a segment.
pub fn header(octets: &[u8]) {
    let (Some(first), Some(epoch)) = (octets.first_chunk(), octets.first_chunk()) else {
        return;
    };
    let epoch = Epoch(u64::from_le_bytes(*epoch));
    let other = Epoch(!epoch.0);
    assert_eq!(Header::decode(first, other), Err(NoHeader::NotARecord));
    if let Ok(header) = Header::decode(first, epoch) {
        assert_eq!(header.encode().as_ref(), Some(first));
        let long = header.content.octets > u64::MAX / 2;
        assert!(long || header.octets().is_multiple_of(ALIGN_OCTETS));
        assert!(header.octets() >= header.octets_without_content());
    }
}

/// The same behind what no fuzzer needs to find: magic, version and checksum.
pub fn proven_header(octets: &[u8]) {
    let mut whole = [0; HEADER_OCTETS];
    for (place, octet) in whole.iter_mut().zip(octets) {
        *place = *octet;
    }
    if let Some(magic) = whole.get_mut(8..11) {
        magic.copy_from_slice(b"Og\x01");
    }
    if let Some((before, check)) = whole.split_last_chunk_mut::<4>() {
        *check = checksum(0, before).to_le_bytes();
    }
    header(&whole);
}

/// What is read as an envelope comes back from what is written of it.
pub fn envelope(octets: &[u8]) {
    if let Ok(queued) = envelope::decode(octets) {
        let written = envelope::encode(&queued);
        assert_eq!(envelope::decode(&written).as_ref(), Ok(&queued));
    }
}

/// What is read as a list comes back from what is written of it.
pub fn done(octets: &[u8]) {
    if let Ok(list) = done::decode(octets) {
        assert_eq!(done::encode(&list), octets);
    }
}
