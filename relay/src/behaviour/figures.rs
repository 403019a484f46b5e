//! What the last hour of a customer had, for whoever shows it.

use std::net::IpAddr;

use contract::LimitsName;
use contract::event::Rates;
use relay_proto::behaviour::{Counts, CustomerKey, Distinct, Figures, Period};

use super::Behaviour;

impl Behaviour {
    /// How one customer fared, and the name of its limits if they are not everybody's; `None` = nothing is known of it.
    pub(crate) fn figures(
        &self,
        customer: IpAddr,
    ) -> Option<(CustomerKey, Figures, Option<LimitsName>)> {
        let (limits, name) = self.limits_of(customer);
        let key = CustomerKey::of(customer, self.config.ipv6_prefix);
        let now = self.shared.clock.now();
        let known = self.lock();
        let customer = known.customers.known(key)?;
        Some((key, customer.figures(&limits, now), name))
    }

    /// Lays what is known of a customer's last hour to figures that are told of it.
    pub(crate) fn describe(&self, customer: IpAddr, rates: &mut Rates) {
        let now = self.shared.clock.now();
        let known = self.lock();
        let key = CustomerKey::of(customer, self.config.ipv6_prefix);
        let Some(customer) = known.customers.known(key) else {
            return;
        };
        let counts = customer.counts(now);
        rates.unknown_share = counts.unknown_share();
        rates.refused_share = counts.refused_share();
        rates.distinct_recipients = customer.distinct(Distinct::Recipients, Period::Hour, now);
        rates.distinct_senders = customer.distinct(Distinct::Senders, Period::Hour, now);
    }

    /// The customers that did something in the last hour, those with the most messages first.
    pub(crate) fn busiest(&self, count: usize) -> Vec<(CustomerKey, Counts)> {
        let now = self.shared.clock.now();
        let known = self.lock();
        let all = known.customers.all();
        let mut all: Vec<_> = all.map(|(key, it)| (key, it.counts(now))).collect();
        drop(known);
        all.retain(|(_, counts)| *counts != Counts::default());
        all.sort_by_key(|(key, counts)| {
            let first = (counts.messages, counts.recipients, counts.connections);
            (std::cmp::Reverse(first), *key)
        });
        all.truncate(count);
        all
    }
}
