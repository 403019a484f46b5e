//! One question put to one resolver: a datagram, and TCP if the answer does not fit into one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{Question, Reading};

/// Asks `server`, and waits until it has said something to this question. The caller bounds the time.
pub(super) async fn ask(server: SocketAddr, question: &Question) -> io::Result<Reading> {
    match by_datagram(server, question).await? {
        Reading::Truncated => by_stream(server, question).await,
        reading @ (Reading::Foreign | Reading::Failed(_) | Reading::Answer(..)) => Ok(reading),
    }
}

async fn by_datagram(server: SocketAddr, question: &Question) -> io::Result<Reading> {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // A socket of its own for each question: the kernel gives it a random port, and once it is connected
    // nothing arrives but from the server.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question.octets()).await?;
    let mut octets = vec![0; DATAGRAM_OCTETS_MAX];
    loop {
        let count = socket.recv(&mut octets).await?;
        match question.read(&octets[..count]) {
            // Somebody guesses; the true answer may still come.
            Reading::Foreign => {}
            reading @ (Reading::Truncated | Reading::Failed(_) | Reading::Answer(..)) => {
                return Ok(reading);
            }
        }
    }
}

async fn by_stream(server: SocketAddr, question: &Question) -> io::Result<Reading> {
    let mut stream = TcpStream::connect(server).await?;
    let octets = question.octets();
    let length = u16::try_from(octets.len()).map_err(|_long| io::ErrorKind::InvalidInput)?;
    stream
        .write_all(&[&length.to_be_bytes(), octets].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; length.into()];
    stream.read_exact(&mut octets).await?;
    match question.read(&octets) {
        Reading::Foreign | Reading::Truncated => Err(io::ErrorKind::InvalidData.into()),
        reading @ (Reading::Failed(_) | Reading::Answer(..)) => Ok(reading),
    }
}

/// More than was announced: some resolvers do not keep to it.
const DATAGRAM_OCTETS_MAX: usize = 4096;
