//! What holds for any octets.

use proptest::prelude::*;

use super::*;

/// What messages are made of, so that random ones have a structure.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"--b",
    b"--b--",
    b"--bb\r\n",
    b"--",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: multipart/digest; boundary=\"bb\"\r\n",
    b"content-type: message/rfc822\r\n",
    b"Content-Type: text/html; charset=utf-16; name*0*=utf-8''%41;\r\n name*1=(",
    b"Content-Type:",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Disposition: attachment; filename=\"=?utf-8?B?eA==?=\"\r\n",
    b"Q29udGVudC1UeXBlOiB0ZXh0L2h0bWwNCg0KPHA+",
    b"=3D=\r\n",
    b"=",
    b"hello ",
    b" folded",
    b"\0\xff\xfe",
    b"(((",
    b"\"\\",
    b"From a@b.example\r\n",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => (0..PIECES.len()).prop_map(|index| PIECES[index].to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_message_goes_beyond_a_limit(
        message in message(),
        header_octets in 0..100_usize,
        parts in 1..12_usize,
        depth in 0..5_usize,
        decoded_octets in 0..100_usize,
    ) {
        let limits = Limits { header_octets, parts, depth, decoded_octets };
        let content = Bytes::from(message);
        let bounded = Bounded::parse(content.clone(), limits);
        prop_assert!(bounded.parts.len() <= parts);
        prop_assert!(!bounded.parts.is_empty());
        let mut decoded = 0;
        let mut deepest = 0;
        for part in &bounded.parts {
            prop_assert!(part.depth <= depth && part.depth <= deepest);
            deepest = deepest.max(part.depth + usize::from(part.octets().is_none()));
            let octets = part.octets().filter(|octets| !content.as_ptr_range().contains(&octets.as_ptr()));
            decoded += octets.map_or(0, Bytes::len);
            let charset = part.text().map_or(0, |text| text.len());
            prop_assert!(charset <= 4 * part.octets().map_or(0, Bytes::len) + 4);
        }
        prop_assert!(decoded <= decoded_octets);
    }

    #[test]
    fn what_is_within_its_limits_does_not_depend_on_them(message in message()) {
        let content = Bytes::from(message);
        let whole = Bounded::parse(content.clone(), Limits::default());
        let limits = Limits { header_octets: 64, parts: 3, depth: 2, decoded_octets: 32 };
        let bounded = Bounded::parse(content, limits);
        if bounded.beyond.is_none() {
            prop_assert_eq!(shown(&whole), shown(&bounded));
        }
    }
}
