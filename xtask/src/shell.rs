//! Programs that xtask runs: shown, waited for, and failed on.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// A program about to run.
pub(crate) struct Shell(Command);

/// `cargo` of the pinned toolchain, in the workspace.
pub(crate) fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Shell {
    command(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))).args(args)
}

/// Any program, in the workspace.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Shell {
    let mut command = Command::new(program);
    command.current_dir(workspace());
    Shell(command)
}

/// The workspace's directory.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

impl Shell {
    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.0.current_dir(dir);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    /// Runs it with our own standard output; anything but success is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        let shown = self.shown();
        let status = self.0.status().with_context(|| shown.clone())?;
        if !status.success() {
            bail!("{shown}: {status}");
        }
        Ok(())
    }

    /// Standard output of a program that succeeds, `None` of one that fails or is not there.
    pub(crate) fn output(mut self) -> Option<String> {
        let output = self.0.output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn shown(&self) -> String {
        let mut shown = self.0.get_program().to_string_lossy().into_owned();
        for arg in self.0.get_args() {
            shown.push(' ');
            shown.push_str(&arg.to_string_lossy());
        }
        shown
    }
}
