//! Network namespaces by name, and running things inside of them.
//!
//! Programs are run by `nsenter --net`, not by `ip netns exec`: the latter remounts `/sys` and so
//! hides the pinned maps from the program.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that exists.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of that name; [`crate::Lab`] makes and deletes them.
    pub(crate) fn new(name: String) -> Self {
        Self { name }
    }

    /// As `ip netns` lists it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that keeps it alive.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command that runs inside, with the outer mounts.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program.as_ref());
        command
    }

    /// Runs `work` on a thread inside. A socket made there stays there, wherever it is used.
    ///
    /// # Errors
    /// What `work` returns; or that the namespace cannot be entered (it takes CAP_SYS_ADMIN).
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        // A thread of its own: the namespace is a property of the thread, and none returns.
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter()?;
                    work()
                })
                .join()
                .map_err(|_panic| anyhow!("the thread in namespace {} panicked", self.name))?
        })
    }

    /// Moves the calling thread inside, for the rest of its life.
    pub(crate) fn enter(&self) -> Result<()> {
        let file = File::open(self.path()).with_context(|| format!("namespace {}", self.name))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("entering namespace {}", self.name))
    }
}
