//! Attaching what comes back: at once when the kernel says so, and by looking now and then, should a message be
//! lost.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::{MissedTickBehavior, interval};

use super::{Controller, keeping::Trouble};
use crate::edge::interface::{Change, changes};

/// Keeps the configured interfaces attached.
pub(super) async fn watch(controller: Arc<Controller>) {
    let mut attaching = Trouble::new("an interface could not be attached");
    let mut listening = Trouble::new("the kernel does not say when an interface comes back");
    let mut last = LastSeen::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let messages = changes();
        listening.report(messages.as_ref().map(drop));
        let Ok(mut messages) = messages else {
            looks.tick().await;
            attaching.report(controller.attach_configured().await);
            continue;
        };
        loop {
            tokio::select! {
                _tick = looks.tick() => {}
                change = messages.next() => match change {
                    Some(change) => if !controller.concerns(&change) || !last.is_news(&change) {
                        continue;
                    },
                    None => break,
                },
            }
            attaching.report(controller.attach_configured().await);
        }
    }
}

impl Controller {
    /// Whether the change is of a configured interface.
    fn concerns(&self, change: &Change) -> bool {
        let name = match change {
            Change::Is(interface) => &interface.name,
            Change::Gone(name) => name,
            Change::Unknown => return true,
        };
        let mut configured = self.config.interfaces.iter();
        let concerns = configured.any(|interface| interface.name == *name);
        if concerns && let Change::Gone(name) = change {
            tracing::warn!(
                interface = name,
                "an interface has gone; it is attached when it comes back"
            );
        }
        concerns
    }
}

/// What was last said of the interfaces, as far as it could make a difference to attaching.
#[derive(Debug, Default)]
struct LastSeen(HashMap<String, (u32, u32)>);

impl LastSeen {
    /// Whether another attempt could fare better now. An interface made anew has another index, and a
    /// driver may refuse for the MTU. Without this, an attempt whose own doing is told (some drivers restart
    /// the interface) would be repeated for ever.
    fn is_news(&mut self, change: &Change) -> bool {
        match change {
            Change::Is(interface) => {
                let now = (interface.index, interface.mtu);
                self.0.insert(interface.name.clone(), now) != Some(now)
            }
            Change::Gone(name) => {
                self.0.remove(name);
                false
            }
            Change::Unknown => true,
        }
    }
}

/// Between two looks at what nobody has told.
const LOOK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::interface::Interface;

    fn is(index: u32, mtu: u32) -> Change {
        Change::Is(Interface {
            index,
            name: String::from("cust0"),
            mac: None,
            vlan: None,
            xdp: None,
            running: true,
            mtu,
            veth: true,
        })
    }

    #[test]
    fn news_is_another_index_or_mtu_and_nothing_else() {
        let mut last = LastSeen::default();
        for (change, news) in [
            (is(7, 1500), true),
            (is(7, 1500), false),
            (is(7, 9000), true),
            (Change::Gone(String::from("cust0")), false),
            (is(7, 9000), true),
            (is(8, 9000), true),
            (Change::Unknown, true),
            (is(8, 9000), false),
        ] {
            assert_eq!(last.is_news(&change), news, "{change:?}");
        }
    }
}
