//! The destination: takes every message, keeps none, counts them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::wire::Wire;

/// How many messages were acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted(Arc<AtomicU64>);

impl Counted {
    pub(super) fn messages(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves whoever comes, with STARTTLS if there is something to offer it with, for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, counted: Counted) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, counted) = (tls.clone(), counted.clone());
        tokio::spawn(async move {
            let session = async {
                let mut wire = Wire::new(stream)?;
                converse(&mut wire, tls.as_ref(), &counted).await
            };
            // A peer that hangs up when a measurement is over is no news; what it lost is missing at its end.
            drop(session.await);
        });
    }
}

async fn converse(
    wire: &mut Wire,
    tls: Option<&Arc<ServerConfig>>,
    counted: &Counted,
) -> Result<()> {
    wire.send(b"220 sink.bench.test ESMTP\r\n").await?;
    let mut offers = if tls.is_some() { EHLO } else { EHLO_BARE };
    while let Some(line) = wire.line().await? {
        let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => wire.send(offers).await?,
            b"STAR" => {
                let tls = tls.context("nobody offered STARTTLS")?;
                wire.send(b"220 2.0.0 ready\r\n").await?;
                wire.accept(tls).await?;
                offers = EHLO_BARE;
            }
            b"DATA" => {
                wire.send(b"354 go ahead\r\n").await?;
                if !wire.content().await? {
                    return Ok(());
                }
                counted.0.fetch_add(1, Ordering::Relaxed);
                wire.send(b"250 2.0.0 taken\r\n").await?;
            }
            b"QUIT" => return wire.send(b"221 2.0.0 bye\r\n").await,
            _ => wire.send(b"250 2.0.0 ok\r\n").await?,
        }
    }
    Ok(())
}

const EHLO: &[u8] =
    b"250-sink.bench.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n";
/// Within TLS, or where there is none.
const EHLO_BARE: &[u8] =
    b"250-sink.bench.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n";
