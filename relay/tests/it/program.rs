//! The real program with everything it needs in one directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::host::Running;
use crate::namespace::{RELAY, RELAY6};

/// One directory: configuration, controller's socket, cache, spill directory, log.
pub(crate) struct Home {
    directory: TempDir,
    /// Lines of TOML: listeners, and how they learn of origins.
    listeners: String,
    /// It has a controller, in the directory.
    controlled: bool,
    /// More tables of TOML.
    tables: String,
}

/// The running program.
pub(crate) struct Program {
    process: Running,
    notifications: UnixDatagram,
}

impl Home {
    /// For connections whose destination the edge rewrites to the relay's addresses.
    pub(crate) fn new(pin_dir: &Path) -> Self {
        let pin_dir = pin_dir.display();
        Self::with(format!(
            "listen = [\"{RELAY}:2525\", \"[{RELAY6}]:2525\"]\norigin.pin_dir = \"{pin_dir}\""
        ))
    }

    /// For connections that the edge steers to the relay.
    pub(crate) fn steered() -> Self {
        Self::with("transparent = [\"0.0.0.0:25\", \"[::]:25\"]".into())
    }

    fn with(listeners: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("spill")).unwrap();
        Self {
            directory,
            listeners,
            controlled: true,
            tables: String::new(),
        }
    }

    /// For ranges that these tables authorise, without an edge and perhaps without a controller.
    pub(crate) fn authorised(controlled: bool, tables: &str) -> Self {
        Self {
            controlled,
            tables: tables.into(),
            ..Self::with(String::new())
        }
    }

    /// More of its configuration.
    pub(crate) fn add_table(&mut self, table: &str) {
        self.tables += table;
    }

    /// These tables, and no others.
    pub(crate) fn set_tables(&mut self, tables: &str) {
        self.tables = tables.into();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lets a program of another user read its configuration, and write its files.
    pub(crate) fn open_to_everybody(&self) {
        for directory in [self.directory.path(), &self.path("spill")] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
        }
    }

    /// The program under these words (`unshare ...`).
    pub(crate) fn command(&self, under: &[&str]) -> Command {
        let path = self.directory.path().display();
        let controller = if self.controlled {
            format!(
                "[controller]\nsocket = \"{path}/outgated.sock\"\ncache = \"{path}/snapshot.json\"\n"
            )
        } else {
            String::new()
        };
        let config = format!(
            r#"
name = "relay-1"
operator = "Example Hosting"
hostname = "relay-1.example.net"
help_url = "https://abuse.example.net/smtp"
log = "debug"
{listeners}
state_dir = "{path}"
{controller}
[message]
memory_octets = 1000
spill_dir = "{path}/spill"
[limits]
drain = "5s"
{dns}
[[scanner]]
kind = "builtin"
{tables}
"#,
            listeners = self.listeners,
            dns = if self.tables.contains("[dns]") {
                ""
            } else {
                "[dns]\nservers = []"
            },
            tables = self.tables,
        );
        fs::write(self.path("relay.toml"), config).unwrap();
        let program = env!("CARGO_BIN_EXE_outgate-relay");
        let config = self.path("relay.toml").display().to_string();
        let words: Vec<&str> = [under, &[program, "--config", &config]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.current_dir(self.directory.path());
        command
    }

    /// Starts, and waits until it is ready.
    pub(crate) fn start(&self) -> Program {
        self.start_under(&[])
    }

    pub(crate) fn start_under(&self, under: &[&str]) -> Program {
        let socket = self.path("notify.sock");
        if socket.exists() {
            fs::remove_file(&socket).unwrap();
        }
        let notifications = UnixDatagram::bind(&socket).unwrap();
        // The program may be somebody else than the test.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let log = fs::File::create(self.path("relay.log")).unwrap();
        let process = Running::start(
            self.command(under)
                .env("NOTIFY_SOCKET", &socket)
                .stderr(Stdio::from(log)),
        );
        let program = Program {
            process,
            notifications,
        };
        assert_eq!(program.notification(), "READY=1", "{}", self.log());
        program
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("relay.log")).unwrap()
    }
}

impl Program {
    /// The next word to the service manager.
    pub(crate) fn notification(&self) -> String {
        self.notification_within(NOTIFIED)
            .unwrap_or_else(|| "nothing".into())
    }

    /// The next word, if one comes within that time.
    pub(crate) fn notification_within(&self, limit: Duration) -> Option<String> {
        self.notifications.set_read_timeout(Some(limit)).unwrap();
        let mut octets = [0; 256];
        let count = self.notifications.recv(&mut octets).ok()?;
        let word = String::from_utf8(octets[..count].to_vec()).unwrap();
        Some(word.trim().to_owned())
    }

    /// The next word that is neither of a reload nor of a beat.
    fn last_word(&self) -> String {
        loop {
            let word = self.notification();
            if !["RELOADING=1", "READY=1", "WATCHDOG=1"]
                .iter()
                .any(|before| word.starts_with(before))
            {
                return word;
            }
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Its process, which ends with the test all the same.
    pub(crate) fn into_process(self) -> Running {
        self.process
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.0), signal).unwrap();
    }

    /// SIGTERM, and how it ends.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        assert_eq!(self.last_word(), "STOPPING=1");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

const NOTIFIED: Duration = Duration::from_secs(20);
