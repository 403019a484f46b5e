//! What holds of any octets, whoever made them up: the property tests, the fuzz target `mime` and its corpus call the same.

use bytes::Bytes;

use super::{Body, Bounded, Limits};

/// Octets before the message: each limit is one of them.
const LIMITS_OCTETS: usize = 4;

/// Reads limits and a message from `input`, and checks both properties. Less than the limits is nothing.
pub(crate) fn limited(input: &[u8]) {
    let Some((limits, content)) = input.split_first_chunk::<LIMITS_OCTETS>() else {
        return;
    };
    let [header_octets, parts, depth, decoded_octets] = limits.map(usize::from);
    let limits = Limits {
        header_octets,
        parts: parts.max(1),
        depth,
        decoded_octets,
    };
    let content = Bytes::copy_from_slice(content);
    nothing_beyond(&content, limits);
    the_same_within(&content, limits);
}

/// No message goes beyond a limit, and nothing of it is made up.
pub(crate) fn nothing_beyond(content: &Bytes, limits: Limits) {
    let bounded = Bounded::parse(content.clone(), limits);
    assert!((1..=limits.parts).contains(&bounded.parts.len()));
    let (mut decoded, mut deepest) = (0, 0);
    for part in &bounded.parts {
        assert!(part.depth <= limits.depth, "{part:?}");
        // A part stands in a container that stands before it.
        assert!(part.depth <= deepest, "{part:?}");
        deepest = deepest.max(part.depth + usize::from(part.octets().is_none()));
        assert!(part.header.len() <= limits.header_octets, "{part:?}");
        let octets = part.octets().map_or(0, Bytes::len);
        if !part
            .octets()
            .is_some_and(|octets| content.as_ptr_range().contains(&octets.as_ptr()))
        {
            decoded += octets;
        }
        let text = part.text().map_or(0, |text| text.len());
        assert!(text <= 4 * octets + 4, "{text} of {octets}");
    }
    assert!(decoded <= limits.decoded_octets);
    assert!(bounded.whole().is_err() == bounded.beyond.is_some());
}

/// What is within its limits does not depend on them: neither a reader nor a scanner with larger ones sees more.
pub(crate) fn the_same_within(content: &Bytes, limits: Limits) {
    let bounded = Bounded::parse(content.clone(), limits);
    if bounded.whole().is_ok() {
        let whole = Bounded::parse(content.clone(), Limits::default());
        assert_eq!(seen(&bounded), seen(&whole));
    }
}

fn seen(bounded: &Bounded) -> Vec<(usize, &str, &Body)> {
    let parts = bounded.parts.iter();
    parts
        .map(|part| (part.depth, part.media.as_str(), &part.body))
        .collect()
}
