//! What larger authorities do and pebble does not, in front of pebble: turning away who asks too often, and saying when a
//! certificate is to be renewed (RFC 9773).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::authority::Authority;

/// At 127.0.0.1:14001; ends with the test.
#[derive(Clone)]
pub(super) struct Front(Arc<State>);

struct State {
    to_pebble: TlsConnector,
    turns_away: AtomicBool,
    /// Orders that named the certificate whose place theirs takes.
    replaced: AtomicUsize,
    /// Where pebble takes orders, once somebody has asked for its directory.
    orders: Mutex<String>,
}

impl Front {
    pub(super) fn start(authority: &Authority) -> Self {
        let tls = authority.pki.certify(&["127.0.0.1"]).acceptor;
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority.path("ca.pem")).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let this = Self(Arc::new(State {
            to_pebble: TlsConnector::from(Arc::new(config)),
            turns_away: AtomicBool::new(false),
            replaced: AtomicUsize::new(0),
            orders: Mutex::default(),
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:14001").unwrap();
        listener.set_nonblocking(true).unwrap();
        let front = this.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (front, tls) = (front.clone(), tls.clone());
                    tokio::spawn(async move {
                        let Ok(stream) = tls.accept(stream).await else {
                            return;
                        };
                        let service = service_fn(|request| front.answer(request));
                        let server = hyper::server::conn::http1::Builder::new();
                        // The relay ends its connections without a word.
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    });
                }
            });
        });
        this
    }

    /// Whether orders are turned away for two hours.
    pub(super) fn turn_away(&self, orders: bool) {
        self.0.turns_away.store(orders, Ordering::SeqCst);
    }

    /// How many orders named the certificate whose place theirs takes.
    pub(super) fn replaced(&self) -> usize {
        self.0.replaced.load(Ordering::SeqCst)
    }

    async fn answer(&self, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path().to_owned();
        if path.starts_with("/renewal/") {
            let window = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" });
            let said = json!({ "suggestedWindow": window }).to_string();
            let response = Response::builder().header(RETRY_AFTER, "60");
            return Ok(response.body(Full::from(said)).unwrap());
        }
        let is_order = *self.0.orders.lock().unwrap() == path;
        if is_order && self.0.turns_away.load(Ordering::SeqCst) {
            let problem = json!({
                "type": "urn:ietf:params:acme:error:rateLimited",
                "detail": "too many certificates for this name"
            });
            let response = Response::builder()
                .status(StatusCode::TOO_MANY_REQUESTS)
                .header(CONTENT_TYPE, "application/problem+json")
                .header(RETRY_AFTER, "7200");
            return Ok(response.body(Full::from(problem.to_string())).unwrap());
        }
        let replaces = is_order.then(|| replaces(&body)).flatten();
        let mut response = self
            .ask_pebble(Request::from_parts(head, Full::from(body)))
            .await?;
        if path == "/dir" {
            self.amend(&mut response, |directory| {
                let orders: hyper::Uri = directory["newOrder"].as_str().unwrap().parse().unwrap();
                *self.0.orders.lock().unwrap() = orders.path().to_owned();
                directory["renewalInfo"] = "https://127.0.0.1:14001/renewal".into();
            });
        }
        if let Some(replaces) = replaces.filter(|_| response.status() == StatusCode::CREATED) {
            self.0.replaced.fetch_add(1, Ordering::SeqCst);
            self.amend(&mut response, |order| order["replaces"] = replaces);
        }
        Ok(response.map(Full::from))
    }

    async fn ask_pebble(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Bytes>> {
        let address: SocketAddr = "127.0.0.1:14000".parse().unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = self.0.to_pebble.connect(name, tcp).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(head, body))
    }

    fn amend(&self, response: &mut Response<Bytes>, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_slice(response.body()).unwrap();
        change(&mut value);
        *response.body_mut() = value.to_string().into();
        response.headers_mut().remove(CONTENT_LENGTH);
    }
}

/// What an order says of an older certificate (RFC 9773 section 5).
fn replaces(body: &[u8]) -> Option<Value> {
    let signed: Value = serde_json::from_slice(body).unwrap();
    let payload = BASE64URL_NOPAD.decode(signed["payload"].as_str()?.as_bytes());
    let order: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    order.get("replaces").cloned()
}
