//! One connection to the API, kept open: what a program that writes much does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::UnixStream,
};

/// HTTP/1.1 over the Unix socket, as far as this API answers.
pub(super) struct Connection(BufStream<UnixStream>);

impl Connection {
    pub(super) async fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await;
        let stream = stream.with_context(|| socket.display().to_string())?;
        Ok(Self(BufStream::new(stream)))
    }

    /// Asks, and takes nothing but success for an answer.
    pub(super) async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: outgate\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let Self(stream) = self;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.flush().await?;
        let status = self.line().await?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse::<usize>()?);
                }
                Some(_) => {}
            }
        }
        let mut said = vec![0; length.context("an answer without a length")?];
        self.0.read_exact(&mut said).await?;
        ensure!(
            status
                .split(' ')
                .nth(1)
                .is_some_and(|code| code.starts_with('2')),
            "{method} {path}: {status}: {}",
            String::from_utf8_lossy(&said)
        );
        Ok(serde_json::from_slice(&said)?)
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        ensure!(
            line.ends_with('\n'),
            "the connection ended within an answer"
        );
        Ok(line.trim_end().to_owned())
    }
}
