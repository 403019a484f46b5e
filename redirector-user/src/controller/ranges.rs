//! Whole prefixes: what stands for them, and what of the announced ones no flag is about.

use ipnetwork::IpNetwork;

use super::{Controller, views::view};
use crate::{
    api::view::{FlagView, GapView},
    policy::gaps::{addresses, gap},
};

impl Controller {
    /// Active flags of whole prefixes, wider than what one host has: what stands for whoever in it has no flag of its own.
    pub async fn ranges(&self) -> Vec<FlagView> {
        let state = self.lock().await;
        let wide = |prefix: &IpNetwork| prefix.prefix() < if prefix.is_ipv4() { 32 } else { 64 };
        let ranges = state.flags.prefixes().filter(wide);
        let ranges = ranges.filter_map(|prefix| state.flags.on(prefix).cloned());
        ranges.map(|flag| view(&state, flag, Vec::new())).collect()
    }

    /// Those of `announced` that no flag in force or waiting covers wholly, and what is left of each.
    pub async fn gaps(&self, announced: &[IpNetwork]) -> Vec<GapView> {
        let state = self.lock().await;
        let found = announced.iter().filter_map(|&prefix| {
            if state.flags.over(prefix).next().is_some() {
                return None;
            }
            let within = state.flags.within(prefix).map(|flag| flag.terms.prefix);
            let gap = gap(prefix, within, PIECES)?;
            let watched = self.config.customer_prefixes.iter();
            let mut watched = watched.filter(|ours| ours.is_ipv4() == prefix.is_ipv4());
            Some(GapView {
                prefix,
                customers: watched.any(|ours| {
                    ours.prefix() <= prefix.prefix() && ours.contains(prefix.network())
                }),
                covered: share(prefix, gap.addresses),
                left: gap.pieces,
                more: gap.more,
            })
        });
        found.collect()
    }
}

/// The share of a prefix that flags are about, from 0 to 1.
fn share(prefix: IpNetwork, left: u128) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share, of which people read two digits"
    )]
    let (left, all) = (left as f64, addresses(prefix) as f64);
    1.0 - left / all
}

/// So many pieces of a prefix are named: of a /24 with a few flags, all of them.
const PIECES: usize = 16;
