//! Frames over a connection. Every wait has an end: a peer that is silent or does not read is a lost one.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use relay_proto::handover::{BadFrame, Frame, HEAD_OCTETS, Head};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::time::timeout;

/// A connection that carries frames.
#[derive(Debug)]
pub(super) struct Wire<S>(BufWriter<S>);

/// Why nothing more is said on a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// It is gone.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// It is there, and nothing happens.
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    /// What is said makes no sense.
    #[error("the other relay sends {0}")]
    Frame(#[from] BadFrame),
    /// It makes no sense now.
    #[error("the other relay says {0} out of turn")]
    OutOfTurn(&'static str),
    /// The giver has made another connection.
    #[error("its giver has made another connection")]
    Superseded,
    /// This relay ends.
    #[error("this relay is to end")]
    Stopping,
    /// The other has ended it, and has said why.
    #[error("the other relay says: {0}")]
    Refused(String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a connection on which nothing was said.
    pub(super) fn new(stream: S) -> Self {
        Self(BufWriter::with_capacity(BUFFER_OCTETS, stream))
    }

    /// Says something; it may not have left before [`Wire::flush`].
    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), Broken> {
        let octets = frame.encode();
        let sent = timeout(SILENCE, self.0.write_all(&octets)).await;
        Ok(sent.map_err(|_elapsed| Broken::Silent)??)
    }

    /// All that was said is on its way.
    pub(super) async fn flush(&mut self) -> Result<(), Broken> {
        let flushed = timeout(SILENCE, self.0.flush()).await;
        Ok(flushed.map_err(|_elapsed| Broken::Silent)??)
    }

    /// The next frame. Whoever gives up waiting must not use the connection again.
    pub(super) async fn receive(&mut self) -> Result<Frame, Broken> {
        let received = timeout(SILENCE, self.read()).await;
        received.map_err(|_elapsed| Broken::Silent)?
    }

    async fn read(&mut self) -> Result<Frame, Broken> {
        let mut head = [0; HEAD_OCTETS];
        self.0.read_exact(&mut head).await?;
        let head = Head::decode(head)?;
        let mut octets = vec![0; head.octets()];
        self.0.read_exact(&mut octets).await?;
        Ok(Frame::decode(head, &Bytes::from(octets))?)
    }

    /// Nothing more is said.
    pub(super) async fn close(mut self) {
        // The other has heard all that matters.
        let _closed = timeout(SILENCE, self.0.shutdown()).await.is_ok();
    }
}

/// What a frame is, for whoever must be told that it came at the wrong moment.
pub(super) fn kind(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "hello",
        Frame::Welcome(_) => "welcome",
        Frame::Refused(_) => "refused",
        Frame::Message(_) => "message",
        Frame::Content(_) => "content",
        Frame::Commit => "commit",
        Frame::Stored { .. } => "stored",
        Frame::NotStored { .. } => "not stored",
        Frame::Finished(_) => "finished",
        Frame::Bye => "bye",
    }
}

/// A disk that is busy may need as long as this for a batch.
const SILENCE: Duration = Duration::from_secs(120);
const BUFFER_OCTETS: usize = 64 << 10;
