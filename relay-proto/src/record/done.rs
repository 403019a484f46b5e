//! What is done: the list of a record of kind *done*.
//!
//! One octet, the version, and entries: the [`QueueId`], the sequence number of a segment that has a copy of the message,
//! and how many recipients follow by their indices; 0 for all of them. Numbers as in [`super::fields`]. While that
//! segment is on disk, somebody must say that the message is done.

use super::fields::{push_number, take_number};
use crate::queued::QueueId;

/// Recipients that need no more attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Their message.
    pub id: QueueId,
    /// Sequence number of a segment that has it.
    pub segment: u64,
    /// Their indices; `None` = all.
    pub recipients: Option<Vec<u32>>,
}

/// Octets that are no list, or one of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of what is done")]
pub struct NoList;

/// The octets of a list.
#[must_use]
pub fn encode(list: &[Done]) -> Vec<u8> {
    let mut octets = vec![VERSION];
    for done in list {
        let recipients = match &done.recipients {
            // 0 stands for all of them, so nobody at all is not written.
            Some(recipients) if recipients.is_empty() => continue,
            Some(recipients) => recipients.as_slice(),
            None => &[],
        };
        push_number(&mut octets, done.id.get());
        push_number(&mut octets, done.segment);
        push_number(&mut octets, recipients.len() as u64);
        for &recipient in recipients {
            push_number(&mut octets, u64::from(recipient));
        }
    }
    octets
}

/// The list that these octets are.
pub fn decode(octets: &[u8]) -> Result<Vec<Done>, NoList> {
    let Some((&VERSION, mut rest)) = octets.split_first() else {
        return Err(NoList);
    };
    let mut list = Vec::new();
    while !rest.is_empty() {
        list.push(entry(&mut rest).ok_or(NoList)?);
    }
    Ok(list)
}

fn entry(rest: &mut &[u8]) -> Option<Done> {
    let id = QueueId::from_number(take_number(rest)?)?;
    let segment = take_number(rest)?;
    let count = take_number(rest)?;
    let mut recipients = Vec::new();
    for _ in 0..count {
        // Each takes an octet at least, so a count that lies ends with the octets.
        recipients.push(u32::try_from(take_number(rest)?).ok()?);
    }
    Some(Done {
        id,
        segment,
        recipients: (count > 0).then_some(recipients),
    })
}

const VERSION: u8 = 1;
