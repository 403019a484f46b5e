//! The index of a segment: its records without contents, so that the segment itself need not be read.

use std::io;

use relay_proto::record::{
    ALIGN_OCTETS, Extent, HEADER_OCTETS, Header, Kind, NoHeader, Place, done,
};

use super::{Contents, Found, Source, Tail, Unreadable};
use crate::spool::life::Life;
use crate::spool::storage::{Directory, Storage, read_exact_at, remove_if_there};

/// That of a segment; `None` without a whole one.
pub(super) fn read(storage: &dyn Storage, life: Life) -> Result<Option<Contents>, Unreadable> {
    let Some(octets) = octets(storage, life)? else {
        return Ok(None);
    };
    let mut contents = Contents {
        messages: Vec::new(),
        done: Vec::new(),
        damage: Vec::new(),
        unreadable: false,
        tail: Tail::default(),
        torn: 0,
        last_id: None,
        indexed: true,
        source: Source::Index(Vec::new()),
    };
    let mut at = 0;
    while let Some(header) = header(&octets, at, life)? {
        contents.last_id = contents.last_id.max(header.id);
        match header.kind {
            Kind::Opening => {}
            Kind::Message | Kind::MessageInFile => {
                let at = at as u64;
                contents.messages.push(Found { header, at });
            }
            Kind::Done => {
                let list = envelope(&octets, at, &header).and_then(|it| done::decode(it).ok());
                contents.done.extend(list.ok_or(Unreadable::Newer)?);
            }
            Kind::Seal => break,
        }
        at = match next(at, &header) {
            Some(next) => next,
            None => return Ok(None),
        };
    }
    contents.source = Source::Index(octets);
    Ok(Some(contents))
}

/// Makes the index of a segment from its contents.
pub(super) fn write(storage: &dyn Storage, life: Life, contents: &Contents) -> io::Result<()> {
    let mut octets = Vec::new();
    let opening = Header {
        kind: Kind::Opening,
        epoch: life.epoch,
        place: ALONE,
        id: contents.last_id,
        offset: 0,
        recipients: 0,
        envelope: Extent::default(),
        content: Extent::default(),
    };
    push(&mut octets, &opening, &[])?;
    for found in &contents.messages {
        push(&mut octets, &found.header, &contents.envelope(found)?)?;
    }
    if !contents.done.is_empty() {
        let list = done::encode(&contents.done);
        let header = Header {
            kind: Kind::Done,
            id: None,
            envelope: Extent::of(&list),
            ..opening
        };
        push(&mut octets, &header, &list)?;
    }
    let records = contents.messages.len() + 1 + usize::from(!contents.done.is_empty());
    let seal = Header {
        kind: Kind::Seal,
        id: None,
        recipients: u32::try_from(records).map_err(io::Error::other)?,
        content: Extent::of(&octets),
        ..opening
    };
    push(&mut octets, &seal, &[])?;

    let unfinished = life.unfinished_index();
    remove_if_there(storage, Directory::Segments, &unfinished)?;
    let medium = storage.create(Directory::Segments, &unfinished, octets.len() as u64)?;
    medium.write_at(&octets, 0)?;
    medium.sync()?;
    let index = life.index();
    storage.rename(
        (Directory::Segments, &unfinished),
        (Directory::Segments, &index),
    )?;
    storage.sync_directory(Directory::Segments)
}

/// The index's octets without its seal, if that proves them.
fn octets(storage: &dyn Storage, life: Life) -> io::Result<Option<Vec<u8>>> {
    let medium = match storage.open(Directory::Segments, &life.index()) {
        Ok(medium) => medium,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = medium.octets()?;
    if length > MAX_OCTETS {
        return Ok(None);
    }
    let mut octets = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    // The segment still has it all.
    if read_exact_at(&*medium, &mut octets, 0).is_err() {
        return Ok(None);
    }
    let Some((before, seal)) = octets.split_last_chunk::<HEADER_OCTETS>() else {
        return Ok(None);
    };
    let whole = Header::decode(seal, life.epoch)
        .is_ok_and(|seal| seal.kind == Kind::Seal && seal.content.proves(before));
    if !whole {
        return Ok(None);
    }
    octets.truncate(before.len());
    Ok(Some(octets))
}

fn push(octets: &mut Vec<u8>, header: &Header, envelope: &[u8]) -> io::Result<()> {
    let header = header.encode().ok_or(io::ErrorKind::InvalidInput)?;
    octets.extend_from_slice(&header);
    octets.extend_from_slice(envelope);
    octets.resize(octets.len().next_multiple_of(ALIGN), 0);
    Ok(())
}

fn header(octets: &[u8], at: usize, life: Life) -> Result<Option<Header>, Unreadable> {
    let Some(header) = octets
        .get(at..)
        .and_then(<[u8]>::first_chunk::<HEADER_OCTETS>)
    else {
        return Ok(None);
    };
    match Header::decode(header, life.epoch) {
        Ok(header) => Ok(Some(header)),
        Err(NoHeader::Newer) => Err(Unreadable::Newer),
        // The seal has proven them: this is our own doing.
        Err(NoHeader::NotARecord) => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

fn envelope<'a>(octets: &'a [u8], at: usize, header: &Header) -> Option<&'a [u8]> {
    let length = usize::try_from(header.envelope.octets).ok()?;
    octets.get(at + HEADER_OCTETS..)?.get(..length)
}

/// Where the next record stands.
fn next(at: usize, header: &Header) -> Option<usize> {
    let length = usize::try_from(header.octets_without_content()).ok()?;
    at.checked_add(length)?.checked_next_multiple_of(ALIGN)
}

const ALONE: Place = Place {
    batch: 0,
    index: 0,
    count: 1,
};
const ALIGN: usize = 8;
const _: () = assert!(ALIGN as u64 == ALIGN_OCTETS);
/// More than any segment can have.
const MAX_OCTETS: u64 = 1 << 30;
