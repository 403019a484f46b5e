//! Turning the radar's windows, and saying what they hold.
//!
//! What the kernel has counted while no controller turned windows is thrown away at start: nobody knows
//! over how long it was counted. Finished windows live in memory and end with the controller.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};

use super::{Controller, Problem, clock};
use crate::{
    edge::Sighted,
    policy::{
        dial::read_target,
        exemption::Exemptions,
        rules::{Observation, Rotation},
    },
    radar::{
        view::{CourseView, FiguresView, RadarView, SourceView},
        window::{History, Window},
    },
};

impl Controller {
    /// Opens the first window, or switches the radar off, as configured. When it began.
    pub(super) async fn start_radar(&self) -> Result<Timestamp, Problem> {
        if self.config.radar_window.is_none() {
            self.kernel.call(|edge| edge.stop_radar()).await??;
            return Ok(clock());
        }
        let left_over = self.kernel.call(|edge| edge.turn_radar()).await??;
        self.harvest(left_over).await?;
        // A controller that died while it took a window out has left the rest of it to this one.
        let unfinished = self.kernel.call(|edge| edge.turn_radar()).await??;
        self.harvest(unfinished).await?;
        Ok(clock())
    }

    /// Finishes the window that began at `from` and opens the next; when that began.
    pub(super) async fn turn_radar(&self, from: Timestamp) -> Result<Timestamp, Problem> {
        let finished = self.kernel.call(|edge| edge.turn_radar()).await??;
        let until = clock();
        let sources = self.harvest(finished).await?;
        let seen = sources.iter();
        let seen = seen.map(|(source, sighting)| (*source, Observation::of(sighting)));
        let rotation = Rotation {
            from,
            until,
            seen: seen.collect(),
        };
        self.figures.saw(sources.len());
        self.history().push(Window {
            from,
            until,
            sources,
        });
        self.turn_rules(rotation).await;
        Ok(until)
    }

    async fn harvest(
        &self,
        finished: u32,
    ) -> Result<HashMap<IpNetwork, redirector_common::abi::Sighting>, Problem> {
        let mut sources = HashMap::new();
        loop {
            let piece: Vec<Sighted> = self
                .kernel
                .call(move |edge| edge.harvest_radar(finished, PIECE))
                .await??;
            if piece.is_empty() {
                return Ok(sources);
            }
            // The edge's own probes are no customer's mail.
            let reserved = &self.config.health.reserved;
            sources.extend(piece.into_iter().filter(|(source, _)| {
                !reserved
                    .iter()
                    .any(|prefix| prefix.contains(source.network()))
            }));
        }
    }

    /// The sources of the windows that ended in the last while, the `limit` highest scores first.
    #[must_use]
    pub fn radar(&self, last: Duration, limit: usize, exemptions: &Exemptions) -> RadarView {
        let sum = self.history().sum(since(last));
        let mut view = RadarView::of(&sum, self.config.radar_window.is_some(), limit);
        for source in &mut view.sources {
            source.exempt = exempt(source.source, exemptions);
        }
        view
    }

    /// Who is exempt, as of now.
    pub async fn standing_exemptions(&self) -> Arc<Exemptions> {
        Arc::clone(&self.lock().await.exemptions)
    }

    /// One source, with its course.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if it was silent, [`Problem::Usage`] if it is no customer's.
    pub fn radar_source(
        &self,
        address: IpAddr,
        last: Duration,
        exemptions: &Exemptions,
    ) -> Result<SourceView, Problem> {
        let source = read_target(&address.to_string(), false)?;
        let customers = &self.config.customer_prefixes;
        if !customers.iter().any(|prefix| prefix.contains(address)) {
            return Err(Problem::Usage(format!(
                "{address} is in no customer prefix; the radar sees customers alone"
            )));
        }
        let history = self.history();
        let sum = history.sum(since(last));
        let Some(figures) = sum.sources.get(&source) else {
            let over = crate::radar::score::in_words(last);
            let problem = match self.config.radar_window {
                Some(_) => format!(
                    "{source} has sent nothing to port 25 in a window that ended in the last {over}; a longer look \
                     is `--window 1h`"
                ),
                None => String::from(
                    "the radar is off; `enabled = true` in [radar] of outgated.toml switches it on",
                ),
            };
            return Err(Problem::NotFound(problem));
        };
        let course = history.course(source, since(last));
        let course = course.iter().map(|(from, figures)| CourseView {
            from: *from,
            figures: FiguresView::from(figures),
        });
        Ok(SourceView {
            course: course.collect(),
            exempt: exempt(source, exemptions),
            ..SourceView::of(source, figures, &sum)
        })
    }

    /// A panic while it was held has left whole windows behind: they are pushed in one step.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when a source is exempt, and by what.
fn exempt(source: IpNetwork, exemptions: &Exemptions) -> Option<String> {
    let exemption = exemptions.around(source, clock());
    exemption.map(|exemption| exemption.in_words())
}

fn since(last: Duration) -> Timestamp {
    let last = SignedDuration::try_from(last).unwrap_or(SignedDuration::MAX);
    clock().checked_sub(last).unwrap_or(Timestamp::MIN)
}

/// Sources taken out in one job: about two milliseconds of the edge's thread.
const PIECE: usize = 1024;
