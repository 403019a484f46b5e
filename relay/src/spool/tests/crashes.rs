//! Thousands of lives of a spool on the simulated disk: work, faults, kills and crashes in any order.
//!
//! After each start: what was acknowledged is there, with its octets and at least its pending recipients; nothing is
//! there twice; nothing that was durably done comes back; nothing that was refused comes back once that is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use relay_proto::queued::{QueueId, UnixMillis};
use relay_proto::record::Kind;
use tokio::runtime::Runtime;

use super::sim::{Fault, Sim};
use super::{content, draft, open, queued};
use crate::message::Message;
use crate::spool::active::Draft;
use crate::spool::engine::{Engine, Terms, Wish};
use crate::spool::large::LargeFile;
use crate::spool::recover::Recovered;
use crate::spool::storage::Directory;

/// What we know of a message.
#[derive(Debug)]
struct Known {
    content: Vec<u8>,
    recipients: usize,
    /// Its sender was told 250.
    acknowledged: bool,
    /// It was refused, and that was written down.
    void: bool,
    /// Said to be done.
    said: BTreeSet<usize>,
    /// Durably done.
    done: BTreeSet<usize>,
    /// Found to be done at a start, which may have read it from memory after a sync that failed.
    doubtful: BTreeSet<usize>,
}

struct Run {
    random: Rng,
    runtime: Runtime,
    sim: Sim,
    terms: Terms,
    engine: Arc<Engine>,
    known: BTreeMap<QueueId, Known>,
    /// What this life of the spool knows to be there.
    present: BTreeSet<QueueId>,
    transcript: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let segment_octets = 4096 * random.u64(4..12);
        // Sometimes the disk is small, sometimes the spool may not have more of it.
        let room = segment_octets * random.u64(5..14);
        let (max_octets, capacity) = if random.bool() {
            (room, u64::MAX)
        } else {
            (u64::MAX, room)
        };
        let terms = Terms {
            segment_octets,
            max_octets,
        };
        let sim = Sim::new(random.u64(..), capacity);
        let (engine, recovered) = open(Arc::new(sim.clone()), terms, random.u64(..)).unwrap();
        assert_eq!(recovered.messages(), 0);
        drop(recovered);
        let runtime = tokio::runtime::Builder::new_current_thread();
        Self {
            random,
            runtime: { runtime }.build().unwrap(),
            sim,
            terms,
            engine,
            known: BTreeMap::new(),
            present: BTreeSet::new(),
            transcript: vec![format!("{terms:?}")],
        }
    }

    fn note(&mut self, text: String) {
        self.transcript.push(text);
    }

    fn step(&mut self) {
        match self.random.u8(..100) {
            0..40 => self.store(),
            40..65 => self.finish(),
            65..70 => self.commit(Vec::new()),
            70..88 => self.tend(),
            88..92 => self.read(),
            92..96 => self.break_something(),
            _ => self.restart(),
        }
    }

    fn store(&mut self) {
        let mut wishes = Vec::new();
        let mut stored = Vec::new();
        let mut files = Vec::new();
        for _ in 0..self.random.usize(1..4) {
            let mut drafts = Vec::new();
            for _ in 0..self.random.usize(1..3) {
                let id = self.engine.next_id(UnixMillis(self.random.u64(..1000)));
                let recipients = self.random.usize(1..4);
                let most = if self.random.bool() { 300 } else { 5000 };
                let octets = self.random.usize(..most);
                let content: Vec<u8> = (0..octets).map(|_| self.random.u8(..)).collect();
                let mut draft = draft(&queued(id, recipients), &content);
                if self.random.u8(..6) == 0 {
                    let message = Message::from(Bytes::from(content.clone()));
                    let written = LargeFile::write(&self.engine, id, &message);
                    match self.runtime.block_on(written) {
                        Ok((file, content)) => {
                            draft.body.truncate(draft.body.len() - octets);
                            draft = Draft {
                                kind: Kind::MessageInFile,
                                content,
                                ..draft
                            };
                            files.push((wishes.len(), file));
                        }
                        Err(error) => {
                            self.note(format!("{id}: no file: {error}"));
                            continue;
                        }
                    }
                }
                let known = Known {
                    content,
                    recipients,
                    acknowledged: false,
                    void: false,
                    said: BTreeSet::new(),
                    done: BTreeSet::new(),
                    doubtful: BTreeSet::new(),
                };
                self.known.insert(id, known);
                stored.push((wishes.len(), id));
                drafts.push(draft);
            }
            let done = if self.random.u8(..4) == 0 {
                self.choose().into_iter().map(|id| (id, None)).collect()
            } else {
                Vec::new()
            };
            for (id, _) in &done {
                // Said when the others are there, which may be.
                let known = self.known.get_mut(id).unwrap();
                known.said.extend(0..known.recipients);
            }
            wishes.push(Wish::Store { drafts, done });
        }
        let outcomes = self.engine.commit(wishes);
        self.note(format!("store {stored:?}: {outcomes:?}"));
        for (place, file) in files {
            file.settle(&outcomes[place]);
        }
        for (place, id) in stored {
            if outcomes[place].is_ok() {
                self.known.get_mut(&id).unwrap().acknowledged = true;
                self.present.insert(id);
            }
        }
        self.committed();
    }

    /// A message that is there.
    fn choose(&mut self) -> Option<QueueId> {
        let nth = self.random.usize(..self.present.len().max(1));
        self.present.iter().nth(nth).copied()
    }

    fn finish(&mut self) {
        let Some(id) = self.choose() else { return };
        let known = self.known.get_mut(&id).unwrap();
        let recipients: Vec<usize> = (0..known.recipients)
            .filter(|_| self.random.bool())
            .collect();
        known.said.extend(&recipients);
        self.engine.catalogue().finish(id, Some(&recipients));
        self.note(format!("finish {id} {recipients:?}"));
    }

    fn commit(&mut self, wishes: Vec<Wish>) {
        let outcomes = self.engine.commit(wishes);
        self.note(format!("commit: {outcomes:?}"));
        self.committed();
    }

    /// What was said is durable when nothing waits to be written.
    fn committed(&mut self) {
        let catalogue = self.engine.catalogue();
        if catalogue.has_unwritten() {
            return;
        }
        for (id, known) in &mut self.known {
            if self.present.contains(id) {
                let pending = catalogue.pending(*id);
                let done = (0..known.recipients)
                    .filter(|it| !pending.contains(it) && !known.doubtful.contains(it));
                known.done.extend(done);
            }
            known.void |= !known.acknowledged && !self.present.contains(id);
        }
        let living = |id: &QueueId| catalogue.slot(*id).is_some();
        self.present.retain(living);
    }

    fn tend(&mut self) {
        if self.random.u8(..10) == 0 {
            self.engine.try_again();
        }
        let engine = Arc::clone(&self.engine);
        let tended = engine.tend(&|wishes| engine.commit(wishes));
        self.note(format!("tend: {tended:?}"));
        self.committed();
    }

    fn read(&mut self) {
        let Some(id) = self.choose() else { return };
        let read = self.runtime.block_on(content(&self.engine, id));
        if self.sim.has_failed() {
            return;
        }
        match read {
            Ok(octets) => assert_eq!(octets, self.known[&id].content, "{id}"),
            // It may be finished.
            Err(error) => assert!(self.engine.catalogue().slot(id).is_none(), "{id}: {error}"),
        }
    }

    fn break_something(&mut self) {
        let kinds = [io::ErrorKind::Other, io::ErrorKind::StorageFull];
        let fault = Fault {
            after: self.random.u64(..12),
            count: self.random.u64(1..4),
            kind: kinds[self.random.usize(..2)],
            reads: self.random.u8(..4) == 0,
        };
        self.note(format!("{fault:?}"));
        self.sim.set_fault(Some(fault));
    }

    fn restart(&mut self) {
        // Also starts may fail, and be killed on the way.
        while self.random.bool() {
            self.stop();
            if self.random.bool() {
                self.break_something();
            }
            if let Ok((engine, recovered)) = self.open() {
                drop(recovered);
                for _ in 0..self.random.usize(..8) {
                    let tended = engine.tend(&|wishes| engine.commit(wishes));
                    self.note(format!("blind tend: {tended:?}"));
                }
            }
        }
        self.stop();
        let (engine, recovered) = self.open().expect("a sound disk");
        self.engine = engine;
        self.check(recovered);
    }

    fn stop(&mut self) {
        self.sim.set_fault(None);
        let machine = self.random.bool();
        if machine {
            self.sim.crash();
        }
        self.note(format!("stop, of the machine: {machine}"));
    }

    fn open(&mut self) -> Result<(Arc<Engine>, Recovered), crate::spool::OpenError> {
        let secret = self.random.u64(..);
        let opened = open(Arc::new(self.sim.clone()), self.terms, secret);
        self.note(format!("open: {:?}", opened.as_ref().err()));
        if opened.is_ok() && self.sim.is_forgetful(Directory::Segments) {
            // There was no room to make sure of the names: what is done may come back, once.
            for known in self.known.values_mut() {
                known.done.clear();
                known.void = false;
            }
        }
        opened
    }

    fn check(&mut self, recovered: Recovered) {
        self.present.clear();
        for living in recovered {
            let living = living.unwrap();
            let id = living.kept.id;
            assert!(self.present.insert(id), "{id} is there twice");
            let known = self.known.get_mut(&id).expect("nobody stored that");
            assert!(!known.void, "{id} was refused, and is back");
            let pending: BTreeSet<usize> = living.pending.iter().copied().collect();
            assert!(!pending.is_empty());
            assert!(
                pending.is_disjoint(&known.done),
                "{id}: {pending:?} come back, {:?} is done",
                known.done
            );
            let lost =
                (0..known.recipients).find(|it| !pending.contains(it) && !known.said.contains(it));
            assert_eq!(lost, None, "{id}: a recipient is lost");
            assert_eq!(living.queued, queued(id, known.recipients));
            assert_eq!(living.kept.octets, known.content.len() as u64);
            let octets = self.runtime.block_on(content(&self.engine, id));
            let slot = self.engine.catalogue().slot(id);
            let octets = octets.unwrap_or_else(|error| panic!("{id}: {error}, at {slot:?}"));
            assert_eq!(octets, known.content, "{id}");
            known.said.retain(|it| !pending.contains(it));
        }
        for (id, known) in &mut self.known {
            known.doubtful = known.said.difference(&known.done).copied().collect();
            let needed = known.acknowledged && known.said.len() < known.recipients;
            assert!(!needed || self.present.contains(id), "{id} is lost");
        }
        let health = self.engine.health();
        assert_eq!(health.damaged, 0, "nothing is damaged");
        assert_eq!(health.messages, self.present.len() as u64);
        self.note(format!("there are {:?}", self.present));
    }
}

/// Prints what was done if it ends badly.
fn play(seed: u64, steps: usize) {
    let mut run = Run::new(seed);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..steps {
            run.step();
        }
        run.sim.set_fault(None);
        run.restart();
    }));
    if outcome.is_err() {
        println!("{}", run.transcript.join("\n"));
        panic!("seed {seed}");
    }
}

#[test]
fn what_was_acknowledged_survives_everything() {
    for seed in 0..1500 {
        play(seed, 50);
    }
}

#[test]
fn a_long_life_is_survived() {
    for seed in 0..6 {
        play(1_000_000 + seed, 1000);
    }
}
