//! The driver of the destination's side: sockets and time in, replies out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use relay_proto::Time;
use relay_proto::client::{Action, Config, Event, Extensions, LostCause, Session, Stage};
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::reply::Reply;
use rustls::ClientConfig;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tracing::debug;

use super::requirement::{Requirement, Unsatisfied, judge};
use super::trust::Trust;
use super::{Lost, Unreachable};
use crate::clock::Clock;
use crate::stream::{Protection, Stream};

mod drive;
mod envelope;
mod held;
mod room;

use drive::fed;
pub(crate) use envelope::Answers;
pub(crate) use held::Held;
use room::Used;

/// How TLS is to be done.
#[derive(Debug, Clone)]
pub(super) struct Handshake {
    pub(super) config: Arc<ClientConfig>,
    /// What SNI says, if it is a name.
    pub(super) name: ServerName<'static>,
    /// Who is believed when the certificate is judged.
    pub(super) trust: Trust,
}

/// A session with a destination that takes commands.
#[derive(Debug)]
pub(crate) struct Upstream {
    stream: Stream,
    session: Session,
    clock: Clock,
    /// Actions that came to light while something else was being done.
    queued: VecDeque<Action>,
    /// Content that is not out yet.
    unsent: BytesMut,
    buffer: Vec<u8>,
    tls: Handshake,
    extensions: Extensions,
    in_transaction: bool,
    /// What it has taken of what it takes.
    used: Used,
    /// QUIT was said.
    has_left: bool,
    /// TLS was offered, and left out because it never works.
    tls_left_out: bool,
    /// The handshake failed because the destination speaks nothing that we do.
    old_tls: bool,
}

/// Where the drive halts.
#[derive(Debug)]
enum Step {
    /// TLS comes next.
    StartTls,
    Event(Event),
    Closed,
}

impl Upstream {
    /// Greets over `tcp`, starts TLS if it is offered, and is ready for commands.
    pub(super) async fn open(
        tcp: TcpStream,
        config: Config,
        tls: Handshake,
    ) -> Result<Self, Unreachable> {
        let clock = Clock::start();
        let session = Session::new(config, clock.now());
        Self::start(tcp, session, clock, tls).ready().await
    }

    /// The same, but in clear text whatever is offered.
    pub(super) async fn open_in_clear(
        tcp: TcpStream,
        config: Config,
        tls: Handshake,
    ) -> Result<Self, Unreachable> {
        let clock = Clock::start();
        let session = Session::held(config, clock.now());
        let mut this = Self::start(tcp, session, clock, tls).ready().await?;
        this.tls_left_out = this.extensions.starttls;
        this.session.leave_tls_out();
        Ok(this)
    }

    fn start(tcp: TcpStream, session: Session, clock: Clock, tls: Handshake) -> Self {
        Self {
            stream: Stream::Plain(tcp),
            session,
            clock,
            queued: VecDeque::new(),
            unsent: BytesMut::new(),
            buffer: vec![0; READ_OCTETS],
            tls,
            extensions: Extensions::default(),
            in_transaction: false,
            used: Used::default(),
            has_left: false,
            tls_left_out: false,
            old_tls: false,
        }
    }

    /// Drives until it takes commands.
    async fn ready(mut self) -> Result<Self, Unreachable> {
        let lost = match self.next_event().await {
            Ok(Event::Ready(extensions)) => {
                self.extensions = extensions;
                return Ok(self);
            }
            Ok(Event::Answered { stage, .. }) => out_of_turn(stage),
            Ok(Event::Lost { stage, cause }) => Lost { stage, cause },
            Err(lost) => lost,
        };
        Err(if self.old_tls {
            Unreachable::OldTls(lost)
        } else {
            Unreachable::Session(lost)
        })
    }

    /// What the destination offers.
    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// How this leg is protected.
    pub(crate) fn protection(&self) -> Protection {
        self.stream.protection()
    }

    /// Whether this connection shows what `requirement` demands. To be asked before MAIL, for each domain.
    pub(crate) fn satisfies(&self, requirement: &Requirement) -> Result<(), Unsatisfied> {
        match self.judge(requirement) {
            Err(unsatisfied) if requirement.is_binding() => Err(unsatisfied),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The same, but a failure of what is only tested, or only expected, is one, too.
    pub(super) fn judge(&self, requirement: &Requirement) -> Result<(), Unsatisfied> {
        let (chain, trust) = (self.stream.peer_certificates(), &self.tls.trust);
        if requirement.counts_clear_text() && chain.is_none() {
            return Err(Unsatisfied::ClearText);
        }
        judge(&requirement.demand, chain, trust, UnixTime::now())
    }

    /// The destination offers TLS that never works, so this session is in clear text.
    pub(crate) fn leaves_tls_out(&self) -> bool {
        self.tls_left_out
    }

    /// MAIL, after RSET if a transaction is open.
    pub(crate) async fn mail(&mut self, mail: &Mail) -> Result<Reply, Lost> {
        self.reset().await?;
        self.used.mail();
        let reply = self.command(|session, now| session.mail(now, mail)).await?;
        self.in_transaction = reply.code().is_positive();
        Ok(reply)
    }

    /// RCPT.
    pub(crate) async fn recipient(&mut self, recipient: &Recipient) -> Result<Reply, Lost> {
        self.used.recipient(recipient);
        self.command(|session, now| session.rcpt(now, recipient))
            .await
    }

    /// DATA; `None` = the destination waits for content.
    pub(crate) async fn data(&mut self) -> Result<Option<Reply>, Lost> {
        let reply = self.command(Session::data).await?;
        Ok(if reply.code().is_intermediate() {
            None
        } else {
            Some(reply)
        })
    }

    /// Content octets, cut anywhere. An early refusal ends it. Little of it is kept until there is more, or its end, or
    /// [`Self::overhear`]: a small message with our fields above and its end below leaves in one segment.
    pub(crate) async fn content(&mut self, octets: &[u8]) -> Result<(), Lost> {
        self.session.body(octets);
        while let Some(action) = self.poll() {
            match action {
                Action::Send(octets) if self.unsent.len() + octets.len() < UNSENT_OCTETS_MAX => {
                    self.unsent.extend_from_slice(&octets);
                }
                Action::Send(octets) => {
                    self.flush().await;
                    self.send(&octets).await;
                }
                Action::Event(Event::Lost { stage, cause }) => return Err(Lost { stage, cause }),
                Action::Event(Event::Ready(_) | Event::Answered { .. })
                | Action::StartTls
                | Action::Close => return Err(out_of_turn(Stage::Message)),
            }
        }
        Ok(())
    }

    /// Hears what the destination has already said or done, without waiting: an [`Err`] here, before the
    /// end of data, is a message that it does not have.
    pub(crate) async fn overhear(&mut self) -> Result<(), Lost> {
        self.flush().await;
        tokio::select! {
            biased;
            read = self.stream.read(&mut self.buffer) => {
                fed(&mut self.session, self.clock, &self.buffer, read);
            }
            () = std::future::ready(()) => {}
        }
        match self.poll() {
            None => Ok(()),
            Some(Action::Event(Event::Lost { stage, cause })) => Err(Lost { stage, cause }),
            Some(
                Action::Send(_)
                | Action::StartTls
                | Action::Close
                | Action::Event(Event::Ready(_) | Event::Answered { .. }),
            ) => Err(out_of_turn(Stage::Message)),
        }
    }

    /// The end of data, and the destination's final reply. From here on the destination may have
    /// the message whether or not we hear so.
    pub(crate) async fn end_of_data(&mut self) -> Result<Reply, Lost> {
        let reply = self.command(Session::end).await?;
        self.in_transaction = false;
        Ok(reply)
    }

    /// RSET, if a transaction is open.
    pub(crate) async fn reset(&mut self) -> Result<(), Lost> {
        if self.in_transaction {
            self.command(Session::rset).await?;
            self.in_transaction = false;
        }
        Ok(())
    }

    /// QUIT. The reply changes nothing.
    pub(crate) async fn quit(mut self) {
        self.take_leave().await;
    }

    /// The same; nothing can be said here any more.
    pub(crate) async fn take_leave(&mut self) {
        if std::mem::replace(&mut self.has_left, true) {
            return;
        }
        if let Err(lost) = self.command(Session::quit).await {
            debug!(error = %lost, "destination left without a word");
        }
        self.stream.close().await;
    }

    async fn command(&mut self, give: impl FnOnce(&mut Session, Time)) -> Result<Reply, Lost> {
        give(&mut self.session, self.clock.now());
        match self.next_event().await? {
            Event::Answered { reply, .. } => Ok(reply),
            Event::Lost { stage, cause } => Err(Lost { stage, cause }),
            Event::Ready(_) => Err(out_of_turn(Stage::Ehlo)),
        }
    }

    /// Drives until something happens that the caller waits for.
    async fn next_event(&mut self) -> Result<Event, Lost> {
        loop {
            match self.next_step().await {
                Step::StartTls => self.handshake().await,
                Step::Event(event) => return Ok(event),
                Step::Closed => {
                    return Err(Lost {
                        stage: Stage::Mail,
                        cause: LostCause::HungUp,
                    });
                }
            }
        }
    }
}

fn out_of_turn(stage: Stage) -> Lost {
    Lost {
        stage,
        cause: LostCause::OutOfTurn,
    }
}

const READ_OCTETS: usize = 4 << 10;
/// One record of TLS, with room for its frame.
const UNSENT_OCTETS_MAX: usize = 16 << 10;
