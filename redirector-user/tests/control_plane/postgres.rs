//! A real PostgreSQL of Debian's, in a directory of its own, behind a Unix socket: one server, a database for each who asks.
//!
//! A shell holds it and ends when the test's process does, however that ends: it reads from a pipe that nobody writes to.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A server; it ends when this is dropped, or with the process.
pub(crate) struct Postgres {
    directory: PathBuf,
    through: String,
    settings: String,
    holder: Option<(Child, ChildStdin)>,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        Self::start_with("", "-c listen_addresses=", |_| ())
    }

    /// The same, through a command, with settings, and with what is to be done to its directory of data before.
    pub(crate) fn start_with(through: &str, settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        // Short: the name of a socket has 107 octets.
        let directory = PathBuf::from(format!("/tmp/ogpg{}x{number}", std::process::id()));
        drop(fs::remove_dir_all(&directory));
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let mut chown = Command::new("chown");
        chown.arg("postgres").arg(&directory);
        assert!(done(&mut chown), "chown postgres: install postgresql");
        let data = directory.join("data");
        let made = as_postgres(&binary("initdb"))
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        prepare(&data);
        let mut server = Self {
            directory,
            through: through.to_owned(),
            settings: settings.to_owned(),
            holder: None,
        };
        server.again();
        server
    }

    /// Starts it after [`Postgres::stop`].
    pub(crate) fn again(&mut self) {
        let directory = self.directory.display();
        let (through, settings) = (&self.through, &self.settings);
        let script = format!(
            "{through} setpriv --reuid=postgres --regid=postgres --clear-groups {} -D {directory}/data -k {directory} \
             {settings} -c max_connections=300 >>{directory}/log 2>&1 & server=$!; \
             read -r word; kill -INT $server; wait $server; [ \"$word\" = keep ] || rm -rf {directory}",
            binary("postgres").display()
        );
        let mut holder = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = holder.stdin.take().unwrap();
        self.holder = Some((holder, pipe));
        let begun = Instant::now();
        while !self.answers() {
            let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "{log}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it as `systemctl stop` does; what is connected is told so.
    pub(crate) fn stop(&mut self) {
        self.end("keep\n");
    }

    /// Makes an empty database; answers with its address.
    pub(crate) fn database(&self) -> String {
        let name = format!("store{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        assert!(self.psql("postgres", &format!("CREATE DATABASE {name}")));
        self.url(&name)
    }

    /// Runs a statement as its owner does.
    pub(crate) fn psql(&self, database: &str, statement: &str) -> bool {
        let mut psql = Command::new("psql");
        psql.args(["-qXU", "postgres", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(&self.directory)
            .args([database, "-c", statement]);
        done(&mut psql)
    }

    fn url(&self, database: &str) -> String {
        let directory = self.directory.display();
        format!("postgresql:///{database}?host={directory}&user=postgres")
    }

    fn answers(&self) -> bool {
        self.psql("postgres", "SELECT 1")
    }

    fn end(&mut self, word: &str) {
        if let Some((mut holder, mut pipe)) = self.holder.take() {
            drop(pipe.write_all(word.as_bytes()));
            drop(pipe);
            drop(holder.wait());
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end("\n");
    }
}

fn done(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Debian keeps the servers' programs out of the path.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("install postgresql");
    let programs = versions.map(|version| version.unwrap().path().join("bin").join(name));
    let there = programs.filter(|program| program.exists());
    there.max().expect("install postgresql")
}

/// The server refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
        .current_dir("/");
    command
}

static SERVERS: AtomicU32 = AtomicU32::new(0);
static DATABASES: AtomicU32 = AtomicU32::new(0);
