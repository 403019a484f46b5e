//! `outgate why`: what would happen to a new connection, or to every frame of a capture.

use std::net::IpAddr;

use clap::Args;

use super::{CliError, Outcome, commands::Teller, tables};
use crate::{
    api::view::WhyView,
    client::{Client, with_query},
};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WhyArgs {
    /// Who would connect
    source: IpAddr,
    /// Whereto [default: anywhere in the internet]
    destination: Option<IpAddr>,
    /// Port there [default: 25]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Interface that it comes in by [default: any with role customer]
    #[arg(long)]
    interface: Option<String>,
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
    } = arguments;
    let pairs = [
        ("source", Some(source.to_string())),
        ("destination", destination.map(|address| address.to_string())),
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

The kernel program itself judges, with the maps as they are now; nothing is sent, counted or remembered.";
