//! A relay in this process, in front of one destination.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::{CustomerPolicy, Delivery, Egress, Generation, Snapshot, Treatment};
use relay::Relay;
use relay::config::Config;
use relay::dkim::Signer;
use relay::egress::Egresses;
use relay::listen::inherited::Inherited;
use relay::listen::{self, Drain};
use relay::metrics::Counter;
use relay::origin::{CustomerAddr, Found, Origin, OriginalDst};
use relay::snapshot::{InForce, Newest, put_into_force};
use relay::tls::{ServerTls, TlsError};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What differs from the usual gate.
pub(crate) struct Options {
    /// Everybody's destination; `None` = the flow table knows nobody.
    pub(crate) destination: Option<SocketAddr>,
    /// `None` = the controller has never been heard of.
    pub(crate) snapshot: Option<Snapshot>,
    /// Lines of TOML instead of the built-in scanner.
    pub(crate) scanners: String,
    /// Content octets in memory.
    pub(crate) memory_octets: usize,
    /// Connections of one customer.
    pub(crate) per_customer: usize,
    /// Connections in total.
    pub(crate) connections: usize,
    /// Lines of TOML for `[tls]`.
    pub(crate) tls: String,
    /// Lines of TOML inside of `[splice]`; the usual gate learns nothing.
    pub(crate) splice: String,
    /// More tables of TOML.
    pub(crate) more: String,
    /// What outlives the relay; `None` = nothing does.
    pub(crate) state_dir: Option<PathBuf>,
}

impl Options {
    /// The usual gate in front of `destination`.
    pub(crate) fn to(destination: SocketAddr) -> Self {
        Self {
            destination: Some(destination),
            snapshot: Some(snapshot()),
            scanners: "[[scanner]]\nkind = \"builtin\"\n".into(),
            memory_octets: 262_144,
            per_customer: 50,
            connections: 100,
            tls: String::new(),
            splice: "learnt_per_customer = 0".into(),
            more: String::new(),
            state_dir: None,
        }
    }

    /// The same with a spool, for a customer of this delivery. Domains are looked up nowhere: everything goes to the
    /// original destination.
    pub(crate) fn with_spool(destination: SocketAddr, delivery: Delivery, spool: &Path) -> Self {
        let spool = format!(
            "[spool]\ndir = \"{}\"\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n[dns]\nservers = []\n",
            spool.display()
        );
        Self {
            snapshot: Some(delivered_by(delivery)),
            more: spool,
            ..Self::to(destination)
        }
    }
}

/// A running relay; ends with the test.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) relay: Arc<Relay>,
    config: Config,
    tls: Arc<ServerTls>,
    /// What new sessions are given.
    current: watch::Sender<Arc<Relay>>,
    pub(crate) newest: watch::Sender<Newest>,
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<()>,
    stop_delivering: watch::Sender<bool>,
    delivering: Option<JoinHandle<()>>,
    /// For the program, when it is to ask this relay something.
    pub(crate) config_file: PathBuf,
    _directory: TempDir,
}

impl Gate {
    /// The usual gate in front of `destination`.
    pub(crate) fn to(destination: SocketAddr) -> Self {
        Self::start(Options::to(destination))
    }

    pub(crate) fn start(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = config_text(directory.path(), &options);
        let config_file = directory.path().join("relay.toml");
        std::fs::write(&config_file, &text).unwrap();
        let config = Config::parse(&text).unwrap();
        let tls = Arc::new(ServerTls::new(&config).unwrap());
        let (newest, receiver) = watch::channel(None);
        if let Some(snapshot) = options.snapshot {
            put_into_force(&newest, snapshot);
        }
        let origin: Arc<dyn Origin> = Arc::new(To(options.destination));
        let listen = &config.rewritten.as_ref().unwrap().listen;
        let listeners = listen::bind(listen, &origin, &mut Inherited::default()).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let egresses = Egresses::open(&config).unwrap();
        let limit = config.limits.drain;
        let signer = Arc::new(Signer::open(&config.dkim).unwrap());
        let (relay, backlog) =
            Relay::open(config.clone(), receiver, Arc::clone(&tls), egresses, signer).unwrap();
        let (stop_delivering, stopped) = watch::channel(false);
        let delivering = backlog.map(|backlog| tokio::spawn(backlog.deliver(stopped, limit)));
        let (drain, draining) = Drain::new();
        let (current, running) = watch::channel(Arc::clone(&relay));
        let serving = tokio::spawn(listen::serve(running, listeners, draining));
        Self {
            address,
            relay,
            config,
            tls,
            current,
            newest,
            drain,
            serving,
            stop_delivering,
            delivering,
            config_file,
            _directory: directory,
        }
    }

    /// Stops serving, and waits until nothing is left of it.
    pub(crate) async fn stop(self) {
        self.drain.send_replace(true);
        self.serving.await.unwrap();
        self.stop_delivering.send_replace(true);
        if let Some(delivering) = self.delivering {
            delivering.await.unwrap();
        }
        drop(self.current);
        // Its sessions end a moment after they were served.
        for _ in 0..500 {
            if Arc::strong_count(&self.relay) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("somebody still holds the relay");
    }

    /// Reads the certificate again, as SIGHUP does.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let tls = self.tls.again(&self.config)?;
        let (relay, stays) = self
            .relay
            .reconfigured(self.config.clone(), tls, Arc::default());
        assert!(stays.is_empty(), "{stays:?}");
        self.current.send_replace(relay);
        Ok(())
    }

    #[track_caller]
    pub(crate) fn assert_counted(&self, counter: Counter, expected: u64) {
        assert_eq!(
            self.relay.metrics().value(counter),
            expected,
            "{}",
            counter.name()
        );
    }

    /// Some counters move after the reply that a test has already seen.
    pub(crate) async fn wait_for_count(&self, counter: Counter, expected: u64) {
        for _ in 0..500 {
            if self.relay.metrics().value(counter) == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.assert_counted(counter, expected);
    }
}

/// Says of every connection that it was going to one place.
struct To(Option<SocketAddr>);

impl Origin for To {
    fn look_up(&self, peer: SocketAddr, _local: SocketAddr, _customers: &InForce) -> Found {
        match self.0 {
            Some(destination) => Found::Known {
                customer: CustomerAddr::new(peer.ip()),
                original_dst: OriginalDst::new(destination),
            },
            None => Found::Unknown,
        }
    }
}

/// The same with another delivery.
pub(crate) fn delivered_by(delivery: Delivery) -> Snapshot {
    let mut snapshot = snapshot();
    snapshot.customers[0].delivery = delivery;
    snapshot
}

/// 127.0.0.0/8 are customers, 127.0.0.1 is flagged.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        generation: Generation(7),
        customer_prefixes: vec!["127.0.0.0/8".parse().unwrap()],
        probe_sources: vec!["127.0.0.99".parse().unwrap()],
        probe_prefixes: vec!["127.0.0.224/28".parse().unwrap()],
        customers: vec![CustomerPolicy {
            prefix: "127.0.0.1/32".parse().unwrap(),
            flag_id: 1,
            pool: "default".into(),
            treatment: Treatment::Filter,
            egress: Egress::Pool,
            reason: "complaint 4711".into(),
            expires_at: "2099-01-01T00:00:00Z".parse().unwrap(),
            confirmed: false,
            delivery: Delivery::default(),
            tier: None,
            limits: None,
        }],
        submission: contract::Submission::default(),
    }
}

/// The configuration file of the usual gate.
pub(crate) fn config_text(directory: &Path, options: &Options) -> String {
    let state_dir = options.state_dir.as_deref().unwrap_or(directory).display();
    let directory = directory.display();
    // The resolver of this machine is none of a test's business.
    let dns = if options.more.contains("[dns]") {
        ""
    } else {
        "[dns]\nservers = []"
    };
    format!(
        r#"
name = "relay-1"
operator = "Example Hosting"
hostname = "relay-1.example.net"
help_url = "https://abuse.example.net/smtp"
listen = ["127.0.0.1:0"]
state_dir = "{state_dir}"
[controller]
socket = "{directory}/outgated.sock"
cache = "{directory}/snapshot.json"
[origin]
pin_dir = "{directory}/pins"
[message]
memory_octets = {memory_octets}
spill_dir = "{directory}"
[limits]
connections = {connections}
connections_per_customer = {per_customer}
drain = "10s"
[splice]
{splice}
{dns}
{tls}
{scanners}
{more}
"#,
        memory_octets = options.memory_octets,
        connections = options.connections,
        per_customer = options.per_customer,
        tls = options.tls,
        scanners = options.scanners,
        splice = options.splice,
        more = options.more,
    )
}
