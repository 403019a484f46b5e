//! Frames of all kinds, and octets that are none.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::check::handover::{frame as survives, headed_frame, read};

fn id() -> impl Strategy<Value = QueueId> {
    (1..=u64::MAX).prop_map(|number| QueueId::from_number(number).unwrap())
}

fn octets(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

fn frame() -> impl Strategy<Value = Frame> {
    let text = "[ -~äß]{0,80}";
    let hello = (any::<(u16, u16)>(), text, any::<[u8; 16]>(), any::<u64>());
    let hello = hello.prop_map(|((first, last), relay, spool, tried_until)| {
        Frame::Hello(Hello {
            versions: first..=last,
            relay,
            spool: SpoolName(spool),
            tried_until: UnixMillis(tried_until),
        })
    });
    let welcome = (any::<u16>(), text, any::<u64>(), vec(id(), 0..64));
    let welcome = welcome.prop_map(|(version, relay, room_octets, kept)| {
        Frame::Welcome(Welcome {
            version,
            relay,
            room_octets,
            kept,
        })
    });
    let message = (
        id(),
        any::<bool>(),
        vec(any::<u32>(), 0..9),
        any::<u64>(),
        octets(300),
    );
    let message = message.prop_map(|(id, held, done, content_octets, envelope)| {
        Frame::Message(Handed {
            id,
            held,
            done,
            content_octets,
            envelope,
        })
    });
    let why = select(&[Why::Full, Why::Unreadable, Why::Failed][..]);
    prop_oneof![
        hello,
        welcome,
        text.prop_map(Frame::Refused),
        message,
        octets(300)
            .prop_filter("content is never empty", |it| !it.is_empty())
            .prop_map(Frame::Content),
        Just(Frame::Commit),
        (id(), id()).prop_map(|(id, name)| Frame::Stored { id, name }),
        (id(), why, text).prop_map(|(id, why, text)| Frame::NotStored { id, why, text }),
        id().prop_map(Frame::Finished),
        Just(Frame::Bye),
    ]
}

proptest! {
    #[test]
    fn what_is_said_is_understood(frame in frame()) {
        prop_assert_eq!(read(&frame.encode()), Ok(frame));
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..200)) {
        survives(&octets);
        headed_frame(&octets);
    }

    #[test]
    fn changed_frames_are_survived(frame in frame(), changes in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut octets = frame.encode();
        for (at, octet) in changes {
            let at = at % octets.len();
            octets[at] = octet;
        }
        survives(&octets);
    }

    #[test]
    fn names_of_spools_are_read_as_they_are_written(octets in any::<[u8; 16]>()) {
        let name = SpoolName(octets);
        prop_assert_eq!(name.to_string().parse(), Ok(name));
    }
}

#[test]
fn nobody_makes_room_for_what_is_too_long() {
    for (kind, most) in [
        (1, 16 << 10),
        (4, (8 << 20) + (1 << 20)),
        (5, 64 << 10),
        (10, 16 << 10),
    ] {
        let head = |octets: u32| {
            let mut head = [kind, 0, 0, 0, 0];
            head[1..].copy_from_slice(&octets.to_le_bytes());
            Head::decode(head)
        };
        assert_eq!(head(most).map(Head::octets), Ok(most as usize));
        assert_eq!(head(most + 1), Err(BadFrame::TooLong(most + 1)));
        assert_eq!(head(u32::MAX), Err(BadFrame::TooLong(u32::MAX)));
    }
    assert_eq!(Head::decode([11, 0, 0, 0, 0]), Err(BadFrame::Unknown(11)));
}

#[test]
fn what_a_later_version_adds_is_passed_over_unless_it_must_be_understood() {
    let said = Frame::Finished(QueueId::from_number(7).unwrap());
    let with = |tag: u8| {
        let mut octets = said.encode();
        octets.extend_from_slice(&[tag, 1, b'x']);
        octets[1] += 3;
        read(&octets)
    };
    assert_eq!(with(100), Ok(said.clone()));
    assert_eq!(with(200), Err(BadFrame::Newer));
}

#[test]
fn the_latest_version_that_both_speak_is_spoken() {
    let hello = |versions| Hello {
        versions,
        relay: String::new(),
        spool: SpoolName([0; 16]),
        tried_until: UnixMillis(0),
    };
    for (versions, agreed) in [
        (1..=1, Some(1)),
        (1..=9, Some(1)),
        (0..=1, Some(1)),
        (2..=9, None),
        (0..=0, None),
    ] {
        assert_eq!(hello(versions.clone()).agree(), agreed, "{versions:?}");
    }
}

#[test]
fn text_of_a_peer_can_stand_on_a_terminal() {
    let said = Frame::Refused(format!("\u{1b}[2Jno\r\n{}", "x".repeat(1000)));
    let Ok(Frame::Refused(read)) = read(&said.encode()) else {
        panic!("not understood");
    };
    assert!(read.starts_with("[2Jno") && read.len() == 500, "{read:?}");
}
