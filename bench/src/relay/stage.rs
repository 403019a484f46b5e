//! Two namespaces and what runs in them: generator and relay in one, the sink in the other.
//!
//! The relay gets connections as from a load balancer, with a PROXY header, because that way costs nothing but the
//! relay. A destination must not be the relay's own host, hence the second namespace.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use anyhow::Result;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{
    load::Target,
    program::Relay,
    sink::{self, Counted},
    splice::{self, Arrived},
};
use crate::netns::{Netns, run};

/// All but the relay.
pub(super) struct Stage {
    near: Netns,
    /// Generator; its thread is in the near namespace.
    pub(super) load: Runtime,
    /// The sink is in the far one, for as long as this lives.
    _sink: Runtime,
    _far: Netns,
    pub(super) counted: Counted,
    pub(super) arrived: Arrived,
    tls: Arc<ClientConfig>,
    sessions: usize,
    directory: tempfile::TempDir,
}

impl Stage {
    /// Without a relay; it will take so many sessions.
    pub(super) fn new(sessions: usize) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        fs::write(directory.path().join("cert.pem"), made.cert.pem())?;
        fs::write(
            directory.path().join("key.pem"),
            made.signing_key.serialize_pem(),
        )?;
        let certificate = made.cert.der().clone();
        let (client, server) = tls(certificate, made.signing_key.serialize_der())?;

        let (near, far) = (Netns::new()?, Netns::new()?);
        let peer = far.pid();
        near.inside(|| {
            run(
                "ip",
                &format!("link add bench0 type veth peer name bench0 netns {peer}"),
            )?;
            run("ip", &format!("address add {NEAR}/29 dev bench0"))?;
            run("ip", "link set bench0 up")
        })?;
        let (sink, listeners) = far.inside(|| {
            for address in [FAR, HOLE] {
                run("ip", &format!("address add {address}/29 dev bench0"))?;
            }
            run("ip", "link set bench0 up")?;
            // Its thread is made here, and so stays here.
            let listeners = [FAR, HOLE].map(|address| std::net::TcpListener::bind((address, 25)));
            Ok((runtime()?, listeners))
        })?;
        let load = near.inside(runtime)?;
        let counted = Counted::default();
        let arrived = Arrived::default();
        let in_runtime = sink.enter();
        let [counting, hole] = listeners.map(|listener| {
            let listener = listener?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        drop(in_runtime);
        sink.spawn(sink::serve(counting?, server, counted.clone()));
        sink.spawn(splice::serve(hole?, arrived.clone()));
        let joining = near.inside(|| Ok(std::net::TcpListener::bind((NEAR, RIVAL_PORT))?))?;
        near.inside(|| {
            // Its threads are made here as well.
            splice::rival(joining, SocketAddr::from((HOLE, 25)));
            Ok(())
        })?;
        Ok(Self {
            near,
            load,
            _sink: sink,
            _far: far,
            counted,
            arrived,
            tls: client,
            sessions,
            directory,
        })
    }

    /// Sessions with the sink itself.
    pub(super) fn direct(&self) -> Target {
        Target {
            address: SocketAddr::from((FAR, 25)),
            proxied_to: None,
            tls: Arc::clone(&self.tls),
        }
    }

    /// Sessions through the relay.
    pub(super) fn relayed(&self) -> Target {
        Target {
            address: SocketAddr::from((NEAR, PORT)),
            proxied_to: Some(SocketAddrV4::new(FAR, 25)),
            tls: Arc::clone(&self.tls),
        }
    }

    /// Sessions that the relay joins with the hole.
    pub(super) fn opaque(&self) -> Target {
        Target {
            address: SocketAddr::from((NEAR, OPAQUE_PORT)),
            proxied_to: Some(SocketAddrV4::new(HOLE, 25)),
            tls: Arc::clone(&self.tls),
        }
    }

    /// Sessions that the rival joins with it.
    pub(super) fn spliced(&self) -> Target {
        Target {
            address: SocketAddr::from((NEAR, RIVAL_PORT)),
            proxied_to: None,
            tls: Arc::clone(&self.tls),
        }
    }

    /// Runs on the generator's thread, and waits.
    pub(super) fn generate<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.load.block_on(self.load.spawn(work))?
    }

    /// Starts a relay here.
    pub(super) fn relay(&self) -> Result<Relay> {
        let at = self.directory.path();
        self.near.inside(|| Relay::start(at, self.sessions))
    }
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).enable_all().build()?)
}

fn tls(
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Ten thousand customers have ten thousand handshakes.
    client.resumption = Resumption::disabled();
    let key = PrivateKeyDer::try_from(key).map_err(anyhow::Error::msg)?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok((Arc::new(client), Arc::new(server)))
}

/// The relay's name, and the sink's: both have one certificate.
pub(super) const NAME: &str = "relay.bench.test";
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Where octets of joined sessions end.
const HOLE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
pub(super) const PORT: u16 = 2526;
pub(super) const OPAQUE_PORT: u16 = 2527;
const RIVAL_PORT: u16 = 2528;
