//! The API from the other side: one request at a time, over the Unix socket or TLS.
//!
//! # Diagnostics
//!
//! [`ClientError`] tells apart that nobody listens, that the controller refused (with its own words), and that
//! something else answered.

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::JoinHandle, time::timeout};

use crate::api::view::{ErrorBody, ErrorView};

mod follow;
mod way;

use self::way::Way;
pub use self::way::WayError;

/// A controller, by the way to it.
#[derive(Clone, Debug)]
pub struct Client {
    way: Way,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or we may not ask.
    #[error("{place}: {source}; {advice}")]
    Unreachable {
        /// Where we asked.
        place: String,
        /// Why not.
        source: io::Error,
        /// What to do next.
        advice: &'static str,
    },
    /// The controller said no.
    #[error("{}", .0.message)]
    Refused(ErrorView),
    /// The connection broke, or the answer is not one of ours.
    #[error("{place}: no usable answer: {what}; outgated's log may say more")]
    Unusable {
        /// Where we asked.
        place: String,
        /// What happened.
        what: String,
    },
}

impl Client {
    /// A controller that listens there.
    #[must_use]
    pub const fn new(socket: PathBuf) -> Self {
        Self {
            way: Way::Socket(socket),
        }
    }

    /// A controller of another host, as `https://edge1.example.net:8443`. What `token_file` holds says who we are; the
    /// server's certificate must come from an authority of `ca`, or, without, of this system.
    ///
    /// # Errors
    ///
    /// [`WayError`].
    pub fn remote(
        server: &str,
        token_file: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<Self, WayError> {
        let way = Way::server(server, token_file, ca)?;
        Ok(Self { way })
    }

    /// `GET`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parse(self.send(Method::GET, path, Bytes::new()).await?)
    }

    /// `GET`, however long the answer takes.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send_within(LONGEST_UPLOAD, Method::GET, path, Bytes::new());
        self.parse(answer.await?)
    }

    /// `POST` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unusable(error))?;
        self.parse(self.send(Method::POST, path, body.into()).await?)
    }

    /// `POST` with a JSON body, however long the answer takes.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn post_patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unusable(error))?;
        let answer = self.send_within(LONGEST_UPLOAD, Method::POST, path, body.into());
        self.parse(answer.await?)
    }

    /// `PUT` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unusable(error))?;
        self.parse(self.send(Method::PUT, path, body.into()).await?)
    }

    /// `PATCH` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unusable(error))?;
        self.parse(self.send(Method::PATCH, path, body.into()).await?)
    }

    /// `POST` of a file, however long the answer takes.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        file: Vec<u8>,
    ) -> Result<T, ClientError> {
        let answer = self.send_within(LONGEST_UPLOAD, Method::POST, path, file.into());
        self.parse(answer.await?)
    }

    /// `POST` with a JSON body that answers with a line of JSON now and then, until the other side ends it, or
    /// `each` says that it is enough by [`ControlFlow::Break`], or fails.
    ///
    /// # Errors
    ///
    /// [`ClientError`], or what `each` fails with.
    pub async fn post_for_lines<T: DeserializeOwned, E: From<ClientError>>(
        &self,
        path: &str,
        body: &impl Serialize,
        mut each: impl FnMut(T) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let body = serde_json::to_vec(body).map_err(|error| self.unusable(error))?;
        let (response, driver) = self.ask(Method::POST, path, body.into()).await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let said = self.read(body).await?;
            return self.judge(status, said).map(drop).map_err(E::from);
        }
        let mut pending = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unusable(error))?;
            pending.extend(frame.into_data().unwrap_or_default());
            while let Some(end) = pending.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = serde_json::from_slice(&line).map_err(|error| self.unusable(error))?;
                if each(line)?.is_break() {
                    driver.abort();
                    return Ok(());
                }
            }
            if pending.len() > LINE_OCTETS {
                return Err(self.unusable("a line without an end").into());
            }
        }
        Ok(())
    }

    /// `DELETE` that answers with what was deleted.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parse(self.send(Method::DELETE, path, Bytes::new()).await?)
    }

    /// `DELETE` that answers with nothing.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn delete_silently(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, Bytes::new())
            .await
            .map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        self.send_within(LONGEST_ANSWER, method, path, body).await
    }

    async fn send_within(
        &self,
        longest: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, ClientError> {
        let exchange = async {
            let (response, driver) = self.ask(method, path, body).await?;
            let (status, body) = (response.status(), self.read(response.into_body()).await?);
            driver.abort();
            self.judge(status, body)
        };
        let elapsed = |_| self.unusable("none in time");
        timeout(longest, exchange).await.map_err(elapsed)?
    }

    /// Sends a request, and returns with the head of its answer and the task that drives the connection.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), ClientError> {
        self.ask_with(&[], method, path, body).await
    }

    /// The same, with more in its header.
    async fn ask_with(
        &self,
        headers: &[(HeaderName, String)],
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), ClientError> {
        let connected = timeout(LONGEST_ANSWER, self.way.connect()).await;
        let connected = connected.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        let stream = connected.map_err(|source| ClientError::Unreachable {
            place: self.way.place(),
            source,
            advice: self.way.advice(),
        })?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.way.authority())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = self.way.authorization() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.unusable(error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unusable(error))?;
        // Drives the sockets while the request waits; it ends with the answer.
        let driver = tokio::spawn(connection);
        let sent = sender.send_request(request).await;
        let response = sent.map_err(|error| self.unusable(error))?;
        Ok((response, driver))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let collected = Limited::new(body, ANSWER_OCTETS).collect().await;
        Ok(collected.map_err(|error| self.unusable(error))?.to_bytes())
    }

    fn judge(&self, status: StatusCode, body: Bytes) -> Result<Bytes, ClientError> {
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Err(ClientError::Refused(body.error)),
            Err(_not_ours) => Err(self.unusable(format!("status {status}"))),
        }
    }

    fn parse<T: DeserializeOwned>(&self, body: Bytes) -> Result<T, ClientError> {
        serde_json::from_slice(&body).map_err(|error| self.unusable(error))
    }

    fn unusable(&self, what: impl ToString) -> ClientError {
        ClientError::Unusable {
            place: self.way.place(),
            what: what.to_string(),
        }
    }
}

/// A path with a query; names and values are escaped (RFC 3986 section 2.3).
#[must_use]
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = String::from(path);
    for (pair, mark) in pairs
        .iter()
        .zip(std::iter::once('?').chain(std::iter::repeat('&')))
    {
        out.push(mark);
        out.push_str(&escaped(pair.0));
        out.push('=');
        out.push_str(&escaped(pair.1));
    }
    out
}

/// One segment of a path, or one part of a query, escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    let unreserved = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    let escape = |octet: u8| match unreserved(octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Beyond the longest answer of a controller that works: adding a flag waits five seconds.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// Four million flags on a slow disk.
const LONGEST_UPLOAD: Duration = Duration::from_secs(3600);
/// A line says at most one frame.
const LINE_OCTETS: usize = 1024 * 1024;
/// A list of a hundred thousand flags.
const ANSWER_OCTETS: usize = 128 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(with_query("/v1/flags", &[]), "/v1/flags");
        let query = with_query("/v1/flags/1", &[("reason", "a b&c=ü/"), ("actor", "bob")]);
        assert_eq!(query, "/v1/flags/1?reason=a%20b%26c%3D%C3%BC%2F&actor=bob");
    }
}
