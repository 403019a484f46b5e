//! The table of diverted connections: reading it, and sweeping what has ended out of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use redirector_common::{
    abi::{Flow, FlowKey, map},
    addr::Addr,
    flow,
};

use super::{
    Edge, EdgeError,
    clock::monotonic_s,
    judge::Counted,
    maps::{found, removed},
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
    /// Connections that go on, by relay number: a drained relay is idle once it has none.
    pub by_relay: BTreeMap<u32, usize>,
}

impl Edge {
    /// Number of diverted connections, ended but not yet swept ones included.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn flow_count(&self) -> Result<usize, EdgeError> {
        let mut count = 0;
        self.each_flow(|_, _| count += 1)?;
        Ok(count)
    }

    /// All diverted connections.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn flows(&self) -> Result<Vec<(FlowKey, Flow)>, EdgeError> {
        let mut flows = Vec::new();
        self.each_flow(|key, flow| flows.push((FlowKey::from_octets(key), flow)))?;
        flows.sort_by_key(|(key, _)| key.to_octets());
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
        let mut ended = Vec::new();
        self.each_flow(|key, flow| {
            if flow::expired(&flow, now_s) {
                ended.push(*key);
            } else {
                report.saw(key, &flow);
            }
        })?;
        for key in ended {
            // Read once more, as late as can be: a SYN may reopen a closing entry at any moment, and
            // removing it then would cost that connection a reset.
            let Some(flow) = self.flow(&key)? else {
                continue;
            };
            if flow::expired(&flow, now_s) {
                removed(map::FLOWS, self.maps.flows.remove(&key))?;
                report.removed += 1;
            } else {
                report.saw(&key, &flow);
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

    fn each_flow(&self, mut each: impl FnMut(&[u8; FlowKey::SIZE], Flow)) -> Result<(), EdgeError> {
        let pieces = |keys: &[u8], values: &[u8]| {
            let ((keys, _), (values, _)) = (keys.as_chunks(), values.as_chunks());
            for (key, value) in keys.iter().zip(values) {
                each(key, Flow::from_octets(value));
            }
        };
        let all = self.maps.all_flows.read_each(pieces);
        all.map_err(|error| EdgeError::kernel(format!("reading map {}", map::FLOWS), error))
    }
}

impl SweepReport {
    /// A connection that goes on.
    fn saw(&mut self, key: &[u8; FlowKey::SIZE], flow: &Flow) {
        let key = FlowKey::from_octets(key);
        self.live += 1;
        *self.by_relay.entry(flow.relay.into()).or_default() += 1;
        self.customers
            .insert(Addr::from_mapped(key.customer, key.family).into());
    }
}

fn is_pressure(live: usize, flows_max: u32) -> bool {
    live as u64 * 100 >= u64::from(flows_max) * PRESSURE_PERCENT
}

/// Share of the table at which its fill becomes an event.
const PRESSURE_PERCENT: u64 = 80;
