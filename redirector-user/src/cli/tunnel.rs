//! `outgate tunnel`: the relay host's end of tunnels from edges. Asks no controller: there is none on that host.

use std::{io::Write as _, net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};

use super::{CliError, Outcome, commands::Teller, tables::Style};
use crate::{
    edge::{AttachMode, Ladder},
    tunnel::{self, Attached, DEFAULT_PIN_DIR, Order, TunnelError, Tunnels},
};

#[derive(Debug, Subcommand)]
pub(super) enum TunnelCommand {
    /// Take packets of edges out of their tunnels, and send what answers them back
    #[command(after_help = ATTACH_HELP)]
    Attach(AttachArgs),
    /// Show where tunnels end, whose they are, and what was counted
    #[command(after_help = "Examples:\n  outgate tunnel status\n  outgate tunnel status -j")]
    Status(Place),
    /// Take the programs off an interface, and forget by which edge customers came
    #[command(after_help = "Example:\n  outgate tunnel detach --interface eth0")]
    Detach(DetachArgs),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Directory on a BPF file system where maps and links are pinned
    #[arg(long, env = "OUTGATE_PIN_DIR", default_value = DEFAULT_PIN_DIR, value_name = "DIR")]
    pin_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    /// Interface that leads to the edges, as `ip link` names it
    #[arg(long)]
    interface: String,
    /// Address of this host that the edges send to; one of each family at most
    #[arg(long, required = true, value_name = "ADDRESS")]
    local: Vec<IpAddr>,
    /// Tunnel address of an edge; nobody else is believed. Once for each, or separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "ADDRESS")]
    edge: Vec<IpAddr>,
    /// Where in the kernel, or several in the order in which they are tried: native in the driver; generic; tcx (from
    /// Linux 6.6) and clsact (before). The first two are for what comes in alone [default: native, then tcx or clsact]
    #[arg(long, value_delimiter = ',', value_parser = ["native", "generic", "tcx", "clsact"])]
    mode: Vec<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    /// Interface, as `outgate tunnel status` names it
    #[arg(long)]
    interface: String,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(teller: &Teller, command: TunnelCommand) -> Result<Outcome, CliError> {
    match command {
        TunnelCommand::Attach(arguments) => attach(teller, arguments).await,
        TunnelCommand::Status(Place { pin_dir }) => {
            let found = blocking(move || tunnel::status(&pin_dir)).await?;
            teller.tell(&found, |found, style| table(found, style))
        }
        TunnelCommand::Detach(arguments) => {
            let DetachArgs { interface, place } = arguments;
            let name = interface.clone();
            blocking(move || tunnel::detach(&place.pin_dir, &name)).await?;
            let said = serde_json::json!({ "interface": interface, "attached": false });
            teller.tell(&said, |_, _| {
                format!("{interface}: detached; packets of edges stay in their tunnels now")
            })
        }
    }
}

async fn attach(teller: &Teller, arguments: AttachArgs) -> Result<Outcome, CliError> {
    let modes: Vec<AttachMode> = arguments
        .mode
        .iter()
        .filter_map(|name| AttachMode::parse(name))
        .collect();
    let order = Order {
        pin_dir: arguments.place.pin_dir,
        interface: arguments.interface,
        locals: arguments.local,
        edges: arguments.edge,
        ladder: match modes.is_empty() {
            true => None,
            false => Some(Ladder::new(modes)?),
        },
    };
    let attached = blocking(move || tunnel::attach(&order)).await?;
    for warning in &attached.warnings {
        // Beside the answer, as whoever reads that with a program has them in it.
        writeln!(std::io::stderr().lock(), "outgate: {warning}")?;
    }
    teller.tell(&attached, told)
}

/// What waits for the kernel does so beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TunnelError> + Send + 'static,
) -> Result<T, CliError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

fn told(attached: &Attached, style: Style) -> String {
    let refused = attached.refused.iter();
    let refused: String = refused
        .map(|refused| format!("not in {} mode: {}\n", refused.mode.name(), refused.reason))
        .collect();
    refused + &table(std::slice::from_ref(&attached.tunnels), style)
}

fn table(found: &[Tunnels], style: Style) -> String {
    if found.is_empty() {
        return String::from(
            "no tunnels end here; `outgate tunnel attach --help` says how they would",
        );
    }
    let mode = |mode: Option<AttachMode>| mode.map_or("MISSING", AttachMode::name);
    let mut said = Vec::new();
    for tunnels in found {
        said.push(format!(
            "{}: ingress {}, egress {}; {} customers noted",
            tunnels.interface,
            mode(tunnels.ingress),
            mode(tunnels.egress),
            tunnels.customers
        ));
        let mut edges = style.table(&["EDGE", "LOCAL", "MTU"]);
        for edge in &tunnels.edges {
            let mtu = edge
                .mtu
                .map_or_else(|| String::from("-"), |mtu| mtu.to_string());
            edges.add_row([edge.edge.to_string(), edge.local.to_string(), mtu]);
        }
        said.push(edges.to_string());
        let mut counters = style.table(&["COUNTER", "PACKETS"]);
        for (name, count) in &tunnels.counters {
            counters.add_row([(*name).to_owned(), count.to_string()]);
        }
        said.push(counters.to_string());
    }
    said.join("\n")
}

const ATTACH_HELP: &str = "Examples:
  outgate tunnel attach --interface eth0 --local 198.51.100.7 --edge 192.0.2.1
  outgate tunnel attach --interface eth0 --local 198.51.100.7 --local 2001:db8:7::7 \\
      --edge 192.0.2.1,192.0.2.2 --edge 2001:db8:1::1
  systemctl enable --now outgate-tunnel@eth0

For a host whose relay is steered to (`transparent` in relay.toml) by edges that are not adjacent: run it as root on that
host, beside steer-relay.sh. An edge sends a customer's packets inside of others (IPv4 or IPv6 in either) from its own
tunnel address to --local; here they come out, and what the relay answers goes back into a tunnel, to the edge by which the
customer came last. Everything else on the interface stays as it is.

It ends at once, and the programs stay until `outgate tunnel detach` or a reboot; outgate-tunnel@.service brings them back.
Run it again with other edges, or after an upgrade: connections live on.

MTU in the answer is what an edge's tunnel may have at most (`mtu` of its configuration). Whoever can forge an edge's address
can put packets in: let nobody but the edges send IP protocols 4 and 41 to --local.";
