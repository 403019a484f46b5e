//! The giver's side: everything in a [`Source`], batch by batch, until the taker has it.
//!
//! A batch is taken in hand, noted as doubtful, said, and committed; what the taker answers is written down here before
//! it hears so. Only one batch is on its way, so whatever happens at most that one is in doubt, and the next connection
//! begins with asking about it. A connection that is lost is made again a few times.
//!
//! # Diagnostics
//! Returned: [`Stopped`]. Logged: each message that was handed over (`info`), each that cannot be (`warn`).

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::handover::{
    BATCH_MESSAGES, CONTENT_OCTETS, ENVELOPE_OCTETS, Frame, Handed, Hello, SpoolName, VERSIONS,
    Welcome, Why,
};
use relay_proto::queued::QueueId;
use relay_proto::record::envelope;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tracing::{debug, info, warn};

use super::doubts::Doubts;
use super::source::{Source, Took};
use super::wire::{Broken, Wire, kind};
use super::{Peers, Shared, Target, Watched, blocking, shown, spool_name};
use crate::clock::unix_now;
use crate::message::Message;
use crate::spool::{Opened, ReadError, StoreError};

/// All that one hand-over needs.
pub(super) struct Giver<'a> {
    pub(super) relay: &'a str,
    pub(super) peers: &'a Peers,
    pub(super) source: &'a Source,
    pub(super) target: &'a Target,
    pub(super) doubts: Shared<Doubts>,
    pub(super) progress: &'a Watched,
}

/// Why a hand-over has ended before everything was handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// The other relay cannot be reached, or has gone.
    #[error("{0}")]
    Connection(String),
    /// It does not want us, or says nonsense: trying again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// It has no room.
    #[error(
        "{0}; what is left stays here: make room there (spool.max_octets, its disk) and run it again"
    )]
    Full(String),
    /// Our own disk.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// Something is still being attempted.
    #[error("{0} messages are still being attempted here; run it again")]
    Busy(usize),
}

type Connection = Wire<TlsStream<TcpStream>>;

impl Giver<'_> {
    /// Hands over all that was there when it began.
    pub(super) async fn give(&self) -> Result<(), Stopped> {
        let dir = self.source.dir.clone();
        let name = blocking(move || spool_name(&dir)).await?;
        let mut names = VecDeque::from(self.source.spool.names());
        let others = self.doubts.lock().await.of_others(self.target);
        names.retain(|id| !others.contains(id));
        if !others.is_empty() {
            warn!(
                messages = others.len(),
                "another relay may have these, and is to be asked first: they stay here"
            );
        }
        self.progress.send_modify(|it| {
            it.total = names.len() as u64;
            it.kept = others.len() as u64;
        });
        let dry_run = self.progress.borrow().dry_run;
        let mut failures = 0;
        loop {
            let before = names.len();
            match self.go_through(name, &mut names, dry_run).await {
                Err(Stopped::Connection(lost)) => {
                    if names.len() < before {
                        failures = 0;
                    }
                    failures += 1;
                    let Some(&pause) = PAUSES.get(failures - 1).filter(|_| !dry_run) else {
                        return Err(Stopped::Connection(lost));
                    };
                    debug!(error = lost, "trying again");
                    sleep(pause).await;
                }
                ended => return ended,
            }
        }
    }

    /// Asks about what is in doubt, and nothing else.
    pub(super) async fn ask(&self) -> Result<(), Stopped> {
        let dir = self.source.dir.clone();
        let name = blocking(move || spool_name(&dir)).await?;
        self.go_through(name, &mut VecDeque::new(), false).await
    }

    /// One connection. What is done is taken off `names`.
    async fn go_through(
        &self,
        name: SpoolName,
        names: &mut VecDeque<QueueId>,
        dry_run: bool,
    ) -> Result<(), Stopped> {
        let (mut wire, welcome) = self.connect(name).await?;
        let room = welcome.room_octets;
        self.progress.send_modify(|it| it.room_octets = Some(room));
        let exchanged = async {
            if !dry_run {
                self.settle(&mut wire, &welcome, names).await?;
                self.all(&mut wire, &welcome, names).await?;
            }
            wire.send(&Frame::Bye).await?;
            wire.flush().await?;
            match wire.receive().await? {
                Frame::Bye => Ok(()),
                other => Err(out_of_turn(other).into()),
            }
        };
        let ended = exchanged.await;
        wire.close().await;
        ended
    }

    async fn connect(&self, name: SpoolName) -> Result<(Connection, Welcome), Stopped> {
        let mut problem = format!("{}: no address", self.target.name);
        for &address in &self.target.addresses {
            let connecting = async {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::IpAddress(address.ip().into());
                self.peers.connector.connect(name, stream).await
            };
            match timeout(CONNECTING, connecting).await {
                Ok(Ok(stream)) => return self.greet(Wire::new(stream), name).await,
                Ok(Err(error)) => {
                    let said = self.told(&error);
                    if is_certificate(&error) {
                        return Err(Stopped::Refused(said));
                    }
                    problem = format!("{} ({address}): {said}", self.target.name);
                }
                Err(_elapsed) => {
                    let seconds = CONNECTING.as_secs();
                    problem = format!(
                        "{} ({address}): no answer within {seconds} s",
                        self.target.name
                    );
                }
            }
        }
        Err(Stopped::Connection(problem))
    }

    async fn greet(
        &self,
        mut wire: Connection,
        name: SpoolName,
    ) -> Result<(Connection, Welcome), Stopped> {
        let hello = Frame::Hello(Hello {
            versions: VERSIONS,
            relay: self.relay.to_owned(),
            spool: name,
            tried_until: self.source.tried_until(),
        });
        let greeted = async {
            wire.send(&hello).await?;
            wire.flush().await?;
            wire.receive().await
        };
        match greeted.await {
            Ok(Frame::Welcome(welcome)) if VERSIONS.contains(&welcome.version) => {
                Ok((wire, welcome))
            }
            Ok(Frame::Refused(text)) => {
                let name = &self.target.name;
                Err(Stopped::Refused(format!("{name} refuses: {text}")))
            }
            Ok(other) => Err(out_of_turn(other).into()),
            // In TLS 1.3 the client is done before it hears that its certificate is not taken.
            Err(Broken::Lost(error)) if is_certificate(&error) => {
                Err(Stopped::Refused(self.told(&error)))
            }
            Err(broken) => Err(broken.into()),
        }
    }

    /// Finds out what became of the messages that are in doubt.
    async fn settle(
        &self,
        wire: &mut Connection,
        welcome: &Welcome,
        names: &mut VecDeque<QueueId>,
    ) -> Result<(), Stopped> {
        let doubtful = self.doubts.lock().await.of(self.target);
        let kept = &welcome.kept;
        for &id in kept {
            // What is not in doubt here, too: the file may be older than the spool.
            self.source.take(id);
        }
        if !kept.is_empty() {
            info!(
                relay = welcome.relay,
                ids = shown(kept),
                "the other relay has these already"
            );
        }
        let here: Vec<QueueId> = kept
            .iter()
            .copied()
            .filter(|id| self.source.spool.has(*id))
            .collect();
        self.finish(wire, kept, &here).await?;
        names.retain(|id| !kept.contains(id));
        self.progress
            .send_modify(|it| it.handed_over += here.len() as u64);
        for id in doubtful.iter().filter(|id| !kept.contains(id)) {
            self.source.release(*id);
        }
        self.doubt(&[]).await
    }

    async fn all(
        &self,
        wire: &mut Connection,
        welcome: &Welcome,
        names: &mut VecDeque<QueueId>,
    ) -> Result<(), Stopped> {
        let mut busy = VecDeque::new();
        let mut waited = 0;
        loop {
            while let Some(batch) = self.next_batch(names, &mut busy).await {
                self.hand(wire, welcome, names, batch).await?;
            }
            if busy.is_empty() {
                return Ok(());
            }
            if waited == BUSY_MOMENTS {
                return Err(Stopped::Busy(busy.len()));
            }
            waited += 1;
            self.source.something_returned().await;
            names.append(&mut busy);
        }
    }

    /// Messages that are in hand now. What is taken off `names` is in it, in `busy`, or needs nothing.
    async fn next_batch(
        &self,
        names: &mut VecDeque<QueueId>,
        busy: &mut VecDeque<QueueId>,
    ) -> Option<Vec<(QueueId, Opened)>> {
        let mut batch = Vec::new();
        let mut octets = 0;
        while batch.len() < BATCH_MESSAGES && octets < BATCH_OCTETS {
            let Some(id) = names.pop_front() else {
                break;
            };
            match self.source.take(id) {
                Took::Taken => {}
                Took::Busy => {
                    busy.push_back(id);
                    continue;
                }
                Took::Gone if self.source.spool.has(id) => {
                    self.keep(id, "the queue has not read it");
                    continue;
                }
                Took::Gone => {
                    self.progress.send_modify(|it| it.total -= 1);
                    continue;
                }
            }
            match self.source.spool.read(id).await {
                Ok(opened) => {
                    octets += opened.content.octets();
                    batch.push((id, opened));
                }
                Err(ReadError::NotFound) => {
                    self.source.handed_over(id);
                    self.progress.send_modify(|it| it.total -= 1);
                }
                Err(error) => self.keep(id, &error.to_string()),
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Says a batch, and acts upon the answers.
    async fn hand(
        &self,
        wire: &mut Connection,
        welcome: &Welcome,
        names: &mut VecDeque<QueueId>,
        batch: Vec<(QueueId, Opened)>,
    ) -> Result<(), Stopped> {
        let ids: Vec<QueueId> = batch.iter().map(|(id, _)| *id).collect();
        let said = self.say(wire, &batch).await;
        let sent = match said {
            Ok(sent) => sent,
            Err(stopped) => {
                // Nothing was committed, so nothing is there.
                for id in &ids {
                    self.source.release(*id);
                }
                give_back(names, &ids);
                return Err(stopped);
            }
        };
        // Before the word that the other acts upon.
        if let Err(stopped) = self.doubt(&sent).await {
            for id in &ids {
                self.source.release(*id);
            }
            return Err(stopped);
        }
        let answered = self.commit(wire, &sent).await;
        let answers = match answered {
            Ok(answers) => answers,
            Err(broken) => {
                // In doubt: they stay in hand until somebody has asked.
                give_back(names, &ids);
                return Err(broken.into());
            }
        };
        let mut stored = Vec::new();
        let mut full = None;
        for ((id, opened), answer) in batch
            .iter()
            .filter(|(id, _)| sent.contains(id))
            .zip(answers)
        {
            match answer {
                Ok(name) => {
                    stored.push(*id);
                    let octets = opened.content.octets();
                    info!(queue.id = %id, name = %name, relay = welcome.relay, octets, "handed over");
                    self.progress.send_modify(|it| it.octets += octets);
                }
                Err((Why::Full, text)) => {
                    self.source.release(*id);
                    full = Some(text);
                }
                Err((_, text)) => self.keep(*id, &text),
            }
        }
        self.finish(wire, &stored, &stored).await?;
        self.progress
            .send_modify(|it| it.handed_over += stored.len() as u64);
        self.doubt(&[]).await?;
        match full {
            Some(text) => {
                wire.flush().await?;
                Err(Stopped::Full(format!(
                    "{} is full: {text}",
                    self.target.name
                )))
            }
            None => Ok(()),
        }
    }

    /// Says all messages of a batch that can be said; which were.
    async fn say(
        &self,
        wire: &mut Connection,
        batch: &[(QueueId, Opened)],
    ) -> Result<Vec<QueueId>, Stopped> {
        let mut sent = Vec::new();
        for (id, opened) in batch {
            let envelope = envelope::encode(&opened.queued);
            if envelope.len() > ENVELOPE_OCTETS as usize {
                self.keep(*id, "it has too many recipients to be handed over");
                continue;
            }
            let recipients = 0..opened.queued.recipients.len();
            let done = recipients.filter(|recipient| !opened.pending.contains(recipient));
            let handed = Frame::Message(Handed {
                id: *id,
                held: self.source.holds(*id).await,
                done: done.filter_map(|it| u32::try_from(it).ok()).collect(),
                content_octets: opened.content.octets(),
                envelope: envelope.into(),
            });
            wire.send(&handed).await?;
            self.content(wire, &opened.content).await?;
            sent.push(*id);
        }
        Ok(sent)
    }

    async fn content(&self, wire: &mut Connection, content: &Message) -> Result<(), Stopped> {
        let mut reader = content.reader();
        while let Some(mut block) = reader.next().await? {
            while !block.is_empty() {
                let length = block.len().min(CONTENT_OCTETS as usize);
                wire.send(&Frame::Content(block.split_to(length))).await?;
            }
        }
        Ok(())
    }

    /// The answers, one for each that was sent.
    async fn commit(
        &self,
        wire: &mut Connection,
        sent: &[QueueId],
    ) -> Result<Vec<Result<QueueId, (Why, String)>>, Broken> {
        wire.send(&Frame::Commit).await?;
        wire.flush().await?;
        let mut answers = Vec::with_capacity(sent.len());
        for expected in sent {
            answers.push(match wire.receive().await? {
                Frame::Stored { id, name } if id == *expected => Ok(name),
                Frame::NotStored { id, why, text } if id == *expected => Err((why, text)),
                other => return Err(out_of_turn(other)),
            });
        }
        Ok(answers)
    }

    /// These are not ours any more: `here` are those of `all` that are still in the spool. The other may forget them when
    /// that is on the disk.
    async fn finish(
        &self,
        wire: &mut Connection,
        all: &[QueueId],
        here: &[QueueId],
    ) -> Result<(), Stopped> {
        for id in here {
            self.source.spool.finish_all(*id);
            self.source.handed_over(*id);
        }
        if !here.is_empty() {
            let flushed = self.source.spool.flush().await;
            flushed.map_err(|error| match error {
                StoreError::Full => io::Error::from(io::ErrorKind::StorageFull),
                StoreError::Io(_) => io::Error::other(error),
            })?;
        }
        for id in all {
            wire.send(&Frame::Finished(*id)).await?;
        }
        Ok(())
    }

    async fn doubt(&self, ids: &[QueueId]) -> Result<(), Stopped> {
        let (ids, target) = (ids.to_vec(), self.target.clone());
        let mut doubts = Arc::clone(&self.doubts).lock_owned().await;
        if ids.is_empty() && doubts.of(&target).is_empty() {
            return Ok(());
        }
        Ok(blocking(move || doubts.set(&target, &ids, unix_now())).await?)
    }

    /// This one stays here.
    fn keep(&self, id: QueueId, why: &str) {
        warn!(queue.id = %id, error = why, "cannot be handed over; it stays here");
        self.source.release(id);
        self.progress.send_modify(|it| it.kept += 1);
    }

    /// What went wrong between two relays that do not know each other, with what to do about it.
    fn told(&self, error: &io::Error) -> String {
        let name = &self.target.name;
        match certificate_problem(error) {
            Some(Side::Ours) => format!(
                "{name} does not take our certificate: put its fingerprint, {}, into a [[peers.relay]] there",
                self.peers.own
            ),
            Some(Side::Theirs) => format!(
                "{name} shows a certificate that is none of those in [[peers.relay]] here; nothing was said to it"
            ),
            None => error.to_string(),
        }
    }
}

/// These come next again.
fn give_back(names: &mut VecDeque<QueueId>, ids: &[QueueId]) {
    for &id in ids.iter().rev() {
        names.push_front(id);
    }
}

/// Whose certificate is not known.
enum Side {
    Ours,
    Theirs,
}

fn certificate_problem(error: &io::Error) -> Option<Side> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(_) => Some(Side::Theirs),
        rustls::Error::AlertReceived(_) => {
            crate::tls::certificate_alert(error).map(|_alert| Side::Ours)
        }
        _ => None,
    }
}

fn is_certificate(error: &io::Error) -> bool {
    certificate_problem(error).is_some()
}

fn out_of_turn(frame: Frame) -> Broken {
    match frame {
        Frame::Refused(text) => Broken::Refused(text),
        other => Broken::OutOfTurn(kind(&other)),
    }
}

impl From<Broken> for Stopped {
    fn from(broken: Broken) -> Self {
        let said = broken.to_string();
        match broken {
            Broken::Lost(_) | Broken::Silent | Broken::Superseded | Broken::Stopping => {
                Self::Connection(said)
            }
            Broken::Frame(_) | Broken::OutOfTurn(_) | Broken::Refused(_) => Self::Refused(said),
        }
    }
}

/// A taker that is restarted is back within this.
const PAUSES: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];
const CONNECTING: Duration = Duration::from_secs(10);
/// A batch ends with the message that takes it beyond this.
const BATCH_OCTETS: u64 = 8 << 20;
/// Moments for which what is being attempted is waited for: an attempt ends within some minutes.
const BUSY_MOMENTS: u32 = 300;
