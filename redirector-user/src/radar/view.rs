//! What the API says about the radar.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    score::{self, Component},
    window::{Figures, Sum},
};

/// The sources of some windows, the highest score first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RadarView {
    /// Whether the radar is switched on.
    pub enabled: bool,
    /// Windows that were added up; the running one is not among them.
    pub windows: usize,
    /// When the first of them began.
    pub from: Option<Timestamp>,
    /// When the last one ended.
    pub until: Option<Timestamp>,
    /// From the one to the other, in seconds.
    pub span_s: f64,
    /// Sources that were seen; `sources` may list fewer.
    pub seen: usize,
    /// The worst of them.
    pub sources: Vec<SourceView>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceView {
    /// An IPv4 address, or an IPv6 /64.
    #[schema(value_type = String)]
    pub source: IpNetwork,
    /// How much it looks like a spammer; 100 is a source that is at every limit.
    pub score: f64,
    /// That rules and people do not flag it for now: until when, and by which exemption.
    #[serde(default)]
    pub exempt: Option<String>,
    /// Why, one reason each.
    pub components: Vec<Component>,
    /// What was counted.
    #[serde(flatten)]
    pub figures: FiguresView,
    /// Window by window, the oldest first; only when one source was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub course: Vec<CourseView>,
}

/// One window of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CourseView {
    /// When the window began.
    pub from: Timestamp,
    /// What was counted in it.
    #[serde(flatten)]
    pub figures: FiguresView,
}

/// What was counted; frames and octets are those on the wire, port 25 alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FiguresView {
    /// Distinct networks (/24 or /48) that it tried to reach, estimated.
    pub destinations: u64,
    /// SYNs that it sent.
    pub syns: u64,
    /// Frames that it sent.
    pub packets_out: u64,
    /// Octets of these.
    pub octets_out: u64,
    /// Frames that came back.
    pub packets_in: u64,
    /// Octets of these.
    pub octets_in: u64,
    /// Connections that the far side ended.
    pub ended: u64,
    /// Those that it reset or refused.
    pub reset: u64,
    /// Those that it ended after a greeting.
    pub short: u64,
}

impl RadarView {
    /// The `limit` highest scores of a sum.
    #[must_use]
    pub fn of(sum: &Sum, enabled: bool, limit: usize) -> Self {
        let mut sources: Vec<SourceView> = sum
            .sources
            .iter()
            .map(|(source, figures)| SourceView::of(*source, figures, sum))
            .collect();
        // By address where scores are equal, so that one answer is like the next.
        sources.sort_by(|one, other| {
            let by_score = other.score.total_cmp(&one.score);
            by_score.then_with(|| one.source.cmp(&other.source))
        });
        sources.truncate(limit);
        Self {
            enabled,
            windows: sum.windows,
            from: sum.from,
            until: sum.until,
            span_s: sum.span().as_secs_f64(),
            seen: sum.sources.len(),
            sources,
        }
    }
}

impl SourceView {
    /// One source of a sum.
    #[must_use]
    pub fn of(source: IpNetwork, figures: &Figures, sum: &Sum) -> Self {
        let components = score::components(figures, sum.span());
        Self {
            source,
            score: score::total(&components),
            components,
            exempt: None,
            figures: FiguresView::from(figures),
            course: Vec::new(),
        }
    }
}

impl From<&Figures> for FiguresView {
    fn from(figures: &Figures) -> Self {
        Self {
            destinations: figures.destinations,
            syns: figures.syns,
            packets_out: figures.packets_out,
            octets_out: figures.octets_out,
            packets_in: figures.packets_in,
            octets_in: figures.octets_in,
            ended: figures.ended,
            reset: figures.reset,
            short: figures.short,
        }
    }
}
