//! Where the product's binaries are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// The binaries under test.
#[derive(Clone, Debug)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// The binaries in a directory.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The binaries beside this executable: a program is in `target/PROFILE`, a test in `deps`
    /// below it.
    ///
    /// # Errors
    /// Only that the kernel does not tell where the executable is.
    pub fn beside_this_executable() -> Result<Self> {
        let own = env::current_exe().context("the path of this executable")?;
        let dir = own.parent().context("this executable has no directory")?;
        Ok(match (dir.file_name(), dir.parent()) {
            (Some(name), Some(profile)) if name == "deps" => Self::in_dir(profile),
            _ => Self::in_dir(dir),
        })
    }

    /// The controller.
    ///
    /// # Errors
    /// That it was not built, and how to build it; likewise below.
    pub fn outgated(&self) -> Result<PathBuf> {
        self.find("outgated")
    }

    /// The command line.
    ///
    /// # Errors
    /// As [`Self::outgated`].
    pub fn outgate(&self) -> Result<PathBuf> {
        self.find("outgate")
    }

    /// The relay.
    ///
    /// # Errors
    /// As [`Self::outgated`].
    pub fn relay(&self) -> Result<PathBuf> {
        self.find("outgate-relay")
    }

    /// What `cargo xtask setup` unpacked or installed below `target` under that name.
    ///
    /// # Errors
    /// That it is not there.
    pub fn peer(&self, name: &str) -> Result<PathBuf> {
        let target = self.dir.parent().context("a directory of cargo's")?;
        let path = target.join("peers").join(name);
        ensure!(
            path.is_dir(),
            "{} does not exist: `cargo xtask setup` makes it",
            path.display()
        );
        Ok(path)
    }

    fn find(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        ensure!(
            path.is_file(),
            "{} does not exist: run `cargo build` first (`cargo xtask test` and `cargo xtask demo` do)",
            path.display()
        );
        Ok(path)
    }
}
