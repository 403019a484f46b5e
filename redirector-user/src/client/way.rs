//! The way to a controller: the Unix socket of this host, or TLS to another.
//!
//! # Diagnostics
//!
//! [`WayError`] says which option is wrong before anything is sent.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::Uri;
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName, pem},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::roots::{self, RootsError};

/// The way to a controller. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Socket(PathBuf),
    Server(Arc<Server>),
}

/// A controller of another host.
pub(super) struct Server {
    /// As it was typed.
    authority: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    /// `Bearer ...`.
    authorization: Option<String>,
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// Not an address of a controller.
    #[error("--server {0:?}: not an address of a controller, as https://edge1.example.net:8443")]
    Address(String),
    /// Not a name that a certificate could have.
    #[error("--server {0:?}: no certificate has such a name: {1}")]
    Name(String, #[source] InvalidDnsNameError),
    /// The token's file.
    #[error("--token-file {}: {source}; it holds what `outgate token add` has printed", file.display())]
    Token {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The authorities' file.
    #[error("--ca {}: {source}; it must be a PEM file of certificates", file.display())]
    Authorities {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// Nobody could vouch for the server.
    #[error("{}: no authority in it, so no server could be believed; name a file with --ca", .0.display())]
    NoAuthority(PathBuf),
    /// The library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Octets that go both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Way {
    /// To a server; its certificate must come from an authority of `ca`, or, without, of this system.
    pub(super) fn server(
        address: &str,
        token_file: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<Self, WayError> {
        let wrong = || WayError::Address(address.to_owned());
        let uri: Uri = address.parse().map_err(|_malformed| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        if uri.scheme_str() != Some("https") || !bare || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let host = authority.host().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| WayError::Name(address.to_owned(), error))?;
        let tls = roots::client_config(ca).map_err(|error| match error {
            RootsError::Unreadable { file, source } => WayError::Authorities { file, source },
            RootsError::Empty(file) => WayError::NoAuthority(file),
            RootsError::Tls(error) => WayError::Tls(error),
        })?;
        Ok(Self::Server(Arc::new(Server {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(HTTPS),
            authority: authority.as_str().to_owned(),
            name,
            tls: Arc::new(tls),
            authorization: token_file.map(authorization).transpose()?,
        })))
    }

    /// Goes there.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Server(server) => {
                let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
                let connector = TlsConnector::from(Arc::clone(&server.tls));
                let stream = connector.connect(server.name.clone(), stream).await?;
                Ok(Box::new(stream))
            }
        }
    }

    /// What requests name as their host.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Socket(_) => "outgated",
            Self::Server(server) => &server.authority,
        }
    }

    /// What requests show.
    pub(super) fn authorization(&self) -> Option<&str> {
        match self {
            Self::Socket(_) => None,
            Self::Server(server) => server.authorization.as_deref(),
        }
    }

    /// For people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Server(server) => server.authority.clone(),
        }
    }

    /// What to do if nobody is there.
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::Socket(_) => {
                "is outgated running (`systemctl status outgated`), and may you open its socket? Another socket is \
                 given with --socket"
            }
            Self::Server(_) => {
                "does outgated listen there (`[api] listen` in outgated.toml), and is its certificate of an authority \
                 that you believe (--ca)?"
            }
        }
    }
}

/// Without the token.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

fn authorization(file: &Path) -> Result<String, WayError> {
    let wrong = |source| WayError::Token {
        file: file.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(file).map_err(wrong)?;
    let secret = text.trim();
    if secret.is_empty() || !secret.bytes().all(|octet| octet.is_ascii_graphic()) {
        let what = "no token in it, or more than one word";
        return Err(wrong(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    Ok(format!("Bearer {secret}"))
}

const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_way_is_told_by_its_option() {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed([String::from("edge1.example.net")]).unwrap();
        let (ca, token) = (
            directory.path().join("ca.pem"),
            directory.path().join("token"),
        );
        std::fs::write(&ca, made.cert.pem()).unwrap();
        std::fs::write(&token, "outgate_x\n").unwrap();
        let way = |address: &str| Way::server(address, Some(&token), Some(&ca));

        for (address, authority, port) in [
            (
                "https://edge1.example.net:8443",
                "edge1.example.net:8443",
                8443,
            ),
            ("https://edge1.example.net/", "edge1.example.net", 443),
            ("https://[::1]:8443", "[::1]:8443", 8443),
            ("https://192.0.2.1", "192.0.2.1", 443),
        ] {
            let Ok(Way::Server(server)) = way(address) else {
                panic!("{address}");
            };
            assert_eq!((server.authority.as_str(), server.port), (authority, port));
            assert_eq!(server.authorization.as_deref(), Some("Bearer outgate_x"));
            assert!(!format!("{server:?}").contains("outgate_x"));
        }
        for address in [
            "",
            "edge1.example.net:8443",
            "http://edge1.example.net",
            "https://",
            "https://edge1.example.net/v1",
            "https://me@edge1.example.net",
            "https://edge1.example.net?x",
        ] {
            assert!(
                matches!(way(address), Err(WayError::Address(_))),
                "{address}"
            );
        }
        let absent = directory.path().join("absent");
        let refused = |token: Option<&Path>, ca: Option<&Path>| {
            Way::server("https://edge1.example.net", token, ca).unwrap_err()
        };
        assert!(matches!(
            refused(Some(&absent), Some(&ca)),
            WayError::Token { .. }
        ));
        assert!(matches!(
            refused(None, Some(&absent)),
            WayError::Authorities { .. }
        ));
        assert!(matches!(
            refused(None, Some(&token)),
            WayError::NoAuthority(_)
        ));
        for text in ["", "  \n", "two words", "\u{e4}"] {
            std::fs::write(&token, text).unwrap();
            assert!(
                matches!(refused(Some(&token), Some(&ca)), WayError::Token { .. }),
                "{text:?}"
            );
        }
    }
}
