//! The benchmark's own kernel programs, loaded: the generator, the sinks, and what is compared with.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, DevMap, Map, MapData, PerCpuArray, PerCpuValues},
    programs::{
        SchedClassifier, TcAttachType, TestRun as _, TestRunAttrs, TestRunOptions, Xdp,
        links::FdLink,
        xdp::{XdpLink, XdpMode},
    },
};

use crate::{
    plan::Plan,
    traffic::{Family, Traffic},
};

/// One load of the object.
pub(crate) struct Programs {
    ebpf: Ebpf,
    plan: Array<MapData, Plan>,
    cursor: PerCpuArray<MapData, u64>,
    arrived: PerCpuArray<MapData, u64>,
    expected: Array<MapData, u32>,
    way: DevMap<MapData>,
    way_tc: Array<MapData, u32>,
}

/// Frames that were counted since the counters were last cleared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrived {
    /// At the sink, to the port that was expected.
    pub(crate) as_expected: u64,
    /// At the sink, to another.
    pub(crate) otherwise: u64,
    /// Back at the generator.
    pub(crate) returned: u64,
}

// SAFETY: plain integers without padding (asserted below); any octets are a valid `Plan`.
unsafe impl Pod for Plan {}

const _: () = assert!(size_of::<Plan>() == 112, "no padding");

impl Programs {
    /// Loads everything.
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf =
            Ebpf::load(OBJECT).context("loading the benchmark's programs (it needs root)")?;
        for name in XDP {
            let program: &mut Xdp = ebpf.program_mut(name).context(name)?.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        Ok(Self {
            plan: take(&mut ebpf, "PLAN")?,
            cursor: take(&mut ebpf, "CURSOR")?,
            arrived: take(&mut ebpf, "ARRIVED")?,
            expected: take(&mut ebpf, "EXPECTED")?,
            way: take(&mut ebpf, "WAY")?,
            way_tc: take(&mut ebpf, "WAY_TC")?,
            ebpf,
        })
    }

    /// Attaches an XDP program to an interface of the namespace that we are in.
    pub(crate) fn attach(&mut self, name: &str, ifindex: u32) -> Result<FdLink> {
        let program: &mut Xdp = self
            .ebpf
            .program_mut(name)
            .context("a program")?
            .try_into()?;
        let link: XdpLink = program
            .attach_to_if_index(ifindex, XdpMode::Driver)
            .and_then(|id| program.take_link(id))
            .with_context(|| format!("attaching {name}"))?;
        Ok(link.try_into()?)
    }

    /// Attaches the redirect in tc between two interfaces of the namespace that we are in; it stays while
    /// the programs are loaded.
    pub(crate) fn attach_tc(&mut self, interface: &str, way: u32) -> Result<()> {
        self.way_tc.set(0, way, 0).context("writing WAY_TC")?;
        let program: &mut SchedClassifier = self
            .ebpf
            .program_mut("forward_tc")
            .context("forward_tc")?
            .try_into()?;
        program.load().context("loading forward_tc")?;
        program
            .attach(interface, TcAttachType::Ingress)
            .map(drop)
            .context("attaching forward_tc")
    }

    /// Says where `forward` sends to, an interface of the namespace that we are in.
    pub(crate) fn forward_to(&mut self, ifindex: u32) -> Result<()> {
        self.way.set(0, ifindex, None, 0).context("writing WAY")
    }

    /// Starts anew: this traffic, all counters at zero.
    pub(crate) fn aim(
        &mut self,
        traffic: &Traffic,
        edge: [u8; 6],
        in_order: bool,
        port: u16,
    ) -> Result<()> {
        self.plan.set(0, traffic.plan(edge, in_order), 0)?;
        self.expected
            .set(0, u32::from(u16::from_ne_bytes(port.to_be_bytes())), 0)?;
        self.rewind()?;
        for index in 0..3 {
            self.arrived.set(index, zeros()?, 0)?;
        }
        Ok(())
    }

    /// Begins again with the first frame.
    pub(crate) fn rewind(&mut self) -> Result<()> {
        self.cursor.set(0, zeros()?, 0).context("writing CURSOR")
    }

    /// What has arrived, over all CPUs.
    pub(crate) fn arrived(&self) -> Result<Arrived> {
        let sum = |index| -> Result<u64> { Ok(self.arrived.get(&index, 0)?.iter().sum()) };
        Ok(Arrived {
            as_expected: sum(0)?,
            otherwise: sum(1)?,
            returned: sum(2)?,
        })
    }

    /// Writes so many frames into the far end of an interface of the namespace that we are in, waits until
    /// they are through, and answers how long that took for one of them, in nanoseconds.
    ///
    /// All that happens to them happens on this CPU meanwhile: each batch is through before the next one.
    /// The time is the kernel's own, of the batches alone. Around the system call lie grace periods of tens
    /// of milliseconds, for the pool of frames; and what others run on this CPU in between is not counted.
    pub(crate) fn send(&self, family: Family, ifindex: u32, frames: u32) -> Result<f64> {
        let name = match family {
            Family::V4 => "generate_v4",
            Family::V6 => "generate_v6",
        };
        let program: &Xdp = self
            .ebpf
            .program(name)
            .context("the generator")?
            .try_into()?;
        let blank = vec![0; family.frame_octets()];
        let context = context(u32::try_from(blank.len())?, ifindex);
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(&blank),
                ctx_in: Some(&context),
                repeat: frames,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::default()
            })
            .context("sending live frames (Linux 5.18)")?;
        Ok(result.duration.as_secs_f64() * 1e9)
    }

    /// One of the programs to compare with.
    pub(crate) fn xdp(&self, name: &str) -> Result<&Xdp> {
        Ok(self.ebpf.program(name).context("a program")?.try_into()?)
    }
}

/// `struct xdp_md` of a frame that came in by an interface.
fn context(octets: u32, ifindex: u32) -> Vec<u8> {
    // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let fields = [0, octets, 0, ifindex, 0, 0];
    fields
        .iter()
        .flat_map(|field| field.to_ne_bytes())
        .collect()
}

fn zeros() -> Result<PerCpuValues<u64>> {
    let cpus = aya::util::nr_cpus().map_err(|(file, error)| {
        anyhow::Error::new(error).context(format!("the number of CPUs by {file}"))
    })?;
    PerCpuValues::try_from(vec![0; cpus]).context("a value for each CPU")
}

fn take<M: TryFrom<Map, Error: std::error::Error + Send + Sync + 'static>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M> {
    let map = ebpf.take_map(name).context("a map of the object")?;
    M::try_from(map).with_context(|| name.to_owned())
}

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/outgate-bench-xdp"));

const XDP: [&str; 7] = [
    "generate_v4",
    "generate_v6",
    "sink",
    "returned",
    "pass",
    "discard",
    "forward",
];

/// Frames that are handed on at once; a veth has room for 256.
const BATCH: u32 = 64;
