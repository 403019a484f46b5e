//! The driver of the customer's side: sockets and time in, actions out, no opinions.
//!
//! What SMTP says is decided by `relay_proto::server`, what becomes of mail by an [`Application`].
//!
//! # Diagnostics
//! A peer that hangs up, is silent or fails its handshake is `debug` or `info`; nothing is returned,
//! because nobody could act on it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use relay_proto::envelope::EhloName;
use relay_proto::server::{Abort, Action, Answer, Question, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::Relay;
use crate::clock::Clock;
use crate::inbound::hearing::{self, Hearing};
use crate::metrics::Counter;
use crate::stream::{Protection, Stream};

/// Decides what becomes of mail.
pub(crate) trait Application: Send {
    /// Answers the session's open question.
    fn answer(&mut self, question: Question, facts: Facts) -> impl Future<Output = Answer> + Send;
    /// Content of the message, dot-unstuffed.
    fn body(&mut self, octets: Bytes) -> impl Future<Output = ()> + Send;
    /// The transaction has ended without its message.
    fn aborted(&mut self, abort: Abort) -> impl Future<Output = ()> + Send;
    /// Whether it matters that what was said so far is heard.
    fn awaits_hearing(&self) -> bool {
        false
    }
    /// Whether it was, as soon as that is known; nothing is told while [`Self::awaits_hearing`] is false.
    fn heard(&mut self, _hearing: Hearing) {}
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
}

impl Driver<'_> {
    /// Runs `session` to its end and closes the connection.
    pub(crate) async fn run<A: Application>(mut self, mut session: Session, application: &mut A) {
        let ended = self.run_until_closed(&mut session, application).await;
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
    ) -> io::Result<()> {
        let mut buffer = vec![0; READ_OCTETS];
        let mut hung_up = false;
        let mut stress = self.relay.connections.stress();
        loop {
            session.set_stress(*stress.borrow_and_update());
            while let Some(action) = session.poll() {
                match action {
                    Action::Send(octets) => self.send(&octets).await?,
                    Action::StartTls => {
                        self.handshake(session).await?;
                        session.tls_started(self.clock.now());
                    }
                    Action::Ask(question) => {
                        let facts = Facts {
                            ehlo: session.ehlo().cloned(),
                            esmtp: session.esmtp(),
                            tls: session.is_tls(),
                            leg: self.stream.protection(),
                        };
                        let answer = application.answer(question, facts).await;
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

    async fn handshake(&mut self, session: &Session) -> io::Result<()> {
        let accept = self.stream.accept_tls(self.relay.tls.current());
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

const READ_OCTETS: usize = 16 << 10;
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
