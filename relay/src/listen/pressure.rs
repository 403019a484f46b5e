//! When there are so many connections that who is idle, slow or wrong should make room.

use relay_proto::server::Stress;
use tokio::sync::watch;

/// Follows the number of connections.
#[derive(Debug)]
pub(super) struct Pressure {
    high: usize,
    /// Below the other one, or sessions would be told over and over.
    low: usize,
    stress: watch::Sender<Stress>,
}

impl Pressure {
    /// High at so many per cent of `total`, until a tenth less.
    pub(super) fn new(total: usize, percent: usize) -> Self {
        let mut this = Self {
            high: 1,
            low: 0,
            stress: watch::Sender::default(),
        };
        this.bound(total, percent);
        this
    }

    /// The same from now on.
    pub(super) fn bound(&mut self, total: usize, percent: usize) {
        self.high = total.saturating_mul(percent).div_ceil(100).max(1);
        self.low = self.high - self.high.div_ceil(10);
    }

    /// There are so many connections now.
    pub(super) fn feel(&self, connections: usize) {
        self.stress.send_if_modified(|stress| {
            let now = if connections >= self.high {
                Stress::High
            } else if connections <= self.low {
                Stress::None
            } else {
                *stress
            };
            std::mem::replace(stress, now) != now
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Stress> {
        self.stress.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stress_begins_high_and_ends_lower() {
        let pressure = Pressure::new(100, 80);
        let stress = pressure.subscribe();
        for (connections, expected) in [
            (0, Stress::None),
            (79, Stress::None),
            (80, Stress::High),
            (75, Stress::High),
            (72, Stress::None),
            (79, Stress::None),
        ] {
            pressure.feel(connections);
            assert_eq!(*stress.borrow(), expected, "{connections}");
        }
        let alone = Pressure::new(1, 1);
        alone.feel(1);
        assert_eq!(*alone.subscribe().borrow(), Stress::High);
        alone.feel(0);
        assert_eq!(*alone.subscribe().borrow(), Stress::None);
    }
}
