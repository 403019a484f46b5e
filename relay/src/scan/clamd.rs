//! The scanner that asks clamd: one INSTREAM for each message, on a connection of its own.
//!
//! The message goes as it is read, a block at a time. clamd takes apart what is in it (MIME, archives, documents)
//! within its own limits, and says one line, which [`answer`] understands. It may say that before it has all of the
//! message, if that is longer than its StreamMaxLength, and closes then: the line counts, not that we could not write
//! on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use relay_proto::verdict::OnError;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpStream, UnixStream};

use super::{Opinion, Scan, ScanError, Scanner, Stage, Submission, Terms};
use crate::config::ProgramAddress;
use crate::message::Message;

mod answer;

/// The scanner.
#[derive(Debug)]
pub(super) struct Clamd {
    address: ProgramAddress,
    deadline: Duration,
    on_error: OnError,
}

impl Clamd {
    /// A client of the clamd at `address`.
    pub(super) fn new(address: ProgramAddress, deadline: Duration, on_error: OnError) -> Self {
        Self {
            address,
            deadline,
            on_error,
        }
    }

    async fn ask(&self, message: &Message) -> Result<Opinion, ScanError> {
        let said = match &self.address {
            ProgramAddress::Unix(path) => {
                exchange(UnixStream::connect(path).await?, message).await?
            }
            ProgramAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                exchange(stream, message).await?
            }
        };
        Ok(answer::finding(&said)?.into())
    }
}

impl Scanner for Clamd {
    fn terms(&self) -> Terms {
        Terms {
            name: "clamd",
            stage: Stage::Body,
            deadline: self.deadline,
            on_error: self.on_error,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { self.ask(&submission.content).await })
    }
}

/// Sends `message`, and returns clamd's line.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite,
    message: &Message,
) -> Result<String, ScanError> {
    let (from, to) = tokio::io::split(stream);
    let mut sent = std::pin::pin!(send(to, message));
    let mut said = std::pin::pin!(line(from));
    let sent = tokio::select! {
        said = &mut said => return said,
        sent = &mut sent => sent,
    };
    match sent {
        // clamd waits for the rest, and need not be waited for.
        Err(unreadable @ ScanError::Message(_)) => Err(unreadable),
        // It may have said why it takes no more.
        Err(cut) => said.await.map_err(|_nothing| cut),
        Ok(()) => said.await,
    }
}

async fn send(mut to: impl AsyncWrite + Unpin, message: &Message) -> Result<(), ScanError> {
    to.write_all(b"zINSTREAM\0").await?;
    let mut reader = message.reader();
    while let Some(block) = reader.next().await.map_err(ScanError::Message)? {
        let octets = u32::try_from(block.len()).map_err(io::Error::other)?;
        let length = octets.to_be_bytes();
        to.write_all_buf(&mut Buf::chain(&length[..], block))
            .await?;
    }
    // A chunk of no length is the end.
    to.write_all(&0_u32.to_be_bytes()).await?;
    Ok(to.flush().await?)
}

/// What it says up to the NUL that ends an answer to a command of the form `z`.
async fn line(from: impl AsyncRead + Unpin) -> Result<String, ScanError> {
    let mut line = Vec::new();
    let mut from = BufReader::new(from.take(LINE_OCTETS_MAX));
    from.read_until(0, &mut line).await?;
    let text = String::from_utf8_lossy(&line);
    match text.strip_suffix('\0') {
        Some(line) => Ok(line.to_owned()),
        None if line.is_empty() => Err(ScanError::Answer("closed without a word".into())),
        None => Err(ScanError::Answer(format!(
            "without an end: {:?}",
            short(&text)
        ))),
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The name of a signature is at most some hundred octets.
const LINE_OCTETS_MAX: u64 = 4096;
