//! One instance of the program that only judges, on the same pinned maps as the attached ones.
//!
//! It takes about 0.1 s to load, so it is loaded once for each role and kept as long as the controller runs.

use aya::{
    Ebpf,
    maps::{Array, MapData},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use redirector_common::abi::{
    Role,
    trial::{TRIAL, Trial},
};

use crate::edge::{
    EdgeConfig, EdgeError,
    maps::{reading, writing},
    pins::Pins,
    program::{self, XDP},
};

/// A loaded instance.
pub(super) struct DryRun {
    object: Ebpf,
    trial: Array<MapData, [u8; Trial::SIZE]>,
    /// The kernel's tag of its instructions.
    pub(super) tag: u64,
}

/// What came of one frame.
pub(super) struct Ran {
    /// `enum xdp_action`.
    pub(super) verdict: u32,
    /// The frame afterwards.
    pub(super) frame: Vec<u8>,
    /// What the program says of it.
    pub(super) said: Trial,
}

impl DryRun {
    pub(super) fn load(config: &EdgeConfig, pins: &Pins, role: Role) -> Result<Self, EdgeError> {
        let mut object = program::open_dry(config, pins, role)?;
        let instance = program::load(&mut object)?;
        let tag = instance
            .info()
            .map_err(|error| EdgeError::kernel("reading the loaded program", error))?
            .tag();
        let trial = object
            .take_map(TRIAL)
            .ok_or_else(|| EdgeError::Impossible(format!("the embedded object has no {TRIAL}")))
            .and_then(|map| Array::try_from(map).map_err(|error| reading(TRIAL, error)))?;
        Ok(Self { object, trial, tag })
    }

    /// Judges one frame. Whatever it would write stays in memory of the instance's own.
    pub(super) fn run(
        &mut self,
        frame: &[u8],
        ifindex: u32,
        flows_full: bool,
    ) -> Result<Ran, EdgeError> {
        let told = Trial {
            ifindex,
            flows_full: u32::from(flows_full),
            ..Trial::default()
        };
        self.trial
            .set(0, told.to_octets(), 0)
            .map_err(|error| writing(TRIAL, error))?;
        let program: &Xdp = self
            .object
            .program(XDP)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| EdgeError::Impossible(format!("the embedded object has no {XDP}")))?;
        let mut out = vec![0; PAGE_OCTETS];
        // Once: a repeated run would judge its own output.
        let ran = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::default()
            })
            .map_err(|error| EdgeError::kernel("running the program on a frame", error))?;
        out.truncate(usize::try_from(ran.data_size_out).unwrap_or_default());
        let said = self
            .trial
            .get(&0, 0)
            .map_err(|error| reading(TRIAL, error))?;
        Ok(Ran {
            verdict: ran.return_value,
            frame: out,
            said: Trial::from_octets(&said),
        })
    }
}

/// The kernel runs a frame in one page, so none comes out longer.
const PAGE_OCTETS: usize = 4096;
