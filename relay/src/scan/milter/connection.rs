//! Frames on a connection to a filter.

use std::io;

use bytes::Bytes;
use relay_proto::milter::{Command, Reply, frame_octets};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream};

use super::super::ScanError;

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection to a filter. What is said leaves at the latest when an answer is waited for.
pub(super) struct Connection<S: Stream>(BufStream<S>);

impl<S: Stream> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(BufStream::new(stream))
    }

    pub(super) async fn say(&mut self, command: &Command) -> io::Result<()> {
        self.0.write_all(&command.encode()).await
    }

    /// The filter's next word. Its memory is bounded by what has come, and by the longest frame that there is.
    pub(super) async fn hear(&mut self) -> Result<Reply, ScanError> {
        self.0.flush().await?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length).await.map_err(closed)?;
        let octets = frame_octets(length).map_err(|error| ScanError::Answer(error.to_string()))?;
        let mut frame = Vec::new();
        let limit = u64::try_from(octets).map_err(io::Error::other)?;
        (&mut self.0).take(limit).read_to_end(&mut frame).await?;
        if frame.len() < octets {
            return Err(closed(io::ErrorKind::UnexpectedEof.into()));
        }
        let reply = Reply::decode(&Bytes::from(frame));
        reply.map_err(|error| ScanError::Answer(error.to_string()))
    }

    /// Says that nothing follows. Whoever does not hear it sees the connection close.
    pub(super) async fn quit(mut self) {
        if self.say(&Command::Quit).await.is_ok() {
            drop(self.0.shutdown().await);
        }
    }
}

fn closed(error: io::Error) -> ScanError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            ScanError::Answer("the filter has closed the connection without a verdict".into())
        }
        _ => ScanError::Io(error),
    }
}
