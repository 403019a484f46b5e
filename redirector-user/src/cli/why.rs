//! `outgate why`: what would happen to a new connection, or to every frame of a capture.

mod frames;
mod rows;

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use super::{CliError, Outcome, commands::Teller, tables};
use crate::{
    api::view::{ThenView, WhyView},
    client::{Client, with_query},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WhyArgs {
    /// Who would connect
    #[arg(required_unless_present = "pcap")]
    source: Option<IpAddr>,
    /// Whereto [default: anywhere in the internet]
    destination: Option<IpAddr>,
    /// Port there [default: 25]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Interface that it comes in by [default: any with role customer]
    #[arg(long)]
    interface: Option<String>,
    /// What was in force at this time, or so long ago, as 2h or 7d, by the store of record
    #[arg(long, value_name = "TIME", conflicts_with_all = ["destination", "port", "interface", "pcap"])]
    at: Option<String>,
    /// Judge every frame of a capture (pcap or pcapng) instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "port"])]
    pcap: Option<PathBuf>,
    /// Role of the interface that its frames come in by [default: customer]
    #[arg(long, requires = "pcap", conflicts_with = "interface", value_parser = ["customer", "uplink", "relay"])]
    role: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    arguments: WhyArgs,
) -> Result<Outcome, CliError> {
    let WhyArgs {
        source,
        destination,
        port,
        interface,
        at,
        pcap,
        role,
    } = arguments;
    if let Some(file) = pcap {
        let entrance = frames::Entrance { interface, role };
        return frames::run(client, teller, &file, entrance).await;
    }
    if let (Some(source), Some(at)) = (source, at) {
        let query = with_query(
            "/v1/why/then",
            &[("source", &source.to_string()), ("at", &at)],
        );
        let then: ThenView = client.get(&query).await?;
        return teller.tell(&then, tables::then);
    }
    let pairs = [
        ("source", source.map(|address| address.to_string())),
        (
            "destination",
            destination.map(|address| address.to_string()),
        ),
        ("port", port.map(|port| port.to_string())),
        ("interface", interface),
    ];
    let given = pairs.iter();
    let query: Vec<(&str, &str)> = given
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
        .collect();
    let why: WhyView = client.get(&with_query("/v1/why", &query)).await?;
    teller.tell(&why, tables::why)
}

const EXAMPLES: &str = "Examples:
  outgate why 192.0.2.10 203.0.113.25
  outgate why 2001:db8:a:a::10 --interface cust0
  outgate why 192.0.2.10 --at 2026-03-01T12:00:00Z
  outgate why 192.0.2.10 --at 3d
  outgate why --pcap morning.pcap
  outgate why --pcap uplink.pcapng --role uplink -j

The kernel program itself judges, with the maps as they are now; nothing is sent, counted or remembered. So each
frame of a capture is judged for itself: a SYN leaves no entry behind that a later segment could go by. A frame
that the capture cut short is judged as if zeros followed. With -j there is one line of JSON for each frame and
a last one with the sums. Exit code 4: some frames could not be judged.

With --at nothing is judged: it is told which flags were in force then, as the store of record knows it.";
