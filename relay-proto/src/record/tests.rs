//! Records of all kinds, and octets that are none.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::done::{self, Done};
use super::envelope::{self, NoEnvelope};
use super::fields::{CRITICAL, Writer};
use super::*;
use crate::check;
use crate::envelope::{BodyType, EhloName, Mail, Notify, Recipient, Ret, TlsTag};
use crate::queued::{Egress, Queued, Source, UnixMillis};

fn id() -> impl Strategy<Value = QueueId> {
    (1..=u64::MAX).prop_map(|number| QueueId::from_number(number).unwrap())
}

fn mail() -> impl Strategy<Value = Mail> {
    (
        select(
            &[
                "<>",
                "<a@b.example>",
                "<\"a b\"@[IPv6:2001:db8::1]>",
                "<ä@ö.example>",
            ][..],
        ),
        option::of(any::<u64>()),
        option::of(select(&[BodyType::SevenBit, BodyType::EightBitMime][..])),
        any::<bool>(),
        option::of(select(&[Ret::Full, Ret::Headers][..])),
        option::of(select(&["QQ314159", "a+2Bb"][..])),
        select(&[TlsTag::None, TlsTag::Required, TlsTag::Optional][..]),
    )
        .prop_map(|(path, size, body, smtputf8, ret, envelope_id, tls)| Mail {
            reverse_path: path.parse().unwrap(),
            size,
            body,
            smtputf8,
            ret,
            envelope_id: envelope_id.map(|it| it.parse().unwrap()),
            tls,
            auth: false,
        })
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let notify = (any::<bool>(), any::<bool>(), any::<bool>());
    (
        select(
            &[
                "<postmaster>",
                "<a@b.example>",
                "<ä@ö.example>",
                "<a@[192.0.2.1]>",
            ][..],
        ),
        option::of(notify),
        option::of(select(&["rfc822;a+2Bb@c", "utf-8;ä@c"][..])),
    )
        .prop_map(|(path, notify, original)| Recipient {
            forward_path: path.parse().unwrap(),
            notify: notify.map(|(success, failure, delay)| Notify {
                success,
                failure,
                delay,
            }),
            original: original.map(|it| it.parse().unwrap()),
        })
}

fn source() -> impl Strategy<Value = Source> {
    let customer = (
        select(&["192.0.2.10", "2001:db8:a:a::10"][..]),
        option::of(select(&["203.0.113.10:25", "[2001:db8:b:1::10]:25"][..])),
        option::of("[!-~]{1,255}"),
        any::<bool>(),
        option::of(any::<u32>()),
        option::of("[a-z0-9@.]{1,64}"),
    );
    let customer =
        customer.prop_map(
            |(address, original_dst, ehlo, tls, flag_id, user)| Source::Customer {
                address: address.parse().unwrap(),
                original_dst: original_dst.map(|it| it.parse().unwrap()),
                ehlo: ehlo.map(|it| EhloName::new(&it).unwrap()),
                tls,
                flag_id,
                user,
            },
        );
    prop_oneof![Just(Source::Relay), customer]
}

pub(crate) fn queued() -> impl Strategy<Value = Queued> {
    (
        id(),
        any::<u64>(),
        source(),
        select(&[Egress::Pool, Egress::Customer, Egress::Socks5][..]),
        mail(),
        vec(recipient(), 1..5),
        "(Received: [a-zä]{0,300}\r\n){0,3}",
        any::<bool>(),
        option::of("[a-zä]{1,40}"),
    )
        .prop_map(
            |(id, arrived, source, egress, mail, recipients, trace, may_notify, held)| Queued {
                id,
                arrived: UnixMillis(arrived),
                source,
                egress,
                mail,
                recipients,
                trace,
                may_notify,
                held,
            },
        )
}

fn header() -> impl Strategy<Value = Header> {
    let kinds = [
        Kind::Opening,
        Kind::Message,
        Kind::MessageInFile,
        Kind::Done,
        Kind::Seal,
    ];
    let place = (any::<u32>(), 0..u32::MAX).prop_flat_map(|(batch, index)| {
        (index + 1..=u32::MAX).prop_map(move |count| Place {
            batch,
            index,
            count,
        })
    });
    let extents = (any::<(u32, u32)>(), any::<(u64, u32)>());
    (
        select(kinds.to_vec()),
        any::<u64>(),
        place,
        id(),
        0..u32::MAX / 8,
        1_u32..,
        extents,
    )
        .prop_map(|(kind, epoch, place, id, offset, recipients, extents)| {
            let ((envelope, envelope_sum), (content, content_sum)) = extents;
            Header {
                kind,
                epoch: Epoch(epoch),
                place,
                id: Some(id),
                offset: offset * 8,
                recipients,
                envelope: Extent {
                    octets: u64::from(envelope),
                    checksum: envelope_sum,
                },
                content: Extent {
                    octets: content,
                    checksum: content_sum,
                },
            }
        })
}

fn list() -> impl Strategy<Value = Vec<Done>> {
    let done = (id(), any::<u64>(), option::of(vec(any::<u32>(), 1..5)));
    let done = done.prop_map(|(id, segment, recipients)| Done {
        id,
        segment,
        recipients,
    });
    vec(done, 0..10)
}

proptest! {
    #[test]
    fn what_is_written_is_read(queued in queued(), header in header(), list in list()) {
        prop_assert_eq!(envelope::decode(&envelope::encode(&queued)), Ok(queued));
        prop_assert_eq!(Header::decode(&header.encode().unwrap(), header.epoch), Ok(header));
        prop_assert_eq!(done::decode(&done::encode(&list)), Ok(list));
    }

    #[test]
    fn no_octet_of_a_header_changes_unnoticed(header in header(), at in 0..HEADER_OCTETS, bits in 1_u8..) {
        let mut octets = header.encode().unwrap();
        octets[at] ^= bits;
        prop_assert_eq!(Header::decode(&octets, header.epoch), Err(NoHeader::NotARecord));
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..200)) {
        check::record::header(&octets);
        check::record::proven_header(&octets);
        check::record::envelope(&octets);
        check::record::envelope(&[&[1], &octets[..]].concat());
        check::record::done(&octets);
        check::record::done(&[&[1], &octets[..]].concat());
    }

    #[test]
    fn changed_envelopes_are_survived(queued in queued(), changes in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut octets = envelope::encode(&queued);
        for (at, octet) in changes {
            let at = at % octets.len();
            octets[at] = octet;
        }
        check::record::envelope(&octets);
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over(queued in queued(), tag in 100..CRITICAL, value in vec(any::<u8>(), 0..300)) {
        let mut later = Writer::after(&envelope::encode(&queued));
        later.octets(tag, &value);
        prop_assert_eq!(envelope::decode(&later.finish()), Ok(queued));
    }

    #[test]
    fn what_must_be_understood_is_not_passed_over(queued in queued(), tag in CRITICAL + 1..) {
        let mut later = Writer::after(&envelope::encode(&queued));
        later.flag(tag, true);
        prop_assert_eq!(envelope::decode(&later.finish()), Err(NoEnvelope::Newer));
    }
}

fn message() -> Header {
    Header {
        kind: Kind::Message,
        epoch: Epoch(7),
        place: Place {
            batch: 1,
            index: 0,
            count: 1,
        },
        id: QueueId::from_number(9),
        offset: 4096,
        recipients: 1,
        envelope: Extent::of(b"envelope"),
        content: Extent::of(b"content"),
    }
}

#[test]
fn a_record_stands_as_it_is_described() {
    let octets = message().encode().unwrap();
    assert_eq!(&octets[..8], &[7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&octets[8..12], b"Og\x01\x02");
    assert_eq!(&octets[12..24], &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(&octets[24..32], &[9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&octets[32..40], &[0, 16, 0, 0, 1, 0, 0, 0]);
    assert_eq!(&octets[40..44], &[8, 0, 0, 0]);
    assert_eq!(&octets[48..56], &[7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message().octets(), 80, "64 and 8 and 7, and what fills up");
    let in_file = Header {
        kind: Kind::MessageInFile,
        ..message()
    };
    assert_eq!(in_file.octets(), 72);
}

#[test]
fn what_a_later_version_wrote_is_told_from_damage() {
    for (at, value) in [(10, 2), (11, 6), (11, 0)] {
        let mut octets = message().encode().unwrap();
        octets[at] = value;
        let (before, check) = octets.split_last_chunk_mut::<4>().unwrap();
        *check = checksum(0, before).to_le_bytes();
        assert_eq!(Header::decode(&octets, Epoch(7)), Err(NoHeader::Newer));
    }
    assert_eq!(envelope::decode(&[2]), Err(NoEnvelope::Newer));
    assert_eq!(envelope::decode(&[]), Err(NoEnvelope::Malformed));
}

#[test]
fn records_that_make_no_sense_are_none() {
    let nameless = Header {
        id: None,
        ..message()
    };
    let for_nobody = Header {
        recipients: 0,
        ..message()
    };
    let askew = Header {
        offset: 4,
        ..message()
    };
    let outside = Header {
        place: Place {
            batch: 1,
            index: 1,
            count: 1,
        },
        ..message()
    };
    for wrong in [nameless, for_nobody, askew, outside] {
        let octets = wrong.encode().unwrap();
        assert_eq!(Header::decode(&octets, Epoch(7)), Err(NoHeader::NotARecord));
    }
}

#[test]
fn nobody_is_not_everybody() {
    let nobody = Done {
        id: QueueId::from_number(1).unwrap(),
        segment: 1,
        recipients: Some(Vec::new()),
    };
    assert_eq!(done::decode(&done::encode(&[nobody])), Ok(Vec::new()));
}
