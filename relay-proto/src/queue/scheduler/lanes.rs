//! Lanes: which there are, which want workers, and what is remembered of them.

use super::super::lane::Lane;
use super::{Pause, Scheduler};

impl Scheduler {
    /// Lists a lane if it wants a worker, and wakes those that it has.
    pub(super) fn consider(&mut self, number: u32) {
        let wants = self.wants(number);
        let Some(Some(lane)) = self.lanes.get_mut(number as usize) else {
            return;
        };
        if lane.ready() > 0 && lane.idle > 0 && !lane.woken {
            lane.woken = true;
            self.wakes.push_back(number);
        }
        if wants && !lane.listed && !lane.waits_for_site {
            lane.listed = true;
            self.listed.push_back(number);
        }
    }

    pub(super) fn wants(&self, number: u32) -> bool {
        let Some(Some(lane)) = self.lanes.get(number as usize) else {
            return false;
        };
        if lane.ready() == 0
            || self.is_lane_paused(number)
            || self.paused.contains(&Pause::Everything)
        {
            return false;
        }
        match lane.pace.probe_at_ms() {
            Some(probe_at_ms) => lane.open == 0 && probe_at_ms <= self.now_ms,
            None => {
                let free = lane.open.saturating_sub(lane.busy);
                lane.ready() > free && lane.open < lane.pace.limit()
            }
        }
    }

    pub(super) fn is_lane_paused(&self, number: u32) -> bool {
        let Some(Some(lane)) = self.lanes.get(number as usize) else {
            return false;
        };
        let site = self.sites.beside(lane.site);
        site.is_some_and(|site| site.paused)
    }

    pub(super) fn lane_mut(&mut self, number: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(number as usize)?.as_mut()
    }

    /// The lane of these names, made if there is none; `None` if there are too many.
    pub(super) fn lane_of(&mut self, way: &str, site: &str) -> Option<u32> {
        let known = self.ways.find(way).zip(self.sites.find(site));
        if let Some(lane) = known.and_then(|names| self.lane_of.get(&names)) {
            return Some(*lane);
        }
        if self.lane_of.len() >= LANES_MAX {
            self.forget_remembered(LANES_MAX / 2);
        }
        if self.lane_of.len() >= LANES_MAX {
            return None;
        }
        let (way, _) = self.ways.hold(way, |it| it.into());
        let (site_number, is_new) = self.sites.hold(site, |it| it.into());
        if is_new && !self.paused.is_empty() {
            let paused = self.paused.contains(&Pause::Site(site.to_owned()));
            if let Some(site) = self.sites.beside_mut(site_number) {
                site.paused = paused;
            }
        }
        let lane = Lane::new(way, site_number, &self.settings.pace);
        let number = match self.free_lanes.pop() {
            Some(number) => number,
            None => {
                self.lanes.push(None);
                u32::try_from(self.lanes.len()).ok()?.checked_sub(1)?
            }
        };
        *self.lanes.get_mut(number as usize)? = Some(lane);
        self.lane_of.insert((way, site_number), number);
        if let Some(site) = self.sites.beside_mut(site_number) {
            site.lanes.push(number);
        }
        Some(number)
    }

    /// Forgets an empty lane, unless something was learnt about its site: that is remembered for an hour.
    pub(super) fn retire(&mut self, number: u32) {
        let (now_ms, limits) = (self.now_ms, self.settings.pace);
        let Some(lane) = self.lane_mut(number) else {
            return;
        };
        if lane.ready() > 0 || lane.open > 0 {
            return;
        }
        if lane.pace.is_fresh(&limits) {
            self.drop_lane(number);
            return;
        }
        lane.empty_since_ms = now_ms;
        self.remembered.push_back((now_ms, number));
        self.forget_remembered(REMEMBERED_MAX);
    }

    fn forget_remembered(&mut self, most: usize) {
        while let Some(&(since_ms, number)) = self.remembered.front() {
            if self.remembered.len() <= most && since_ms + REMEMBERED_MS > self.now_ms {
                return;
            }
            self.remembered.pop_front();
            let lane = self.lanes.get(number as usize).and_then(Option::as_ref);
            let still_empty = lane.is_some_and(|lane| {
                lane.empty_since_ms == since_ms && lane.ready() == 0 && lane.open == 0
            });
            if still_empty {
                self.drop_lane(number);
            }
        }
    }

    fn drop_lane(&mut self, number: u32) {
        let lane = self.lanes.get_mut(number as usize).and_then(Option::take);
        if let Some(lane) = lane {
            self.lane_of.remove(&(lane.way, lane.site));
            if let Some(site) = self.sites.beside_mut(lane.site) {
                site.lanes.retain(|other| *other != number);
            }
            self.ways.release(lane.way);
            self.sites.release(lane.site);
            self.free_lanes.push(number);
        }
    }
}

/// Lanes that there may be at once; some kilobytes each.
const LANES_MAX: usize = 32_768;
/// Lanes without a job or a worker that are kept for what they have learnt.
const REMEMBERED_MAX: usize = 8192;
const REMEMBERED_MS: u64 = 3_600_000;
