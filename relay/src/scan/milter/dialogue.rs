//! One message, shown to one filter from beginning to end.

use bytes::{Bytes, BytesMut};
use relay_proto::milter::{BODY_OCTETS, Command, Reply, Section, Steps, Terms};
use relay_proto::verdict::{Concern, Finding};

use super::super::{ScanError, Submission};
use super::answer::{Heard, heard, out_of_turn, quarantined};
use super::connection::{Connection, Stream};
use super::envelope;
use crate::message::Message;

/// A filter with which the terms are agreed on.
pub(super) struct Dialogue<S: Stream> {
    connection: Connection<S>,
    version: u32,
    steps: Steps,
    concern: Concern,
    /// What the filter could not be shown.
    not_shown: Option<String>,
}

/// What has come of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) finding: Finding,
    /// In the filter's words.
    pub(super) reasons: Vec<String>,
    /// What the filter could not be shown.
    pub(super) not_shown: Option<String>,
    /// Changes that it wanted.
    pub(super) changes: u64,
}

impl<S: Stream> Dialogue<S> {
    /// Agrees with the filter on the terms.
    pub(super) async fn begin(
        mut connection: Connection<S>,
        concern: Concern,
    ) -> Result<Self, ScanError> {
        let offer = Terms::offer();
        connection.say(&Command::Negotiate(offer.clone())).await?;
        let answer = connection.hear().await?;
        let Reply::Negotiate(answer) = answer else {
            return Err(out_of_turn(&answer));
        };
        let agreed = offer.agree(&answer);
        let (version, steps) =
            agreed.map_err(|why| ScanError::Answer(format!("the filter wants {why}")))?;
        Ok(Self {
            connection,
            version,
            steps,
            concern,
            not_shown: None,
        })
    }

    /// Shows the message, until the filter has seen enough.
    pub(super) async fn show(
        mut self,
        submission: &Submission,
        hostname: &str,
    ) -> Result<Outcome, ScanError> {
        let mut settled = None;
        for command in envelope::commands(submission) {
            if let Heard::Settled(finding, said) = self.ask(&command, submission, hostname).await? {
                settled = Some((finding, said));
                break;
            }
        }
        if settled.is_none() {
            settled = self.content(submission, hostname).await?;
        }
        let (finding, said, changes) = match settled {
            Some((finding, said)) => (finding, said, 0),
            None => self.end(submission, hostname).await?,
        };
        let not_shown = self.not_shown.take();
        self.connection.quit().await;
        Ok(Outcome {
            finding,
            reasons: said.into_iter().collect(),
            not_shown,
            changes,
        })
    }

    /// Shows header section and body; `Some` = that was enough.
    async fn content(
        &mut self,
        submission: &Submission,
        hostname: &str,
    ) -> Result<Option<(Finding, Option<String>)>, ScanError> {
        let content = &submission.content;
        let header = content.header_section(HEADER_OCTETS_MAX).await;
        let header = header.map_err(ScanError::Message)?;
        let section = Section::read(&header.octets, FIELDS_MAX);
        if header.is_cut {
            self.not_shown = Some(format!("a header of more than {HEADER_OCTETS_MAX} octets"));
        } else if section.is_cut {
            self.not_shown = Some(format!("more than {FIELDS_MAX} fields"));
        }
        let leading_space = self.steps.has(Steps::LEADING_SPACE);
        for field in &section.fields {
            let (name, value, fits) = field.words(leading_space, BODY_OCTETS);
            if !fits {
                self.not_shown = Some(format!("a field of more than {BODY_OCTETS} octets"));
            }
            let command = Command::Header { name, value };
            match self.ask(&command, submission, hostname).await? {
                Heard::GoOn => {}
                Heard::Enough => break,
                Heard::Settled(finding, said) => return Ok(Some((finding, said))),
            }
        }
        let command = Command::EndOfHeader;
        if let Heard::Settled(finding, said) = self.ask(&command, submission, hostname).await? {
            return Ok(Some((finding, said)));
        }
        let mut body = Chunks::of(content, section.body_at);
        while !self.steps.has(Steps::NO_BODY)
            && let Some(chunk) = body.next().await?
        {
            match self
                .ask(&Command::Body(chunk), submission, hostname)
                .await?
            {
                Heard::GoOn => {}
                Heard::Enough => break,
                Heard::Settled(finding, said) => return Ok(Some((finding, said))),
            }
        }
        Ok(None)
    }

    /// Asks for the verdict: what it is, why, and how many changes were wanted.
    async fn end(
        &mut self,
        submission: &Submission,
        hostname: &str,
    ) -> Result<(Finding, Option<String>, u64), ScanError> {
        self.say(&Command::EndOfBody, submission, hostname).await?;
        let (mut changes, mut kept) = (0, None);
        loop {
            let reply = self.connection.hear().await?;
            let heard = match reply {
                Reply::Progress => continue,
                Reply::Change { .. } => {
                    changes += 1;
                    continue;
                }
                Reply::Quarantine(why) => {
                    kept = Some(quarantined(&why, self.concern));
                    continue;
                }
                Reply::Skip => return Err(out_of_turn(&reply)),
                // It has wanted it kept, and has nothing against it otherwise.
                Reply::Continue | Reply::Accept => kept.take().unwrap_or(Heard::GoOn),
                Reply::Negotiate(_)
                | Reply::Reject
                | Reply::TempFail
                | Reply::Discard
                | Reply::Code(_)
                | Reply::Shutdown
                | Reply::ConnectionFailed => heard(&reply, self.concern)?,
            };
            return Ok(match heard {
                Heard::GoOn | Heard::Enough => (Finding::Clean, None, changes),
                Heard::Settled(finding, said) => (finding, said, changes),
            });
        }
    }

    /// Says one thing, and hears what the filter thinks of it, if it is to be asked at all.
    async fn ask(
        &mut self,
        command: &Command,
        submission: &Submission,
        hostname: &str,
    ) -> Result<Heard, ScanError> {
        if !command.is_shown(self.version, self.steps) {
            return Ok(Heard::GoOn);
        }
        self.say(command, submission, hostname).await?;
        if !command.is_answered(self.steps) {
            return Ok(Heard::GoOn);
        }
        loop {
            match self.connection.hear().await? {
                Reply::Progress => {}
                skip @ Reply::Skip if !self.may_skip(command) => return Err(out_of_turn(&skip)),
                reply => return heard(&reply, self.concern),
            }
        }
    }

    fn may_skip(&self, command: &Command) -> bool {
        let repeats = matches!(command, Command::Header { .. } | Command::Body(_));
        repeats && self.steps.has(Steps::SKIP)
    }

    async fn say(
        &mut self,
        command: &Command,
        submission: &Submission,
        hostname: &str,
    ) -> Result<(), ScanError> {
        if let Some(macros) = envelope::macros(command, submission, hostname) {
            self.connection.say(&macros).await?;
        }
        Ok(self.connection.say(command).await?)
    }
}

/// The body in pieces that fill a frame.
struct Chunks {
    reader: crate::message::Reader,
    /// Octets of the header section that were not read yet.
    above: usize,
    pending: BytesMut,
}

impl Chunks {
    fn of(content: &Message, body_at: usize) -> Self {
        Self {
            reader: content.reader(),
            above: body_at,
            pending: BytesMut::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ScanError> {
        while self.pending.len() < BODY_OCTETS {
            let block = self.reader.next().await.map_err(ScanError::Message)?;
            let Some(block) = block else {
                break;
            };
            let above = self.above.min(block.len());
            self.above -= above;
            self.pending.extend_from_slice(&block.slice(above..));
        }
        let octets = self.pending.len().min(BODY_OCTETS);
        Ok((octets > 0).then(|| self.pending.split_to(octets).freeze()))
    }
}

/// Large mailing lists and calendars stay far below.
const HEADER_OCTETS_MAX: usize = 1 << 20;
/// Each may cost the time of a question and an answer. What follows them is shown as body.
const FIELDS_MAX: usize = 2000;

#[cfg(test)]
mod tests;
