//! Webhooks: a real endpoint that verifies by its own code, refuses, goes away, and comes back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use serde_json::Value;

use crate::{command::said, lab::Lab};

/// An endpoint on loopback, in the controller's namespace.
struct Endpoint {
    name: &'static str,
    address: &'static str,
    port: u16,
    directory: tempfile::TempDir,
    server: Option<Child>,
}

impl Endpoint {
    fn new(name: &'static str, address: &'static str, port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = Self {
            name,
            address,
            port,
            directory,
            server: None,
        };
        endpoint.write("known", FIRST);
        endpoint.write("secret", FIRST);
        endpoint.answers("");
        endpoint.write("log", "");
        endpoint
    }

    /// The same, with TLS.
    fn with_tls(self, authority: &CertifiedIssuer<'static, KeyPair>) -> Self {
        let mut params = CertificateParams::new([self.address.to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "of a test");
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, authority).unwrap();
        self.write("server.pem", &leaf.pem());
        self.write("server.key", &key.serialize_pem());
        self.write("ca.pem", &authority.pem());
        self
    }

    fn start(&mut self, lab: &Lab) {
        let mut command = lab.inside("python3");
        command.arg(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control_plane/webhook_server.py"),
        );
        command
            .args([self.address, &self.port.to_string()])
            .arg(self.directory.path());
        self.server = Some(command.stdin(Stdio::null()).spawn().unwrap());
        lab.until("the endpoint listens", |lab| {
            let listens = format!("sport = :{}", self.port);
            said(lab.inside("ss").args(["-Hltn", &listens]))
                .out
                .contains("LISTEN")
        });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// What it answers to the next requests that it believes; to all others 204.
    fn answers(&self, statuses: &str) {
        self.write("answers", statuses);
    }

    fn configured(&self, events: &str) -> String {
        let host = if self.address.contains(':') {
            format!("[{}]", self.address)
        } else {
            self.address.to_owned()
        };
        let (scheme, ca_file) = match self.file("ca.pem").exists() {
            true => ("https", format!("ca_file = {:?}\n", self.file("ca.pem"))),
            false => ("http", String::new()),
        };
        format!(
            "\n[[webhook]]\nname = {:?}\nurl = \"{scheme}://{host}:{}/hook?key=hidden\"\nevents = {events}\n\
             secret_file = {:?}\n{ca_file}timeout = \"3s\"\n",
            self.name,
            self.port,
            self.file("secret")
        )
    }

    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("log")).unwrap();
        // The last line may be half written.
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Numbers of events, in the order in which it was told them, with what it answered.
    fn told(&self) -> Vec<(u64, u64)> {
        let told = self.log().into_iter();
        let told = told.map(|it| (it["id"].as_u64().unwrap(), it["status"].as_u64().unwrap()));
        told.filter(|(id, _)| *id != 0).collect()
    }

    /// Numbers of events that it took.
    fn taken(&self) -> Vec<u64> {
        let taken = self.told().into_iter().filter(|(_, status)| *status == 204);
        taken.map(|(id, _)| id).collect()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A controller that tells these endpoints events of these kinds.
fn telling(endpoints: &[(&Endpoint, &str)]) -> Lab {
    let mut lab = Lab::new();
    let up = said(lab.inside("ip").args(["link", "set", "lo", "up"]));
    assert_eq!(up.code, 0, "{up:?}");
    let hooks = endpoints
        .iter()
        .map(|(endpoint, events)| endpoint.configured(events));
    let text = lab.text() + &hooks.collect::<String>();
    fs::write(lab.config(), text).unwrap();
    lab.start();
    lab
}

#[track_caller]
fn flag(lab: &Lab, target: &str) {
    lab.json(
        0,
        &[
            "flag", "add", target, "--reason", "spam run", "--action", "drop",
        ],
    );
}

/// Numbers of the controller's events of kinds that begin so.
fn happened(lab: &Lab, kind: &str) -> Vec<u64> {
    let events = lab.json(0, &["events", "--limit", "1000"]);
    let events = events.as_array().unwrap().iter();
    let events = events.filter(|event| event["kind"].as_str().unwrap().starts_with(kind));
    events.map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// What `outgate webhook ls` says of one.
fn listed(lab: &Lab, name: &str) -> Value {
    let all = lab.json(0, &["webhook", "ls"]);
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .find(|hook| hook["name"] == name);
    found.unwrap().clone()
}

fn meddle(lab: &Lab, sql: &str) {
    let script =
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
    let said = said(
        Command::new("python3")
            .args(["-c", script])
            .arg(lab.database())
            .arg(sql),
    );
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn events_arrive_signed_and_in_order_whatever_the_endpoint_refuses() {
    let authority = authority();
    let mut four = Endpoint::new("four", "127.0.0.1", 9443).with_tls(&authority);
    let mut six = Endpoint::new("six", "::1", 9444).with_tls(&authority);
    let mut lab = telling(&[(&four, "[\"flag_*\"]"), (&six, "[\"*\"]")]);
    four.start(&lab);
    six.start(&lab);
    four.answers("503 302");
    flag(&lab, "192.0.2.10");
    lab.until("a refusal", |lab| listed(lab, "four")["state"] == "failing");
    flag(&lab, "2001:db8:a:a::10");
    lab.until("a second attempt by itself", |_| four.told().len() == 2);
    let hook = lab.json(0, &["webhook", "retry", "four", "--reason", "mended"]);
    assert_eq!(
        hook["endpoint"], "https://127.0.0.1:9443",
        "without what may be secret"
    );
    let expected = happened(&lab, "flag_");
    assert_eq!(expected.len(), 4);
    lab.until("all are told", |_| four.taken() == expected);
    let told = four.told();
    assert_eq!(
        told[..3],
        [(expected[0], 503), (expected[0], 302), (expected[0], 204)]
    );
    lab.until("all of all are told", |lab| {
        six.taken() == happened(lab, "")
    });

    let first = &four.log()[2];
    assert_eq!(
        (&first["path"], &first["signatures"]),
        (&"/hook?key=hidden".into(), &1.into())
    );
    assert_eq!(first["event"]["seq"], expected[0]);
    assert_eq!(first["event"]["kind"], "flag_added");
    assert_eq!(first["event"]["customer"], "192.0.2.10/32");
    assert_eq!(first["event"]["detail"]["reason"], "spam run");
    let page = lab
        .inside("curl")
        .args(["-sS", "--unix-socket"])
        .arg(lab.socket())
        .arg("http://outgated/metrics")
        .output();
    let page = String::from_utf8(page.unwrap().stdout).unwrap();
    for line in [
        "outgated_webhook_delivered_total{webhook=\"four\"} 4",
        "outgated_webhook_failed_total{webhook=\"four\"} 2",
        "outgated_webhook_lost_total{webhook=\"four\"} 0",
        "outgated_webhook_stopped{webhook=\"six\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }

    // Killed: what comes afterwards is told, what was told before is not.
    lab.until("it is kept", |lab| listed(lab, "six")["lag"] == 0);
    lab.end(Signal::KILL);
    lab.start();
    flag(&lab, "192.0.2.11");
    let expected = happened(&lab, "flag_");
    lab.until("it goes on", |_| four.taken() == expected);
    let (taken, all) = (six.taken(), happened(&lab, ""));
    let again = taken.len()
        - taken
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len();
    assert!(
        again <= 16 && taken.windows(2).all(|pair| pair[0] <= pair[1] || again > 0),
        "{taken:?} {all:?}"
    );
    let row = "SELECT 1 FROM audit WHERE kind = 'webhook retried' AND subject = 'webhook:four'";
    let script =
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())";
    let trail = said(
        Command::new("python3")
            .args(["-c", script])
            .arg(lab.database())
            .arg(row),
    );
    assert_eq!(trail.out.trim(), "[(1,)]", "{trail:?}");
}

#[test]
fn a_secret_is_changed_without_a_restart_and_a_test_says_what_is_answered() {
    let mut hook = Endpoint::new("hook", "127.0.0.1", 9443);
    let lab = telling(&[(&hook, "[\"flag_*\"]")]);
    let said = lab.outgate(&["webhook", "test", "hook"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("not taken: connecting: "), "{said:?}");
    hook.start(&lab);
    let test = lab.json(0, &["webhook", "test", "hook"]);
    assert_eq!(
        (&test["took"], &test["status"]),
        (&true.into(), &204.into())
    );
    let ping = &hook.log()[0];
    assert_eq!(
        (&ping["id"], &ping["event"]["kind"]),
        (&0.into(), &"ping".into())
    );

    hook.answers("500");
    let test = lab.json(1, &["webhook", "test", "hook"]);
    assert_eq!(
        test["answer"].as_str().unwrap().len(),
        4096,
        "no more than that is read"
    );
    hook.answers("302");
    let said = lab.outgate(&["webhook", "test", "hook"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("302: redirections are not followed"),
        "{said:?}"
    );
    assert!(hook.log().iter().all(|it| it["path"] == "/hook?key=hidden"));

    // The endpoint knows another secret; ours has both; ours has the new one.
    hook.write("known", SECOND);
    assert_eq!(lab.json(1, &["webhook", "test", "hook"])["status"], 401);
    hook.write("secret", &format!("{FIRST}\n{SECOND}\n"));
    assert_eq!(lab.json(0, &["webhook", "test", "hook"])["status"], 204);
    assert_eq!(hook.log().last().unwrap()["signatures"], 2);
    hook.write("secret", SECOND);
    assert_eq!(lab.json(0, &["webhook", "test", "hook"])["status"], 204);
    fs::remove_file(hook.file("secret")).unwrap();
    let said = lab.outgate(&["webhook", "test", "hook"]);
    assert!(said.out.contains("secret_file"), "{said:?}");

    assert_eq!(lab.outgate(&["webhook", "test", "other"]).code, 2);
    let said = lab.outgate(&["webhook", "retry", "other"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("there are: hook"), "{said:?}");
    let (status, body) = lab.http("POST /v1/webhooks/hook/retry", "{\"reason\": \"r\"}");
    assert_eq!((status, &body["error"]["kind"]), (409, &"guard".into()));
    // What cannot be signed is a mistake in the configuration.
    let mut check = Command::new(env!("CARGO_BIN_EXE_outgated"));
    let said = crate::command::said(check.arg("--config").arg(lab.config()).arg("--check"));
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains("webhook hook: secret_file"), "{said:?}");
}

#[test]
fn one_that_is_gone_or_dead_holds_up_nobody() {
    let mut gone = Endpoint::new("gone", "127.0.0.1", 9443);
    let dead = Endpoint::new("dead", "::1", 9444);
    let mut good = Endpoint::new("good", "::1", 9445);
    let mut lab = telling(&[
        (&gone, "[\"flag_added\"]"),
        (&dead, "[\"flag_added\", \"webhook_*\"]"),
        (&good, "[\"flag_*\"]"),
    ]);
    gone.start(&lab);
    good.start(&lab);
    gone.answers("410");
    flag(&lab, "192.0.2.10");
    flag(&lab, "2001:db8:a:a::10");
    let expected = happened(&lab, "flag_");
    lab.until("the good one hears all", |_| good.taken() == expected);
    lab.until("one has stopped", |lab| {
        listed(lab, "gone")["state"] == "stopped"
    });
    lab.until("one fails", |lab| listed(lab, "dead")["state"] == "failing");
    assert_eq!(happened(&lab, "webhook_stopped").len(), 1);
    let said = lab.outgate(&["webhook", "ls"]);
    assert!(
        said.out.contains("stopped") && said.out.contains("failing, "),
        "{said:?}"
    );
    assert!(!said.out.contains("hidden"), "{said:?}");

    // It stays so over a restart, until somebody says otherwise; then nothing is missing.
    lab.end(Signal::TERM);
    lab.start();
    flag(&lab, "192.0.2.11");
    let expected = happened(&lab, "flag_");
    lab.until("the good one goes on", |_| good.taken() == expected);
    assert_eq!(gone.told().len(), 1);
    assert_eq!(listed(&lab, "gone")["state"], "stopped");
    lab.json(0, &["webhook", "retry", "gone", "--reason", "it is back"]);
    let added = happened(&lab, "flag_added");
    lab.until("it hears what it missed", |_| gone.taken() == added);

    // Three days later, nothing is kept for the dead one.
    lab.end(Signal::TERM);
    meddle(
        &lab,
        "UPDATE webhooks SET failing_us = failing_us - 259200000000, next_us = 0 WHERE name = 'dead'",
    );
    meddle(&lab, "UPDATE events SET at_us = at_us - 259200000000");
    lab.start();
    lab.until("it is told", |lab| {
        !happened(lab, "webhook_lost").is_empty()
    });
    let lost = lab.json(0, &["events", "--kind", "webhook_lost"]);
    let detail = &lost[0]["detail"];
    assert_eq!(
        (&detail["webhook"], &detail["first"]),
        (&"dead".into(), &added[0].into())
    );
    assert_eq!(
        (&detail["last"], &detail["events"]),
        (&added[2].into(), &4.into()),
        "three flags, and who stopped"
    );
    assert!(listed(&lab, "dead")["through"].as_u64().unwrap() >= added[2]);
    assert_eq!(good.taken(), expected);
}

/// As `openssl rand -hex 16` makes them.
const FIRST: &str = "00112233445566778899aabbccddeeff";
const SECOND: &str = "ffeeddccbbaa99887766554433221100";
