//! What holds for any octets.

use data_encoding::HEXLOWER;
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
        check::nothing_beyond(&message.into(), limits);
    }

    #[test]
    fn what_is_within_its_limits_does_not_depend_on_them(message in message()) {
        let limits = Limits { header_octets: 64, parts: 3, depth: 2, decoded_octets: 32 };
        check::the_same_within(&message.into(), limits);
    }
}

#[test]
fn what_the_fuzzer_has_found_stays_within_its_limits() {
    let corpus = include_str!("../../../../fuzz/corpus/mime.txt");
    assert!(corpus.lines().count() > 0);
    for line in corpus.lines() {
        let input = HEXLOWER.decode(line.as_bytes()).unwrap();
        check::limited(&input);
    }
}
