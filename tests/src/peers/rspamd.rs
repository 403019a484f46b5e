//! A private rspamd on the relay's loopback.

use std::{fs, os::unix::fs::chown, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    host::Host,
    lab::Lab,
    process::{Process, checked, tail},
};

/// An rspamd that runs.
#[derive(Debug)]
pub struct Rspamd {
    log: PathBuf,
    process: Process,
}

impl Rspamd {
    /// Starts it in the relay's namespace, with no module that would ask the network.
    ///
    /// # Errors
    /// That rspamd is not installed, or does not answer in time, with its log.
    pub fn start(lab: &Lab) -> Result<Self> {
        let dir = lab.dir().join("rspamd");
        fs::create_dir_all(&dir)?;
        let user =
            checked(Command::new("id").args(["-u", USER])).context("is rspamd installed?")?;
        chown(
            &dir,
            Some(String::from_utf8_lossy(&user.stdout).trim().parse()?),
            None,
        )?;
        let shown = dir.display();
        // Rspamd's own list of suffixes takes it seconds to compile.
        fs::write(dir.join("suffixes"), "com\nexample\nnet\norg\n")?;
        let log = dir.join("log");
        let config = dir.join("rspamd.conf");
        fs::write(
            &config,
            format!(
                r#"options {{
  pidfile = "{shown}/pid"; tempdir = "{shown}"; dynamic_conf = "{shown}/dynamic"; url_tld = "{shown}/suffixes";
  control_socket = "{shown}/control.sock mode=0600"; filters = ""; disable_hyperscan = true;
  dns {{ nameserver = ["127.0.0.1"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{}"; level = "info"; }}
actions {{ reject = 15; add_header = 6; }}
worker "normal" {{ bind_socket = "127.0.0.1:{PORT}"; count = 1; }}
"#,
                log.display()
            ),
        )?;
        let namespace = lab.namespace(Host::Relay);
        let mut command = namespace.command("rspamd");
        command
            .args(["-f", "-u", USER, "-g", USER, "-c"])
            .arg(&config);
        let mut process = Process::spawn("rspamd", &mut command, &dir.join("out"))?;
        process.wait_until("rspamd to listen", START_LIMIT, || {
            namespace.inside(|| {
                Ok(std::net::TcpStream::connect(("127.0.0.1", PORT))
                    .ok()
                    .map(drop))
            })
        })?;
        Ok(Self { log, process })
    }

    /// The URL that it scans at.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{PORT}/checkv2")
    }

    /// How many messages it has scanned.
    #[must_use]
    pub fn scanned(&self) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines()
            .filter(|line| line.contains("rspamd_task_write_log"))
            .count()
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Lets it outlive this guard.
    pub fn keep(&mut self) {
        self.process.keep();
    }
}

const USER: &str = "_rspamd";
const PORT: u16 = 11_333;
/// It compiles its rules first.
const START_LIMIT: Duration = Duration::from_secs(60);
