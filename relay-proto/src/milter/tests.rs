use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::check::milter;

fn text(text: &str) -> CString {
    CString::new(text).unwrap()
}

#[test]
fn frames_are_those_of_libmilter() {
    let offer = Terms::offer();
    let cases: [(Command, &[u8]); 8] = [
        (
            Command::Negotiate(offer),
            b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff",
        ),
        (
            Command::Macros {
                of: b'M',
                values: vec![(text("i"), text("7")), (text("{mail_addr}"), text("a@b"))],
            },
            b"\0\0\0\x16DMi\x007\0{mail_addr}\0a@b\0",
        ),
        (
            Command::Connect {
                name: text("[192.0.2.1]"),
                client: "192.0.2.1".parse().unwrap(),
                port: 4000,
            },
            b"\0\0\0\x1aC[192.0.2.1]\x004\x0f\xa0192.0.2.1\0",
        ),
        (
            Command::Connect {
                name: text("x"),
                client: "2001:db8::1".parse().unwrap(),
                port: 0,
            },
            b"\0\0\0\x12Cx\x006\0\x002001:db8::1\0",
        ),
        (
            Command::Mail(vec![text("<a@b>"), text("SIZE=1")]),
            b"\0\0\0\x0eM<a@b>\0SIZE=1\0",
        ),
        (
            Command::Header {
                name: text("Subject"),
                value: text("a\n b"),
            },
            b"\0\0\0\x0eLSubject\0a\n b\0",
        ),
        (
            Command::Body(Bytes::from_static(b"x\r\n")),
            b"\0\0\0\x04Bx\r\n",
        ),
        (Command::EndOfBody, b"\0\0\0\x01E"),
    ];
    for (command, octets) in cases {
        assert_eq!(command.encode(), octets, "{command:?}");
    }
    let replies: [(Reply, &[u8]); 4] = [
        (Reply::Continue, b"\0\0\0\x01c"),
        (
            Reply::Code(text("550 5.7.1 no")),
            b"\0\0\0\x0ey550 5.7.1 no\0",
        ),
        (Reply::Quarantine(text("why")), b"\0\0\0\x05qwhy\0"),
        (
            Reply::Change {
                kind: Change::AddHeader,
                octets: Bytes::from_static(b"X-Spam\0yes\0"),
            },
            b"\0\0\0\x0chX-Spam\0yes\0",
        ),
    ];
    for (reply, octets) in replies {
        assert_eq!(reply.encode(), octets, "{reply:?}");
    }
}

#[test]
fn what_breaks_the_format_is_named() {
    use BadFrame::{Empty, Malformed, TooLong, Unknown};
    assert_eq!(frame_octets([0; 4]), Err(Empty));
    assert_eq!(frame_octets([0, 0x10, 0, 0]), Ok(1 << 20));
    assert_eq!(frame_octets([0, 0x10, 0, 1]), Err(TooLong((1 << 20) + 1)));
    let reply = |octets: &'static [u8]| Reply::decode(&Bytes::from_static(octets));
    for (octets, expected) in [
        (&b""[..], Empty),
        (b"z", Unknown(b'z')),
        (b"C", Unknown(b'C')),
        (b"cc", Malformed(b'c')),
        (b"y550 no end", Malformed(b'y')),
        (b"y550\0more", Malformed(b'y')),
        (b"O\0\0\0\x06\0\0\0\0\0\0\0", Malformed(b'O')),
        (b"O\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\0j", Malformed(b'O')),
    ] {
        assert_eq!(reply(octets), Err(expected), "{octets:?}");
    }
    let command = |octets: &'static [u8]| Command::decode(&Bytes::from_static(octets));
    for octets in [
        &b"Cx\x004\0\0not an address\0"[..],
        b"Cx\x004\0\x002001:db8::1\0",
        b"CxU\0",
        b"M",
        b"DMj\0",
        b"D",
    ] {
        assert_eq!(command(octets), Err(Malformed(octets[0])), "{octets:?}");
    }
}

#[test]
fn both_speak_the_older_version_and_only_what_was_offered() {
    let offer = Terms::offer();
    let answer = |version, steps| Terms {
        version,
        actions: 0xFFFF,
        steps,
        macros: vec![(0, text("j {client_addr}"))],
    };
    for version in 2..=6 {
        let agreed = offer.agree(&answer(version, Steps::NO_HELO));
        assert_eq!(agreed, Ok((version, Steps::NO_HELO)));
    }
    for version in [0, 1, 7, u32::MAX] {
        let agreed = offer.agree(&answer(version, Steps::NONE));
        assert_eq!(agreed, Err(Disagreement::Version(version)));
    }
    let longer = Steps::from_bits(0x1000_0000) | Steps::SKIP;
    assert_eq!(
        offer.agree(&answer(6, longer)),
        Err(Disagreement::Steps(0x1000_0000))
    );
    assert!(Steps::ALL.has(Steps::SKIP | Steps::LEADING_SPACE));
    assert!(!Steps::SKIP.has(Steps::SKIP | Steps::NO_BODY));
}

#[test]
fn each_step_may_be_left_out_or_left_unanswered() {
    let header = Command::Header {
        name: text("A"),
        value: text("b"),
    };
    let connect = Command::Connect {
        name: text("x"),
        client: "192.0.2.1".parse().unwrap(),
        port: 0,
    };
    for (command, hidden, silent) in [
        (connect, 0x1, 0x1000),
        (Command::Helo(text("x")), 0x2, 0x2000),
        (Command::Mail(vec![text("<>")]), 0x4, 0x4000),
        (Command::Recipient(vec![text("<a@b>")]), 0x8, 0x8000),
        (Command::Data, 0x200, 0x1_0000),
        (header, 0x20, 0x80),
        (Command::EndOfHeader, 0x40, 0x4_0000),
        (Command::Body(Bytes::new()), 0x10, 0x8_0000),
    ] {
        let others = Steps::from_bits(Steps::ALL.bits() & !hidden & !silent);
        for (steps, shown, answered) in [
            (Steps::NONE, true, true),
            (others, true, true),
            (Steps::from_bits(hidden), false, true),
            (Steps::from_bits(silent), true, false),
        ] {
            assert_eq!(command.is_shown(6, steps), shown, "{command:?} {steps:?}");
            assert_eq!(
                command.is_answered(steps),
                answered,
                "{command:?} {steps:?}"
            );
        }
    }
    assert!(!Command::Data.is_shown(3, Steps::NONE));
    assert!(
        Command::EndOfBody.is_shown(2, Steps::ALL) && Command::EndOfBody.is_answered(Steps::ALL)
    );
    assert!(!Command::Quit.is_answered(Steps::NONE));
}

#[test]
fn fields_are_shown_as_they_were_sent_and_the_rest_is_body() {
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let cases: [Case; 9] = [
        (
            "A: b\r\nC:  d\r\n e\r\n\tf\r\n\r\nbody\r\n",
            &[("A", " b"), ("C", "  d\r\n e\r\n\tf")],
            "body\r\n",
        ),
        ("A : b\r\n\r\n", &[("A", " b")], ""),
        ("A:\r\n\r\nbody", &[("A", "")], "body"),
        ("A: b", &[("A", " b")], ""),
        ("\r\nbody", &[], "body"),
        ("", &[], ""),
        (
            "A: b\r\nno field\r\nC: d\r\n\r\nbody",
            &[("A", " b")],
            "no field\r\nC: d\r\n\r\nbody",
        ),
        (" A: b\r\n\r\nbody", &[], " A: b\r\n\r\nbody"),
        ("A b: c\r\n: d\r\n", &[], "A b: c\r\n: d\r\n"),
    ];
    for (content, fields, body) in cases {
        let section = Section::read(content.as_bytes(), 100);
        let shown = section.fields.iter().map(|field| {
            let text = |octets| std::str::from_utf8(octets).unwrap();
            (text(field.name), text(field.value))
        });
        assert_eq!(shown.collect::<Vec<_>>(), fields, "{content:?}");
        let rest = content.get(section.body_at..);
        assert_eq!(rest, Some(body), "{content:?}");
        assert!(!section.is_cut);
    }
    let cut = Section::read(b"A: b\r\nC: d\r\n\r\nbody", 1);
    assert_eq!((cut.fields.len(), cut.body_at, cut.is_cut), (1, 6, true));
}

#[test]
fn the_words_of_a_field_fit_into_a_frame() {
    let field = Field {
        name: b"Subject",
        value: b" a\r\n b\0c",
    };
    let whole = |leading| field.words(leading, 1000);
    assert_eq!(whole(true), (text("Subject"), text(" a\n b c"), true));
    assert_eq!(whole(false), (text("Subject"), text("a\n b c"), true));
    let (name, value, fits) = field.words(false, 14);
    assert_eq!(
        (name, value, fits),
        (text("Subject"), text("a\n b "), false)
    );
    let bare = Field {
        name: b"X",
        value: b"\r\r\n \rx\n y",
    };
    assert_eq!(bare.words(true, 100).1, text("\r\n \rx\n y"));
}

const LETTERS: &[u8] = b"ODCHMRTLNBEAQcartdy4fspq+2-ehimb";

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0]),
        Just(vec![0, 0, 0, 6]),
        Just(b"4\0\x19192.0.2.1\0".to_vec()),
        Just(b"6\0\x002001:db8::1\0".to_vec()),
        Just(b"j\0".to_vec()),
        vec(any::<u8>(), 0..8),
    ];
    (select(LETTERS), vec(piece, 0..8)).prop_map(|(letter, pieces)| {
        let mut octets = vec![letter];
        octets.extend(pieces.concat());
        octets
    })
}

fn word() -> impl Strategy<Value = CString> {
    vec(1_u8..=255, 0..20).prop_map(|octets| CString::new(octets).unwrap())
}

fn terms() -> impl Strategy<Value = Terms> {
    let macros = vec((any::<u32>(), word()), 0..4);
    (any::<u32>(), any::<u32>(), any::<u32>(), macros).prop_map(
        |(version, actions, steps, macros)| Terms {
            version,
            actions,
            steps: Steps::from_bits(steps),
            macros,
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        terms().prop_map(Command::Negotiate),
        (any::<u8>(), vec((word(), word()), 0..4))
            .prop_map(|(of, values)| Command::Macros { of, values }),
        (word(), any::<IpAddr>(), any::<u16>()).prop_map(|(name, client, port)| Command::Connect {
            name,
            client,
            port
        }),
        word().prop_map(Command::Helo),
        vec(word(), 1..4).prop_map(Command::Mail),
        vec(word(), 1..4).prop_map(Command::Recipient),
        (word(), word()).prop_map(|(name, value)| Command::Header { name, value }),
        vec(any::<u8>(), 0..100).prop_map(|octets| Command::Body(octets.into())),
        select(vec![
            Command::Data,
            Command::EndOfHeader,
            Command::EndOfBody,
            Command::Abort,
            Command::Quit,
        ]),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        terms().prop_map(Reply::Negotiate),
        word().prop_map(Reply::Code),
        word().prop_map(Reply::Quarantine),
        (select(&Change::ALL[..]), vec(any::<u8>(), 0..100)).prop_map(|(kind, octets)| {
            Reply::Change {
                kind,
                octets: octets.into(),
            }
        }),
        select(vec![
            Reply::Continue,
            Reply::Accept,
            Reply::Reject,
            Reply::TempFail,
            Reply::Discard,
            Reply::Shutdown,
            Reply::ConnectionFailed,
            Reply::Skip,
            Reply::Progress,
        ]),
    ]
}

proptest! {
    #[test]
    fn any_octets_are_survived_and_what_is_read_is_written_so(octets in octets()) {
        milter::frame(&octets);
        milter::section(&octets);
    }

    #[test]
    fn what_is_said_is_understood(command in command(), reply in reply()) {
        let body = |encoded: Vec<u8>| {
            let (length, body) = encoded.split_first_chunk::<4>().unwrap();
            assert_eq!(frame_octets(*length), Ok(body.len()));
            Bytes::copy_from_slice(body)
        };
        prop_assert_eq!(Command::decode(&body(command.encode())), Ok(command));
        prop_assert_eq!(Reply::decode(&body(reply.encode())), Ok(reply));
    }

    #[test]
    fn nothing_of_a_message_is_lost(lines in vec(select(&[
        "A: b", "C:d", " e", "\tf", "no field", "", ": x", "A : b", "\0", "\r",
    ][..]), 0..12)) {
        milter::section(lines.join("\r\n").as_bytes());
    }
}
