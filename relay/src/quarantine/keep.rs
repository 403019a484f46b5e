//! Making one record: the sealed part and the header section first, the metadata last.

use std::io;

use contract::Tier;
use contract::event::Happening;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use relay_proto::address::{ForwardPath, ReversePath};
use relay_proto::queued::{Queued, Source};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::audit::State;
use super::record::{Part, Record, RecordId, Sealed, VERSION};
use super::seal::Sealer;
use super::store::Writing;
use super::text::TextHash;
use super::{Evidence, Quarantine, sealed};

/// What reading the content once has told.
#[derive(Debug, Default)]
struct Read {
    content_sha256: Option<String>,
    text_hash: Option<u64>,
    sealed: Option<Sealed>,
}

impl Quarantine {
    /// Writes a record; how many octets it has.
    pub(super) async fn write(&self, evidence: Evidence) -> io::Result<u64> {
        let id: RecordId = evidence.id.parse().map_err(io::Error::other)?;
        self.has_room(evidence.content.octets())?;
        let at = Timestamp::now();
        let parts = self.write_parts(&id, at, &evidence).await;
        if parts.is_err() {
            self.clear(&id, at).await;
        }
        parts
    }

    async fn write_parts(
        &self,
        id: &RecordId,
        at: Timestamp,
        evidence: &Evidence,
    ) -> io::Result<u64> {
        let mut read = Read::default();
        let mut header_octets = None;
        if evidence.tier >= Tier::Headers {
            let header = evidence.content.header_section(HEADER_OCTETS_MAX).await?;
            let header = self.redactor.text(&header.fields());
            header_octets = Some(header.len() as u64);
            self.store.put(&Part::Headers.path(id, at), header).await?;
        }
        if evidence.tier == Tier::Body {
            read = self.read_content(id, at, evidence).await?;
        }
        let record = self.record(id, at, evidence, read, header_octets);
        let json = record.to_json();
        let octets = record.stored_octets() + json.len() as u64;
        self.store.put(&Part::Metadata.path(id, at), json).await?;
        self.index_mut().insert(&record, State::Kept);
        let kept = Happening::Kept {
            record: id.to_string(),
        };
        self.reporter
            .happened(record.customer, record.flag_id, kept);
        Ok(octets)
    }

    /// Whether one more fits.
    fn has_room(&self, content_octets: u64) -> io::Result<()> {
        let index = self.index();
        let octets = index.octets().saturating_add(content_octets);
        if index.len() < self.config.max_records && octets <= self.config.max_octets {
            return Ok(());
        }
        let what = "the quarantine is full (quarantine.max_records, quarantine.max_octets)";
        Err(io::Error::new(io::ErrorKind::StorageFull, what))
    }

    /// Reads the content, and seals it if somebody could open it.
    async fn read_content(
        &self,
        id: &RecordId,
        at: Timestamp,
        evidence: &Evidence,
    ) -> io::Result<Read> {
        let mut copy = match self.config.recipients.as_slice() {
            [] => None,
            _ => Some(self.copy(id, at, &evidence.queued).await?),
        };
        let (mut hash, mut text) = (Sha256::new(), TextHash::default());
        let mut reader = evidence.content.reader();
        let passed = async {
            while let Some(block) = reader.next().await? {
                hash.update(&block);
                text.update(&block);
                if let Some(copy) = &mut copy {
                    copy.append(&block).await?;
                }
            }
            Ok::<_, io::Error>(())
        };
        if let Err(error) = passed.await {
            if let Some(copy) = copy {
                copy.writing.give_up().await;
            }
            return Err(error);
        }
        Ok(Read {
            content_sha256: Some(HEXLOWER.encode(&hash.finalize())),
            text_hash: text.finish(),
            sealed: match copy {
                Some(copy) => Some(copy.finish().await?),
                None => None,
            },
        })
    }

    /// Begins the sealed part.
    async fn copy(&self, id: &RecordId, at: Timestamp, queued: &Queued) -> io::Result<Copy> {
        let field = sealed::field(queued).ok_or_else(|| io::Error::other("no randomness"))?;
        let sealer = Sealer::new(&self.config.recipients);
        let (sealer, head) = sealer.map_err(io::Error::other)?;
        let mut copy = Copy {
            sealer,
            pending: head,
            writing: self.store.write(&Part::Body.path(id, at)).await?,
            hash: Sha256::new(),
            text_octets: 0,
        };
        copy.append(field.as_bytes()).await?;
        Ok(copy)
    }

    fn record(
        &self,
        id: &RecordId,
        at: Timestamp,
        evidence: &Evidence,
        read: Read,
        header_octets: Option<u64>,
    ) -> Record {
        let queued = &evidence.queued;
        let (original_dst, ehlo, flag_id, user) = match &queued.source {
            Source::Customer {
                original_dst,
                ehlo,
                flag_id,
                user,
                ..
            } => (*original_dst, ehlo.as_ref(), *flag_id, user.clone()),
            Source::Relay => (None, None, None, None),
        };
        let to = queued.recipients.iter().map(|it| match &it.forward_path {
            ForwardPath::Postmaster => "postmaster".to_owned(),
            ForwardPath::Mailbox(mailbox) => self.redactor.address(&mailbox.to_string()),
        });
        Record {
            version: VERSION,
            id: id.clone(),
            at,
            customer: evidence.customer.ip(),
            flag_id,
            user,
            identity: evidence.identity.clone(),
            original_dst,
            ehlo: ehlo.map(ToString::to_string),
            verdict: evidence.verdict.to_owned(),
            reason: self.redactor.address(&evidence.reason),
            // Part of what scanners say is from the message.
            reasons: evidence
                .reasons
                .iter()
                .map(|it| self.redactor.address(it))
                .collect(),
            scanners: evidence.scanners.clone(),
            from: match &queued.mail.reverse_path {
                ReversePath::Null => "<>".to_owned(),
                ReversePath::Mailbox(mailbox) => self.redactor.address(&mailbox.to_string()),
            },
            to: to.collect(),
            redacted_with: self.redactor.epoch(),
            octets: evidence.content.octets(),
            content_sha256: read.content_sha256,
            text_hash: read.text_hash,
            simhash: evidence.simhash.filter(|_| evidence.tier == Tier::Body),
            tier: evidence.tier,
            header_octets,
            sealed: read.sealed,
        }
    }

    /// Takes back what was written of a record that cannot be finished.
    async fn clear(&self, id: &RecordId, at: Timestamp) {
        for part in Part::ALL {
            if let Err(error) = self.store.remove(&part.path(id, at)).await {
                // At the next start it is found, and set aside.
                warn!(record.id = %id, %error, "half a record stays in the quarantine");
            }
        }
    }
}

/// A sealed part that is being written.
struct Copy {
    sealer: Sealer,
    /// Sealed, and not yet given to the store.
    pending: Vec<u8>,
    writing: Writing,
    hash: Sha256,
    text_octets: u64,
}

impl Copy {
    async fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.hash.update(text);
        self.text_octets += text.len() as u64;
        let sealed = self.sealer.update(text, &mut self.pending);
        sealed.map_err(io::Error::other)?;
        self.writing.append(&mut self.pending).await
    }

    async fn finish(mut self) -> io::Result<Sealed> {
        let sealed = self.sealer.finish(&mut self.pending);
        sealed.map_err(io::Error::other)?;
        self.writing.append(&mut self.pending).await?;
        Ok(Sealed {
            octets: self.writing.finish().await?,
            text_octets: self.text_octets,
            sha256: HEXLOWER.encode(&self.hash.finalize()),
        })
    }
}

const HEADER_OCTETS_MAX: usize = 256 << 10;
