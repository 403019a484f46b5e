//! rspamd as Debian configures it, without the network: what it says of a message by the message alone.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use relay::classifier::figures::Scored;
use serde::Deserialize;
use tempfile::TempDir;

use super::corpus::Mail;

/// A running one; ends with this.
#[derive(Debug)]
pub(super) struct Rspamd {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

#[derive(Deserialize)]
struct Answer {
    score: f64,
}

impl Rspamd {
    /// Starts one in a directory of its own and waits until it answers.
    pub(super) fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // Whoever is given a port by the system may have it a moment later.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let path = directory.path().display().to_string();
        let config = directory.path().join("rspamd.conf");
        fs::write(&config, configuration(&path, address))?;
        let overrides = directory.path().join("override.d");
        fs::create_dir_all(&overrides)?;
        for module in NETWORK {
            fs::write(
                overrides.join(format!("{module}.conf")),
                "enabled = false;\n",
            )?;
        }
        fs::write(
            overrides.join("classifier-bayes.conf"),
            "autolearn = false;\n",
        )?;
        let variables = [
            ("LOCAL_CONFDIR", &path),
            ("DBDIR", &path),
            ("RUNDIR", &path),
            ("LOGDIR", &path),
        ];
        let process = Command::new("rspamd")
            .args(["--no-fork", "--insecure", "--config"])
            .arg(&config)
            .args(
                variables
                    .iter()
                    .flat_map(|(name, value)| ["--var".to_owned(), format!("{name}={value}")]),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("rspamd")?;
        let mut rspamd = Self {
            process,
            address,
            directory,
        };
        let begun = Instant::now();
        while rspamd.ask(b"Subject: x\r\n\r\nx\r\n").is_err() {
            let ended = rspamd.process.try_wait()?;
            if ended.is_some() || begun.elapsed() > START {
                let log = fs::read_to_string(rspamd.directory.path().join("rspamd.log"));
                bail!(
                    "rspamd does not answer: {ended:?} {}",
                    log.unwrap_or_default()
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(rspamd)
    }

    /// Its scores, in the order of `mail`.
    pub(super) fn scores(&self, mail: &[&Mail]) -> Result<Vec<Scored>> {
        let next = AtomicUsize::new(0);
        let worker = || -> Result<Vec<(usize, f64)>> {
            let mut scores = Vec::new();
            loop {
                let at = next.fetch_add(1, Relaxed);
                let Some(mail) = mail.get(at) else {
                    return Ok(scores);
                };
                scores.push((at, self.ask(&mail.content()?)?));
            }
        };
        let scores: Vec<Result<Vec<(usize, f64)>>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|_| bail!("a thread panicked"))
            };
            workers.into_iter().map(join).collect()
        });
        let mut all = Vec::new();
        for scores in scores {
            all.extend(scores?);
        }
        all.sort_by_key(|(at, _)| *at);
        ensure!(
            all.len() == mail.len(),
            "rspamd has not judged every message"
        );
        let scored = all.iter().zip(mail).map(|((_, score), mail)| Scored {
            score: *score,
            label: mail.example.label(),
        });
        Ok(scored.collect())
    }

    fn ask(&self, content: &[u8]) -> Result<f64> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let head = format!(
            "POST /checkv2 HTTP/1.0\r\nContent-Length: {}\r\nsettings: {{}}\r\n\r\n",
            content.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(content)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let at = memchr::memmem::find(&answer, b"\r\n\r\n")
            .context("rspamd's answer has no end of header")?;
        let answer: Answer =
            serde_json::from_slice(&answer[at + 4..]).context("rspamd's answer")?;
        Ok(answer.score)
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Debian's rules and scores around one worker of our own.
fn configuration(directory: &str, address: SocketAddr) -> String {
    format!(
        r#"
.include "$CONFDIR/common.conf"
options {{
    .include "$CONFDIR/options.inc"
    pidfile = "{directory}/rspamd.pid";
    control_socket = "{directory}/control.sock mode=0600";
    local_addrs = [];
    dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.05s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "warning"; }}
worker "normal" {{ bind_socket = "{address}"; count = 2; }}
"#
    )
}

/// Modules that ask somebody, or know what only a receiver knows.
const NETWORK: [&str; 20] = [
    "antivirus",
    "arc",
    "asn",
    "dcc",
    "dkim",
    "dkim_signing",
    "dmarc",
    "elastic",
    "external_services",
    "fuzzy_check",
    "greylist",
    "history_redis",
    "hfilter",
    "mx_check",
    "neural",
    "rbl",
    "reputation",
    "spf",
    "surbl",
    "url_redirector",
];
const AT_ONCE: usize = 4;
/// It compiles its expressions first, which takes a minute and on a busy machine several.
const START: Duration = Duration::from_secs(900);
const ANSWER: Duration = Duration::from_secs(60);
