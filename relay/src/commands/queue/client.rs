//! One question to the running relay, one answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use relay::queue::admin::shapes::Refused;
use relay::unix_http::{self, AskError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Whom we ask.
pub(in crate::commands) struct Client {
    socket: PathBuf,
    runtime: Runtime,
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
                "{socket}: no relay answers; it must be running, with [spool] in its configuration"
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
    match serde_json::from_slice::<Refused>(octets) {
        Ok(refused) => bail!("{}", refused.error),
        Err(_) => bail!("the relay answers with status {status}"),
    }
}

/// Deleting a million messages takes a while.
const DEADLINE: Duration = Duration::from_secs(600);
/// A list of a million messages.
const ANSWER_OCTETS_MAX: usize = 1 << 30;
