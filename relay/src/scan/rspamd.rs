//! The scanner that asks rspamd: one `POST /checkv2` per message.
//!
//! Its action decides alone: reject refuses, soft reject and greylist defer. Its score, as log odds ([`Scale`]), is one
//! voice among those of all scanners that have one. Modifications that it proposes are ignored, because content is
//! forwarded octet for octet.
//!
//! Each question has a connection of its own: rspamd's workers close after each answer, whatever they are asked, and
//! on loopback one costs a tenth of a millisecond.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use relay_proto::verdict::{OnError, Scale};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Opinion, Scan, ScanError, Scanner, Stage, Submission, Terms};

mod answer;

use answer::Answer;

/// The scanner.
#[derive(Debug)]
pub(super) struct Rspamd {
    url: Uri,
    deadline: Duration,
    on_error: OnError,
    scale: Scale,
}

impl Rspamd {
    /// A client of the rspamd at `url`.
    pub(super) fn new(url: Uri, deadline: Duration, on_error: OnError, scale: Scale) -> Self {
        Self {
            url,
            deadline,
            on_error,
            scale,
        }
    }

    async fn ask(&self, submission: &Submission) -> Result<Opinion, ScanError> {
        let host = self.url.host().unwrap_or_default();
        // Uri keeps the brackets of an IPv6 literal, a socket address does not want them.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.url.port_u16().unwrap_or(80))).await?;
        tcp.set_nodelay(true)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
        let request = self.request(submission);
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            if status != StatusCode::OK {
                return Err(ScanError::Answer(format!("status {status}")));
            }
            let body = Limited::new(response.into_body(), ANSWER_OCTETS_MAX)
                .collect()
                .await;
            let body = body.map_err(|error| ScanError::Answer(error.to_string()))?;
            Answer::read(&body.to_bytes())?.opinion(self.scale)
        };
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        // Both belong to this question: neither outlives a deadline that drops it.
        tokio::select! {
            opinion = &mut exchange => opinion,
            closed = &mut connection => {
                closed?;
                exchange.await
            }
        }
    }

    fn request(&self, submission: &Submission) -> Request<Upload> {
        let mut request = Request::new(Upload::start(submission));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.url.path_and_query().map_or_else(
            || Uri::from_static("/checkv2"),
            |path| Uri::from(path.clone()),
        );
        let headers = request.headers_mut();
        let mut put = |name: &'static str, value: &str| {
            // What no HTTP header can carry is left out: rspamd then looks at less, and the
            // message is still scanned.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(HeaderName::from_static(name), value);
            }
        };
        put(
            "host",
            self.url
                .authority()
                .map_or("", |authority| authority.as_str()),
        );
        put("ip", &submission.client.to_string());
        if let Some(ehlo) = &submission.ehlo {
            put("helo", ehlo.as_str());
        }
        if let Some(user) = &submission.user {
            put("user", user);
        }
        put("from", &submission.mail.reverse_path.to_string());
        for recipient in &submission.recipients {
            put("rcpt", &recipient.forward_path.to_string());
        }
        put("queue-id", &submission.id);
        // rspamd is easy on what it takes for outbound mail: on authenticated users, and by the
        // operator's settings rules often on the operator's own networks. Senders that are flagged
        // are no users (there is no User header but for those who have logged in, whose own
        // address says nothing about their mail), and explicit empty settings take the place of
        // rules of low priority. What others bring about shows in the answer.
        put("settings", "{}");
        request
    }
}

impl Scanner for Rspamd {
    fn terms(&self) -> Terms {
        Terms {
            name: "rspamd",
            stage: Stage::Body,
            deadline: self.deadline,
            on_error: self.on_error,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { self.ask(&submission).await })
    }
}

/// The content as a request body of known length, read from the message as fast as it is sent.
#[derive(Debug)]
struct Upload {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    rest_octets: u64,
}

impl Upload {
    fn start(submission: &Submission) -> Self {
        let (sender, blocks) = mpsc::channel(1);
        let mut reader = submission.content.reader();
        let rest_octets = submission.content.octets();
        tokio::spawn(async move {
            while let Some(block) = reader.next().await.transpose() {
                // Nobody listens any more: the question was dropped.
                if sender.send(block).await.is_err() {
                    return;
                }
            }
        });
        Self {
            blocks,
            rest_octets,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let block = std::task::ready!(self.blocks.poll_recv(context));
        if let Some(Ok(block)) = &block {
            self.rest_octets = self.rest_octets.saturating_sub(block.len() as u64);
        }
        Poll::Ready(block.map(|block| block.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest_octets == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest_octets)
    }
}

/// With every symbol that it has, an answer stays below 100 KiB.
const ANSWER_OCTETS_MAX: usize = 1 << 20;
