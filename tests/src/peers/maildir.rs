//! Where a mail server of the lab puts what it takes.

use std::{fs, os::unix::fs::chown, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{host::Host, message::Stored, process::tail, wait::until};

/// The mailbox of an exchanger, and the log of who fills it.
#[derive(Clone, Debug)]
pub struct Maildir {
    host: Host,
    path: PathBuf,
    log: PathBuf,
}

impl Maildir {
    /// The directory `inbox` in `parent`, which the server makes with the first message; it becomes `nobody`'s.
    pub(crate) fn below(parent: PathBuf, host: Host, log: PathBuf) -> Result<Self> {
        fs::create_dir_all(&parent)?;
        chown(&parent, Some(OWNER), Some(OWNER))?;
        let path = parent.join("inbox");
        Ok(Self { host, path, log })
    }

    /// Waits for the message that holds `token`.
    ///
    /// # Errors
    /// The deadline, with the server's log.
    pub fn delivered(&self, token: &str) -> Result<Stored> {
        until(
            &format!("{} to deliver {token}", self.host.name()),
            Duration::from_secs(10),
            || self.find(token),
        )
        .with_context(|| format!("{}'s log ends in\n{}", self.host.name(), tail(&self.log)))
    }

    /// The message that holds `token`, if it was delivered.
    ///
    /// # Errors
    /// The mailbox's.
    pub fn find(&self, token: &str) -> Result<Option<Stored>> {
        Ok(self.all()?.into_iter().find(|stored| stored.holds(token)))
    }

    /// Every message delivered so far.
    ///
    /// # Errors
    /// The mailbox's.
    pub fn all(&self) -> Result<Vec<Stored>> {
        let new = self.path.join("new");
        // Made with the first message.
        if !new.exists() {
            return Ok(Vec::new());
        }
        fs::read_dir(&new)?
            .map(|entry| Ok(Stored::new(fs::read(entry?.path())?)))
            .collect()
    }

    /// All that the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_error| String::new(),
            |octets| String::from_utf8_lossy(&octets).into_owned(),
        )
    }
}

/// `nobody`, on every Debian; server and relay leave such mail to it.
pub(crate) const OWNER: u32 = 65_534;
