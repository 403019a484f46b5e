//! The driver of the customer's side: sockets and time in, actions out, no opinions.
//!
//! What SMTP says is decided by `relay_proto::server`, what becomes of mail by an [`Application`]. After STARTTLS the
//! client's ClientHello is read and kept, and the application decides who answers it: we, or the destination.
//!
//! # Diagnostics
//! A peer that hangs up, is silent or fails its handshake is `debug` or `info`; nothing is returned,
//! because nobody could act on it.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use relay_proto::envelope::EhloName;
use relay_proto::peek::{self, ClientHello, Peeked};
use relay_proto::server::{Abort, Action, Answer, Question, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::Relay;
use crate::clock::Clock;
use crate::inbound::hearing::{self, Hearing};
use crate::listen::limits::Connections;
use crate::metrics::Counter;
use crate::splice::{self, Joint};
use crate::stream::{Protection, Stream};

mod trust;

use trust::Trust;
pub(crate) use trust::TurnedAway;

/// Decides what becomes of mail.
pub(crate) trait Application: Send {
    /// Answers the session's open question.
    fn answer(&mut self, question: Question, facts: Facts) -> impl Future<Output = Answer> + Send;
    /// Content of the message, dot-unstuffed.
    fn body(&mut self, octets: Bytes) -> impl Future<Output = ()> + Send;
    /// The transaction has ended without its message.
    fn aborted(&mut self, abort: Abort) -> impl Future<Output = ()> + Send;
    /// The client has begun TLS with this: who goes on with it?
    fn tls_begun(&mut self, _hello: &ClientHello) -> impl Future<Output = Course> + Send {
        async { Course::Terminate }
    }
    /// The client has seen our certificate, and left.
    fn turned_away(&mut self, _how: TurnedAway) -> impl Future<Output = ()> + Send {
        async {}
    }
    /// Whether it matters that what was said so far is heard.
    fn awaits_hearing(&self) -> bool {
        false
    }
    /// Whether it was, as soon as that is known; nothing is told while [`Self::awaits_hearing`] is false.
    fn heard(&mut self, _hearing: Hearing) {}
}

/// Who speaks TLS with a client.
#[derive(Debug)]
pub(crate) enum Course {
    /// We do.
    Terminate,
    /// The destination does; we join the two, and see no more of it.
    Splice(Joint),
    /// Nobody can.
    Close,
}

/// What the session knows about its client.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) ehlo: Option<EhloName>,
    pub(crate) esmtp: bool,
    pub(crate) tls: bool,
    /// How the client's leg is protected.
    pub(crate) leg: Protection,
}

/// One connection and the time.
pub(crate) struct Driver<'a> {
    pub(crate) stream: &'a mut Stream,
    pub(crate) clock: Clock,
    pub(crate) relay: &'a Relay,
    /// Among which it has its place.
    pub(crate) connections: &'a Connections,
}

impl Driver<'_> {
    /// Runs `session` to its end and closes the connection.
    pub(crate) async fn run<A: Application>(mut self, mut session: Session, application: &mut A) {
        let mut trust = Trust::Unasked;
        let ended = self
            .run_until_closed(&mut session, application, &mut trust)
            .await;
        if let Some(how) = trust.ended(&session, &ended) {
            application.turned_away(how).await;
        }
        if session.talked_early() {
            self.relay.metrics().count(Counter::EarlyTalk);
            info!("refused for talking before the greeting");
        }
        if application.awaits_hearing() {
            application.heard(hearing::at_end(self.stream, &ended).await);
        }
        match ended {
            Ok(()) => self.stream.close().await,
            Err(error) => {
                debug!(%error, "connection lost");
                // The application still has to hear how its transaction ended.
                session.hang_up();
                while let Some(action) = session.poll() {
                    if let Action::Aborted(abort) = action {
                        application.aborted(abort).await;
                    }
                }
            }
        }
    }

    async fn run_until_closed<A: Application>(
        &mut self,
        session: &mut Session,
        application: &mut A,
        trust: &mut Trust,
    ) -> io::Result<()> {
        // A session is as large as the largest of what it waits for, also while it waits for the next
        // command; so what is large and takes its time anyway is boxed.
        let mut buffer = vec![0; READ_OCTETS];
        let mut hung_up = false;
        let mut stress = self.connections.stress();
        loop {
            session.set_stress(*stress.borrow_and_update());
            while let Some(action) = session.poll() {
                trust.goes_on(session);
                match action {
                    Action::Send(octets) => self.send(&octets).await?,
                    Action::StartTls => {
                        let Some(kept) = Box::pin(self.begin_tls(session, application)).await?
                        else {
                            return Ok(());
                        };
                        if let Err(error) = Box::pin(self.handshake(session, kept)).await {
                            if let Some(how) = trust::turned_away(&error) {
                                application.turned_away(how).await;
                            }
                            return Err(error);
                        }
                        *trust = Trust::Shown;
                        session.tls_started(self.clock.now());
                    }
                    Action::Ask(question) => {
                        let facts = Facts {
                            ehlo: session.ehlo().cloned(),
                            esmtp: session.esmtp(),
                            tls: session.is_tls(),
                            leg: self.stream.protection(),
                        };
                        let answer = Box::pin(application.answer(question, facts)).await;
                        session.answer(self.clock.now(), answer);
                    }
                    Action::Body(octets) => application.body(octets).await,
                    Action::Aborted(abort) => application.aborted(abort).await,
                    Action::Close => return Ok(()),
                }
            }
            if hung_up {
                return Ok(());
            }
            tokio::select! {
                read = self.stream.read(&mut buffer), if session.wants_input() => match read? {
                    0 => {
                        if *trust == Trust::Shown {
                            application.turned_away(TurnedAway::Closed).await;
                        }
                        hung_up = true;
                        session.hang_up();
                    }
                    count => {
                        if application.awaits_hearing() && hearing::is_acknowledged(self.stream) {
                            application.heard(Hearing::Acknowledged);
                        }
                        session.receive(self.clock.now(), &buffer[..count]);
                        // There may have been a password in it.
                        buffer[..count].fill(0);
                    }
                },
                () = self.clock.reach(session.deadline()) => session.expire(self.clock.now()),
                // The deadline may be another one now.
                Ok(()) = stress.changed() => {}
            }
        }
    }

    /// Writes in bounded time: a client that does not read must not hold its place for ever.
    async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        timeout(WRITE_DEADLINE, write)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads the ClientHello and has the application decide. What was read, if it is ours to answer; `None` when the
    /// connection has been the destination's, and is over.
    async fn begin_tls<A: Application>(
        &mut self,
        session: &Session,
        application: &mut A,
    ) -> io::Result<Option<Bytes>> {
        let mut kept = BytesMut::new();
        let hello = tokio::select! {
            hello = client_hello(self.stream, &mut kept) => hello,
            () = self.clock.reach(session.deadline()) => Err(io::ErrorKind::TimedOut.into()),
        };
        let course = match hello {
            Ok(Peeked::Hello(hello)) => application.tls_begun(&hello).await,
            // The TLS library knows the alert for it.
            Ok(Peeked::NotTls(_) | Peeked::Incomplete) => Course::Terminate,
            Err(error) => {
                self.relay.metrics().count(Counter::TlsFailed);
                return Err(error);
            }
        };
        match course {
            Course::Terminate => Ok(Some(kept.freeze())),
            Course::Splice(joint) => {
                let customer = self.stream.take_plain()?;
                splice::join_and_tell(self.relay, customer, joint, &kept).await;
                Ok(None)
            }
            Course::Close => Ok(None),
        }
    }

    async fn handshake(&mut self, session: &Session, kept: Bytes) -> io::Result<()> {
        let accept = self.stream.accept_tls(kept, self.relay.tls.current());
        let result = tokio::select! {
            result = accept => result,
            () = self.clock.reach(session.deadline()) => Err(io::ErrorKind::TimedOut.into()),
        };
        match &result {
            Ok(()) => {
                let leg = self.stream.protection();
                debug!(
                    tls.inbound.version = leg.version(),
                    tls.inbound.cipher = leg.cipher(),
                    "TLS started"
                );
            }
            Err(error) => {
                self.relay.metrics().count(Counter::TlsFailed);
                // A sender that verifies certificates shows itself here.
                info!(%error, "TLS handshake failed");
            }
        }
        result
    }
}

/// Reads until it is sure whether `kept` begins with a ClientHello. Nothing is answered, and at the bound of
/// [`peek::MAX_OCTETS`] it is sure.
async fn client_hello(stream: &mut Stream, kept: &mut BytesMut) -> io::Result<Peeked> {
    loop {
        if stream.read_buf(kept).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match peek::peek(kept) {
            Peeked::Incomplete => {}
            sure @ (Peeked::Hello(_) | Peeked::NotTls(_)) => return Ok(sure),
        }
    }
}

/// Each session holds so much for as long as it lasts, idle ones too.
const READ_OCTETS: usize = 8 << 10;
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
