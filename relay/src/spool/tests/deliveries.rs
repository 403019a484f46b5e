//! Deliveries that never pause: whenever the disk has synced, one more message is said to be done.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use relay_proto::queued::{QueueId, UnixMillis};

use super::sim::Sim;
use super::{draft, open, queued};
use crate::spool::engine::{Engine, Terms, Wish};
use crate::spool::storage::{Directory, Medium, Named, Storage};

/// The simulated disk, beside a queue that delivers.
#[derive(Clone, Debug)]
struct Delivering {
    disk: Sim,
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    engine: OnceLock<Weak<Engine>>,
    left: Mutex<Vec<QueueId>>,
}

#[derive(Debug)]
struct Open {
    medium: Arc<dyn Medium>,
    queue: Arc<Queue>,
}

impl Queue {
    fn deliver_one(&self) {
        let engine = self.engine.get().and_then(Weak::upgrade);
        if let Some((engine, id)) = engine.zip(self.left.lock().unwrap().pop()) {
            engine.catalogue().finish(id, None);
        }
    }
}

impl Delivering {
    fn wrap(&self, medium: Arc<dyn Medium>) -> Arc<dyn Medium> {
        let queue = Arc::clone(&self.queue);
        Arc::new(Open { medium, queue })
    }
}

impl Storage for Delivering {
    fn list(&self, directory: Directory) -> io::Result<Vec<Named>> {
        self.disk.list(directory)
    }

    fn create(&self, directory: Directory, name: &str, octets: u64) -> io::Result<Arc<dyn Medium>> {
        let medium = self.disk.create(directory, name, octets)?;
        Ok(self.wrap(medium))
    }

    fn open(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>> {
        let medium = self.disk.open(directory, name)?;
        Ok(self.wrap(medium))
    }

    fn open_to_write(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>> {
        let medium = self.disk.open_to_write(directory, name)?;
        Ok(self.wrap(medium))
    }

    fn rename(&self, from: (Directory, &str), to: (Directory, &str)) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, directory: Directory, name: &str) -> io::Result<()> {
        self.disk.remove(directory, name)
    }

    fn sync_directory(&self, directory: Directory) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }

    fn path(&self, directory: Directory, name: &str) -> PathBuf {
        self.disk.path(directory, name)
    }
}

impl Medium for Open {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.medium.write_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.medium.sync()?;
        self.queue.deliver_one();
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.medium.read_at(buffer, offset)
    }

    fn octets(&self) -> io::Result<u64> {
        self.medium.octets()
    }
}

#[test]
fn whoever_stores_is_answered_while_deliveries_go_on() {
    let storage = Delivering {
        disk: Sim::new(1, u64::MAX),
        queue: Arc::default(),
    };
    let terms = Terms {
        segment_octets: 1 << 20,
        max_octets: u64::MAX,
    };
    let (engine, _recovered) = open(Arc::new(storage.clone()), terms, 1).unwrap();
    let store = |count| {
        let ids: Vec<QueueId> = (0..count).map(|_| engine.next_id(UnixMillis(1))).collect();
        let drafts = ids.iter().map(|&id| draft(&queued(id, 1), b"x")).collect();
        let outcomes = engine.commit(vec![Wish::Store {
            drafts,
            done: Vec::new(),
        }]);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        ids
    };
    *storage.queue.left.lock().unwrap() = store(100);
    storage.queue.engine.set(Arc::downgrade(&engine)).unwrap();

    let before = store(1);
    engine.catalogue().finish(before[0], None);
    store(1);
    let left = storage.queue.left.lock().unwrap().len();
    // One sync each, or one more for what had been said before.
    assert!((90..100).contains(&left), "{left} are left");
    // Nothing is forgotten by that.
    assert_eq!(engine.health().messages, left as u64 + 1);
}
