//! A destination that does what it is told to, for failures that no real server can be made to have: it
//! leaves between two commands or at a chosen octet, lets time pass, or changes its mind from one
//! connection to the next. To the limits that it offers (RFC 9422) it holds its clients without mercy.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay_proto::limits::Limits;
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// What it does on one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// Lines of its answer to EHLO; with STARTTLS among them it speaks TLS.
    pub(crate) offers: Vec<&'static str>,
    /// What it does when a line begins so; the first that fits. `"."` is the end of data. Everything else is
    /// taken with 250.
    pub(crate) acts: Vec<(&'static str, Act)>,
}

/// One thing that it does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Says this.
    Say(&'static str),
    /// Says this, and leaves.
    SayAndLeave(&'static str),
    /// Leaves without a word.
    Leave,
    /// Says this when [`Fickle::release`] has been called.
    Hold(&'static str),
    /// Lets this time pass on the held clock, then says this.
    Pass(Duration, &'static str),
    /// For DATA: says 354, and leaves after so many octets.
    LeaveInside(usize),
}

/// A running destination; ends with the test's runtime.
pub(crate) struct Fickle {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<Vec<Connection>>>,
    released: Arc<Notify>,
}

/// What one connection brought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    /// Who has connected.
    pub(crate) client: Option<IpAddr>,
    /// Its command lines.
    pub(crate) lines: Vec<String>,
    /// Messages that came to their end, dots as they were sent.
    pub(crate) messages: Vec<String>,
    /// Whether there was TLS at the end.
    pub(crate) tls: bool,
    /// The name that the client asked for in it.
    pub(crate) server_name: Option<String>,
}

impl Fickle {
    /// Does `scripts` one after the other, a connection each, and goes on with the last one.
    pub(crate) async fn start(scripts: Vec<Script>) -> Self {
        Self::at("127.0.0.1:0", scripts).await
    }

    /// The same at an address.
    pub(crate) async fn at(address: &str, scripts: Vec<Script>) -> Self {
        Self::start_at(address, acceptor(), scripts).await
    }

    /// The same with a certificate.
    pub(crate) async fn start_at(address: &str, tls: TlsAcceptor, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&connections);
        let released = Arc::new(Notify::new());
        let release = Arc::clone(&released);
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, client) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.lock().unwrap().push(Connection {
                    client: Some(client.ip()),
                    ..Connection::default()
                });
                let one = One {
                    script: scripts[number.min(scripts.len() - 1)].clone(),
                    number,
                    connections: Arc::clone(&connections),
                    released: Arc::clone(&released),
                };
                let tls = tls.clone();
                tokio::spawn(async move {
                    let mut plain = BufReader::new(stream);
                    if one.serve(&mut plain, true).await {
                        // A client that does not like it is the test's business, not ours.
                        if let Ok(stream) = tls.accept(plain.into_inner()).await {
                            let name = stream.get_ref().1.server_name().map(str::to_owned);
                            one.note(|connection| {
                                connection.tls = true;
                                connection.server_name = name;
                            });
                            one.serve(&mut BufReader::new(stream), false).await;
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections: kept,
            released: release,
        }
    }

    /// One that holds its reply says it.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    /// All connections so far.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }

    /// All messages that it took.
    pub(crate) fn messages(&self) -> Vec<String> {
        let connections = self.connections();
        connections
            .into_iter()
            .flat_map(|connection| connection.messages)
            .collect()
    }
}

struct One {
    script: Script,
    number: usize,
    connections: Arc<Mutex<Vec<Connection>>>,
    released: Arc<Notify>,
}

impl One {
    /// Serves to the end; true = TLS is to begin.
    async fn serve(&self, stream: &mut (impl AsyncBufRead + AsyncWrite), greets: bool) -> bool {
        if greets
            && !self
                .act(stream, "connect", "220 fickle.example ESMTP")
                .await
        {
            return false;
        }
        let mut spent = Spent::of(&self.script.offers);
        loop {
            let Some(line) = read_line(stream).await else {
                return false;
            };
            self.note(|connection| connection.lines.push(line.clone()));
            if let Some(refusal) = spent.refusal(&line) {
                say(stream, refusal).await;
                continue;
            }
            let going_on = match line.as_str() {
                "STARTTLS" if self.scripted(&line).is_none() => {
                    say(stream, "220 ready").await;
                    return true;
                }
                "DATA" => self.data(stream).await,
                "QUIT" => {
                    say(stream, "221 bye").await;
                    false
                }
                _ if line.starts_with("EHLO ") => {
                    let offers = self.script.offers.iter();
                    let offers = offers.filter(|offer| greets || **offer != "STARTTLS");
                    let mut lines = vec!["fickle.example"];
                    lines.extend(offers);
                    let last = lines.len() - 1;
                    let mut reply = String::new();
                    for (index, line) in lines.iter().enumerate() {
                        reply += if index == last { "250 " } else { "250-" };
                        reply += line;
                        reply += if index == last { "" } else { "\r\n" };
                    }
                    self.act(stream, &line, &reply).await
                }
                _ => self.act(stream, &line, "250 2.0.0 fine").await,
            };
            if !going_on {
                return false;
            }
        }
    }

    /// Does what the script says to `line`, else says `usual`; false = leaves.
    async fn act(&self, stream: &mut (impl AsyncWrite + Unpin), line: &str, usual: &str) -> bool {
        match self.scripted(line) {
            None => say(stream, usual).await,
            Some(Act::Say(reply)) => say(stream, reply).await,
            Some(Act::SayAndLeave(reply)) => {
                say(stream, reply).await;
                return false;
            }
            Some(Act::Pass(time, reply)) => {
                tokio::time::advance(time).await;
                say(stream, reply).await;
            }
            Some(Act::Hold(reply)) => {
                self.released.notified().await;
                say(stream, reply).await;
            }
            Some(Act::Leave | Act::LeaveInside(_)) => return false,
        }
        true
    }

    async fn data(&self, stream: &mut (impl AsyncBufRead + AsyncWrite)) -> bool {
        match self.scripted("DATA") {
            None => say(stream, "354 go on").await,
            Some(Act::LeaveInside(octets)) => {
                say(stream, "354 go on").await;
                let mut inside = vec![0; octets];
                stream.read_exact(&mut inside).await.unwrap();
                return false;
            }
            Some(_) => return self.act(stream, "DATA", "").await,
        }
        let mut message = String::new();
        loop {
            match read_line(stream).await {
                None => return false,
                Some(line) if line == "." => break,
                Some(line) => message += &format!("{line}\r\n"),
            }
        }
        self.note(|connection| connection.messages.push(message));
        self.act(stream, ".", "250 2.0.0 taken").await
    }

    fn scripted(&self, line: &str) -> Option<Act> {
        let mut acts = self.script.acts.iter();
        let act = acts.find(|(start, _)| line.starts_with(start));
        act.map(|(_, act)| *act)
    }

    fn note(&self, change: impl FnOnce(&mut Connection)) {
        change(&mut self.connections.lock().unwrap()[self.number]);
    }
}

/// What a client has used of what it was offered.
struct Spent {
    limits: Limits,
    mails: u32,
    recipients: u32,
    domains: HashSet<String>,
}

impl Spent {
    fn of(offers: &[&str]) -> Self {
        let parameters = offers
            .iter()
            .find_map(|offer| offer.strip_prefix("LIMITS "));
        Self {
            limits: Limits::read(parameters.unwrap_or_default().split(' ')),
            mails: 0,
            recipients: 0,
            domains: HashSet::new(),
        }
    }

    /// For good, because whoever was told of a limit has no excuse.
    fn refusal(&mut self, line: &str) -> Option<&'static str> {
        if line.starts_with("MAIL ") {
            self.mails += 1;
            self.recipients = 0;
        }
        if let Some((_, domain)) = line
            .strip_prefix("RCPT TO:")
            .and_then(|it| it.split_once('@'))
        {
            self.recipients += 1;
            self.domains.insert(domain.to_ascii_lowercase());
        }
        let Limits {
            mails,
            recipients,
            recipient_domains,
        } = self.limits;
        let domains = u32::try_from(self.domains.len()).unwrap();
        let is_over = mails.is_some_and(|most| self.mails > most.get())
            || recipients.is_some_and(|most| self.recipients > most.get())
            || recipient_domains.is_some_and(|most| domains > most.get());
        (is_over && !line.starts_with("QUIT")).then_some("550 5.5.0 over the limit")
    }
}

/// What [`BufReader`] makes of a stream.
trait AsyncBufRead: tokio::io::AsyncBufRead + AsyncRead + Unpin {}

impl<T: tokio::io::AsyncBufRead + AsyncRead + Unpin> AsyncBufRead for T {}

async fn read_line(stream: &mut impl AsyncBufRead) -> Option<String> {
    let mut line = Vec::new();
    // A client that resets the connection has gone like any other.
    let count = stream.read_until(b'\n', &mut line).await.unwrap_or(0);
    (count > 0).then(|| {
        let line = String::from_utf8_lossy(&line);
        line.trim_end_matches("\r\n").to_owned()
    })
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), reply: &str) {
    // The client may have gone; what it said before is kept.
    let _said = stream
        .write_all(format!("{reply}\r\n").as_bytes())
        .await
        .is_ok();
    let _flushed = stream.flush().await.is_ok();
}

fn acceptor() -> TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(["fickle.example".to_owned()]).unwrap();
    let key = certified.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.into()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
