//! Two namespaces and what runs in them: generator and relay in one, the sink in the other.
//!
//! The relay gets connections as from a load balancer, with a PROXY header, because that way costs nothing but the
//! relay. A destination must not be the relay's own host, hence the second namespace.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{
    load::Target,
    sink::{self, Counted},
    splice::{self, Arrived},
};
use crate::{
    house,
    netns::{Netns, run},
};

/// Lets this process, and the relay after it, have as many files as it may; answers for how many sessions that is
/// enough, with two legs each in the relay, and both ends of both in generator and sink.
pub(super) fn sessions_possible() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or_else(|| u64::from(u32::MAX));
    let limit = Rlimit {
        current: Some(most),
        ..limit
    };
    setrlimit(Resource::Nofile, limit).context("the limit of open files")?;
    Ok(usize::try_from(most)?.saturating_sub(OTHER_FILES) / 2)
}

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
    directory: tempfile::TempDir,
}

/// A relay that runs; it ends with this.
pub(super) struct Relay {
    child: Child,
}

impl Stage {
    /// Without a relay.
    pub(super) fn new() -> Result<Self> {
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
            proxied_to: Some(SocketAddr::from((FAR, 25))),
            tls: Arc::clone(&self.tls),
        }
    }

    /// Sessions that the relay joins with the hole.
    pub(super) fn opaque(&self) -> Target {
        Target {
            address: SocketAddr::from((NEAR, OPAQUE_PORT)),
            proxied_to: Some(SocketAddr::from((HOLE, 25))),
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

    /// Starts the relay that is built beside this program.
    pub(super) fn relay(&self) -> Result<Relay> {
        let at = self.directory.path();
        let config = at.join("relay.toml");
        fs::write(&config, config_text(at))?;
        let log = at.join("relay.log");
        let mut command = Command::new(house::beside("outgate-relay")?);
        command
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = self.near.inside(|| Ok(command.spawn()?))?;
        let mut relay = Relay { child };
        let deadline = Instant::now() + START_LIMIT;
        while self
            .near
            .inside(|| Ok(std::net::TcpStream::connect((NEAR, PORT)).is_err()))?
        {
            let ended = relay.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!(
                    "outgate-relay does not listen ({ended:?}): {}",
                    fs::read_to_string(&log)?
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(relay)
    }
}

impl Relay {
    /// Anonymous memory in use, octets: what the program itself has taken.
    pub(super) fn octets(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib: f64 = field
            .and_then(|field| field.trim().strip_suffix(" kB"))
            .context("RssAnon of the relay")?
            .parse()?;
        Ok(kib * 1024.0)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Only errors that say that it has ended by itself.
        let _asked = kill_process(Pid::from_child(&self.child), Signal::KILL).is_ok();
        let _reaped = self.child.wait().is_ok();
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
    let key = PrivateKeyDer::try_from(key);
    ensure!(key.is_ok(), "the key that was just made");
    let key = key.map_err(anyhow::Error::msg)?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok((Arc::new(client), Arc::new(server)))
}

fn config_text(at: &Path) -> String {
    let at = at.display();
    format!(
        r#"name = "bench"
operator = "Benchmark"
hostname = "{NAME}"
help_url = "https://bench.test/"
log = "warn"

[[authorised]]
listen = ["{NEAR}:{PORT}"]
from = ["192.0.2.0/24"]
destination = "proxy-v2"
proxies = ["{NEAR}/32"]

[[authorised]]
listen = ["{NEAR}:{OPAQUE_PORT}"]
from = ["192.0.2.0/24"]
destination = "proxy-v2"
proxies = ["{NEAR}/32"]
treatment = "opaque"

[splice]
max_octets = 1000000000000

[tls]
certificate = "{at}/cert.pem"
key = "{at}/key.pem"

[message]
spill_dir = "{at}"

[limits]
connections = 20000
connections_per_customer = 1000

[[scanner]]
kind = "builtin"
"#
    )
}

/// The relay's name, and the sink's: both have one certificate.
pub(super) const NAME: &str = "relay.bench.test";
const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// Where octets of joined sessions end.
const HOLE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
const PORT: u16 = 2526;
const OPAQUE_PORT: u16 = 2527;
const RIVAL_PORT: u16 = 2528;
/// Logs, listeners, libraries.
const OTHER_FILES: usize = 500;
const START_LIMIT: Duration = Duration::from_secs(20);
