//! The checks under octets made of pieces that matter.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{chunks, client, content, operations, pieces, proxy, server};

fn octets(parts: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(parts), 0..40).prop_map(|parts| parts.concat())
}

fn cuts() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8..40, 1..6)
}

const CONTENT: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b".",
    b"..",
    b"x",
    b"\0",
    b"\r\n.\r\n",
    b"\r\n",
    b"text\r\n",
    b"\xff",
];

const DIALOGUE: &[&[u8]] = &[
    b"EHLO c\r\n",
    b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
    b"HELO c\r\n",
    b"MAIL FROM:<a@b>\r\n",
    b"MAIL FROM:<a@b> SIZE=10 SMTPUTF8\r\n",
    b"MAIL FROM:<a@b> RET=FULL ENVID=+41\r\n",
    b"RCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;e@f\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"RCPT TO:<no@d>\r\n",
    b"DATA\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6\r\ntext\r\n",
    b"BDAT 6\r\n",
    b"BDAT 6 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 500 LAST\r\n",
    b"Received: x\r\n",
    b"QUIT\r\n",
    b"text\r\n",
    b"..\r\n",
    b".\r\n",
    b"\r\n",
    b".",
    b"x",
    b"\r",
    b"\n",
    b"\0",
    b"a line that is long enough to fill a message soon, since the limit is low here .........\r\n",
];

const REPLIES: &[&[u8]] = &[
    b"220 mx\r\n",
    b"220-mx\r\n220 mx\r\n",
    b"250 ok\r\n",
    b"250-mx\r\n250-SIZE 100\r\n250 8BITMIME\r\n",
    b"250-mx\r\n250 STARTTLS\r\n",
    b"220 mx\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n",
    b"354 go\r\n",
    b"421 4.3.2 no\r\n",
    b"452 4.3.1 no\r\n",
    b"500 no\r\n",
    b"550 5.1.1 no\r\n",
    b"250",
    b"-",
    b" ",
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\xff",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn content_is_decoded_alike_however_it_is_cut(octets in octets(CONTENT), cuts in cuts()) {
        content::decoding(&octets, &cuts);
    }

    #[test]
    fn content_survives_its_coding(octets in octets(CONTENT), cuts in cuts()) {
        content::round_trip(&octets, &cuts);
    }

    #[test]
    fn chunks_may_be_cut_anywhere(octets in octets(CONTENT), cuts in cuts()) {
        chunks::chunking(&octets, &cuts);
    }

    #[test]
    fn a_server_never_waits_for_ever(octets in vec(any::<u8>(), 0..80)) {
        operations::operations(&octets);
    }

    #[test]
    fn a_server_acts_alike_however_it_is_fed(octets in octets(DIALOGUE), cuts in cuts()) {
        server::session(&octets, &cuts);
    }

    #[test]
    fn a_client_acts_alike_however_it_is_fed(octets in octets(REPLIES), cuts in cuts()) {
        client::session(&octets, &cuts);
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..300), cuts in cuts()) {
        server::session(&octets, &cuts);
        client::session(&octets, &cuts);
        content::decoding(&octets, &cuts);
        chunks::chunking(&octets, &cuts);
        server::command_line(&octets);
    }

    #[test]
    fn a_path_is_said_as_it_was_understood(
        verb in select(&["MAIL FROM:<", "RCPT TO:<", "EHLO "][..]),
        rest in "[a-z\"\\\\@.\\[\\]<> :äIPv6]{0,20}(@[a-z.\\-äIPv6:\\[\\]0-9]{1,12})?>?( SIZE=[0-9]{1,3})?( (RET|ENVID|NOTIFY|ORCPT)=[A-Z;,+0-9]{1,12})?",
    ) {
        server::command_line(format!("{verb}{rest}").as_bytes());
    }
}

#[test]
fn pieces_are_all_of_the_octets() {
    let octets: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for cuts in [&[][..], &[1], &[3, 0, 7]] {
        let joined: Vec<u8> = pieces(&octets, cuts).flatten().copied().collect();
        assert_eq!(joined, octets);
    }
}

const PROXY: &[&[u8]] = &[
    b"\x21\x11\x00\x0c",
    b"\x21\x21\x00\x24",
    b"\x20\x00\x00\x00",
    b"\x21\x11\x00\x13",
    b"\xc0\x00\x02\x0a\xcb\x00\x71\x0a\x9c\x40\x00\x19",
    b"\x20\x01\x0d\xb8\x00\x0a\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x10",
    b"\x03\x00\x04\x00\x00\x00\x00",
    b"\x04\x00\x00",
    b"\x04\x00",
    b"\x00",
    b"\xff",
];

proptest! {
    #[test]
    fn a_proxy_header_is_read_whole_or_not_at_all(octets in octets(PROXY), signed in any::<bool>()) {
        let signature: &[u8] = if signed { b"\r\n\r\n\0\r\nQUIT\n" } else { b"" };
        proxy::header(&[signature, &octets].concat());
    }
}
