//! No way around a flag: by fragments, by tags, by both.

use proptest::prelude::*;

use super::{packets, run};
use crate::{
    abi::{Action, Role},
    cases::packet::Packet,
    counters::Counter,
    frame::Buffer,
    parse::{
        self,
        ether::{self, DEEP_TAGS, LINK_OCTETS},
    },
    tables::Verdict,
};

/// One fragment of an untagged frame without options: the octets of its packet's payload from `start` to `end`,
/// which are multiples of eight but for the last.
fn fragment(frame: &[u8], start: usize, end: usize) -> Vec<u8> {
    let v4 = frame[12] == 0x08;
    let (head, payload) = frame.split_at(if v4 { 34 } else { 54 });
    let offset = u16::try_from(start).expect("in a frame");
    let part = &payload[start..end.min(payload.len())];
    let more = u16::from(end < payload.len());
    let length = |octets: usize| u16::try_from(octets).expect("in a frame").to_be_bytes();
    let mut head = head.to_vec();
    if v4 {
        head[16..18].copy_from_slice(&length(20 + part.len()));
        head[20..22].copy_from_slice(&((more << 13) | (offset / 8)).to_be_bytes());
        return [&head, part].concat();
    }
    head[18..20].copy_from_slice(&length(8 + part.len()));
    let next = core::mem::replace(&mut head[20], 44);
    let [high, low] = (offset | more).to_be_bytes();
    [&head, &[next, 0, high, low, 0, 0, 0, 1][..], part].concat()
}

/// The frame behind these tags, outer first.
fn tagged(frame: &[u8], tags: &[(bool, u16)]) -> Vec<u8> {
    let mut octets = frame[..12].to_vec();
    for (service, tci) in tags {
        let tpid: [u8; 2] = if *service { [0x88, 0xa8] } else { [0x81, 0] };
        octets.extend(tpid);
        octets.extend(tci.to_be_bytes());
    }
    octets.extend(&frame[12..]);
    octets
}

fn tags(most: usize) -> impl Strategy<Value = Vec<(bool, u16)>> {
    prop::collection::vec(any::<(bool, u16)>(), 0..=most)
}

proptest! {
    #[test]
    fn a_flagged_source_does_not_slip_through_by_fragments(
        (world, packet) in packets(),
        cuts in prop::collection::btree_set(1_usize..40, 1..5),
        tags in tags(2 + DEEP_TAGS),
        padded: bool,
    ) {
        let frame = Packet { payload: [7; 320].to_vec(), ..packet }.octets();
        let edges: Vec<usize> = [0].into_iter().chain(cuts).chain([1000]).collect();
        for edges in edges.windows(2) {
            let mut part = tagged(&fragment(&frame, edges[0] * 8, edges[1] * 8), &tags);
            if padded {
                part.resize(part.len().max(60), 0);
            }
            let (judged, _) = run(&part, &mut world.flagged(Action::Redirect), Role::Customer);
            // Without its first fragment nothing reassembles.
            if edges[0] <= 1 {
                prop_assert_eq!(judged.verdict, Verdict::Drop, "{:?}", edges);
            }
            let (judged, out) = run(&part, &mut world.tables(), Role::Customer);
            prop_assert_eq!(judged.verdict, Verdict::Pass);
            prop_assert_eq!(out, part);
        }
    }

    #[test]
    fn mail_is_mail_behind_any_tags((world, packet) in packets(), tags in tags(2 + DEEP_TAGS)) {
        let mail = tagged(&packet.octets(), &tags);
        let (judged, _) = run(&mail, &mut world.flagged(Action::Drop), Role::Customer);
        prop_assert_eq!(judged.verdict, Verdict::Drop);
        let (judged, out) = run(&mail, &mut world.tables(), Role::Customer);
        let counter = if tags.len() > 2 { Counter::ChainPassed } else { Counter::Unflagged };
        prop_assert_eq!((judged.verdict, judged.counter), (Verdict::Pass, Some(counter)));
        prop_assert_eq!(out, mail);
    }

    #[test]
    fn two_tags_change_nothing_about_the_packet(
        octets in prop::collection::vec(any::<u8>(), 30..200),
        v4: bool,
        tags in tags(2),
    ) {
        let mut octets = octets;
        octets[12..14].copy_from_slice(if v4 { &[8, 0] } else { &[0x86, 0xdd] });
        octets[14] = if v4 { 0x40 | octets[14] & 7 } else { 0x60 };
        let frame = tagged(&octets, &tags);
        let [plain, behind] = [&octets, &frame].map(|octets| {
            let frame = Buffer::new(octets).expect("it fits");
            let link = ether::link(&frame).expect("it is long enough");
            let mut packet = parse::packet(&frame, link);
            if let parse::Packet::Tcp(segment) = &mut packet {
                segment.l4 -= link.octets - LINK_OCTETS[0];
            }
            packet
        });
        prop_assert_eq!(plain, behind);
    }
}
