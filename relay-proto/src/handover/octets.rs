//! Frames in octets. What is in them are fields with tags (`record::fields`), but for content, which is itself.

use bytes::Bytes;

use super::{
    BATCH_MESSAGES, BadFrame, CONTENT_OCTETS, ENVELOPE_OCTETS, Frame, HEAD_OCTETS, Handed, Head,
    Hello, SpoolName, Welcome, Why,
};
use crate::queued::{QueueId, UnixMillis};
use crate::record::fields::{
    CRITICAL, Malformed, Writer, fields, number, push_number, take_number, text,
};

impl Frame {
    /// Its octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        let kind = match self {
            Self::Hello(hello) => {
                body.octets(MAGIC, MAGIC_WORD);
                body.number(FIRST_VERSION, u64::from(*hello.versions.start()));
                body.number(LAST_VERSION, u64::from(*hello.versions.end()));
                body.text(RELAY, &hello.relay);
                body.octets(SPOOL, &hello.spool.0);
                body.number(TRIED_UNTIL, hello.tried_until.0);
                HELLO
            }
            Self::Welcome(welcome) => {
                body.number(LAST_VERSION, u64::from(welcome.version));
                body.text(RELAY, &welcome.relay);
                body.number(ROOM, welcome.room_octets);
                for id in &welcome.kept {
                    body.number(ID, id.get());
                }
                WELCOME
            }
            Self::Refused(why) => {
                body.text(TEXT, why);
                REFUSED
            }
            Self::Message(handed) => {
                body.number(ID, handed.id.get());
                body.flag(HELD, handed.held);
                let mut done = Vec::new();
                for &recipient in &handed.done {
                    push_number(&mut done, u64::from(recipient));
                }
                body.octets(DONE, &done);
                body.number(CONTENT_LENGTH, handed.content_octets);
                body.octets(ENVELOPE, &handed.envelope);
                MESSAGE
            }
            Self::Content(octets) => {
                body = Writer::after(octets);
                CONTENT
            }
            Self::Commit => COMMIT,
            Self::Stored { id, name } => {
                body.number(ID, id.get());
                body.number(NAME, name.get());
                STORED
            }
            Self::NotStored { id, why, text } => {
                body.number(ID, id.get());
                body.number(WHY, why.number());
                body.text(TEXT, text);
                NOT_STORED
            }
            Self::Finished(id) => {
                body.number(ID, id.get());
                FINISHED
            }
            Self::Bye => BYE,
        };
        let body = body.finish();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut octets = Vec::with_capacity(HEAD_OCTETS + body.len());
        octets.push(kind);
        octets.extend_from_slice(&length.to_le_bytes());
        octets.extend_from_slice(&body);
        octets
    }

    /// The frame behind that head, whose octets these are.
    pub fn decode(head: Head, octets: &Bytes) -> Result<Self, BadFrame> {
        Ok(match head.kind {
            HELLO => Self::Hello(hello(octets)?),
            WELCOME => Self::Welcome(welcome(octets)?),
            REFUSED => {
                let mut why = None;
                read(octets, |tag, value| match tag {
                    TEXT => keep(&mut why, words(value)),
                    unknown => pass_over(unknown),
                })?;
                Self::Refused(why.ok_or(BadFrame::Malformed)?)
            }
            MESSAGE => Self::Message(handed(octets)?),
            CONTENT if octets.is_empty() => return Err(BadFrame::Malformed),
            CONTENT => Self::Content(octets.clone()),
            COMMIT => nothing_but(octets, Self::Commit)?,
            STORED => {
                let (id, name) = names(octets)?;
                Self::Stored {
                    id,
                    name: name.ok_or(BadFrame::Malformed)?,
                }
            }
            NOT_STORED => not_stored(octets)?,
            FINISHED => Self::Finished(names(octets)?.0),
            BYE => nothing_but(octets, Self::Bye)?,
            unknown => return Err(BadFrame::Unknown(unknown)),
        })
    }
}

impl Head {
    /// What these octets announce. Nothing longer than its kind may be is accepted, so that nobody makes room for it.
    pub fn decode(octets: [u8; HEAD_OCTETS]) -> Result<Self, BadFrame> {
        let [kind, length @ ..] = octets;
        let octets = u32::from_le_bytes(length);
        let most = match kind {
            MESSAGE => ENVELOPE_OCTETS.saturating_add(DONE_OCTETS),
            CONTENT => CONTENT_OCTETS,
            HELLO | WELCOME | REFUSED | COMMIT | STORED | NOT_STORED | FINISHED | BYE => {
                SMALL_OCTETS
            }
            unknown => return Err(BadFrame::Unknown(unknown)),
        };
        if octets > most {
            return Err(BadFrame::TooLong(octets));
        }
        Ok(Self { kind, octets })
    }

    /// Octets that follow.
    #[must_use]
    pub fn octets(self) -> usize {
        usize::try_from(self.octets).unwrap_or(usize::MAX)
    }
}

fn hello(octets: &[u8]) -> Result<Hello, BadFrame> {
    let (mut magic, mut first, mut last) = (None, None, None);
    let (mut relay, mut spool, mut tried_until) = (None, None, None);
    read(octets, |tag, value| match tag {
        MAGIC => keep(&mut magic, Ok(value == MAGIC_WORD)),
        FIRST_VERSION => keep(&mut first, version(value)),
        LAST_VERSION => keep(&mut last, version(value)),
        RELAY => keep(&mut relay, words(value)),
        SPOOL => keep(&mut spool, value.try_into().map_err(|_length| Malformed)),
        TRIED_UNTIL => keep(&mut tried_until, number(value)),
        unknown => pass_over(unknown),
    })?;
    let read = || {
        (magic == Some(true)).then_some(Hello {
            versions: first?..=last?,
            relay: relay?,
            spool: SpoolName(spool?),
            tried_until: UnixMillis(tried_until?),
        })
    };
    read().ok_or(BadFrame::Malformed)
}

fn welcome(octets: &[u8]) -> Result<Welcome, BadFrame> {
    let (mut spoken, mut relay, mut room) = (None, None, None);
    let mut kept = Vec::new();
    read(octets, |tag, value| match tag {
        LAST_VERSION => keep(&mut spoken, version(value)),
        RELAY => keep(&mut relay, words(value)),
        ROOM => keep(&mut room, number(value)),
        ID => {
            kept.push(id(value)?);
            Ok(())
        }
        unknown => pass_over(unknown),
    })?;
    let read = || {
        Some(Welcome {
            version: spoken?,
            relay: relay?,
            room_octets: room?,
            kept,
        })
    };
    read().ok_or(BadFrame::Malformed)
}

fn handed(octets: &Bytes) -> Result<Handed, BadFrame> {
    let (mut name, mut held, mut content_octets, mut envelope) = (None, false, None, None);
    let mut done = Vec::new();
    read(octets, |tag, value| match tag {
        ID => keep(&mut name, id(value)),
        HELD => {
            held = true;
            Ok(())
        }
        DONE => {
            let mut rest = value;
            while !rest.is_empty() {
                let recipient = take_number(&mut rest).and_then(|it| u32::try_from(it).ok());
                done.push(recipient.ok_or(Malformed)?);
            }
            Ok(())
        }
        CONTENT_LENGTH => keep(&mut content_octets, number(value)),
        ENVELOPE => keep(&mut envelope, Ok(octets.slice_ref(value))),
        unknown => pass_over(unknown),
    })?;
    let read = || {
        Some(Handed {
            id: name?,
            held,
            done,
            content_octets: content_octets?,
            envelope: envelope?,
        })
    };
    read().ok_or(BadFrame::Malformed)
}

fn not_stored(octets: &[u8]) -> Result<Frame, BadFrame> {
    let (mut name, mut why, mut said) = (None, None, None);
    read(octets, |tag, value| match tag {
        ID => keep(&mut name, id(value)),
        WHY => keep(&mut why, number(value).map(Why::from_number)),
        TEXT => keep(&mut said, words(value)),
        unknown => pass_over(unknown),
    })?;
    let read = || {
        Some(Frame::NotStored {
            id: name?,
            why: why?,
            text: said?,
        })
    };
    read().ok_or(BadFrame::Malformed)
}

/// An [`ID`], and a [`NAME`] if there is one.
fn names(octets: &[u8]) -> Result<(QueueId, Option<QueueId>), BadFrame> {
    let (mut first, mut second) = (None, None);
    read(octets, |tag, value| match tag {
        ID => keep(&mut first, id(value)),
        NAME => keep(&mut second, id(value)),
        unknown => pass_over(unknown),
    })?;
    Ok((first.ok_or(BadFrame::Malformed)?, second))
}

fn nothing_but(octets: &[u8], frame: Frame) -> Result<Frame, BadFrame> {
    read(octets, |tag, _| pass_over(tag)).map(|()| frame)
}

/// Gives each field to `take`.
fn read<'a>(
    octets: &'a [u8],
    mut take: impl FnMut(u8, &'a [u8]) -> Result<(), Problem>,
) -> Result<(), BadFrame> {
    for field in fields(octets) {
        let (tag, value) = field.map_err(|Malformed| BadFrame::Malformed)?;
        take(tag, value).map_err(|problem| match problem {
            Problem::Malformed => BadFrame::Malformed,
            Problem::Newer => BadFrame::Newer,
        })?;
    }
    Ok(())
}

/// What is wrong with a field.
enum Problem {
    Malformed,
    Newer,
}

impl From<Malformed> for Problem {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

fn keep<T>(place: &mut Option<T>, value: Result<T, Malformed>) -> Result<(), Problem> {
    *place = Some(value?);
    Ok(())
}

fn pass_over(tag: u8) -> Result<(), Problem> {
    if tag < CRITICAL {
        Ok(())
    } else {
        Err(Problem::Newer)
    }
}

fn id(value: &[u8]) -> Result<QueueId, Malformed> {
    QueueId::from_number(number(value)?).ok_or(Malformed)
}

fn version(value: &[u8]) -> Result<u16, Malformed> {
    u16::try_from(number(value)?).map_err(|_range| Malformed)
}

/// Text that can stand in a log and on a terminal.
fn words(value: &[u8]) -> Result<String, Malformed> {
    let text = text(value)?;
    let shown = text.chars().filter(|it| !it.is_control());
    Ok(shown.take(TEXT_CHARACTERS).collect())
}

impl Why {
    fn number(self) -> u64 {
        match self {
            Self::Full => 1,
            Self::Unreadable => 2,
            Self::Failed => 3,
        }
    }

    /// What a later version says otherwise is a failure to this one.
    fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Full,
            2 => Self::Unreadable,
            _ => Self::Failed,
        }
    }
}

/// What stands beside an envelope: above all, which of its recipients are done.
const DONE_OCTETS: u32 = 1 << 20;
/// A welcome names two batches at most.
const SMALL_OCTETS: u32 = 16 << 10;
const _: () = assert!(BATCH_MESSAGES * 2 * 12 < 16 << 10);
const TEXT_CHARACTERS: usize = 500;
const MAGIC_WORD: &[u8] = b"outgate-spool";

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const MESSAGE: u8 = 4;
const CONTENT: u8 = 5;
const COMMIT: u8 = 6;
const STORED: u8 = 7;
const NOT_STORED: u8 = 8;
const FINISHED: u8 = 9;
const BYE: u8 = 10;

const MAGIC: u8 = 1;
const FIRST_VERSION: u8 = 2;
const LAST_VERSION: u8 = 3;
const RELAY: u8 = 4;
const SPOOL: u8 = 5;
const TRIED_UNTIL: u8 = 6;
const ROOM: u8 = 7;
const ID: u8 = 8;
const NAME: u8 = 9;
const HELD: u8 = 10;
const DONE: u8 = 11;
const CONTENT_LENGTH: u8 = 12;
const ENVELOPE: u8 = 13;
const WHY: u8 = 14;
const TEXT: u8 = 15;
