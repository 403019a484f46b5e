//! One end of an SMTP connection for generator and sink: lines, content, TLS in the middle of it.
//!
//! It believes its peer to be well-behaved, because both are ours or the relay under test; whatever is not
//! as expected is an error, and ends the measurement.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use memchr::{memchr, memmem};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A connection.
pub(super) struct Wire {
    /// Out of its place only while a handshake runs.
    io: Option<Io>,
    /// Received, and not yet taken.
    input: Vec<u8>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        // What is measured is never how long the kernel waits for more to send.
        stream.set_nodelay(true)?;
        Ok(Self {
            io: Some(Io::Plain(stream)),
            input: Vec::new(),
        })
    }

    /// Sends all of it.
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<()> {
        match &mut self.io {
            Some(Io::Plain(stream)) => stream.write_all(octets).await?,
            Some(Io::Tls(stream)) => {
                stream.write_all(octets).await?;
                stream.flush().await?;
            }
            None => bail!("a handshake failed before"),
        }
        Ok(())
    }

    /// Sends, and reads as many replies, which must have these codes.
    pub(super) async fn ask(&mut self, octets: &[u8], codes: &[&str]) -> Result<()> {
        self.send(octets).await?;
        for code in codes {
            self.reply(code).await?;
        }
        Ok(())
    }

    /// Reads a reply of any number of lines, which must have this code.
    pub(super) async fn reply(&mut self, code: &str) -> Result<()> {
        loop {
            let line = timeout(PATIENCE, self.line()).await;
            let line = line.with_context(|| format!("waiting for {code}"))?;
            let Some(line) = line? else {
                bail!("the end of the connection instead of {code}");
            };
            let as_expected = line.starts_with(code.as_bytes());
            ensure!(
                as_expected,
                "{:?} instead of {code}",
                String::from_utf8_lossy(&line)
            );
            if line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    /// The next line with its end; `None` after the last one.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = memchr(b'\n', &self.input) {
                return Ok(Some(self.input.drain(..=end).collect()));
            }
            if self.receive().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes a message's content and the end of it; `false` if the connection ends before.
    pub(super) async fn content(&mut self) -> Result<bool> {
        let mut searched: usize = 0;
        loop {
            let from = searched.saturating_sub(END.len());
            let found = self
                .input
                .get(from..)
                .and_then(|rest| memmem::find(rest, END));
            if let Some(at) = found {
                self.input.drain(..from + at + END.len());
                return Ok(true);
            }
            // What was searched is not needed again, but where an end may have begun.
            if self.input.len() > MOST_KEPT {
                self.input.drain(..self.input.len() - END.len());
            }
            searched = self.input.len();
            if self.receive().await? == 0 {
                return Ok(false);
            }
        }
    }

    /// Takes whatever comes until the end, and says how much.
    pub(super) async fn discard(&mut self, mut took: impl FnMut(u64)) -> Result<()> {
        let Some(Io::Plain(stream)) = &mut self.io else {
            bail!("what TLS hides is discarded nowhere");
        };
        let mut octets = vec![0; 256 * 1024];
        loop {
            let received = stream.read(&mut octets).await?;
            if received == 0 {
                return Ok(());
            }
            took(u64::try_from(received)?);
        }
    }

    /// The server's handshake.
    pub(super) async fn accept(&mut self, config: &Arc<ServerConfig>) -> Result<()> {
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        let stream = acceptor.accept(self.plain()?).await?;
        self.io = Some(Io::Tls(Box::new(stream.into())));
        Ok(())
    }

    /// The client's.
    pub(super) async fn secure(&mut self, config: &Arc<ClientConfig>) -> Result<()> {
        let connector = TlsConnector::from(Arc::clone(config));
        let name = ServerName::try_from(super::stage::NAME)?;
        let stream = connector.connect(name, self.plain()?).await?;
        self.io = Some(Io::Tls(Box::new(stream.into())));
        Ok(())
    }

    /// The socket, if nothing was received that would go into a handshake unseen.
    fn plain(&mut self) -> Result<TcpStream> {
        ensure!(self.input.is_empty(), "octets behind STARTTLS");
        match self.io.take() {
            Some(Io::Plain(stream)) => Ok(stream),
            Some(Io::Tls(_)) | None => bail!("TLS twice"),
        }
    }

    async fn receive(&mut self) -> Result<usize> {
        // Little for idle connections, of which there are thousands.
        self.input.reserve(512);
        let received = match &mut self.io {
            Some(Io::Plain(stream)) => stream.read_buf(&mut self.input).await?,
            Some(Io::Tls(stream)) => stream.read_buf(&mut self.input).await?,
            None => 0,
        };
        Ok(received)
    }
}

const END: &[u8] = b"\r\n.\r\n";
/// Longer than any answer takes of who is alive.
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_KEPT: usize = 64 * 1024;
