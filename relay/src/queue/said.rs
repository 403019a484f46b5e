//! What people said about the queue, which outlives the process: what is paused, which messages are held, and which of
//! those that a verdict holds were released. Beside it, until when the queue was alive.
//!
//! Both are small files in the state directory, written whole beside their place and renamed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use relay_proto::queue::Pause;
use relay_proto::queued::{QueueId, UnixMillis};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default)]
pub(super) struct Said {
    directory: PathBuf,
    paused: BTreeSet<Pause>,
    held: BTreeSet<QueueId>,
    /// Of messages that a verdict holds.
    released: BTreeSet<QueueId>,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    everything_paused: bool,
    paused_domains: Vec<String>,
    paused_sites: Vec<String>,
    held: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    released: Vec<String>,
}

impl Said {
    /// What the file says; an absent one says nothing.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        let named = |error: &dyn std::fmt::Display| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{}: {error}; it says what is paused and held",
                    path.display()
                ),
            )
        };
        let written: Written = match fs::read(&path) {
            Ok(octets) => serde_json::from_slice(&octets).map_err(|error| named(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Written::default(),
            Err(error) => return Err(named(&error)),
        };
        let ids = |written: &[String]| {
            let ids = written.iter().map(|id| id.parse::<QueueId>());
            ids.collect::<Result<BTreeSet<_>, _>>()
                .map_err(|error| named(&error))
        };
        let (held, released) = (ids(&written.held)?, ids(&written.released)?);
        let everything = written.everything_paused.then_some(Pause::Everything);
        let domains = written.paused_domains.into_iter().map(Pause::Domain);
        let sites = written.paused_sites.into_iter().map(Pause::Site);
        Ok(Self {
            directory: directory.to_owned(),
            paused: everything.into_iter().chain(domains).chain(sites).collect(),
            held,
            released,
        })
    }

    pub(super) fn pauses(&self) -> impl Iterator<Item = Pause> {
        self.paused.iter().cloned()
    }

    pub(super) fn holds(&self, id: QueueId) -> bool {
        self.held.contains(&id)
    }

    /// Whether a person has released what a verdict holds.
    pub(super) fn has_released(&self, id: QueueId) -> bool {
        self.released.contains(&id)
    }

    /// All that were released so.
    pub(super) fn released(&self) -> BTreeSet<QueueId> {
        self.released.clone()
    }

    /// All that are held.
    pub(super) fn held(&self) -> BTreeSet<QueueId> {
        self.held.clone()
    }

    /// Durable when it returns `Ok`; otherwise, nothing has changed.
    pub(super) async fn change(
        &mut self,
        change: impl FnOnce(&mut BTreeSet<Pause>, &mut BTreeSet<QueueId>),
    ) -> io::Result<()> {
        self.change_all(|paused, held, _| change(paused, held))
            .await
    }

    /// The same, and of what was released.
    pub(super) async fn change_all(
        &mut self,
        change: impl FnOnce(&mut BTreeSet<Pause>, &mut BTreeSet<QueueId>, &mut BTreeSet<QueueId>),
    ) -> io::Result<()> {
        let (mut paused, mut held) = (self.paused.clone(), self.held.clone());
        let mut released = self.released.clone();
        change(&mut paused, &mut held, &mut released);
        if (&paused, &held, &released) == (&self.paused, &self.held, &self.released) {
            return Ok(());
        }
        let mut written = Written::default();
        for pause in &paused {
            match pause {
                Pause::Everything => written.everything_paused = true,
                Pause::Domain(domain) => written.paused_domains.push(domain.clone()),
                Pause::Site(site) => written.paused_sites.push(site.clone()),
            }
        }
        written.held = held.iter().map(ToString::to_string).collect();
        written.released = released.iter().map(ToString::to_string).collect();
        let octets = serde_json::to_vec_pretty(&written).map_err(io::Error::other)?;
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || replace(&directory, FILE, &octets)).await??;
        (self.paused, self.held, self.released) = (paused, held, released);
        Ok(())
    }
}

/// Until when an earlier run was alive; the beginning of time if nobody knows, so that everything is tried soon.
pub(super) fn alive_until(directory: &Path) -> UnixMillis {
    let text = fs::read_to_string(directory.join(ALIVE)).unwrap_or_default();
    UnixMillis(text.trim().parse().unwrap_or(0))
}

pub(super) fn write_alive(directory: &Path, now: UnixMillis) -> io::Result<()> {
    // It need not survive a power failure: an older one only means that more is tried soon.
    let beside = directory.join(format!("{ALIVE}.new"));
    fs::write(&beside, format!("{}\n", now.0))?;
    fs::rename(&beside, directory.join(ALIVE))
}

fn replace(directory: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    let beside = directory.join(format!("{name}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&beside, directory.join(name))?;
    File::open(directory)?.sync_all()
}

const FILE: &str = "queue.json";
const ALIVE: &str = "queue.alive";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_said_is_still_said_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut said = Said::read(directory.path()).unwrap();
        let id = QueueId::from_number(77).unwrap();
        let all = [
            Pause::Everything,
            Pause::Domain("a.example".into()),
            Pause::Site("mx.example".into()),
        ];
        let more = all.clone();
        let change = |paused: &mut BTreeSet<Pause>, held: &mut BTreeSet<QueueId>| {
            paused.extend(more);
            held.insert(id);
        };
        said.change(change).await.unwrap();
        let again = Said::read(directory.path()).unwrap();
        assert_eq!(again.pauses().collect::<Vec<_>>(), all);
        assert!(again.holds(id));
        fs::write(directory.path().join(FILE), "{\"held\": 5}").unwrap();
        let error = Said::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("queue.json"), "{error}");
    }

    #[test]
    fn nobody_knows_until_when_a_new_queue_was_alive() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(alive_until(directory.path()), UnixMillis(0));
        write_alive(directory.path(), UnixMillis(1234)).unwrap();
        assert_eq!(alive_until(directory.path()), UnixMillis(1234));
    }
}
