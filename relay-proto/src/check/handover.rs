//! Frames of a hand-over under any octets from a peer.

use bytes::Bytes;

use crate::handover::{BadFrame, Frame, HEAD_OCTETS, Head};

/// What is read as a frame comes back from what is written of it, and its head tells its length.
pub fn frame(octets: &[u8]) {
    let Some((head, rest)) = octets.split_first_chunk::<HEAD_OCTETS>() else {
        return;
    };
    let Ok(head) = Head::decode(*head) else {
        return;
    };
    let Some(body) = rest.get(..head.octets()) else {
        return;
    };
    if let Ok(frame) = Frame::decode(head, &Bytes::copy_from_slice(body)) {
        assert_eq!(read(&frame.encode()), Ok(frame));
    }
}

/// The same behind a head that is right, which no fuzzer needs to find.
pub fn headed_frame(octets: &[u8]) {
    let Some((kind, body)) = octets.split_first() else {
        return;
    };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut headed = vec![kind % 12];
    headed.extend_from_slice(&length.to_le_bytes());
    headed.extend_from_slice(body);
    frame(&headed);
}

/// The one frame that these octets are.
pub(crate) fn read(octets: &[u8]) -> Result<Frame, BadFrame> {
    let Some((head, body)) = octets.split_first_chunk::<HEAD_OCTETS>() else {
        return Err(BadFrame::Malformed);
    };
    let head = Head::decode(*head)?;
    if head.octets() != body.len() {
        return Err(BadFrame::Malformed);
    }
    Frame::decode(head, &Bytes::copy_from_slice(body))
}
