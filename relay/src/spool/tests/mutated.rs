//! Media that are not what was written: whatever happens to a segment or its index, no record that is intact is lost,
//! nothing is delivered that is not what was stored, and what is damaged is put aside.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use relay_proto::queued::{QueueId, UnixMillis};

use super::sim::Sim;
use super::{content, draft, open, queued};
use crate::spool::ReadError;
use crate::spool::catalogue::Slot;
use crate::spool::engine::{Terms, Wish};
use crate::spool::life::{Role, role};
use crate::spool::storage::{Directory, Storage};

const TERMS: Terms = Terms {
    segment_octets: 32 << 10,
    max_octets: u64::MAX,
};

struct Stored {
    slot: Slot,
    content: Vec<u8>,
}

/// A spool of some segments, of which some are indexed.
fn fill(sim: &Sim, random: &mut Rng) -> BTreeMap<QueueId, Stored> {
    let (engine, recovered) = open(Arc::new(sim.clone()), TERMS, random.u64(..)).unwrap();
    drop(recovered);
    let mut stored = BTreeMap::new();
    for _ in 0..random.usize(10..25) {
        let mut drafts = Vec::new();
        for _ in 0..random.usize(1..4) {
            let id = engine.next_id(UnixMillis(0));
            let octets = random.usize(..3000);
            let content: Vec<u8> = (0..octets).map(|_| random.u8(..)).collect();
            drafts.push(draft(&queued(id, 2), &content));
            stored.insert(id, content);
        }
        let done = Vec::new();
        engine
            .commit(vec![Wish::Store { drafts, done }])
            .remove(0)
            .unwrap();
        if random.u8(..3) == 0 {
            engine.tend(&|wishes| engine.commit(wishes)).unwrap();
        }
    }
    let catalogue = engine.catalogue();
    let with_slot = |(id, content)| {
        let slot = catalogue.slot(id).unwrap();
        (id, Stored { slot, content })
    };
    stored.into_iter().map(with_slot).collect()
}

/// Changes a file as media and file systems do.
fn mutate(octets: &mut Vec<u8>, random: &mut Rng) {
    let at = random.usize(..octets.len());
    let block = at - at % 512;
    let end = (block + 512 * random.usize(1..8)).min(octets.len());
    match random.u8(..6) {
        0 => octets[at] ^= 1 << random.u8(..8),
        1 => octets[block..end].fill(0),
        2 => octets[block..end].fill_with(|| random.u8(..)),
        3 => octets.truncate(at),
        // An old or misplaced write.
        4 => {
            let from = random.usize(..=octets.len() - (end - block));
            octets.copy_within(from..from + (end - block), block);
        }
        _ => octets[at] = random.u8(..),
    }
}

fn play(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let sim = Sim::new(seed, u64::MAX);
    let stored = fill(&sim, &mut random);
    let mut segments = BTreeMap::new();
    let mut damaged = false;
    for named in sim.list(Directory::Segments).unwrap() {
        let before = sim.octets(Directory::Segments, &named.name);
        let mut after = before.clone();
        if random.bool() {
            for _ in 0..random.usize(1..4) {
                if !after.is_empty() {
                    mutate(&mut after, &mut random);
                }
            }
        }
        damaged |= before != after;
        sim.replace(Directory::Segments, &named.name, after.clone());
        if let Some(Role::Segment(life)) = role(&named.name) {
            segments.insert(life.sequence, (before, after));
        }
    }
    let intact = |slot: &Slot| {
        let (before, after) = &segments[&slot.segment];
        let start = slot.offset as usize;
        let record = start..start + slot.octets as usize;
        before.get(record.clone()) == after.get(record)
    };
    let (engine, recovered) = open(Arc::new(sim.clone()), TERMS, random.u64(..)).unwrap();
    let living: Vec<QueueId> = recovered
        .filter_map(|living| living.ok().map(|living| living.kept.id))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    for (id, stored) in &stored {
        let read = runtime.block_on(content(&engine, *id));
        if intact(&stored.slot) {
            assert!(living.contains(id), "seed {seed}: {id} is lost");
            assert_eq!(read.unwrap(), stored.content, "seed {seed}: {id}");
            continue;
        }
        match read {
            // What fills up between records belongs to nobody.
            Ok(octets) => assert_eq!(octets, stored.content, "seed {seed}: {id}"),
            Err(ReadError::NotFound | ReadError::Damaged) => assert!(damaged),
            Err(error) => panic!("seed {seed}: {id}: {error}"),
        }
    }
    assert!(living.iter().all(|id| stored.contains_key(id)));
    let copies = sim.list(Directory::Corrupt).unwrap();
    assert_eq!(engine.health().damaged, copies.len() as u64, "seed {seed}");
}

#[test]
fn intact_records_survive_any_damage_around_them() {
    for seed in 0..400 {
        play(seed);
    }
}

/// One spool, one damage, and what comes of it.
fn damage_one(which: usize, change: impl Fn(&mut [u8])) -> (u64, usize, usize) {
    let mut random = Rng::with_seed(7);
    let sim = Sim::new(7, u64::MAX);
    let stored = fill(&sim, &mut random);
    let (_, victim) = stored.iter().nth(which).unwrap();
    let names = sim.list(Directory::Segments).unwrap();
    for named in names {
        match role(&named.name) {
            Some(Role::Segment(life)) if life.sequence == victim.slot.segment => {
                let mut octets = sim.octets(Directory::Segments, &named.name);
                let start = victim.slot.offset as usize;
                change(&mut octets[start..start + victim.slot.octets as usize]);
                sim.replace(Directory::Segments, &named.name, octets);
            }
            Some(Role::Index(_)) => sim.remove(Directory::Segments, &named.name).unwrap(),
            _ => {}
        }
    }
    let (engine, recovered) = open(Arc::new(sim.clone()), TERMS, 8).unwrap();
    let lost = stored.len() - recovered.count();
    (
        engine.health().damaged,
        sim.list(Directory::Corrupt).unwrap().len(),
        lost,
    )
}

#[test]
fn a_damaged_record_in_the_middle_is_put_aside_and_not_deleted() {
    let header = |record: &mut [u8]| record[20] ^= 1;
    let envelope = |record: &mut [u8]| record[70] ^= 1;
    assert_eq!(damage_one(5, header), (1, 1, 1));
    assert_eq!(damage_one(5, envelope), (1, 1, 1));
    // A content is only looked at when it is needed.
    let content = |record: &mut [u8]| *record.last_mut().unwrap() ^= 1;
    assert_eq!(damage_one(5, content).2, 0);
}
