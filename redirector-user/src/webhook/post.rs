//! One request to an endpoint, and what it is answered.
//!
//! A connection for each request: events are few, and an endpoint that hangs must not hold anything of ours.
//!
//! # Diagnostics
//!
//! [`WebhookError`] at start, [`PostError`] of one attempt; neither tells a secret, nor more of the URL than where it leads.

use std::{io, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{SecretError, Secrets};
use crate::{
    config::Webhook,
    roots::{self, RootsError},
};

/// An endpoint, ready to be asked.
#[derive(Debug)]
pub struct Endpoint {
    webhook: Webhook,
    /// `None` = without TLS.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// What an endpoint has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The beginning of what it said.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

/// What is wrong with a webhook's files.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The secret cannot be read.
    #[error("webhook {name}: secret_file {file}: {source}")]
    Unreadable {
        /// Which webhook.
        name: String,
        /// Which file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// It is none.
    #[error("webhook {name}: secret_file {file}: {source}")]
    Secret {
        /// Which webhook.
        name: String,
        /// Which file.
        file: String,
        /// What it is.
        source: SecretError,
    },
    /// Nobody vouches for the endpoint.
    #[error("webhook {name}: ca_file: {source}; it must be a PEM file of certificates")]
    Authorities {
        /// Which webhook.
        name: String,
        /// Why not.
        source: RootsError,
    },
    /// No certificate has such a name.
    #[error("webhook {name}: url: {host:?}: no certificate has such a name: {source}")]
    Host {
        /// Which webhook.
        name: String,
        /// Whose name.
        host: String,
        /// Why not.
        source: InvalidDnsNameError,
    },
}

/// Why an endpoint has not answered.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// What signs is not there any more.
    #[error(transparent)]
    Secret(#[from] WebhookError),
    /// Nobody answered in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// No connection.
    #[error("connecting: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or it is not HTTP.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be made.
    #[error("request: {0}")]
    Request(#[from] hyper::http::Error),
}

impl Endpoint {
    /// Looks at the files of a webhook: what cannot be signed or believed is a mistake in the configuration.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub fn load(webhook: &Webhook) -> Result<Self, WebhookError> {
        secrets(webhook)?;
        let tls = match webhook.url.tls {
            true => Some(tls(webhook)?),
            false => None,
        };
        Ok(Self {
            webhook: webhook.clone(),
            tls,
        })
    }

    /// The webhook, as it is configured.
    #[must_use]
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Tells it something. The secrets are read each time, so that others are in use at once.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post(&self, id: u64, body: Vec<u8>, now: Timestamp) -> Result<Answer, PostError> {
        let begun = Instant::now();
        let signature = secrets(&self.webhook)?.signatures(now.as_second(), &body);
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.webhook.url.path.as_str())
            .header(header::HOST, self.webhook.url.authority.as_str())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header("Outgate-Event-Id", id)
            .header("Outgate-Timestamp", now.as_second())
            .header("Outgate-Signature", signature)
            .body(Full::new(Bytes::from(body)))?;
        let exchange = timeout(self.webhook.timeout, self.exchange(request)).await;
        let (status, text) =
            exchange.map_err(|_elapsed| PostError::Late(self.webhook.timeout))??;
        Ok(Answer {
            status,
            text,
            took: begun.elapsed(),
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, String), PostError> {
        let url = &self.webhook.url;
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await;
        let stream = stream.map_err(PostError::Connect)?;
        match &self.tls {
            None => ask(stream, request).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await;
                ask(stream.map_err(PostError::Connect)?, request).await
            }
        }
    }
}

impl Answer {
    /// Whether the event was taken, and why not.
    ///
    /// # Errors
    ///
    /// What the status says, in words.
    pub fn judged(&self) -> Result<(), String> {
        let status = self.status;
        if status.is_success() {
            return Ok(());
        }
        let what = if status.is_redirection() {
            "redirections are not followed; give the url that it leads to"
        } else {
            self.text.lines().next().unwrap_or_default()
        };
        let what: String = what
            .chars()
            .filter(|c| !c.is_control())
            .take(ERROR_CHARS_MAX)
            .collect();
        Err(format!("{}: {what}", status.as_u16())
            .trim_end_matches([':', ' '])
            .to_owned())
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), PostError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, beginning(response.into_body()).await))
    };
    tokio::pin!(exchange, connection);
    // The connection is driven while the request waits, and dropped with the answer.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = &mut connection => {
            ended?;
            exchange.await
        }
    }
}

/// As much of a body as is of use; one that breaks off has been said nevertheless.
async fn beginning(mut body: Incoming) -> String {
    let mut octets = Vec::new();
    while octets.len() < ANSWER_OCTETS_MAX {
        match body.frame().await {
            Some(Ok(frame)) => octets.extend(frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => break,
        }
    }
    octets.truncate(ANSWER_OCTETS_MAX);
    String::from_utf8_lossy(&octets).into_owned()
}

fn secrets(webhook: &Webhook) -> Result<Secrets, WebhookError> {
    let (name, file) = (webhook.name.clone(), webhook.secret_file.to_string());
    match webhook.secret_file.read() {
        Ok(text) => {
            Secrets::read(&text).map_err(|source| WebhookError::Secret { name, file, source })
        }
        Err(source) => Err(WebhookError::Unreadable { name, file, source }),
    }
}

fn tls(webhook: &Webhook) -> Result<(Arc<ClientConfig>, ServerName<'static>), WebhookError> {
    let ca = webhook.ca_file.as_deref();
    let mut config = roots::client_config(ca).map_err(|source| WebhookError::Authorities {
        name: webhook.name.clone(),
        source,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let host = &webhook.url.host;
    let name = ServerName::try_from(host.clone()).map_err(|source| WebhookError::Host {
        name: webhook.name.clone(),
        host: host.clone(),
        source,
    })?;
    Ok((Arc::new(config), name))
}

const USER_AGENT: &str = concat!("outgated/", env!("CARGO_PKG_VERSION"));
/// Enough of an answer to see what is wrong.
const ANSWER_OCTETS_MAX: usize = 4096;
/// Of what is kept.
const ERROR_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_is_one_and_the_rest_says_why() {
        let answer = |status, text: &str| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            text: text.to_owned(),
            took: Duration::ZERO,
        };
        for (status, text, expected) in [
            (200, "", Ok(())),
            (204, "anything", Ok(())),
            (
                302,
                "moved",
                Err("302: redirections are not followed; give the url that it leads to"),
            ),
            (410, "", Err("410")),
            (500, "a\u{1b}[2Jb\nmore", Err("500: a[2Jb")),
        ] {
            let judged = answer(status, text).judged();
            assert_eq!(judged, expected.map_err(str::to_owned), "{status}");
        }
    }
}
