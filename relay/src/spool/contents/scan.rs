//! A segment read record by record, to its end, over whatever is between them.

use std::ops::Range;
use std::sync::Arc;

use relay_proto::record::done;
use relay_proto::record::{
    ALIGN_OCTETS, BLOCK_OCTETS, HEADER_OCTETS, Header, Kind, NoHeader, checksum,
};

use super::window::Window;
use super::{Contents, Found, Source, Tail, Unreadable};
use crate::spool::life::Life;
use crate::spool::storage::Medium;

/// All records of that life.
pub(super) fn scan(medium: Arc<dyn Medium>, life: Life) -> Result<Contents, Unreadable> {
    let mut window = Window::new(&*medium)?;
    let headers = headers(&mut window, life)?;
    let last_batch = headers.last().map_or(0, |last| last.place.batch);
    let mut contents = Contents {
        messages: Vec::new(),
        done: Vec::new(),
        damage: gaps(&headers, last_batch),
        unreadable: false,
        tail: Tail::default(),
        torn: 0,
        last_id: None,
        indexed: false,
        source: Source::Segment(Arc::clone(&medium)),
    };
    let mut whole = Vec::with_capacity(headers.len());
    for header in headers {
        let torn = header.place.batch == last_batch && !is_whole(&mut window, &header);
        if torn {
            contents.torn += 1;
        } else if proves_envelope(&mut window, &header) {
            whole.push(header);
        } else {
            let start = u64::from(header.offset);
            contents.damage.push(start..start + header.octets());
        }
    }
    contents.tail = tail(&whole, last_batch);
    for header in whole {
        contents.last_id = contents.last_id.max(header.id);
        match header.kind {
            Kind::Opening | Kind::Seal => {}
            Kind::Message | Kind::MessageInFile => contents.messages.push(Found {
                header,
                at: header.offset.into(),
            }),
            Kind::Done => {
                let list = envelope(&mut window, &header).and_then(|it| done::decode(it).ok());
                contents.done.extend(list.ok_or(Unreadable::Newer)?);
            }
        }
    }
    contents.unreadable = !window.unreadable().is_empty();
    contents.damage.extend_from_slice(window.unreadable());
    contents.tail.sound &= contents.torn == 0 && contents.damage.is_empty();
    let named = contents.done.iter().map(|done| Some(done.id)).max();
    contents.last_id = contents.last_id.max(named.flatten());
    Ok(contents)
}

/// The headers that stand where they say.
fn headers(window: &mut Window<'_>, life: Life) -> Result<Vec<Header>, Unreadable> {
    let epoch = life.epoch.0.to_le_bytes();
    let mut headers = Vec::new();
    let mut at = 0;
    while let Some(octets) = window.octets(at, HEADER_OCTETS) {
        let Some(octets) = octets.first_chunk() else {
            break;
        };
        let end = match Header::decode(octets, life.epoch) {
            Ok(header) if u64::from(header.offset) == at => {
                let end = at.saturating_add(header.octets());
                (end <= window.file_octets()).then(|| headers.push(header));
                (end <= window.file_octets()).then_some(end)
            }
            Ok(_) | Err(NoHeader::NotARecord) => None,
            Err(NoHeader::Newer) => return Err(Unreadable::Newer),
        };
        at = match end {
            Some(end) => end,
            None => match next_aligned(window, at + ALIGN_OCTETS, &epoch) {
                Some(next) => next,
                None => break,
            },
        };
    }
    Ok(headers)
}

fn next_aligned(window: &mut Window<'_>, mut from: u64, epoch: &[u8]) -> Option<u64> {
    loop {
        let at = window.find(from, epoch)?;
        if at.is_multiple_of(ALIGN_OCTETS) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// What lies between records and is neither the end of a block nor of what was written last.
fn gaps(headers: &[Header], last_batch: u32) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut before: Option<&Header> = None;
    for header in headers {
        let end = before.map_or(0, |it| u64::from(it.offset) + it.octets());
        let start = u64::from(header.offset);
        // What would stand where `before` ends.
        let (follows, next_batch) = match before {
            None => (start == 0, 0),
            Some(before) if before.place.index + 1 < before.place.count => {
                (start == end, before.place.batch)
            }
            Some(before) => {
                let next = before.place.batch.saturating_add(1);
                let block = end.next_multiple_of(BLOCK_OCTETS);
                (start == block && header.place.batch == next, next)
            }
        };
        // The opening is written together with the first batch.
        let torn = next_batch == last_batch || (next_batch == 0 && last_batch == 1);
        if !follows && !torn && start > end {
            gaps.push(end..start);
        }
        before = Some(header);
    }
    gaps
}

/// The last batch, and whether all its records are among these.
fn tail(whole: &[Header], last_batch: u32) -> Tail {
    let of_it = whole.iter().filter(|it| it.place.batch == last_batch);
    let (Some(first), Some(last)) = (of_it.clone().next(), whole.last()) else {
        return Tail::default();
    };
    let count = u32::try_from(of_it.count()).ok();
    // The opening is written together with the first batch.
    let start = if last_batch <= 1 {
        0
    } else {
        u64::from(first.offset)
    };
    Tail {
        batch: last_batch,
        octets: start..u64::from(last.offset) + last.octets(),
        // Without its opening, what is now the end of what was written last would later be a gap.
        sound: count == Some(last.place.count) && whole.first().is_some_and(|it| it.offset == 0),
    }
}

fn envelope<'a>(window: &'a mut Window<'_>, header: &Header) -> Option<&'a [u8]> {
    let length = usize::try_from(header.envelope.octets).ok()?;
    window.octets(u64::from(header.offset) + HEADER_OCTETS as u64, length)
}

fn proves_envelope(window: &mut Window<'_>, header: &Header) -> bool {
    envelope(window, header).is_some_and(|octets| header.envelope.proves(octets))
}

/// Envelope and content are what was written.
fn is_whole(window: &mut Window<'_>, header: &Header) -> bool {
    proves_envelope(window, header)
        && (header.kind != Kind::Message || proves_content(window, header))
}

fn proves_content(window: &mut Window<'_>, header: &Header) -> bool {
    let mut at = u64::from(header.offset) + header.octets_without_content();
    let end = at + header.content.octets;
    let mut sum = 0;
    while at < end {
        let length = usize::try_from(end - at).map_or(STEP_OCTETS, |left| left.min(STEP_OCTETS));
        let Some(octets) = window.octets(at, length) else {
            return false;
        };
        sum = checksum(sum, octets);
        at += length as u64;
    }
    sum == header.content.checksum
}

const STEP_OCTETS: usize = 64 << 10;
