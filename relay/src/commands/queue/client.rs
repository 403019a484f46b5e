//! One question to the running relay, one answer.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use relay::queue::admin::shapes::Refused;
use relay::unix_http::{self, AskError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Whom we ask.
pub(in crate::commands) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

/// The relay says no.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(in crate::commands) struct SaysNo {
    pub(in crate::commands) status: StatusCode,
    error: String,
}

impl Client {
    pub(in crate::commands) fn new(socket: &Path) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        Ok(Self {
            socket: socket.to_owned(),
            runtime,
        })
    }

    /// `None` = there is no such thing.
    pub(in crate::commands) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> anyhow::Result<Option<T>> {
        self.there(Method::GET, path)
    }

    /// The same, for what is to end.
    pub(in crate::commands) fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> anyhow::Result<Option<T>> {
        self.there(Method::DELETE, path)
    }

    fn there<T: DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<Option<T>> {
        let (status, octets) = self.ask(method, path, Bytes::new())?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status => answer(status, &octets).map(Some),
        }
    }

    pub(in crate::commands) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> anyhow::Result<T> {
        let question = serde_json::to_vec(question)?;
        let (status, octets) = self.ask(Method::POST, path, question.into())?;
        answer(status, &octets)
    }

    /// The answer as it comes, in a file without a name, at its beginning.
    pub(in crate::commands) fn download(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> anyhow::Result<File> {
        let question = serde_json::to_vec(question)?;
        let mut file = tempfile::tempfile().context("a temporary file")?;
        self.wait(async {
            let mut response = self.send(Method::POST, path, whole(question)).await?;
            let status = response.status();
            if !status.is_success() {
                let octets = response.into_body().collect().await?.to_bytes();
                return Err(says_no(status, &octets));
            }
            while let Some(frame) = response.frame().await {
                if let Ok(octets) = frame?.into_data() {
                    file.write_all(&octets)?;
                }
            }
            Ok(())
        })?;
        file.rewind()?;
        Ok(file)
    }

    /// A question in a line, and all of `text` behind it.
    pub(in crate::commands) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
        mut text: impl Read,
    ) -> anyhow::Result<T> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        let (status, octets) = self.wait(async {
            let (mut sender, body) = Channel::<Bytes, io::Error>::new(1);
            let feeding = async {
                let mut block: Bytes = line.into();
                while !block.is_empty() {
                    // Whoever has heard enough says why in its answer.
                    if sender.send_data(block).await.is_err() {
                        return Ok(());
                    }
                    let mut next = Vec::with_capacity(BLOCK_OCTETS);
                    text.by_ref()
                        .take(BLOCK_OCTETS as u64)
                        .read_to_end(&mut next)?;
                    block = next.into();
                }
                drop(sender);
                Ok::<_, io::Error>(())
            };
            let asking = async {
                let response = self.send(Method::POST, path, body.boxed_unsync()).await?;
                let status = response.status();
                let octets = response.into_body().collect().await?.to_bytes();
                Ok::<_, anyhow::Error>((status, octets))
            };
            let (fed, answered) = tokio::join!(feeding, asking);
            fed.context("what is to be sent cannot be read")?;
            answered
        })?;
        answer(status, &octets)
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "outgate-relay")
            .body(Full::new(body))
            .with_context(|| format!("{path}: cannot be asked for"))?;
        let exchange = async {
            match unix_http::ask(&self.socket, request, ANSWER_OCTETS_MAX).await {
                Ok(answer) => Ok(answer),
                Err(AskError::Socket(error)) => Err(self.no_relay(error)),
                Err(error @ (AskError::Http(_) | AskError::Body(_))) => Err(error.into()),
            }
        };
        self.wait(exchange)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "outgate-relay")
            .body(body)
            .with_context(|| format!("{path}: cannot be asked for"))?;
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| self.no_relay(error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await?;
        // It ends with the answer.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }

    fn wait<T>(&self, exchange: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let answered = self
            .runtime
            .block_on(async { timeout(DEADLINE, exchange).await });
        answered.map_err(|_elapsed| {
            anyhow!(
                "{}: no answer within {} s",
                self.socket.display(),
                DEADLINE.as_secs()
            )
        })?
    }

    fn no_relay(&self, error: io::Error) -> anyhow::Error {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
                "{socket}: no relay answers; it must be running, and have [spool] in its configuration if it is asked about mail"
            ),
            io::ErrorKind::PermissionDenied => anyhow!(
                "{socket}: permission denied; whoever asks must be the relay's user, or in its group"
            ),
            _ => anyhow!("{socket}: {error}"),
        }
    }
}

fn answer<T: DeserializeOwned>(status: StatusCode, octets: &[u8]) -> anyhow::Result<T> {
    if status.is_success() {
        return serde_json::from_slice(octets).context("the relay's answer");
    }
    Err(says_no(status, octets))
}

fn says_no(status: StatusCode, octets: &[u8]) -> anyhow::Error {
    let refused = serde_json::from_slice::<Refused>(octets);
    let error = refused.map_or_else(
        |_| format!("the relay answers with status {status}"),
        |refused| refused.error,
    );
    SaysNo { status, error }.into()
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

fn whole(octets: impl Into<Bytes>) -> Body {
    Full::new(octets.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

const BLOCK_OCTETS: usize = 64 << 10;
/// Deleting a million messages takes a while.
const DEADLINE: Duration = Duration::from_secs(600);
/// A list of a million messages.
const ANSWER_OCTETS_MAX: usize = 1 << 30;
