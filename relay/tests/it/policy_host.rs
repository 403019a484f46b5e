//! A web server with MTA-STS policies, over real TLS, which also takes what is posted to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running server; ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct PolicyHost(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Whole responses by host.
    responses: HashMap<String, String>,
    /// Host and target of each request.
    requests: Vec<(String, String)>,
    posted: Vec<Posted>,
}

/// What was posted once.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    /// The request's first line and its fields.
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl PolicyHost {
    pub(crate) async fn start_at(address: &str, tls: TlsAcceptor) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let this = Self(Arc::default());
        let host = this.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (host, tls) = (host.clone(), tls.clone());
                tokio::spawn(async move {
                    // A client that does not like the certificate has asked nothing.
                    if let Ok(stream) = tls.accept(stream).await {
                        host.answer(BufReader::new(stream)).await;
                    }
                });
            }
        });
        this
    }

    /// What the policy of `domain` is from now on.
    pub(crate) fn publish(&self, domain: &str, mode: &str, mx: &str) {
        let body = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n");
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}");
        self.respond(domain, format!("{head}\r\n\r\n{body}"));
    }

    /// What is said instead of a policy.
    pub(crate) fn respond(&self, domain: &str, response: String) {
        self.respond_as(&format!("mta-sts.{domain}"), response);
    }

    /// What is said to whoever asks for this host.
    pub(crate) fn respond_as(&self, host: &str, response: String) {
        let mut state = self.0.lock().unwrap();
        state.responses.insert(host.to_owned(), response);
    }

    /// All that was posted.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.0.lock().unwrap().posted.clone()
    }

    /// How often the policy of `domain` was asked for.
    pub(crate) fn asked(&self, domain: &str) -> usize {
        let host = format!("mta-sts.{domain}");
        let state = self.0.lock().unwrap();
        let mine = state.requests.iter().filter(|(asked, _)| *asked == host);
        mine.inspect(|(_, target)| assert_eq!(target, "/.well-known/mta-sts.txt"))
            .count()
    }

    async fn answer(
        &self,
        mut stream: impl AsyncBufReadExt + AsyncReadExt + AsyncWriteExt + Unpin,
    ) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let length = lines
            .iter()
            .find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            let mut body = vec![0; length.parse().unwrap()];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let head = lines.clone();
            self.0.lock().unwrap().posted.push(Posted { head, body });
        }
        let target = lines[0].split(' ').nth(1).unwrap().to_owned();
        let host = lines.iter().find_map(|line| line.strip_prefix("host: "));
        let host = host.unwrap_or_default().to_owned();
        let response = {
            let mut state = self.0.lock().unwrap();
            state.requests.push((host.clone(), target));
            state.responses.get(&host).cloned()
        };
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
        let response = response.unwrap_or(missing);
        let _written = stream.write_all(response.as_bytes()).await.is_ok();
        let _closed = stream.shutdown().await.is_ok();
    }
}
