//! The live path: what a packet costs from the generator to the sink, over devices that differ.
//!
//! All devices are up at the same time, and each round measures all of them, beginning with another one
//! each time: so what the machine does besides falls on all alike. The time of a packet is that of the
//! whole way. What a device *adds* is that less the way to a program that drops at once, of the same
//! round: bringing a frame to the edge costs the same whatever the edge then does.

use anyhow::{Context as _, Result};

use crate::{
    device::{Device, IN_MAC},
    programs::{Arrived, Programs},
    rivals::Rival,
    say,
    scene::{Deed, RELAY_PORT, Scene},
    stats::{median, min},
    traffic::Traffic,
};

/// Who handles the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Outgate, by its place in [`Stage::scenes`].
    Ours {
        /// Which scene.
        scene: usize,
        /// What is done with their customers; `None` = they are not flagged.
        deed: Option<Deed>,
        /// Port that the frames go to.
        port: u16,
        /// Whether the radar counts.
        radar: bool,
    },
    /// Something else, by its place in [`Stage::rivals`].
    Other(usize),
}

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// For people, and for [`crate::targets`].
    pub(crate) name: String,
    /// By whom.
    pub(crate) subject: Subject,
    /// From all sources that there are, or from a few that stay in the cache.
    pub(crate) spread: bool,
    /// Whether a target depends on it; it is then measured longer.
    pub(crate) checked: bool,
}

/// Where a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At the sink, to this port.
    Sink(u16),
    /// Back at the generator.
    Back,
    /// In the device.
    Nowhere,
}

/// Everything that is set up.
pub(crate) struct Stage {
    /// Our programs.
    pub(crate) programs: Programs,
    /// Outgate.
    pub(crate) scenes: Vec<Scene>,
    /// All others.
    pub(crate) rivals: Vec<Rival>,
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds over all variants.
    pub(crate) rounds: u32,
    /// Slices of a round, of a variant that a target depends on.
    pub(crate) slices_checked: u32,
    /// Slices of a round, of any other.
    pub(crate) slices: u32,
    /// Frames of a slice.
    pub(crate) frames: u32,
}

/// What was measured of one variant.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Of what.
    pub(crate) variant: Variant,
    /// Policies that were in force.
    pub(crate) policies: u32,
    /// Different sources and ports that sent.
    pub(crate) variety: u32,
    /// Connections in the table, if there are any.
    pub(crate) flows: u32,
    /// Nanoseconds a packet in each round: the median of its slices.
    pub(crate) rounds: Vec<f64>,
    /// The quickest slice.
    pub(crate) quickest: f64,
    /// Frames that were sent.
    pub(crate) sent: u64,
    /// Frames that reached the device.
    pub(crate) received: u64,
    /// Frames that ended where they should.
    pub(crate) ended: u64,
    /// Where that was.
    pub(crate) end: End,
}

impl Stage {
    /// Measures all variants.
    pub(crate) fn measure(
        &mut self,
        variants: Vec<Variant>,
        effort: Effort,
    ) -> Result<Vec<Measured>> {
        let mut all = variants
            .into_iter()
            .map(|variant| self.unmeasured(variant))
            .collect::<Result<Vec<_>>>()?;
        let count = all.len();
        for round in 0..effort.rounds {
            say(&format!(
                "live path: round {} of {}",
                round + 1,
                effort.rounds
            ));
            // Another first one each time, so that none always follows the same one.
            let first = usize::try_from(round)? * count / usize::try_from(effort.rounds)?;
            for at in 0..count {
                let measured = &mut all[(first + at) % count];
                let name = measured.variant.name.clone();
                self.round(measured, effort).with_context(|| name)?;
            }
        }
        Ok(all)
    }

    fn round(&mut self, measured: &mut Measured, effort: Effort) -> Result<()> {
        let variant = measured.variant.clone();
        self.prepare(&variant)?;
        let traffic = self.traffic(&variant);
        let port = match measured.end {
            End::Sink(port) => port,
            End::Back | End::Nowhere => 0,
        };
        self.programs.aim(&traffic, IN_MAC, false, port)?;
        let warming = if variant.spread {
            effort.frames
        } else {
            effort.frames / 10
        };
        self.send(&variant, &traffic, warming)?;
        let before = (self.programs.arrived()?, self.device(&variant).received()?);
        let slices = match variant.checked {
            true => effort.slices_checked,
            false => effort.slices,
        };
        let mut times = Vec::new();
        for _ in 0..slices {
            times.push(self.send(&variant, &traffic, effort.frames)?);
        }
        let after = (self.programs.arrived()?, self.device(&variant).received()?);
        let sent = u64::from(slices) * u64::from(effort.frames);
        measured.sent += sent;
        measured.received += after.1 - before.1;
        measured.ended += ended(measured.end, sent, before.0, after.0);
        measured.quickest = min(&[measured.quickest, min(&times)]);
        measured.rounds.push(median(&times));
        Ok(())
    }

    fn unmeasured(&self, variant: Variant) -> Result<Measured> {
        let variety = self.traffic(&variant).variety();
        let (policies, flows, end) = match variant.subject {
            Subject::Ours {
                scene, deed, port, ..
            } => {
                let scene = self.scenes.get(scene).context("a scene")?;
                let (size, flows) = (scene.size, scene.flows());
                let diverts = matches!(deed, Some(Deed::Rewrite | Deed::Steer));
                let opened = if diverts { variety } else { 0 };
                let end = match deed {
                    Some(Deed::Rewrite) => End::Sink(RELAY_PORT),
                    Some(Deed::Limit | Deed::Drop) => End::Nowhere,
                    Some(Deed::Refuse | Deed::Reset) => End::Back,
                    Some(Deed::Steer | Deed::Pass | Deed::Observe) | None => End::Sink(port),
                };
                (size.policies.max(size.prefixes), flows.max(opened), end)
            }
            Subject::Other(at) => {
                let rival = self.rivals.get(at).context("a rival")?;
                (rival.policies, rival.flows, rival.end())
            }
        };
        Ok(Measured {
            variant,
            policies,
            variety,
            flows,
            rounds: Vec::new(),
            quickest: f64::INFINITY,
            sent: 0,
            received: 0,
            ended: 0,
            end,
        })
    }

    fn prepare(&mut self, variant: &Variant) -> Result<()> {
        match variant.subject {
            Subject::Ours {
                scene, deed, radar, ..
            } => self.scenes[scene].prepare(&mut self.programs, deed, radar),
            Subject::Other(at) => self.rivals[at].prepare(&mut self.programs, variant.spread),
        }
    }

    fn traffic(&self, variant: &Variant) -> Traffic {
        match variant.subject {
            Subject::Ours {
                scene, deed, port, ..
            } => match deed {
                Some(deed) => self.scenes[scene].traffic(deed, variant.spread),
                None => self.scenes[scene].unflagged(port, variant.spread),
            },
            Subject::Other(at) => self.rivals[at].traffic(variant.spread),
        }
    }

    fn device(&self, variant: &Variant) -> &Device {
        match variant.subject {
            Subject::Ours { scene, .. } => &self.scenes[scene].device,
            Subject::Other(at) => &self.rivals[at].device,
        }
    }

    fn send(&self, variant: &Variant, traffic: &Traffic, frames: u32) -> Result<f64> {
        let generator = self.device(variant).generator;
        self.programs.send(traffic.family, generator, frames)
    }
}

impl Measured {
    /// The way of each round, less the floor's.
    pub(crate) fn added(&self, floor: &Self) -> Vec<f64> {
        let pairs = self.rounds.iter().zip(&floor.rounds);
        pairs.map(|(own, floor)| own - floor).collect()
    }

    /// Share of the frames that reached the device, in percent.
    pub(crate) fn received_percent(&self) -> f64 {
        percent(self.received, self.sent)
    }

    /// Share of the frames that ended where they should, in percent.
    pub(crate) fn ended_percent(&self) -> f64 {
        percent(self.ended, self.sent)
    }
}

fn ended(end: End, sent: u64, before: Arrived, after: Arrived) -> u64 {
    let as_expected = after.as_expected - before.as_expected;
    let otherwise = after.otherwise - before.otherwise;
    let returned = after.returned - before.returned;
    match end {
        End::Sink(_) => as_expected,
        End::Back => returned,
        End::Nowhere => sent.saturating_sub(as_expected + otherwise + returned),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
