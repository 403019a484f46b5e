//! Sessions that the relay joins without looking into them, beside the least that joining takes.
//!
//! Generator and sink speak SMTP as far as a ClientHello, which is what the relay decides by, and whatever they
//! like after it: TLS at both ends would be measured otherwise. The rival is a plain TCP splice: it accepts, connects,
//! and moves octets in the kernel, with a thread for each direction.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use tokio::{net::TcpListener, task::JoinSet};

use super::{load::Target, wire::Wire};

/// How many octets have arrived behind ClientHellos.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrived(Arc<AtomicU64>);

impl Arrived {
    pub(super) fn octets(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The destination: SMTP until STARTTLS, then a hole.
pub(super) async fn serve(listener: TcpListener, arrived: Arrived) {
    while let Ok((stream, _)) = listener.accept().await {
        let arrived = arrived.clone();
        tokio::spawn(async move {
            let session = async {
                let mut wire = Wire::new(stream)?;
                wire.send(b"220 hole.bench.test ESMTP\r\n").await?;
                while let Some(line) = wire.line().await? {
                    if line.to_ascii_uppercase().starts_with(b"EHLO") {
                        wire.send(b"250-hole.bench.test\r\n250 STARTTLS\r\n")
                            .await?;
                        continue;
                    }
                    wire.send(b"220 2.0.0 ready\r\n").await?;
                    return wire
                        .discard(|octets| {
                            arrived.0.fetch_add(octets, Ordering::Relaxed);
                        })
                        .await;
                }
                Ok(())
            };
            // As with the other sink: what is missing is missed at the other end.
            drop(session.await);
        });
    }
}

/// Sends as fast as it goes, on so many sessions, for so long; answers octets a second at the sink.
pub(super) async fn flood(
    target: Target,
    sessions: usize,
    arrived: Arrived,
    warm: Duration,
    time: Duration,
) -> Result<f64> {
    let hello = client_hello(&target.tls)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for number in 0..sessions {
        let mut wire = target.greeted(number).await?;
        wire.ask(b"STARTTLS\r\n", &["220"]).await?;
        wire.send(&hello).await?;
        let stop = Arc::clone(&stop);
        running.spawn(async move {
            let octets = vec![b'x'; PIECE_OCTETS];
            while !stop.load(Ordering::Relaxed) {
                wire.send(&octets).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    tokio::time::sleep(warm).await;
    let (before, begun) = (arrived.octets(), Instant::now());
    tokio::time::sleep(time).await;
    let octets = arrived.octets() - before;
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    while let Some(session) = running.join_next().await {
        session?.context("a joined session")?;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "of some seconds: far below 2^53"
    )]
    let octets = octets as f64;
    Ok(octets / took.as_secs_f64())
}

/// Joins whoever comes with `to`, until the process ends.
pub(super) fn rival(listener: std::net::TcpListener, to: SocketAddr) {
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(to) else {
                return;
            };
            join(near, far);
        }
    });
}

/// Moves octets both ways until both have ended.
fn join(near: TcpStream, far: TcpStream) {
    let [near, far] = [near, far].map(Arc::new);
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        thread::spawn(move || {
            // An error is the end of one of the two; the other is told.
            drop(forward(&from, &to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
}

fn forward(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (out, into) = pipe_with(PipeFlags::CLOEXEC)?;
    loop {
        let mut held = splice(from, None, &into, None, PIECE_OCTETS, SpliceFlags::MOVE)?;
        if held == 0 {
            return Ok(());
        }
        while held > 0 {
            held -= splice(&out, None, to, None, held, SpliceFlags::MOVE)?;
        }
    }
}

/// The first flight of a real client. It must not name the relay, which would then answer for itself.
fn client_hello(config: &Arc<ClientConfig>) -> Result<Vec<u8>> {
    let name = ServerName::try_from("hole.bench.test")?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::clone(config), name)?.write_tls(&mut hello)?;
    Ok(hello)
}

const PIECE_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn the_rival_moves_octets_both_ways() {
        let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = near.local_addr().unwrap();
        rival(near, far.local_addr().unwrap());
        let mut client = TcpStream::connect(at).unwrap();
        let (mut server, _) = far.accept().unwrap();
        let mut heard = [0; 4];
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *b"ping");
        server.write_all(b"pong").unwrap();
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *b"pong");
        drop(server);
        assert_eq!(client.read(&mut heard).unwrap(), 0);
    }
}
