use std::io::Write as _;

use super::*;
use crate::pcap::write::{Record, Writer};

fn file(octets: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(octets).unwrap();
    file
}

/// A pcap file of the given octet order, link type, and frames (seconds, fraction, frame, wire length).
fn pcap(big: bool, magic: u32, link: u32, frames: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    let word = |value: u32| match big {
        true => value.to_be_bytes(),
        false => value.to_le_bytes(),
    };
    out.extend(word(magic));
    out.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    for value in [0, 0, 65_535, link] {
        out.extend(word(value));
    }
    for (seconds, fraction, octets, wire) in frames {
        let kept = u32::try_from(octets.len()).unwrap();
        for value in [*seconds, *fraction, kept, *wire] {
            out.extend(word(value));
        }
        out.extend(*octets);
    }
    out
}

fn all(octets: &[u8]) -> Result<Vec<Frame>, ReadError> {
    let file = file(octets);
    let mut reader = Reader::open(file.path())?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn pcap_is_read_in_either_order_and_resolution() {
    let (first, second) = ([1; 60], [2; 40]);
    for big in [false, true] {
        for (magic, fraction) in [(0xa1b2_c3d4, 5), (0xa1b2_3c4d, 5_000)] {
            let octets = pcap(
                big,
                magic,
                1,
                &[(7, fraction, &first, 60), (8, 0, &second, 1500)],
            );
            let frames = all(&octets).unwrap();
            let at = Timestamp::from_microsecond(7_000_005).unwrap();
            assert_eq!(frames.len(), 2, "{big} {magic:x}");
            assert_eq!((frames[0].number, frames[0].at), (1, Some(at)));
            assert_eq!(frames[0].octets, first);
            assert_eq!((frames[1].octets.len(), frames[1].wire_octets), (40, 1500));
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let mut written = Vec::new();
    let mut writer = Writer::new(&mut written).unwrap();
    let at = Timestamp::from_nanosecond(1_790_000_000_123_456_789).unwrap();
    let kept: Vec<u8> = (0..=255).collect();
    for (number, interface) in ["cust0", "relay0", "cust0"].into_iter().enumerate() {
        let record = Record {
            interface,
            at,
            octets: &kept[..61 + number],
            wire_octets: 1514,
            comment: "redirect counter=to_relay",
        };
        writer.frame(&record).unwrap();
    }
    let frames = all(&written).unwrap();
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame.number, u64::try_from(index).unwrap() + 1);
        assert_eq!((frame.at, frame.wire_octets), (Some(at), 1514));
        assert_eq!(frame.octets, kept[..61 + index]);
    }
    assert_eq!(frames.len(), 3);
}

#[test]
fn a_long_file_is_read_in_pieces() {
    let frame = [9; 1514];
    let frames: Vec<(u32, u32, &[u8], u32)> =
        (0..2000).map(|at| (at, 0, &frame[..], 1514)).collect();
    assert_eq!(
        all(&pcap(false, 0xa1b2_c3d4, 1, &frames)).unwrap().len(),
        2000
    );
}

#[test]
fn a_damaged_file_is_named_by_frame_and_octet() {
    let whole = pcap(
        false,
        0xa1b2_c3d4,
        1,
        &[(7, 0, &[1; 60], 60), (8, 0, &[2; 60], 60)],
    );
    for octets in 24 + 76 + 1..whole.len() {
        match all(&whole[..octets]) {
            Err(ReadError::CutShort {
                frame: 2,
                octet: 100,
                ..
            }) => {}
            other => panic!("{octets}: {other:?}"),
        }
    }
    assert_eq!(all(&whole[..100]).unwrap().len(), 1);
    let mut absurd = whole;
    absurd[108..112].copy_from_slice(&u32::MAX.to_le_bytes());
    match all(&absurd) {
        Err(ReadError::Malformed { frame: 2, .. } | ReadError::CutShort { frame: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_capture_of_ethernet_is_refused() {
    assert!(matches!(all(b""), Err(ReadError::NotACapture { .. })));
    assert!(matches!(
        all(b"Received: from"),
        Err(ReadError::NotACapture { .. })
    ));
    let cooked = pcap(false, 0xa1b2_c3d4, 113, &[(7, 0, &[1; 60], 60)]);
    match all(&cooked) {
        Err(
            error @ ReadError::NotEthernet {
                frame: 1,
                link_type: 113,
                ..
            },
        ) => {
            assert!(error.to_string().contains("only Ethernet"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn noise_is_an_error_and_never_a_panic() {
    let mut random = 1_u64;
    let mut next = || {
        random = redirector_common::maglev::mix(random);
        random.to_be_bytes()[0]
    };
    let mut writer = Writer::new(Vec::new()).unwrap();
    for octets in [60, 61, 200] {
        let record = Record {
            interface: "cust0",
            at: Timestamp::UNIX_EPOCH,
            octets: &vec![7; octets],
            wire_octets: 60,
            comment: "x",
        };
        writer.frame(&record).unwrap();
    }
    let good = writer.into_inner();
    for _ in 0..2000 {
        let mut octets = good.clone();
        for _ in 0..4 {
            let at = usize::from(u16::from_be_bytes([next(), next()])) % octets.len();
            octets[at] = next();
        }
        drop(all(&octets));
    }
}
