//! One number that says how much a source looks like a spammer, and why.
//!
//! Each component compares a figure with a limit and is worth its points at the limit; it grows with
//! the figure up to four times that, so that the worst stand out. 100 is a source that is at every
//! limit. The score is evidence to look at, not a verdict: a busy list server reaches many networks,
//! too, but is not reset by them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::window::Figures;

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Component {
    /// `destinations`, `syns`, `burst`, `resets` or `short`.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// What it is compared with.
    pub limit: f64,
    /// What it adds to the score.
    pub points: f64,
    /// The same in words.
    pub text: String,
}

/// The components of a score, over figures of that long; what cannot be judged is absent.
#[must_use]
pub fn components(figures: &Figures, span: Duration) -> Vec<Component> {
    let minutes = span.as_secs_f64() / 60.0;
    let over = in_words(span);
    let number = |count: u64| count as f64;
    let mut components = Vec::new();
    let mut weigh = |name: &str, value: f64, limit: f64, points: f64, text: String| {
        components.push(Component {
            name: name.to_owned(),
            value,
            limit,
            points: points * (value / limit).clamp(0.0, WORST),
            text,
        });
    };
    // The shorter the look, the fewer it takes; but a handful is nothing in any time.
    let limit = (DESTINATIONS_A_MINUTE * minutes).max(LEAST).round();
    let networks = figures.destinations;
    let text = format!("{networks} distinct networks in {over} (limit {limit})");
    weigh("destinations", number(networks), limit, 40.0, text);

    let limit = (SYNS_A_MINUTE * minutes).max(LEAST).round();
    let text = format!("{} SYNs in {over} (limit {limit})", figures.syns);
    weigh("syns", number(figures.syns), limit, 15.0, text);

    if let Some(usual) = figures.usual_syns {
        // A source that is usually silent is compared with one that is hardly ever heard.
        let times = figures.syns_a_window / usual.max(1.0);
        let text = format!("SYNs {times:.1} times its own median (limit {BURST})");
        weigh("burst", times, BURST, 15.0, text);
    }
    if figures.ended >= ENDED_LEAST {
        let ended = number(figures.ended);
        let mut share = |name: &str, count: u64, what: &str| {
            let percent = 100.0 * number(count) / ended;
            let text = format!(
                "{percent:.0} % of {} ended connections {what} (limit {SHARE} %)",
                figures.ended
            );
            weigh(name, percent, SHARE, 15.0, text);
        };
        share("resets", figures.reset, "reset");
        share("short", figures.short, "over after the greeting");
    }
    components
}

/// The score that these make together.
#[must_use]
pub fn total(components: &[Component]) -> f64 {
    components.iter().map(|component| component.points).sum()
}

/// As `10 min`, `90 s`.
pub(crate) fn in_words(span: Duration) -> String {
    let seconds = span.as_secs_f64().round();
    if seconds >= 120.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{seconds:.0} s")
    }
}

/// Distinct networks: 300 in ten minutes.
const DESTINATIONS_A_MINUTE: f64 = 30.0;
/// New connections: 1000 in ten minutes.
const SYNS_A_MINUTE: f64 = 100.0;
/// Below that neither says anything.
const LEAST: f64 = 10.0;
/// Times its own median.
const BURST: f64 = 10.0;
/// Percent of connections.
const SHARE: f64 = 50.0;
/// Ended connections from which on their shares say something.
const ENDED_LEAST: u64 = 10;
/// Times the limit up to which a component grows.
const WORST: f64 = 4.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: Duration = Duration::from_secs(600);

    fn at_every_limit() -> Figures {
        Figures {
            syns: 1000,
            destinations: 300,
            ended: 200,
            reset: 100,
            short: 100,
            syns_a_window: 100.0,
            usual_syns: Some(10.0),
            ..Figures::default()
        }
    }

    #[test]
    fn every_limit_together_is_a_hundred() {
        let components = components(&at_every_limit(), SPAN);
        assert_eq!(components.len(), 5);
        assert!((total(&components) - 100.0).abs() < 1e-9);
        let texts: Vec<&str> = components.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "300 distinct networks in 10 min (limit 300)",
                "1000 SYNs in 10 min (limit 1000)",
                "SYNs 10.0 times its own median (limit 10)",
                "50 % of 200 ended connections reset (limit 50 %)",
                "50 % of 200 ended connections over after the greeting (limit 50 %)",
            ]
        );
    }

    #[test]
    fn what_cannot_be_judged_is_absent() {
        let figures = Figures {
            syns: 3,
            ended: 9,
            reset: 9,
            ..Figures::default()
        };
        let names: Vec<String> = components(&figures, SPAN)
            .into_iter()
            .map(|component| component.name)
            .collect();
        assert_eq!(names, ["destinations", "syns"]);
        assert!(total(&components(&Figures::default(), SPAN)) < f64::EPSILON);
    }

    prop_compose! {
        fn figures()(
            destinations in 0..5_000_u64,
            syns in 0..50_000_u64,
            ended in 0..5_000_u64,
            shares in (0.0..=1.0_f64, 0.0..=1.0_f64),
            syns_a_window in 0.0..5_000.0_f64,
            usual_syns in prop::option::of(0.0..100.0_f64),
        ) -> Figures {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let part = |share: f64| (ended as f64 * share) as u64;
            Figures {
                destinations, syns, ended, syns_a_window, usual_syns,
                reset: part(shares.0), short: part(shares.1),
                ..Figures::default()
            }
        }
    }

    proptest! {
        #[test]
        fn more_of_anything_never_lowers_the_score(
            before in figures(), which in 0..6_usize, more in 0..2_000_u64, seconds in 1..7_200_u64,
        ) {
            let mut after = before;
            match which {
                0 => after.destinations += more,
                1 => after.syns += more,
                2 => after.reset = (after.reset + more).min(after.ended),
                3 => after.short = (after.short + more).min(after.ended),
                4 => after.syns_a_window += more as f64,
                _ => after.usual_syns = after.usual_syns.map(|usual| usual / 2.0),
            }
            let score = |figures| total(&components(figures, Duration::from_secs(seconds)));
            prop_assert!(score(&after) >= score(&before));
        }
    }
}
