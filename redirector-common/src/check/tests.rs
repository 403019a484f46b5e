use proptest::prelude::*;

use super::*;
use crate::cases;

/// The octets of a golden case's frame, or noise, with up to four of its header's octets changed.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = cases::all(NOW_S)
        .into_iter()
        .map(|case| case.frame)
        .collect();
    let damage = prop::collection::vec((0..80_usize, any::<u8>()), 0..4);
    let known = (prop::sample::select(known), damage).prop_map(|(mut frame, damage)| {
        for (at, octet) in damage {
            if let Some(old) = frame.get_mut(at) {
                *old = octet;
            }
        }
        frame
    });
    prop_oneof![4 => known, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_frame_is_parsed(frame in frames()) {
        parsing(&frame);
    }

    #[test]
    fn any_frame_is_judged_in_any_maps(kind: u8, how: u8, frame in frames()) {
        let judged = decision(&[&[kind, how], frame.as_slice()].concat());
        prop_assert_eq!(judged, frame.len() >= 14);
    }

    #[test]
    fn any_segment_goes_there_and_back(input in prop::collection::vec(any::<u8>(), 63..300)) {
        rewriting(&input);
    }

    #[test]
    fn any_segment_goes_through_a_tunnel_and_back(
        input in prop::collection::vec(any::<u8>(), 63..300),
    ) {
        tunnelling(&input);
    }
}

#[test]
fn the_corpus_still_means_something() {
    assert!(CORPUS.lines().count() > 100, "it has been kept");
    for line in CORPUS.lines() {
        assert!(decision(&unhex(line)), "no case: {line}");
    }
}
