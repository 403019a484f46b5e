//! Two namespaces and what runs in them: generator and relay in one, the sink in the other.
//!
//! The relay gets connections as from a load balancer, with a PROXY header, because that way costs nothing but the
//! relay. A destination must not be the relay's own host, hence the second namespace. What keeps mail keeps it beside
//! the programs, on a disk.

use std::{
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use lab::process::Process;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{
    durable::Contender,
    load::Target,
    program::Relay,
    sink::{self, Counted},
    splice::{self, Arrived},
};
use crate::{
    house,
    netns::{Netns, run},
};

/// All but the relay.
pub(super) struct Stage {
    near: Netns,
    /// Generator; its thread is in the near namespace.
    pub(super) load: Runtime,
    /// The sink is in the far one, for as long as this lives.
    _sink: Runtime,
    _far: Netns,
    /// By the sink that offers STARTTLS.
    pub(super) counted: Counted,
    /// By the one that does not.
    pub(super) counted_plain: Counted,
    /// By nineteen others, and by the one that may be dead.
    pub(super) counted_of_twenty: [Counted; 2],
    pub(super) arrived: Arrived,
    tls: Arc<ClientConfig>,
    sessions: usize,
    directory: tempfile::TempDir,
}

impl Stage {
    /// Without a relay; it will take so many sessions.
    pub(super) fn new(sessions: usize) -> Result<Self> {
        let disk = house::beside("outgate-relay")?.with_file_name("bench-state");
        fs::create_dir_all(&disk)?;
        remove_left(&disk)?;
        let prefix = format!("{DIRECTORY}{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&disk)?;
        // Mail servers give up root, and must still reach their files.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
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
            run("ip", &format!("address add {NEAR}/24 dev bench0"))?;
            run("ip", "link set bench0 up")
        })?;
        let (sink, listeners, twenty) = far.inside(|| {
            let twenty = twenty().into_iter().map(|(_, address)| address);
            let twenty: Vec<Ipv4Addr> = twenty.collect();
            for address in [FAR, HOLE, PLAIN, NOBODY].iter().chain(&twenty) {
                run("ip", &format!("address add {address}/24 dev bench0"))?;
            }
            run("ip", "link set bench0 up")?;
            // Its thread is made here, and so stays here.
            let listen = |address| std::net::TcpListener::bind((address, 25));
            let twenty: Vec<_> = twenty.into_iter().map(listen).collect();
            Ok((runtime()?, [FAR, HOLE, PLAIN].map(listen), twenty))
        })?;
        let load = near.inside(runtime)?;
        let [counted, counted_plain] = [(); 2].map(|()| Counted::default());
        let arrived = Arrived::default();
        let in_runtime = sink.enter();
        let served = |listener: io::Result<std::net::TcpListener>| {
            let listener = listener?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let [counting, hole, plain] = listeners.map(served);
        let counted_of_twenty = [(); 2].map(|()| Counted::default());
        let last = twenty.len() - 1;
        for (number, listener) in twenty.into_iter().enumerate() {
            let counted = &counted_of_twenty[usize::from(number == last)];
            sink.spawn(sink::serve(served(listener)?, None, counted.clone()));
        }
        drop(in_runtime);
        sink.spawn(sink::serve(counting?, Some(server), counted.clone()));
        sink.spawn(sink::serve(plain?, None, counted_plain.clone()));
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
            counted_plain,
            counted_of_twenty,
            arrived,
            tls: client,
            sessions,
            directory,
        })
    }

    /// Sessions with the sink itself.
    pub(super) fn direct(&self) -> Target {
        self.target((FAR, 25), None, TLS_DOMAIN)
    }

    /// Sessions through the relay.
    pub(super) fn relayed(&self) -> Target {
        self.target((NEAR, PORT), Some(FAR), TLS_DOMAIN)
    }

    /// Sessions that the relay joins with the hole.
    pub(super) fn opaque(&self) -> Target {
        self.target((NEAR, OPAQUE_PORT), Some(HOLE), TLS_DOMAIN)
    }

    /// Sessions that the rival joins with it.
    pub(super) fn spliced(&self) -> Target {
        self.target((NEAR, RIVAL_PORT), None, TLS_DOMAIN)
    }

    /// Sessions with one of the contenders, for the sink that offers STARTTLS or for the other.
    pub(super) fn contended(&self, contender: Contender, tls: bool) -> Target {
        let (sink, domain) = if tls {
            (FAR, TLS_DOMAIN)
        } else {
            (PLAIN, PLAIN_DOMAIN)
        };
        match contender {
            Contender::Relay => self.target((NEAR, QUEUE_PORT), Some(sink), domain),
            Contender::Postfix | Contender::OpenSmtpd => {
                let target = self.target((NEAR, contender.port()), None, domain);
                Target {
                    pipelining: contender != Contender::OpenSmtpd,
                    ..target
                }
            }
            Contender::Direct => self.target((sink, 25), None, domain),
        }
    }

    fn target(
        &self,
        address: (Ipv4Addr, u16),
        proxied_to: Option<Ipv4Addr>,
        domain: &str,
    ) -> Target {
        Target {
            address: SocketAddr::from(address),
            proxied_to: proxied_to.map(|sink| SocketAddrV4::new(sink, 25)),
            tls: Arc::clone(&self.tls),
            domain: domain.into(),
            pipelining: true,
        }
    }

    /// Starts a contender here, its own command or that of a tracer around it; `None` = there is nothing to start.
    pub(super) fn contender(
        &self,
        contender: Contender,
        around: &[OsString],
    ) -> Result<Option<Process>> {
        let at = self.directory.path();
        self.near
            .inside(|| contender.start(at, self.sessions, around))
    }

    /// Where everything is kept.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
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
        self.relay_in(self.directory.path(), "warn")
    }

    /// Starts one whose queue is in that directory, and which says so much.
    pub(super) fn relay_in(&self, dir: &Path, log: &str) -> Result<Relay> {
        let at = self.directory.path();
        self.near
            .inside(|| Relay::start(at, dir, self.sessions, log))
    }

    /// Sessions with the relay's queue for each of twenty destinations; the last may be dead.
    pub(super) fn queued_for_twenty(&self) -> Vec<Target> {
        twenty()
            .into_iter()
            .map(|(domain, address)| self.target((NEAR, QUEUE_PORT), Some(address), &domain))
            .collect()
    }

    /// Sessions with the relay's queue for a destination that refuses connections.
    pub(super) fn queued_for_nobody(&self) -> Target {
        self.target((NEAR, QUEUE_PORT), Some(NOBODY), NOBODYS_DOMAIN)
    }

    /// Lets the last of twenty destinations be dead, or live: what is sent there vanishes.
    pub(super) fn kill_last(&self, dead: bool) -> Result<()> {
        let last = twenty().into_iter().next_back();
        let (_, address) = last.context("twenty destinations")?;
        let arguments = if dead {
            format!("neighbour replace {address} lladdr 02:00:00:00:00:99 dev bench0 nud permanent")
        } else {
            format!("neighbour del {address} dev bench0")
        };
        self.near.inside(|| run("ip", &arguments).map(drop))
    }
}

/// Domains and addresses of twenty destinations.
pub(super) fn twenty() -> Vec<(String, Ipv4Addr)> {
    let last = FIRST_OF_TWENTY..FIRST_OF_TWENTY + 20;
    last.map(|last| {
        let domain = format!("d{last}.bench.test");
        (domain, Ipv4Addr::new(198, 51, 100, last))
    })
    .collect()
}

/// Removes what a benchmark that was killed has left: queues are large.
fn remove_left(disk: &Path) -> Result<()> {
    for entry in fs::read_dir(disk)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let owner = name
            .and_then(|name| name.strip_prefix(DIRECTORY))
            .and_then(|rest| rest.split_once('-'));
        if owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
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

/// Of a benchmark, with the number of its process behind it.
const DIRECTORY: &str = "relay-";
/// The relay's name, and the sink's: both have one certificate.
pub(super) const NAME: &str = "relay.bench.test";
pub(super) const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Where octets of joined sessions end.
const HOLE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
/// The same without STARTTLS.
pub(super) const PLAIN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 4);
/// Where nobody listens.
pub(super) const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 5);
const FIRST_OF_TWENTY: u8 = 32;
/// Of nobody.
pub(super) const NOBODYS_DOMAIN: &str = "nobody.bench.test";
/// Domains of the two sinks.
pub(super) const TLS_DOMAIN: &str = "tls.bench.test";
pub(super) const PLAIN_DOMAIN: &str = "plain.bench.test";
pub(super) const PORT: u16 = 2526;
pub(super) const OPAQUE_PORT: u16 = 2527;
pub(super) const QUEUE_PORT: u16 = 2529;
const RIVAL_PORT: u16 = 2528;
