//! A limit that is reached, as its customer and the controller are told of it.

use contract::event::Happening;
use relay_proto::behaviour::identity::Identity;
use relay_proto::behaviour::{CustomerKey, Exceeded};
use relay_proto::reply::Reply;

use crate::config::Over;

/// A limit that a customer, or one of its sites, has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(super) key: CustomerKey,
    /// The site, if the limit is not the whole customer's.
    pub(super) site: Option<Identity>,
    pub(super) exceeded: Exceeded,
    pub(super) over: Over,
    /// It is the customer's first one in an hour.
    pub(super) is_first: bool,
}

impl Reached {
    /// `451 4.7.1 192.0.2.10 sent more than 200 messages in an hour (limit messages_per_hour), try again in 18 s; see URL`,
    /// or 550.
    pub(crate) fn reply(&self, help_url: &str) -> Reply {
        match self.over {
            Over::Defer => Reply::new(451, "4.7.1", &self.text(help_url)),
            Over::Refuse => Reply::new(550, "5.7.1", &self.text(help_url)),
        }
    }

    /// The same for a connection that ends with it (RFC 5321 section 3.1 and 3.8).
    pub(crate) fn greeting(&self, help_url: &str) -> Reply {
        match self.over {
            Over::Defer => Reply::new(421, "4.7.1", &self.text(help_url)),
            Over::Refuse => Reply::new(554, "5.7.1", &self.text(help_url)),
        }
    }

    /// What the controller is told of it, once an hour for a customer.
    pub(crate) fn happening(&self) -> Option<Happening> {
        let allowed = self.exceeded.limit.get() as f64;
        self.is_first.then(|| Happening::LimitHit {
            limit: self.exceeded.name.to_string(),
            // It is used up; how much more there would have been nobody knows.
            figure: allowed,
            allowed,
            identity: self.site.as_ref().map(ToString::to_string),
        })
    }

    pub(super) fn who(&self) -> String {
        match &self.site {
            Some(site) => format!("{site} on {}", self.key),
            None => self.key.to_string(),
        }
    }

    fn text(&self, help_url: &str) -> String {
        let (who, exceeded) = (self.who(), &self.exceeded);
        // Rounded up: who comes back at the second that was named shall not be early.
        let wait = exceeded.wait.as_nanos().div_ceil(1_000_000_000);
        format!("{who} {exceeded}, try again in {wait} s; see {help_url}")
    }
}
