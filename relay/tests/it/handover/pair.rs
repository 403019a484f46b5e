//! Two relays that know each other, each in a directory of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Output;

use relay::config::{Config, Fingerprint};
use relay::message::Message;
use relay::spool::Spool;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queued::{Egress, Queued, Source, UnixMillis};

use crate::host::wait_until;
use crate::program::{Home, Program};
use crate::sink::Sink;

/// A relay.
pub(super) struct Site {
    pub(super) home: Home,
    /// Where it takes mail of others.
    pub(super) listen: SocketAddr,
    pub(super) fingerprint: Fingerprint,
    /// The other one, as this one knows it.
    pub(super) other: (SocketAddr, Fingerprint),
    route: SocketAddr,
    pub(super) on_drain: bool,
    pub(super) max_octets: u64,
    program: Option<Program>,
}

/// A message in a spool.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) to: Vec<String>,
    pub(super) content: String,
    /// Recipients that are done.
    pub(super) done: Vec<usize>,
}

/// So many lines. No block of a file ends where one of them does, as good as never: half a message at the sink must not look
/// like a whole one.
pub(super) fn lines(count: usize) -> String {
    format!("{}\r\n", "0123456789abcdef".repeat(6)).repeat(count)
}

impl Letter {
    pub(super) fn to(to: &[&str], content: &str) -> Self {
        Self {
            to: to.iter().map(ToString::to_string).collect(),
            content: content.into(),
            done: Vec::new(),
        }
    }
}

impl Site {
    /// Two of them; what they deliver goes to `route`.
    pub(super) fn pair(family: &str, route: SocketAddr) -> (Self, Self) {
        let (mut one, mut other) = (Self::alone(family, route), Self::alone(family, route));
        one.other = (other.listen, other.fingerprint);
        other.other = (one.listen, one.fingerprint);
        (one, other)
    }

    fn alone(family: &str, route: SocketAddr) -> Self {
        let home = Home::authorised(false, "");
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["peer.example.net".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(home.path("peer.pem"), certificate.pem()).unwrap();
        fs::write(home.path("peer.key"), key.serialize_pem()).unwrap();
        let listen = free(family.parse().unwrap());
        let fingerprint = Fingerprint::of(certificate.der());
        Self {
            home,
            listen,
            fingerprint,
            other: (listen, fingerprint),
            route,
            on_drain: false,
            max_octets: 64 << 20,
            program: None,
        }
    }

    /// What it delivers goes elsewhere.
    pub(super) fn route(&mut self, route: SocketAddr) {
        self.route = route;
    }

    /// Writes its configuration.
    pub(super) fn configure(&mut self) {
        let path = self.home.path("").display().to_string();
        let path = path.trim_end_matches('/');
        let (other, fingerprint) = &self.other;
        let submission = free("127.0.0.1".parse().unwrap());
        let on_drain = match self.on_drain {
            true => "hand_over_on_drain = \"other\"",
            false => "",
        };
        self.home.set_tables(&format!(
            r#"
[[authorised]]
listen = ["{submission}"]
from = ["192.0.2.0/24"]
destination = "so-original-dst"
[spool]
dir = "{path}/spool"
segment_octets = 1048576
large_octets = 4096
max_octets = {max_octets}
[[route]]
domain = "*"
to = ["{route}"]
[peers]
listen = ["{listen}"]
certificate = "{path}/peer.pem"
key = "{path}/peer.key"
{on_drain}
[[peers.relay]]
name = "other"
address = ["{other}"]
fingerprint = ["{fingerprint}"]
"#,
            max_octets = self.max_octets,
            route = self.route,
            listen = self.listen,
        ));
        drop(self.home.command(&[]));
    }

    /// Puts messages into its spool while it does not run; their names.
    pub(super) fn fill(&mut self, letters: &[Letter]) -> Vec<String> {
        self.configure();
        let config = Config::read(&self.home.path("relay.toml")).unwrap();
        let (spool, recovered) = Spool::open(&config.spool.unwrap()).unwrap();
        drop(recovered);
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(async {
            let mut ids = Vec::new();
            for letter in letters {
                let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
                let id = spool.next_id(UnixMillis(now));
                let queued = Queued {
                    id,
                    arrived: UnixMillis(now - 60_000),
                    source: Source::Customer {
                        address: "2001:db8:a:a::10".parse().unwrap(),
                        original_dst: None,
                        ehlo: None,
                        tls: true,
                        flag_id: Some(17),
                user: None,
            },
                    egress: Egress::Pool,
                    mail: Mail {
                        ret: "HDRS".parse().ok(),
                        envelope_id: "QQ314159".parse().ok(),
                        ..Mail::new("<sender@customer.example>".parse().unwrap())
                    },
                    recipients: letter
                        .to
                        .iter()
                        .map(|to| Recipient {
                            original: format!("rfc822;{to}").parse().ok(),
                            ..Recipient::new(format!("<{to}>").parse().unwrap())
                        })
                        .collect(),
                    trace: format!(
                        "Received: from customer.example by relay-1.example.net id {id}\r\nX-Outgate-Id: {id}\r\n"
                    ),
                    may_notify: true,
                    held: None,
                };
                let content = Message::from(bytes::Bytes::from(letter.content.clone()));
                spool.store(&queued, &content).await.unwrap();
                spool.finish(id, &letter.done);
                ids.push(id.to_string());
            }
            spool.flush().await.unwrap();
            ids
        })
    }

    /// What people have said to its queue.
    pub(super) fn said(&self, paused: bool, held: &[String]) {
        let said = serde_json::json!({
            "everything_paused": paused,
            "paused_domains": [],
            "paused_sites": [],
            "held": held,
        });
        fs::write(self.home.path("queue.json"), said.to_string()).unwrap();
    }

    pub(super) fn start(&mut self) {
        self.configure();
        // A queue that does not know until when it was alive tries everything.
        let _absent = fs::remove_file(self.home.path("queue.alive")).is_err();
        self.program = Some(self.home.start());
    }

    /// SIGTERM.
    pub(super) fn stop(&mut self) {
        let program = self.program.take().unwrap();
        assert!(program.stop().success(), "{}", self.home.log());
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        let mut running = self.program.take().unwrap().into_process();
        running.0.kill().unwrap();
        running.0.wait().unwrap();
    }

    /// The program with these words, until it ends.
    pub(super) fn output(&mut self, words: &[&str]) -> Output {
        if self.program.is_none() {
            self.configure();
        }
        let program = env!("CARGO_BIN_EXE_outgate-relay");
        let config = self.home.path("relay.toml");
        let mut command = std::process::Command::new(program);
        command.arg("--config").arg(config).args(words);
        command.output().unwrap()
    }

    /// What it says; it must end like this.
    #[track_caller]
    pub(super) fn runs(&mut self, words: &[&str], code: i32) -> String {
        let output = self.output(words);
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {said}\n{errors}\n{}",
            fs::read_to_string(self.home.path("relay.log")).unwrap_or_default()
        );
        if code == 0 { said } else { said + &errors }
    }

    /// Hands over to the other.
    #[track_caller]
    pub(super) fn transfer(&mut self, options: &[&str], code: i32) -> String {
        self.runs(
            &[&["spool", "transfer", "--to", "other"], options].concat(),
            code,
        )
    }

    /// Jobs of its queue, or messages of its spool while it does not run.
    #[track_caller]
    pub(super) fn queued(&mut self) -> usize {
        let what = match self.program {
            Some(_) => ["queue", "ls", "-j"],
            None => ["spool", "ls", "-j"],
        };
        let list: serde_json::Value = serde_json::from_str(&self.runs(&what, 0)).unwrap();
        list.as_array().unwrap().len()
    }
}

/// Waits until the sink has so many messages, and the relay that sends them so many left: it has heard that they are whole.
#[track_caller]
pub(super) fn wait_for(site: &mut Site, left: usize, sink: &Sink, count: usize) {
    wait_until(
        &format!("{count} messages at the sink, {left} left"),
        || sink.written() == count && site.queued() == left,
    );
}

fn free(address: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).unwrap();
    listener.local_addr().unwrap()
}
