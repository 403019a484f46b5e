//! The program outgate-relay: configuration, signals and exit codes around the library.
//!
//! # Diagnostics
//! A configuration that cannot be used exits 78 (EX_CONFIG), missing privileges 77 (EX_NOPERM),
//! anything else that prevents the start 1. After the start it ends only when told to, with 0.
#![forbid(unsafe_code)]

mod commands;
mod logging;
mod reloading;
mod service_manager;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{CommandFactory as _, Parser};
use commands::scan::{NoSuchScanner, ScanArguments, Scanned};
use commands::{Asked, Command, Ended, generate, scan};
use contract::Generation;
use logging::start_log;
use relay::Relay;
use relay::acme::{self, Acme};
use relay::classifier;
use relay::config::{Config, ConfigError, Controller, Log, LogFormat, Rewritten};
use relay::dkim::Signer;
use relay::egress::Egresses;
use relay::handover::{Peers, listener};
use relay::listen::inherited::{Inherited, InheritedError};
use relay::listen::{self, BindError, Drain, Listener, descriptors};
use relay::metrics::{Counter, http};
use relay::origin::{FlowMap, Origin, OriginError};
use relay::sandbox;
use relay::snapshot::{self, Newest};
use relay::tls::{ServerTls, TlsError};
use reloading::{Reloading, SetFilter};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

/// A message is some hundred short-lived allocations, many of which another thread gives back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes the mail of diverted customers, filters it, and delivers it to the destination that the
/// customer had chosen.
#[derive(Debug, Parser)]
#[command(
    name = "outgate-relay",
    version,
    after_help = "Signals: TERM and INT drain and stop; HUP reads the configuration again.\n\
                  Exit codes: 0 stopped or done, 1 cannot start, 2 nothing found, 3 refused, 4 done in part, 77 missing privileges, 78 wrong configuration.\n\n\
                  Examples:\n  outgate-relay --check\n  outgate-relay --config /etc/outgate/relay.toml\n  \
                  outgate-relay learnt ls\n  outgate-relay spool ls\n  \
                  outgate-relay scan message.eml"
)]
struct Arguments {
    /// Configuration file [default: /etc/outgate/relay.toml, but none for scan].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Read and check the configuration and the files it names, then exit.
    #[arg(long)]
    check: bool,
    /// Without one, the relay runs.
    #[command(subcommand)]
    command: Option<Asked>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(exit_code) => exit_code,
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "the last word of a program that cannot run"
            )]
            {
                eprintln!("outgate-relay: {error:#}");
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Before anything else opens a file.
    let inherited = Inherited::take()?;
    keep_memory_private().context("cannot keep core dumps from being written")?;
    // Where mail is sorted, there need not be a relay.
    if let Some(Asked::OfARelay(Command::Classifier(command))) = &arguments.command {
        let found = commands::classifier::run(command)?;
        return Ok(ExitCode::from(if found { 0 } else { NOT_FOUND }));
    }
    match &arguments.command {
        Some(Asked::Completion(wanted)) => {
            generate::completion(wanted, Arguments::command())?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Asked::Man(wanted)) => {
            generate::man(wanted, Arguments::command())?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Asked::Scan(_) | Asked::OfARelay(_)) | None => {}
    }
    if let Some(Asked::Scan(scan)) = &arguments.command {
        return scan_files(scan, arguments.config.as_deref());
    }
    let file = arguments.config.as_deref();
    let file = file.unwrap_or_else(|| Path::new(DEFAULT_CONFIG));
    let config = Config::read(file)?;
    if let Some(Asked::OfARelay(command)) = &arguments.command {
        drop(start_log(&config.log)?);
        let found = commands::run(command, &config, file)?;
        return Ok(ExitCode::from(if found { 0 } else { NOT_FOUND }));
    }
    let tls = ServerTls::new(&config).map_err(|error| start_error(error, file))?;
    let egresses = Egresses::open(&config).map_err(|invalid| invalid.in_file(file))?;
    let signer = Signer::open(&config.dkim).map_err(|error| error.in_file(file))?;
    let peers = config.peers.as_ref().map(Peers::open).transpose();
    let peers = peers.map_err(|invalid| invalid.in_file(file))?;
    let acme = Acme::open(&config).map_err(|error| error.in_file(file))?;
    classifier::check(&config).map_err(|invalid| invalid.in_file(file))?;
    if arguments.check {
        return Ok(ExitCode::SUCCESS);
    }
    let set_filter = start_log(&config.log)?;
    egresses
        .check_host()
        .map_err(|invalid| invalid.in_file(file))?;
    descriptors::provide(&config).map_err(|invalid| invalid.in_file(file))?;
    let bound = Bound::bind(&config, inherited)?;
    // While there is but this thread: others would go without.
    sandbox::enter(&config, file);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let start = Start {
        file: file.to_owned(),
        tls: Arc::new(tls),
        signer: Arc::new(signer),
        acme,
        egresses,
        peers,
        bound,
        set_filter,
    };
    let result = runtime.block_on(serve(config, start));
    // Scanners' and spill files' last operations are worth nothing to anybody now.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// `outgate-relay scan`, the one command that may do without a configuration.
fn scan_files(arguments: &ScanArguments, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = file.map(Config::read).transpose()?;
    let log = config.as_ref().map(|config| config.log.clone());
    drop(start_log(&log.unwrap_or_else(|| Log {
        filter: "warn".into(),
        format: LogFormat::Text,
    }))?);
    Ok(ExitCode::from(
        match scan::run(arguments, config.as_ref())? {
            Scanned::Accepted => 0,
            Scanned::Refused => 1,
            Scanned::Unreadable => NOT_FOUND,
        },
    ))
}

/// No core file, and no other process of the same user reads this one's memory (prctl(2), PR_SET_DUMPABLE): the buffers
/// of sessions hold other people's mail, and passwords that were said although nobody asked.
fn keep_memory_private() -> std::io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(
        rustix::process::DumpableBehavior::NotDumpable,
    )?)
}

/// What stands in the way of a start, as it is told.
fn start_error(error: TlsError, file: &Path) -> anyhow::Error {
    match error {
        TlsError::File(invalid) => invalid.in_file(file).into(),
        TlsError::SelfSigned(_) | TlsError::Unusable(_) => error.into(),
    }
}

/// Sockets that are bound while the process still may.
struct Bound {
    listeners: Vec<Listener>,
    scrapes: Option<TcpListener>,
    peers: Vec<TcpListener>,
    /// Where the authority of the certificate comes.
    challenges: Vec<TcpListener>,
}

impl Bound {
    fn bind(config: &Config, mut inherited: Inherited) -> anyhow::Result<Self> {
        let inherited = &mut inherited;
        let mut listeners = listen::bind_transparent(&config.transparent, inherited)?;
        for authorised in &config.authorised {
            listeners.extend(listen::bind_authorised(authorised, inherited)?);
        }
        if let Some(submission) = &config.submission {
            listeners.extend(listen::bind_submission(submission, inherited)?);
        }
        if let Some(Rewritten { listen, pin_dir }) = &config.rewritten {
            let flows: Arc<dyn Origin> = Arc::new(FlowMap::open(pin_dir)?);
            listeners.extend(listen::bind(listen, &flows, inherited)?);
        }
        let scrapes = config.metrics.map(|address| http::bind(address, inherited));
        let scrapes = scrapes.transpose()?;
        let peers = config.peers.as_ref();
        let peers = peers.map(|peers| listener::bind(peers, inherited));
        let peers = peers.transpose()?.unwrap_or_default();
        let challenges = config
            .acme
            .as_ref()
            .map(|it| acme::bind(&it.listen, inherited));
        let challenges = challenges.transpose()?.unwrap_or_default();
        inherited.expect_none()?;
        Ok(Self {
            listeners,
            scrapes,
            peers,
            challenges,
        })
    }
}

/// All that a relay starts with beside its configuration.
struct Start {
    file: PathBuf,
    tls: Arc<ServerTls>,
    signer: Arc<Signer>,
    acme: Option<Acme>,
    egresses: Arc<Egresses>,
    peers: Option<Peers>,
    bound: Bound,
    set_filter: SetFilter,
}

async fn serve(config: Config, start: Start) -> anyhow::Result<()> {
    let Start {
        file,
        tls,
        signer,
        acme,
        egresses,
        peers,
        bound:
            Bound {
                listeners,
                scrapes,
                peers: from_peers,
                challenges,
            },
        set_filter,
    } = start;
    let mut signals = Signals::register().context("cannot listen for signals")?;
    let (newest, _) = watch::channel(None);
    let have = config
        .controller
        .as_ref()
        .map_or_else(Generation::default, |controller| {
            start_from_cache(controller, &newest)
        });
    let relay_name = config.name.clone();
    let controller = config.controller.clone();
    let listen: Vec<_> = listeners.iter().flat_map(Listener::local_addr).collect();
    let limit = config.limits.drain;
    let (relay, mut backlog) = Relay::open(
        config.clone(),
        newest.subscribe(),
        Arc::clone(&tls),
        egresses,
        signer,
    )?;
    if let Some(backlog) = &mut backlog {
        backlog.know(peers, from_peers);
    }
    let following = controller.map(|controller| {
        let following = snapshot::client::follow(relay_name, controller, newest, have);
        tokio::spawn(following)
    });

    let pulse = backlog.as_ref().map(|backlog| backlog.pulse());
    tokio::spawn(relay.tend());
    tls.announce();
    let renew = Arc::new(Notify::new());
    if let Some(acme) = acme {
        tokio::spawn(acme.keep(Arc::clone(&relay), challenges, Arc::clone(&renew)));
    }
    if let Some(listener) = scrapes {
        tokio::spawn(http::serve(Arc::clone(&relay), listener));
    }
    let (stop_delivering, stopped) = watch::channel(false);
    let delivering = backlog.map(|backlog| tokio::spawn(backlog.deliver(stopped, limit)));
    let (drain, draining) = Drain::new();
    let (current, running) = watch::channel(Arc::clone(&relay));
    let serving = tokio::spawn(listen::serve(running, listeners, draining));
    let mut reloading = Reloading {
        file,
        current,
        tls,
        renew,
        set_filter,
    };
    service_manager::ready();
    let watched = tokio::spawn(service_manager::watched(pulse));
    info!(?listen, "ready");

    signals.wait_for_stop(&mut reloading).await;
    service_manager::stopping();
    drain.send_replace(true);
    let result = serving.await.context("serving ended by a bug of ours");
    // Not before the last session has queued its message.
    stop_delivering.send_replace(true);
    if let Some(delivering) = delivering {
        delivering
            .await
            .context("delivering ended by a bug of ours")?;
    }
    if let Some(following) = following {
        following.abort();
    }
    watched.abort();
    relay.save();
    for &counter in Counter::ALL {
        info!(
            counter = counter.name(),
            value = relay.metrics().value(counter),
            "counted"
        );
    }
    result
}

/// Puts the last snapshot that was made durable into force, so that the relay serves without its controller, and
/// says which it is.
fn start_from_cache(controller: &Controller, newest: &watch::Sender<Newest>) -> Generation {
    let cache = &controller.cache;
    match snapshot::cache::load(cache) {
        Ok(Some(cached)) => {
            let generation = cached.generation;
            info!(
                generation = generation.0,
                customers = cached.customers.len(),
                "snapshot from the cache"
            );
            snapshot::put_into_force(newest, cached);
            return generation;
        }
        Ok(None) => {
            info!("no cached snapshot; everybody is answered 421 until the controller sends one");
        }
        Err(error) => {
            warn!(%error, cache = %cache.display(), "cached snapshot cannot be used; asking for a new one");
        }
    }
    Generation::default()
}

/// The signals that the program acts on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn register() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the program is to stop; reads the configuration again meanwhile.
    async fn wait_for_stop(&mut self, reloading: &mut Reloading) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => service_manager::while_reloading(|| reloading.reload()),
            }
        }
    }
}

/// The sysexits code of an error that prevents the start.
fn exit_code(error: &anyhow::Error) -> u8 {
    let not_permitted = error
        .downcast_ref::<BindError>()
        .is_some_and(|bind| bind.source.kind() == std::io::ErrorKind::PermissionDenied);
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return ended.exit_code;
    }
    if error.is::<ConfigError>() || error.is::<InheritedError>() {
        EX_CONFIG
    } else if error.is::<NoSuchScanner>() {
        NOT_FOUND
    } else if not_permitted
        || matches!(
            error.downcast_ref::<OriginError>(),
            Some(OriginError::NotPermitted(_))
        )
    {
        EX_NOPERM
    } else {
        1
    }
}

const DEFAULT_CONFIG: &str = "/etc/outgate/relay.toml";
/// As `outgate` says it.
const NOT_FOUND: u8 = 2;
/// sysexits.h: something was found in an unconfigured or misconfigured state.
const EX_CONFIG: u8 = 78;
/// sysexits.h: not permitted.
const EX_NOPERM: u8 = 77;
