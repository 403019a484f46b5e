//! The process `outgated`: reads its configuration, opens everything in order, serves, and leaves.
//!
//! Exit codes follow sysexits: 0 ended by a signal, 78 (`EX_CONFIG`) for a configuration that cannot be
//! served, 65 (`EX_DATAERR`) for a store that cannot be read, 75 (`EX_TEMPFAIL`) for one that does not answer, 77 (`EX_NOPERM`) for missing privileges, 1 for anything
//! else.
//!
//! What it never does on the way out: touch the kernel. Customers stay diverted, and the next start adopts them.

use std::{
    error::Error, ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode, sync::Arc,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{Duration, timeout},
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    api::{self, TlsError, door::Listener, tls::Tls},
    config::{Config, ConfigError, LogFormat},
    controller::{Controller, Kernel, Problem, StartError, check_files, keeping, load_rules},
    edge::EdgeError,
    metrics,
    store::{Store, StoreError, audit::OUTGATED, life::Lock},
};

/// The controller of Outgate's edge: keeps policies, relays and the kernel program in step
#[derive(Debug, Parser)]
#[command(name = "outgated", version)]
struct Arguments {
    /// Configuration
    #[arg(long, default_value = crate::DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// Only judge the configuration
    #[arg(long)]
    check: bool,
}

/// The command line's definition, for what is made of it.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Runs until a signal ends it.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            drop(error.print());
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return fail(&error.into()),
    };
    if arguments.check {
        let checked = load_rules(&config).map_err(StartError::from);
        return match checked.and_then(|_rules| check_files(&config)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.into()),
        };
    }
    let served = start_log(&config).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(config))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Caught from the start: a stop while starting is as clean as one later.
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    let (socket, doors) = (config.socket.clone(), config.api.clone());
    // Before anything else is opened: a certificate that is of no use is a mistake in the configuration.
    let tls = doors.tls.map(Tls::load).transpose()?.map(Arc::new);

    // Two controllers over one store would each believe to know what the kernel holds.
    let only_one = Lock::take(&config.state_dir)?;
    let backups = config
        .backups
        .as_ref()
        .map(|backups| backups.directory.as_path());
    let store = match &config.shared {
        Some(shared) => Store::open_shared(shared).await?,
        None => Store::open_for_service(&only_one, &config.database(), backups).await?,
    };
    let kernel = Kernel::open(config.edge.clone()).await?;
    let controller = Controller::start(config, store.clone(), kernel).await?;
    let mut tasks = keeping::start(&controller).await?;
    let mut listeners = vec![Listener::Socket(api::socket::bind(&socket)?)];
    for (address, tls) in doors.listen.iter().zip(tls.iter().cycle()) {
        listeners.push(Listener::bind(*address, Arc::clone(tls)).await?);
        tracing::info!(%address, "the API listens over TLS");
    }
    let scrapes = match controller.config().metrics {
        Some(address) => Some(metrics::http::bind(address).await?),
        None => None,
    };
    // A trail of millions of rows takes a minute, and nobody has to wait for it.
    let trail = tokio::spawn({
        let store = store.clone();
        async move { verify_trail(&store).await }
    });
    let reloads = tokio::spawn(reload(hangup, Arc::clone(&controller), tls));
    let scraped = scrapes.map(|scrapes| {
        let controller = Arc::clone(&controller);
        tokio::spawn(metrics::http::serve(controller, scrapes))
    });
    let mut server = tokio::spawn(serve_api(listeners, Arc::clone(&controller)));

    tracing::info!(socket = %socket.display(), "outgated serves");
    notify(&[NotifyState::Ready]);
    let outcome = tokio::select! {
        _signal = stop.recv() => Ok(()),
        _signal = interrupt.recv() => Ok(()),
        ended = &mut server => ended.context("the API's server")?,
        ended = fault(&mut tasks) => Err(ended),
    };
    tracing::info!("outgated ends; what is in the kernel stays in force");
    notify(&[NotifyState::Stopping]);
    trail.abort();
    reloads.abort();
    if let Some(scraped) = scraped {
        scraped.abort();
    }
    controller.stop();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task ended badly");
        }
    }
    if !server.is_finished() && timeout(FAREWELL, &mut server).await.is_err() {
        tracing::warn!("requests were still open at the end");
        server.abort();
    }
    store.close().await;
    drop(only_one);
    outcome
}

/// Reads the rules, and what TLS is made of, again at each SIGHUP.
async fn reload(mut hangup: Signal, controller: Arc<Controller>, tls: Option<Arc<Tls>>) {
    while hangup.recv().await.is_some() {
        if let Err(error) = controller.reload_rules(OUTGATED).await {
            tracing::error!(%error, "the rules were not read again; those from before stay in force");
        }
        match tls.as_ref().map(|tls| tls.reload()) {
            None => {}
            Some(Ok(())) => tracing::info!("the API's certificate was read again"),
            Some(Err(error)) => {
                tracing::error!(%error, "the API's certificate was not read again; that from before stays in use");
            }
        }
    }
}

/// Serves until the controller stops; open requests are answered, waits end at once.
async fn serve_api(listeners: Vec<Listener>, controller: Arc<Controller>) -> anyhow::Result<()> {
    let router = api::router(Arc::clone(&controller));
    let mut doors = JoinSet::new();
    for listener in listeners {
        doors.spawn(listener.serve(router.clone(), Arc::clone(&controller)));
    }
    while let Some(ended) = doors.join_next().await {
        ended.context("a door of the API")?;
    }
    Ok(())
}

/// Becomes ready only if a task ends before it should, which is a fault: better to be started anew.
async fn fault(tasks: &mut JoinSet<()>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Err(error)) => anyhow::Error::from(error).context("a task panicked"),
        Some(Ok(())) | None => anyhow::anyhow!("a task ended before its time"),
    }
}

/// A broken trail is evidence of tampering and must be heard of, but is no reason to let spam through.
async fn verify_trail(store: &Store) {
    match store.verify_trail().await {
        Ok(Ok((rows, last))) => tracing::info!(rows, last, "audit trail verified"),
        Ok(Err(broken)) => {
            tracing::error!(%broken, "the audit trail was tampered with; keep a copy of the store");
        }
        Err(error) => tracing::error!(%error, "the audit trail could not be verified"),
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let registry = tracing_subscriber::registry().with(filter);
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => registry.with(format.with_ansi(false)).try_init()?,
        LogFormat::Json => registry
            .with(format.json().flatten_event(true))
            .try_init()?,
    }
    Ok(())
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not notified");
    }
}

/// Says why on standard error, which is the journal under systemd, and chooses the exit code.
fn fail(error: &anyhow::Error) -> ExitCode {
    drop(writeln!(std::io::stderr().lock(), "outgated: {error:#}"));
    ExitCode::from(error.chain().find_map(code_of).unwrap_or(1))
}

/// The exit code of a cause that has one. What is transparent is no link of the chain by itself, and is looked into.
fn code_of(cause: &(dyn Error + 'static)) -> Option<u8> {
    let start: Option<&StartError> = cause.downcast_ref();
    let problem = match start {
        Some(StartError::Problem(problem)) => Some(problem),
        _ => cause.downcast_ref(),
    };
    let store = match problem {
        Some(Problem::Store(error)) => Some(error),
        _ => cause.downcast_ref(),
    };
    let misfit = cause.is::<ConfigError>()
        || cause.is::<TlsError>()
        || matches!(
            start,
            Some(
                StartError::PoolGone { .. }
                    | StartError::PoolNotSteered { .. }
                    | StartError::ProbeSourcesFlagged { .. }
                    | StartError::Rules(_)
                    | StartError::Webhook(_)
                    | StartError::Templates(_)
                    | StartError::Notices(_)
            )
        );
    let refused = problem.is_some_and(Problem::is_privilege)
        || matches!(cause.downcast_ref(), Some(EdgeError::NotPermitted { .. }));
    let unreadable = matches!(
        store,
        Some(
            StoreError::Damaged { .. }
                | StoreError::SetAside { .. }
                | StoreError::Newer { .. }
                | StoreError::Meddled { .. }
                | StoreError::Schema { .. }
        )
    );
    let later = matches!(
        store,
        Some(StoreError::Unreachable { .. } | StoreError::EdgeTaken { .. })
    );
    misfit
        .then_some(EX_CONFIG)
        .or_else(|| later.then_some(EX_TEMPFAIL))
        .or_else(|| unreadable.then_some(EX_DATAERR))
        .or_else(|| refused.then_some(EX_NOPERM))
}

/// `EX_DATAERR` of sysexits.h.
const EX_DATAERR: u8 = 65;
/// `EX_TEMPFAIL` of sysexits.h.
const EX_TEMPFAIL: u8 = 75;
/// `EX_NOPERM` of sysexits.h.
const EX_NOPERM: u8 = 77;
/// `EX_CONFIG` of sysexits.h.
const EX_CONFIG: u8 = 78;
/// How long open requests may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_says_has_its_code_however_deep_it_is_told() {
        let taken = || StoreError::EdgeTaken {
            edge: String::from("edge-1"),
        };
        let damaged = || StoreError::Damaged {
            file: PathBuf::from("/var/lib/outgate/outgate.db"),
            what: String::from("page 5"),
        };
        for (made, code) in [
            (taken as fn() -> StoreError, EX_TEMPFAIL),
            (damaged as fn() -> StoreError, EX_DATAERR),
        ] {
            let told: [anyhow::Error; 3] = [
                made().into(),
                Problem::from(made()).into(),
                anyhow::Error::from(StartError::from(Problem::from(made()))).context("starting"),
            ];
            for error in told {
                assert_eq!(error.chain().find_map(code_of), Some(code), "{error:#}");
            }
        }
        let plain = anyhow::anyhow!("something else");
        assert_eq!(plain.chain().find_map(code_of), None);
    }
}
