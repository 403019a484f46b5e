//! A private clamd beside the relay, which knows one signature.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    host::Host,
    lab::Lab,
    process::{Process, checked, tail},
};

/// A clamd that runs.
#[derive(Debug)]
pub struct Clamd {
    socket: PathBuf,
    samples: PathBuf,
    log: PathBuf,
    _process: Process,
}

impl Clamd {
    /// Starts it in the relay's namespace. It needs no freshclam: its signature is that of ClamAV's own test file.
    ///
    /// # Errors
    /// That it was not unpacked, or does not listen in time.
    pub fn start(lab: &Lab) -> Result<Self> {
        let package = lab.binaries().peer("clamav")?;
        let dir = lab.dir().join("clamd");
        let database = dir.join("database");
        fs::create_dir_all(&database)?;
        let samples = package.join("usr/share/clamav-testfiles");
        fs::write(database.join("lab.hdb"), signature(&samples.join(SAMPLE))?)?;
        let shown = dir.display();
        let config = dir.join("clamd.conf");
        fs::write(
            &config,
            format!(
                "Foreground yes\nLogFile {shown}/log\nDatabaseDirectory {shown}/database\n\
                 TemporaryDirectory {shown}\nLocalSocket {shown}/clamd.ctl\n"
            ),
        )?;
        let mut command = lab
            .namespace(Host::Relay)
            .command(package.join("usr/sbin/clamd"));
        command.arg(format!("--config-file={}", config.display()));
        let mut process = Process::spawn("clamd", &mut command, &dir.join("out"))?;
        let socket = dir.join("clamd.ctl");
        process.wait_until("clamd to listen", START_LIMIT, || {
            Ok(UnixStream::connect(&socket).ok().map(drop))
        })?;
        Ok(Self {
            socket,
            samples,
            log: dir.join("log"),
            _process: process,
        })
    }

    /// A `[[scanner]]` of a relay that asks it.
    #[must_use]
    pub fn scanner(&self) -> String {
        format!(
            "\n[[scanner]]\nkind = \"clamd\"\nsocket = \"{}\"\n",
            self.socket.display()
        )
    }

    /// A file of ClamAV's that it finds its signature in, as `clam.zip`.
    ///
    /// # Errors
    /// That there is no such file.
    pub fn sample(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.samples.join(name);
        fs::read(&path).with_context(|| path.display().to_string())
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

/// A line of a .hdb: digest, length, name.
fn signature(sample: &Path) -> Result<String> {
    let digest = checked(Command::new("md5sum").arg(sample))?;
    let digest = String::from_utf8(digest.stdout)?;
    let digest = digest.split(' ').next().unwrap_or_default();
    let octets = fs::metadata(sample)?.len();
    Ok(format!("{digest}:{octets}:{SIGNATURE}\n"))
}

/// What it says of what it finds.
pub const SIGNATURE: &str = "Lab-Test-File";
const SAMPLE: &str = "clam.exe";
const START_LIMIT: Duration = Duration::from_secs(30);
