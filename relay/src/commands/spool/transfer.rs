//! `outgate-relay spool transfer`: everything that is queued goes to another relay.
//!
//! A relay that runs does it itself, because it must not attempt meanwhile what it gives away; it is asked at its admin
//! socket, and goes on when whoever asked has gone. Without one the spool is opened here.
//!
//! Ctrl-C (SIGINT, SIGTERM) cancels either, and waits for the end of what is on its way; a second one does not wait.
//! `--cancel` does the same to a hand-over of the running relay, whoever ordered it.

use std::io::{self, IsTerminal, Write};
use std::net::ToSocketAddrs;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use relay::config::{Config, PeersConfig};
use relay::handover::{Cancelling, Directly, Peers, Progress, Target};
use relay::queue::admin::shapes::TransferOrder;
use tokio::sync::watch;

use super::interrupts::Interrupts;
use crate::commands::queue::client::Client;
use crate::commands::say;

#[derive(Debug, Args)]
pub(crate) struct TransferArguments {
    /// Which relay: a name of [[peers.relay]], or where one of them listens
    #[arg(
        long,
        value_name = "NAME|HOST:PORT",
        required_unless_present = "cancel"
    )]
    to: Option<String>,
    /// Only ask the other relay whether it would take mail, and for how much it has room
    #[arg(long)]
    dry_run: bool,
    /// Stop what the running relay hands over, and wait for that: what the other relay has acknowledged is its own, the rest
    /// stays here
    #[arg(long, conflicts_with_all = ["to", "dry_run"])]
    cancel: bool,
    /// JSON instead of text
    #[arg(short, long)]
    json: bool,
}

/// Runs it. What stays here although it was to be handed over is an error.
pub(super) fn run(arguments: &TransferArguments, config: &Config) -> anyhow::Result<bool> {
    let Some(to) = &arguments.to else {
        let progress = cancel(config)?;
        show(&progress, arguments.json)?;
        return Ok(true);
    };
    let peers = config.peers.as_ref();
    let peers =
        peers.context("the configuration has no table [peers]: it says which relays are known")?;
    let target = target(peers, to)?;
    let interrupts = Interrupts::listen().context("cannot listen for signals")?;
    let mut shower = Shower::new();
    let progress = match UnixStream::connect(&config.queue.admin) {
        Err(error) if is_nobody(&error) => {
            let order = Directed {
                peers,
                target: &target,
                dry_run: arguments.dry_run,
            };
            order.run(config, &interrupts, &mut shower)
        }
        // Whatever else is wrong with the socket, the client says it.
        Ok(_) | Err(_) => {
            let order = TransferOrder {
                to: target.name.clone(),
                addresses: target.addresses.clone(),
                dry_run: arguments.dry_run,
            };
            by_the_relay(config, &order, &interrupts, &mut shower)
        }
    };
    shower.end();
    let progress = progress?;
    show(&progress, arguments.json)?;
    match (&progress.error, progress.kept) {
        (Some(error), _) => bail!("{error}"),
        (None, 0) => Ok(true),
        (None, kept) => {
            bail!("{kept} messages could not be handed over and stay here; the log says why")
        }
    }
}

fn show(progress: &Progress, json: bool) -> anyhow::Result<()> {
    if json {
        say(&serde_json::to_string(progress)?)
    } else {
        say(&told(progress))
    }
}

/// Stops what the running relay hands over, and waits for it.
fn cancel(config: &Config) -> anyhow::Result<Progress> {
    let socket = &config.queue.admin;
    if UnixStream::connect(socket).is_err_and(|error| is_nobody(&error)) {
        bail!(
            "{}: no relay runs; what hands a stopped relay's mail over is cancelled by Ctrl-C, or by SIGTERM",
            socket.display()
        );
    }
    let client = Client::new(socket)?;
    let progress: Option<Progress> = client.delete(PATH)?;
    let mut progress = progress.context("the relay has handed nothing over since its start")?;
    while !progress.ended {
        sleep(LOOK_EVERY);
        progress = look(&client)?;
    }
    Ok(progress)
}

fn target(peers: &PeersConfig, to: &str) -> anyhow::Result<Target> {
    if let Some(target) = Target::named(peers, to) {
        return Ok(target);
    }
    let names: Vec<&str> = peers
        .relays
        .iter()
        .map(|relay| relay.name.as_str())
        .collect();
    if names.contains(&to) {
        bail!("{to}: its [[peers.relay]] has no address");
    }
    let addresses = to.to_socket_addrs().map_err(|error| {
        let names = names.join(", ");
        anyhow!("{to}: neither a name of [[peers.relay]] ({names}) nor HOST:PORT: {error}")
    })?;
    Ok(Target {
        name: to.to_owned(),
        addresses: addresses.collect(),
    })
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn by_the_relay(
    config: &Config,
    order: &TransferOrder,
    interrupts: &Interrupts,
    shower: &mut Shower,
) -> anyhow::Result<Progress> {
    let client = Client::new(&config.queue.admin)?;
    let mut progress: Progress = client.post(PATH, order)?;
    let mut cancelled = false;
    while !progress.ended {
        shower.show(&progress);
        sleep(LOOK_EVERY);
        match interrupts.count() {
            0 => {}
            _ if !cancelled => {
                cancelled = true;
                let _there: Option<Progress> = client.delete(PATH)?;
            }
            1 => {}
            _ => bail!(
                "not waited for: the relay stops it by itself, and its log says how it has ended"
            ),
        }
        progress = look(&client)?;
    }
    Ok(progress)
}

fn look(client: &Client) -> anyhow::Result<Progress> {
    let progress: Option<Progress> = client.get(PATH)?;
    progress.context("the relay knows nothing of it any more; it was started again")
}

/// A hand-over by this process.
struct Directed<'a> {
    peers: &'a PeersConfig,
    target: &'a Target,
    dry_run: bool,
}

impl Directed<'_> {
    fn run(
        &self,
        config: &Config,
        interrupts: &Interrupts,
        shower: &mut Shower,
    ) -> anyhow::Result<Progress> {
        let peers = Peers::open(self.peers)?;
        let spool = Directly::open(config, peers)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = runtime.context("cannot start the runtime")?;
        let (sender, mut receiver) = watch::channel(Progress {
            to: self.target.name.clone(),
            dry_run: self.dry_run,
            ..Progress::default()
        });
        let cancelling = Cancelling::default();
        runtime.block_on(async {
            let handing = spool.hand_over(self.target, &sender, &cancelling);
            let mut handing = std::pin::pin!(handing);
            let mut interrupted = 0;
            loop {
                tokio::select! {
                    () = &mut handing => return Ok(()),
                    () = interrupts.reach(interrupted + 1) => {
                        interrupted += 1;
                        cancelling.cancel();
                        if interrupted > 1 {
                            bail!("not waited for: the other relay is asked about the last messages at the next hand-over");
                        }
                    }
                    () = tokio::time::sleep(LOOK_EVERY) => shower.show(&receiver.borrow_and_update()),
                }
            }
        })?;
        let progress = receiver.borrow().clone();
        Ok(progress)
    }
}

fn told(progress: &Progress) -> String {
    let Progress {
        to,
        total,
        handed_over,
        octets,
        room_octets,
        ..
    } = progress;
    if progress.dry_run {
        return match room_octets {
            Some(room) => format!(
                "{total} messages would be handed over to {to}, whose spool has room for {room} octets"
            ),
            None => format!("{total} messages would be handed over to {to}"),
        };
    }
    format!("{handed_over} of {total} messages ({octets} octets) are {to}'s now")
}

/// A line on a terminal that says how far it has come; nothing elsewhere.
struct Shower {
    is_terminal: bool,
    has_shown: bool,
}

impl Shower {
    fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            has_shown: false,
        }
    }

    fn show(&mut self, progress: &Progress) {
        if self.is_terminal {
            let Progress {
                handed_over, total, ..
            } = progress;
            // A terminal that is gone is no reason to stop.
            let _shown = write!(io::stderr(), "\r{handed_over}/{total} messages").is_ok();
            self.has_shown = true;
        }
    }

    fn end(&self) {
        if self.has_shown {
            let _shown = writeln!(io::stderr()).is_ok();
        }
    }
}

const PATH: &str = "/v1/spool/transfer";
const LOOK_EVERY: Duration = Duration::from_millis(200);
