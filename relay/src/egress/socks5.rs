//! Egress through a SOCKS5 proxy (RFC 1928), with a user name and password if it wants them (RFC 1929).
//!
//! The destination is always an address: names are resolved here, where DANE and MTA-STS need them.
//!
//! What matters most is whose fault a failure is. A library that does it all in one call cannot tell a proxy
//! that is silent from a destination that is, which is why this is our own: the proxy has a deadline for
//! all that it says by itself, and only then the wait for the destination begins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::endpoint::{Credentials, Proxy};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The proxy does not work: not for anybody.
    Proxy(String),
    /// The proxy works, and will not or cannot reach this destination. It says nothing about that, and another proxy
    /// may do better. Whoever can choose destinations must not be able to have a proxy left out, so it stays in.
    Unable(String),
    /// The destination refused, or is not reached.
    Network(io::Error),
}

/// Connects to `destination` through `proxy`. The caller bounds the time that the destination takes.
pub(super) async fn connect(proxy: &Proxy, destination: SocketAddr) -> Result<TcpStream, Failure> {
    let greeted = timeout(PROXY_DEADLINE, greet(proxy)).await;
    let mut stream = match greeted {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::Proxy(error.to_string())),
        Err(_elapsed) => {
            let why = format!("silent for {} s", PROXY_DEADLINE.as_secs());
            return Err(Failure::Proxy(why));
        }
    };
    let asked = ask(&mut stream, destination).await;
    match asked {
        Ok(SUCCEEDED) => Ok(stream),
        Ok(code) => Err(refused(code)),
        Err(error) => Err(Failure::Unable(format!("left without a reply: {error}"))),
    }
}

/// A connection to the proxy that takes a request.
async fn greet(proxy: &Proxy) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy.address).await?;
    stream.set_nodelay(true)?;
    let method = match proxy.credentials {
        Some(_) => USER_AND_PASSWORD,
        None => NO_AUTHENTICATION,
    };
    stream.write_all(&[VERSION, 1, method]).await?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await?;
    if chosen == [VERSION, NONE_ACCEPTABLE] {
        let wants = match proxy.credentials {
            Some(_) => "does not take a user name and password",
            None => "wants a user name and password, or another proof",
        };
        return Err(broken(wants));
    }
    if chosen != [VERSION, method] {
        return Err(broken("is no SOCKS5 proxy"));
    }
    if let Some(credentials) = &proxy.credentials {
        authenticate(&mut stream, credentials).await?;
    }
    Ok(stream)
}

async fn authenticate(stream: &mut TcpStream, credentials: &Credentials) -> io::Result<()> {
    let mut request = vec![AUTHENTICATION_VERSION];
    for text in [&credentials.user, &credentials.password] {
        // The configuration has seen to the length.
        request.push(u8::try_from(text.len()).map_err(io::Error::other)?);
        request.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&request).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    // RFC 1929 section 2: everything but 0 is a failure. Of the version some say 5.
    match answer {
        [_, 0] => Ok(()),
        [..] => Err(broken("does not know that user name and password")),
    }
}

/// Says CONNECT; the proxy's reply code.
async fn ask(stream: &mut TcpStream, destination: SocketAddr) -> io::Result<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match destination.ip().to_canonical() {
        IpAddr::V4(v4) => {
            request.push(IPV4);
            request.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            request.push(IPV6);
            request.extend_from_slice(&v6.octets());
        }
    }
    request.extend_from_slice(&destination.port().to_be_bytes());
    stream.write_all(&request).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, code, _reserved, kind] = head;
    if version != VERSION {
        return Err(broken("is no SOCKS5 proxy"));
    }
    if code != SUCCEEDED {
        // The address of a refusal means nothing, and not every proxy sends it.
        return Ok(code);
    }
    // From here on it is the destination that talks, so all of the address has to be read and not an octet more.
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        _ => return Err(broken("answers with an address of an unknown kind")),
    };
    let mut rest = vec![0; address + 2];
    stream.read_exact(&mut rest).await?;
    Ok(SUCCEEDED)
}

/// RFC 1928 section 6.
fn refused(code: u8) -> Failure {
    let network = |kind: io::ErrorKind| Failure::Network(kind.into());
    match code {
        1 => Failure::Unable("general failure".into()),
        2 => Failure::Unable("its rules forbid this destination".into()),
        3 => network(io::ErrorKind::NetworkUnreachable),
        4 => network(io::ErrorKind::HostUnreachable),
        5 => network(io::ErrorKind::ConnectionRefused),
        // Linux has no error for a TTL that has expired; proxies say this of a connection that timed out.
        6 => network(io::ErrorKind::TimedOut),
        7 => Failure::Proxy("does not know CONNECT".into()),
        8 => Failure::Unable("it has no address of this family".into()),
        other => Failure::Unable(format!("reply {other}, which means nothing")),
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const VERSION: u8 = 5;
const AUTHENTICATION_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const SUCCEEDED: u8 = 0;
/// For what the proxy says by itself. It stands on the operator's own network.
const PROXY_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    type Turns = &'static [(&'static [u8], &'static [u8])];

    const DESTINATION: &str = "203.0.113.10:25";

    fn proxy(address: SocketAddr, password: Option<&str>) -> Proxy {
        Proxy {
            address,
            credentials: password.map(|password| Credentials {
                user: "relay".into(),
                password: password.into(),
            }),
            leaves_from: None,
        }
    }

    /// A proxy that expects and says these octets in turn, and then what a destination would say.
    async fn play(turns: Turns) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for (expected, answer) in turns {
                let mut heard = vec![0; expected.len()];
                stream.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, expected);
                stream.write_all(answer).await.unwrap();
            }
        });
        address
    }

    async fn outcome(turns: Turns, password: Option<&str>, destination: &str) -> String {
        let proxy = proxy(play(turns).await, password);
        match connect(&proxy, destination.parse().unwrap()).await {
            Ok(mut stream) => {
                let mut said = String::new();
                stream.read_to_string(&mut said).await.unwrap();
                format!("connected: {said}")
            }
            Err(Failure::Proxy(why)) => format!("proxy: {why}"),
            Err(Failure::Unable(why)) => format!("unable: {why}"),
            Err(Failure::Network(error)) => format!("network: {error}"),
        }
    }

    const ASK_V4: &[u8] = &[5, 1, 0, 1, 203, 0, 113, 10, 0, 25];

    #[tokio::test]
    async fn the_destination_begins_where_the_proxy_ends() {
        let v4: Turns = &[
            (&[5, 1, 0], &[5, 0]),
            (
                ASK_V4,
                b"\x05\x00\x00\x01\xc6\x33\x64\x1e\x12\x34220 mx\r\n",
            ),
        ];
        assert_eq!(
            outcome(v4, None, DESTINATION).await,
            "connected: 220 mx\r\n"
        );
        let named: Turns = &[
            (&[5, 1, 0], &[5, 0]),
            (ASK_V4, b"\x05\x00\x00\x03\x03abc\x12\x34220 mx\r\n"),
        ];
        assert_eq!(
            outcome(named, None, DESTINATION).await,
            "connected: 220 mx\r\n"
        );
        let v6: Turns = &[
            (&[5, 1, 2], &[5, 2]),
            (b"\x01\x05relay\x06secret", &[1, 0]),
            (
                b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10\0\x19",
                b"\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x30\x12\x34220 six\r\n",
            ),
        ];
        let destination = "[2001:db8::10]:25";
        assert_eq!(
            outcome(v6, Some("secret"), destination).await,
            "connected: 220 six\r\n"
        );
    }

    #[tokio::test]
    async fn a_failure_is_blamed_on_whose_it_is() {
        let wants_password: Turns = &[(&[5, 1, 0], &[5, 0xff])];
        let why = "proxy: wants a user name and password, or another proof";
        assert_eq!(outcome(wants_password, None, DESTINATION).await, why);
        let takes_none: Turns = &[(&[5, 1, 2], &[5, 0xff])];
        let why = "proxy: does not take a user name and password";
        assert_eq!(outcome(takes_none, Some("x"), DESTINATION).await, why);
        let forgets: Turns = &[(&[5, 1, 2], &[5, 2]), (b"\x01\x05relay\x01x", &[1, 1])];
        let why = "proxy: does not know that user name and password";
        assert_eq!(outcome(forgets, Some("x"), DESTINATION).await, why);
        // A password that was asked for must not go out where it was not.
        let skips: Turns = &[(&[5, 1, 2], &[5, 0])];
        assert_eq!(
            outcome(skips, Some("x"), DESTINATION).await,
            "proxy: is no SOCKS5 proxy"
        );
        let speaks_smtp: Turns = &[(&[5, 1, 0], b"220 mx\r\n")];
        assert_eq!(
            outcome(speaks_smtp, None, DESTINATION).await,
            "proxy: is no SOCKS5 proxy"
        );
        let hangs_up: Turns = &[(&[5, 1, 0], &[5, 0]), (ASK_V4, &[5, 0])];
        assert!(
            outcome(hangs_up, None, DESTINATION)
                .await
                .starts_with("unable: left")
        );
        let absurd: Turns = &[(&[5, 1, 0], &[5, 0]), (ASK_V4, &[5, 0, 0, 9])];
        assert!(
            outcome(absurd, None, DESTINATION)
                .await
                .starts_with("unable: ")
        );
    }

    #[test]
    fn every_reply_code_has_somebody_to_blame() {
        let blamed = |code| match refused(code) {
            Failure::Proxy(_) => 'p',
            Failure::Unable(_) => 'u',
            Failure::Network(_) => 'n',
        };
        let all: String = (1..=9).map(blamed).collect();
        assert_eq!(all, "uunnnnpuu");
    }

    #[tokio::test]
    async fn an_absent_proxy_is_at_fault_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let connected = connect(&proxy(address, None), DESTINATION.parse().unwrap()).await;
        assert!(matches!(connected, Err(Failure::Proxy(_))), "{connected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_proxy_is_at_fault_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = connect(&proxy(address, None), DESTINATION.parse().unwrap()).await;
        assert!(
            matches!(&connected, Err(Failure::Proxy(why)) if why == "silent for 10 s"),
            "{connected:?}"
        );
    }
}
