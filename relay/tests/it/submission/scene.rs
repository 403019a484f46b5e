//! A relay with listeners of submission alone, its users, a resolver, a server of each family, and clients.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroU32;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{digest, hmac, pbkdf2};
use contract::{ScramKeys, Snapshot, Submission, SubmissionUser};
use data_encoding::BASE64;

use crate::canary;
use crate::controller::Controller;
use crate::gate;
use crate::host::Running;
use crate::namespace::{MX, MX6, RELAY, RELAY6};
use crate::postfix::make_certificate;
use crate::program::{Home, Program};
use crate::resolver::Resolver;
use crate::road::{Place, Road};
use crate::sink::Sink;
use crate::steer::at;

pub(super) const PASSWORD: &str = "C4nary horse battery";
pub(super) const USER: &str = "ann@x.example";

const NAMES: &str = "\
four.example.net. MX 10 mx4.example.net.
mx4.example.net. A 203.0.113.10
six.example.net. MX 10 mx6.example.net.
mx6.example.net. AAAA 2001:db8:b:1::10
";

pub(super) struct Scene {
    // In the order in which they end.
    program: Program,
    pub(super) home: Home,
    pub(super) controller: Controller,
    pub(super) snapshot: Snapshot,
    pub(super) four: Sink,
    pub(super) six: Sink,
    _resolver: Resolver,
    pub(super) road: Road,
}

/// A client that waits for the test.
pub(super) struct Client {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _process: Running,
}

impl Scene {
    /// With these lines more in `[submission]`.
    pub(super) fn set(name: &str, more: &str) -> Self {
        let road = Road::build(&format!("sub{name}"));
        let resolver = road.inside(Place::Relay, || Resolver::start(NAMES, ""));
        let home = home(more);
        let snapshot = Snapshot {
            submission: Submission {
                users: vec![
                    user(USER, &[]),
                    SubmissionUser {
                        messages_per_hour: 3,
                        ..user("bound", &["bound.example"])
                    },
                ],
                decoy: "00ff".into(),
            },
            ..gate::snapshot()
        };
        let controller = Controller::start(&home.path("outgated.sock"), snapshot.clone());
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot).unwrap();
        let program = road.inside(Place::Relay, || home.start());
        let [four, six] = [MX, MX6].map(|mx| road.inside(Place::Mx, || Sink::at(at(mx, 25), &[])));
        Self {
            program,
            home,
            controller,
            snapshot,
            four,
            six,
            _resolver: resolver,
            road,
        }
    }

    /// What a script says that has `smtplib`, and the helpers of [`PROLOGUE`].
    pub(super) fn python(&self, script: &str) -> String {
        self.python_at(Place::Customer, script)
    }

    pub(super) fn python_at(&self, place: Place, script: &str) -> String {
        let output = self.road.inside(place, || {
            let mut command = self.command(script);
            command.stdin(Stdio::null()).output().unwrap()
        });
        let said = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{said}{error}\n{}",
            self.home.log()
        );
        said
    }

    /// The same, which waits where it says `wait()`.
    pub(super) fn client(&self, script: &str) -> Client {
        let mut process = self.road.inside(Place::Customer, || {
            let mut command = self.command(script);
            Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
        });
        Client {
            stdin: process.0.stdin.take().unwrap(),
            stdout: BufReader::new(process.0.stdout.take().unwrap()),
            _process: process,
        }
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg("-c")
            .arg(format!("{PROLOGUE}{script}"))
            .args([RELAY, USER, PASSWORD])
            .arg(self.home.path("certificate.pem"));
        command
    }

    /// msmtp, by this mechanism; what it says if it fails.
    pub(super) fn msmtp(
        &self,
        mechanism: &str,
        password: &str,
        from: &str,
        to: &str,
    ) -> Result<(), String> {
        let certificate = self.home.path("certificate.pem");
        let mut process = self.road.inside(Place::Customer, || {
            Command::new("msmtp")
                .args([
                    "-C",
                    "/dev/null",
                    "--port=587",
                    "--tls=on",
                    "--tls-starttls=on",
                ])
                .arg(format!("--host={RELAY}"))
                .arg(format!("--tls-trust-file={}", certificate.display()))
                .arg("--tls-host-override=relay-1.example.net")
                .args([&format!("--auth={mechanism}"), &format!("--user={USER}")])
                .arg(format!("--passwordeval=echo '{password}'"))
                .args([&format!("--from={from}"), to])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("msmtp is not installed")
        });
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"Subject: x\n\nx\n").unwrap();
        drop(stdin);
        let output = process.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    #[track_caller]
    pub(super) fn ends(self) {
        assert!(self.program.stop().success(), "{}", self.home.log());
        assert!(self.home.log().contains("DEBUG"), "{}", self.home.log());
        let log = self.home.log();
        assert!(!log.contains("argon2id"), "{log}");
        let spelt = [PASSWORD.to_owned(), BASE64.encode(PASSWORD.as_bytes())];
        let plain = BASE64.encode(format!("\0{USER}\0{PASSWORD}").as_bytes());
        let secrets = [&spelt[..], &[plain]].concat();
        canary::assert_absent_below(self.home.path("relay.toml").parent().unwrap(), &secrets);
        for sink in [&self.four, &self.six] {
            canary::assert_absent("what was delivered", sink.dialogue().as_bytes(), &secrets);
        }
    }
}

impl Client {
    /// The next line that it says.
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// It has waited for long enough.
    pub(super) fn go_on(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }
}

/// Everything for a relay with submission but what the controller says.
fn home(more: &str) -> Home {
    let mut home = Home::authorised(true, "");
    make_certificate(
        home.path("relay.log").parent().unwrap(),
        "relay-1.example.net",
    );
    let [spool, certificate, key] = ["spool", "certificate.pem", "key.pem"].map(|it| home.path(it));
    home.add_table(&format!(
        "[submission]\n\
         listen = [\"{RELAY}:587\", \"[{RELAY6}]:587\"]\n\
         listen_tls = [\"{RELAY}:465\", \"[{RELAY6}]:465\"]\n{more}\n\
         [tls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         [dns]\nservers = [\"127.0.0.1\"]\n[mta_sts]\noff = true\n\
         [spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n"
    ));
    home
}

/// A user of [`PASSWORD`], who may write as these domains.
fn user(name: &str, sender_domains: &[&str]) -> SubmissionUser {
    SubmissionUser {
        name: name.into(),
        password: argon2id(),
        scram: Some(scram()),
        sender_domains: sender_domains.iter().map(ToString::to_string).collect(),
        messages_per_hour: 100,
        recipients_per_message: 3,
    }
}

/// With the parameters that the controller has.
fn argon2id() -> String {
    let params = Params::new(
        contract::ARGON2_MEMORY_KIB,
        contract::ARGON2_PASSES,
        contract::ARGON2_LANES,
        None,
    );
    let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.unwrap())
        .hash_password(PASSWORD.as_bytes(), &salt)
        .unwrap()
        .to_string()
}

/// RFC 5802 section 3, by another library than the controller's.
fn scram() -> ScramKeys {
    let (salt, iterations) = (
        [7; 16],
        NonZeroU32::new(contract::SCRAM_ITERATIONS).unwrap(),
    );
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        &salt,
        PASSWORD.as_bytes(),
        &mut salted,
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    ScramKeys {
        salt: BASE64.encode(&salt),
        iterations: iterations.get(),
        stored_key: BASE64.encode(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref()),
        server_key: BASE64.encode(hmac::sign(&key, b"Server Key").as_ref()),
    }
}

/// `say` prints what a call came to; `TLS` trusts the relay's certificate and nobody else.
const PROLOGUE: &str = "
import smtplib, ssl, sys
RELAY, USER, PASSWORD, CERTIFICATE = sys.argv[1:]
TEXT = 'Subject: x\\n\\nx\\n'
class Named(ssl.SSLContext):
    def wrap_socket(self, sock, server_hostname=None, **rest):
        return super().wrap_socket(sock, server_hostname='relay-1.example.net', **rest)
TLS = Named(ssl.PROTOCOL_TLS_CLIENT)
TLS.load_verify_locations(CERTIFICATE)
def text(code, reply):
    return '%d %s' % (code, reply.decode())
def say(what, call, *arguments):
    try:
        result = call(*arguments)
        if isinstance(result, tuple):
            result = text(*result)
        elif isinstance(result, smtplib.SMTP):
            result = '235 '
    except smtplib.SMTPRecipientsRefused as error:
        result = str(error.recipients)
    except smtplib.SMTPResponseException as error:
        result = text(error.smtp_code, error.smtp_error)
    except smtplib.SMTPException as error:
        result = '%s %s' % (type(error).__name__, error)
    print('%s: %s' % (what, result), flush=True)
def connected():
    return smtplib.SMTP_SSL(RELAY, 465, context=TLS)
def login(user):
    s = connected()
    s.login(user, PASSWORD)
    return s
def wait():
    sys.stdin.readline()
";
