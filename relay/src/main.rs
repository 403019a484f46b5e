//! The program outgate-relay: configuration, signals and exit codes around the library.
//!
//! # Diagnostics
//! A configuration that cannot be used exits 78 (EX_CONFIG), missing privileges 77 (EX_NOPERM),
//! anything else that prevents the start 1. After the start it ends only when told to, with 0.
#![forbid(unsafe_code)]

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use commands::Command;
use contract::Generation;
use relay::Relay;
use relay::config::{Config, ConfigError, Controller, Log, LogFormat, Rewritten};
use relay::dkim::Signer;
use relay::egress::Egresses;
use relay::listen::inherited::{Inherited, InheritedError};
use relay::listen::{self, BindError, Drain, Listener, descriptors};
use relay::metrics::{Counter, http};
use relay::origin::{FlowMap, Origin, OriginError};
use relay::snapshot::{self, Newest};
use relay::tls::{ServerTls, TlsError};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// Takes the mail of diverted customers, filters it, and delivers it to the destination that the
/// customer had chosen.
#[derive(Debug, Parser)]
#[command(
    name = "outgate-relay",
    version,
    after_help = "Signals: TERM and INT drain and stop; HUP reads the certificate again.\n\
                  Exit codes: 0 stopped or done, 1 cannot start, 2 nothing found, 77 missing privileges, 78 wrong configuration.\n\n\
                  Examples:\n  outgate-relay --check\n  outgate-relay --config /etc/outgate/relay.toml\n  \
                  outgate-relay learnt ls\n  outgate-relay spool ls"
)]
struct Arguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/outgate/relay.toml")]
    config: PathBuf,
    /// Read and check the configuration and the files it names, then exit.
    #[arg(long)]
    check: bool,
    /// Without one, the relay runs.
    #[command(subcommand)]
    command: Option<Command>,
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
    let config = Config::read(&arguments.config)?;
    if let Some(command) = &arguments.command {
        start_log(&config.log);
        let found = commands::run(command, &config, &arguments.config)?;
        return Ok(ExitCode::from(if found { 0 } else { NOT_FOUND }));
    }
    let tls = ServerTls::new(&config).map_err(|error| match error {
        TlsError::File(invalid) => anyhow::Error::from(invalid.in_file(&arguments.config)),
        TlsError::SelfSigned(_) | TlsError::Unusable(_) => error.into(),
    })?;
    let egresses = Egresses::open(&config).map_err(|invalid| invalid.in_file(&arguments.config))?;
    let signer = Signer::open(&config.dkim).map_err(|error| error.in_file(&arguments.config))?;
    if arguments.check {
        return Ok(ExitCode::SUCCESS);
    }
    start_log(&config.log);
    egresses
        .check_host()
        .map_err(|invalid| invalid.in_file(&arguments.config))?;
    descriptors::provide(&config.limits).map_err(|invalid| invalid.in_file(&arguments.config))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (tls, signer) = (Arc::new(tls), Arc::new(signer));
    let result = runtime.block_on(serve(config, tls, signer, egresses, inherited));
    // Scanners' and spill files' last operations are worth nothing to anybody now.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(
    config: Config,
    tls: Arc<ServerTls>,
    signer: Arc<Signer>,
    egresses: Arc<Egresses>,
    mut inherited: Inherited,
) -> anyhow::Result<()> {
    let mut signals = Signals::register().context("cannot listen for signals")?;
    let mut listeners = listen::bind_transparent(&config.transparent, &mut inherited)?;
    for authorised in &config.authorised {
        listeners.extend(listen::bind_authorised(authorised, &mut inherited)?);
    }
    if let Some(Rewritten { listen, pin_dir }) = &config.rewritten {
        let flows: Arc<dyn Origin> = Arc::new(FlowMap::open(pin_dir)?);
        listeners.extend(listen::bind(listen, &flows, &mut inherited)?);
    }

    let scrapes = match config.metrics {
        Some(address) => Some(http::bind(address, &mut inherited).await?),
        None => None,
    };
    inherited.expect_none()?;

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
    let (relay, backlog) = Relay::open(config, newest.subscribe(), Arc::clone(&tls), egresses)?;
    relay.notifier().sign_by(signer);
    let following = controller.map(|controller| {
        let following = snapshot::client::follow(relay_name, controller, newest, have);
        tokio::spawn(following)
    });

    tokio::spawn(relay.tend());
    if let Some(listener) = scrapes {
        tokio::spawn(http::serve(Arc::clone(&relay), listener));
    }
    let (stop_delivering, stopped) = watch::channel(false);
    let delivering = backlog.map(|backlog| tokio::spawn(backlog.deliver(stopped, limit)));
    let (drain, draining) = Drain::new();
    let serving = tokio::spawn(listen::serve(Arc::clone(&relay), listeners, draining));
    notify(NotifyState::Ready);
    info!(?listen, "ready");

    signals.wait_for_stop(&tls).await;
    notify(NotifyState::Stopping);
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

    /// Returns when the program is to stop; reads certificates again meanwhile.
    async fn wait_for_stop(&mut self, tls: &ServerTls) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => match tls.reload() {
                    Ok(()) => info!("certificate read again"),
                    Err(error) => error!(%error, "the old certificate stays in use"),
                },
            }
        }
    }
}

fn start_log(log: &Log) {
    let filter = EnvFilter::new(&log.filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "cannot notify the service manager");
    }
}

/// The sysexits code of an error that prevents the start.
fn exit_code(error: &anyhow::Error) -> u8 {
    let not_permitted = error
        .downcast_ref::<BindError>()
        .is_some_and(|bind| bind.source.kind() == std::io::ErrorKind::PermissionDenied);
    if error.is::<ConfigError>() || error.is::<InheritedError>() {
        EX_CONFIG
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

/// As `outgate` says it.
const NOT_FOUND: u8 = 2;
/// sysexits.h: something was found in an unconfigured or misconfigured state.
const EX_CONFIG: u8 = 78;
/// sysexits.h: not permitted.
const EX_NOPERM: u8 = 77;
