//! The table of diverted connections: reading it, and sweeping what has ended out of it.

use std::{collections::BTreeSet, net::IpAddr};

use redirector_common::{
    abi::{Flow, FlowKey, map},
    addr::Addr,
    flow,
};

use super::{
    Edge, EdgeError,
    clock::monotonic_s,
    judge::Counted,
    maps::{found, reading, removed},
};

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Connections that go on.
    pub live: usize,
    /// Entries that were removed.
    pub removed: usize,
    /// Whether the table is at least 80 % full, after the sweep.
    pub pressure: bool,
    /// Customers with connections that go on; a lifted redirect lingers for these.
    pub customers: BTreeSet<IpAddr>,
}

impl Edge {
    /// Number of diverted connections, ended but not yet swept ones included.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn flow_count(&self) -> Result<usize, EdgeError> {
        Ok(self.flow_keys()?.len())
    }

    /// All diverted connections.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn flows(&self) -> Result<Vec<(FlowKey, Flow)>, EdgeError> {
        let mut flows = Vec::new();
        for key in self.flow_keys()? {
            if let Some(flow) = self.flow(&key)? {
                flows.push((FlowKey::from_octets(&key), flow));
            }
        }
        Ok(flows)
    }

    /// Removes the entries of connections that have ended or fallen silent.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn sweep(&mut self) -> Result<SweepReport, EdgeError> {
        let now_s = monotonic_s();
        let mut report = SweepReport::default();
        let opened = self.opened()?;
        for key in self.flow_keys()? {
            // Read as late as can be: a SYN may reopen a closing entry at any moment, and removing
            // it then would cost that connection a reset.
            let Some(flow) = self.flow(&key)? else {
                continue;
            };
            if flow::expired(&flow, now_s) {
                removed(map::FLOWS, self.maps.flows.remove(&key))?;
                report.removed += 1;
            } else {
                let key = FlowKey::from_octets(&key);
                report.live += 1;
                report
                    .customers
                    .insert(Addr::from_mapped(key.customer, key.family).into());
            }
        }
        report.pressure = is_pressure(report.live, self.config.flows_max);
        self.counted = Some(Counted {
            flows: report.live,
            opened,
        });
        Ok(report)
    }

    pub(crate) fn flow(&self, key: &[u8; FlowKey::SIZE]) -> Result<Option<Flow>, EdgeError> {
        let octets = found(map::FLOWS, self.maps.flows.get(key, 0))?;
        Ok(octets.map(|octets| Flow::from_octets(&octets)))
    }

    /// Every key, once.
    ///
    /// The kernel starts again from the beginning when the key that it should go on from has been
    /// deleted meanwhile, so a busy table could keep us here for ever: twice its size is enough.
    fn flow_keys(&self) -> Result<BTreeSet<[u8; FlowKey::SIZE]>, EdgeError> {
        let steps = self.config.flows_max as usize * 2;
        let keys = self.maps.flows.keys().take(steps);
        keys.collect::<Result<_, _>>()
            .map_err(|error| reading(map::FLOWS, error))
    }
}

fn is_pressure(live: usize, flows_max: u32) -> bool {
    live as u64 * 100 >= u64::from(flows_max) * PRESSURE_PERCENT
}

/// Share of the table at which its fill becomes an event.
const PRESSURE_PERCENT: u64 = 80;
