//! `outgate tunnel` on the relay's host.

use std::{net::IpAddr, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    host::{Family, HOST_INTERFACE, Host},
    lab::Lab,
    process::checked,
};

/// The host, which ends tunnels when it is told to.
#[derive(Clone, Copy, Debug)]
pub struct RelayHost<'lab> {
    lab: &'lab Lab,
}

/// A tunnel's two ends, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The edge's.
    pub edge: IpAddr,
    /// The relay's.
    pub relay: IpAddr,
}

impl Ends {
    /// Between the edge of this lab and its relay's host, by the addresses that the edge is configured with.
    #[must_use]
    pub fn of_lab(family: Family) -> Self {
        let [edge, relay] = [Host::Edge, Host::Relay].map(|host| host.address(family));
        Self { edge, relay }
    }

    /// The way back.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self {
            edge: self.relay,
            relay: self.edge,
        }
    }
}

impl<'lab> RelayHost<'lab> {
    /// It ends nothing yet.
    #[must_use]
    pub const fn new(lab: &'lab Lab) -> Self {
        Self { lab }
    }

    /// The command that has these tunnels end here, with more options.
    ///
    /// # Errors
    /// If there is no `outgate`.
    pub fn attaching(&self, tunnels: &[Ends], more: &[&str]) -> Result<Command> {
        let mut command = self.command(&["attach", "--interface", HOST_INTERFACE])?;
        let mut locals: Vec<String> = tunnels.iter().map(|ends| ends.relay.to_string()).collect();
        locals.dedup();
        for local in locals {
            command.args(["--local", &local]);
        }
        for ends in tunnels {
            command.args(["--edge", &ends.edge.to_string()]);
        }
        command.args(more);
        Ok(command)
    }

    /// Runs it; answers with what it says.
    ///
    /// # Errors
    /// As it says.
    pub fn attach(&self, tunnels: &[Ends], more: &[&str]) -> Result<serde_json::Value> {
        let output = checked(&mut self.attaching(tunnels, more)?)?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// `outgate tunnel`, for programs.
    ///
    /// # Errors
    /// If there is no `outgate`.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let relay = self.lab.namespace(Host::Relay);
        let mut command = relay.command(self.lab.binaries().outgate()?);
        command.args(["-j", "tunnel"]).args(arguments);
        command.arg("--pin-dir").arg(self.lab.pin_dir());
        Ok(command)
    }

    /// Has no tunnel end here any more.
    ///
    /// # Errors
    /// As the command says.
    pub fn detach(&self) -> Result<()> {
        checked(&mut self.command(&["detach", "--interface", HOST_INTERFACE])?).map(drop)
    }

    /// What it says of the one interface.
    ///
    /// # Errors
    /// As the command says.
    pub fn status(&self) -> Result<serde_json::Value> {
        let output = checked(&mut self.command(&["status"])?)?;
        let all: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(all.get(0).context("no interface")?.clone())
    }

    /// Where its maps are pinned while tunnels end here.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.lab.pin_dir().join("tunnel-v1")
    }
}
