//! When one list is to be asked about which address again.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use jiff::Timestamp;

/// Looks by time. An address is on it once, and nobody has two looks under way.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    /// What is to be confirmed.
    urgent: BTreeSet<(Timestamp, IpAddr)>,
    usual: BTreeSet<(Timestamp, IpAddr)>,
    looks: HashMap<IpAddr, Look>,
}

#[derive(Clone, Copy, Debug)]
enum Look {
    Due { at: Timestamp, urgent: bool },
    UnderWay,
}

impl Agenda {
    /// Puts a look down, in the place of one that is there already; a look that is under way says itself when the next is.
    pub fn put(&mut self, address: IpAddr, at: Timestamp, urgent: bool) {
        if matches!(self.looks.get(&address), Some(Look::UnderWay)) {
            return;
        }
        self.strike(address);
        self.queue(urgent).insert((at, address));
        self.looks.insert(address, Look::Due { at, urgent });
    }

    /// The same, unless a look is put down already.
    pub fn put_new(&mut self, address: IpAddr, at: Timestamp) {
        if !self.looks.contains_key(&address) {
            self.put(address, at, false);
        }
    }

    /// The look that is most overdue, what is to be confirmed first; it is under way then.
    pub fn take(&mut self, now: Timestamp) -> Option<IpAddr> {
        let due = |queue: &BTreeSet<(Timestamp, IpAddr)>| {
            let first = queue.first().copied();
            first.filter(|(at, _)| *at <= now)
        };
        let (_, address) = due(&self.urgent).or_else(|| due(&self.usual))?;
        self.begin(address);
        Some(address)
    }

    /// Begins a look that was not due; `false` = one is under way.
    pub fn begin(&mut self, address: IpAddr) -> bool {
        if matches!(self.looks.get(&address), Some(Look::UnderWay)) {
            return false;
        }
        self.strike(address);
        self.looks.insert(address, Look::UnderWay);
        true
    }

    /// A look is over; the next is due then, if there is to be one.
    pub fn done(&mut self, address: IpAddr, next: Option<(Timestamp, bool)>) {
        self.looks.remove(&address);
        if let Some((at, urgent)) = next {
            self.put(address, at, urgent);
        }
    }

    /// Takes an address off, unless a look is under way.
    pub fn strike(&mut self, address: IpAddr) {
        if let Some(Look::Due { at, urgent }) = self.looks.get(&address).copied() {
            self.queue(urgent).remove(&(at, address));
            self.looks.remove(&address);
        }
    }

    /// Since when the most overdue look is due.
    #[must_use]
    pub fn first_due(&self) -> Option<Timestamp> {
        let first = |queue: &BTreeSet<(Timestamp, IpAddr)>| queue.first().map(|(at, _)| *at);
        first(&self.urgent)
            .into_iter()
            .chain(first(&self.usual))
            .min()
    }

    /// How many addresses are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.looks.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.looks.is_empty()
    }

    fn queue(&mut self, urgent: bool) -> &mut BTreeSet<(Timestamp, IpAddr)> {
        match urgent {
            true => &mut self.urgent,
            false => &mut self.usual,
        }
    }
}
