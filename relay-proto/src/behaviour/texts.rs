//! Texts of the last hour, and who has sent them: the same text from many customers, or to many recipients.
//!
//! Texts are told by what they are like ([`simhash`]); two of which at most [`NEAR`] bits differ are
//! one. Four indexes, each by another 16 of the 64 bits, find such a one: of four quarters at least one has no bit that
//! differs. The number of texts is bounded, the oldest makes room; of each text at most [`SENDERS_MAX`] customers are
//! remembered, the one that was silent for longest makes room.

use core::time::Duration;

use super::customers::CustomerKey;
use super::{hash, simhash};
use crate::Time;

/// The texts that were seen last.
#[derive(Debug)]
pub struct Texts {
    /// A ring: the place of a text is its number, modulo the capacity.
    texts: Vec<Text>,
    capacity: usize,
    /// The number of the next new one. The first is 1.
    next: u64,
    /// The latest text with these 16 bits; 0 = none.
    latest: [Box<[u64]>; QUARTERS],
}

/// One text.
#[derive(Debug)]
struct Text {
    simhash: u64,
    number: u64,
    /// The one before with the same 16 bits. It may have made room meanwhile.
    before: [u64; QUARTERS],
    senders: Vec<Sender>,
}

/// A customer that has sent it.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// The hash of its key.
    customer: u64,
    since: Time,
    last: Time,
    recipients: u64,
}

/// Who has sent a text in the last hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Customers; at [`SENDERS_MAX`] there may be more.
    pub customers: u64,
    /// Recipients of the one that has sent it now.
    pub recipients: u64,
}

impl Texts {
    /// None was seen yet; so many are remembered. The indexes take 2 MiB, each text some 200 octets.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            texts: Vec::new(),
            capacity: capacity.max(1),
            next: 1,
            latest: core::array::from_fn(|_| vec![0; 1 << 16].into()),
        }
    }

    /// `customer` sends a text like this to so many.
    pub fn sent(
        &mut self,
        simhash: u64,
        customer: CustomerKey,
        recipients: u64,
        now: Time,
    ) -> Spread {
        let place = match self.find(simhash) {
            Some(place) => place,
            None => self.insert(simhash),
        };
        let customer = hash::of(&customer.octets());
        let text = self.texts.get_mut(place);
        text.map_or(
            Spread {
                customers: 1,
                recipients,
            },
            |text| text.sent(customer, recipients, now),
        )
    }

    /// Octets that it takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        let senders = self.texts.iter().map(|it| it.senders.capacity());
        let senders = senders.sum::<usize>() * size_of::<Sender>();
        let index = QUARTERS * (1 << 16) * size_of::<u64>();
        self.texts.capacity() * size_of::<Text>() + senders + index
    }

    /// The place of the latest one that is like this.
    fn find(&self, simhash: u64) -> Option<usize> {
        let mut found: Option<&Text> = None;
        for (quarter, latest) in self.latest.iter().enumerate() {
            let mut number = latest.get(bits(simhash, quarter)).copied().unwrap_or(0);
            // Texts that share a quarter by chance, or on purpose, must not be walked through for ever.
            for _ in 0..STEPS_MAX {
                let Some(text) = self.numbered(number) else {
                    break;
                };
                if simhash::distance(text.simhash, simhash) <= NEAR {
                    if found.is_none_or(|found| found.number < text.number) {
                        found = Some(text);
                    }
                    break;
                }
                number = text.before.get(quarter).copied().unwrap_or(0);
            }
        }
        found.map(|text| self.place(text.number))
    }

    /// `None` if it has made room.
    fn numbered(&self, number: u64) -> Option<&Text> {
        let text = self.texts.get(self.place(number))?;
        (number > 0 && text.number == number).then_some(text)
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.capacity as u64).unwrap_or(0)
    }

    fn insert(&mut self, simhash: u64) -> usize {
        let number = self.next;
        self.next += 1;
        let mut before = [0; QUARTERS];
        for (quarter, (latest, before)) in
            core::iter::zip(&mut self.latest, &mut before).enumerate()
        {
            if let Some(latest) = latest.get_mut(bits(simhash, quarter)) {
                *before = core::mem::replace(latest, number);
            }
        }
        let text = Text {
            simhash,
            number,
            before,
            senders: Vec::with_capacity(1),
        };
        let place = self.place(number);
        if self.texts.is_empty() && place > 0 {
            // The ring begins at its first place, which no number before the capacity has.
            self.texts.push(Text::nobodys());
        }
        match self.texts.get_mut(place) {
            Some(oldest) => *oldest = text,
            None => self.texts.push(text),
        }
        place
    }
}

impl Text {
    fn nobodys() -> Self {
        Self {
            simhash: 0,
            number: 0,
            before: [0; QUARTERS],
            senders: Vec::new(),
        }
    }

    fn sent(&mut self, customer: u64, recipients: u64, now: Time) -> Spread {
        let known = self.senders.iter().position(|it| it.customer == customer);
        let place = match known {
            Some(place) => place,
            None if self.senders.len() < SENDERS_MAX => self.senders.len(),
            None => {
                let silent = self
                    .senders
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, it)| it.last);
                silent.map_or(0, |(place, _)| place)
            }
        };
        let new = Sender {
            customer,
            since: now,
            last: now,
            recipients,
        };
        let recipients = match self.senders.get_mut(place) {
            Some(sender) if sender.customer == customer => {
                if now.saturating_sub(sender.since) > HOUR {
                    (sender.since, sender.recipients) = (now, 0);
                }
                sender.last = now;
                sender.recipients = sender.recipients.saturating_add(recipients);
                sender.recipients
            }
            Some(silent) => {
                *silent = new;
                recipients
            }
            None => {
                self.senders.push(new);
                recipients
            }
        };
        let lately = |sender: &&Sender| now.saturating_sub(sender.last) <= HOUR;
        Spread {
            customers: self.senders.iter().filter(lately).count() as u64,
            recipients,
        }
    }
}

/// 16 of the bits.
fn bits(simhash: u64, quarter: usize) -> usize {
    usize::try_from((simhash >> (16 * quarter)) & 0xffff).unwrap_or(0)
}

const QUARTERS: usize = 4;
/// Bits in which texts differ that are one text.
pub const NEAR: u32 = 3;
/// Customers of one text that are remembered.
pub const SENDERS_MAX: usize = 32;
const STEPS_MAX: usize = 64;
const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    const START: Time = Duration::from_secs(1_790_000_000);

    fn customer(number: u8) -> CustomerKey {
        CustomerKey::of(IpAddr::from([192, 0, 2, number]), 64)
    }

    #[test]
    fn a_text_of_many_customers_is_noticed() {
        let mut texts = Texts::new(100);
        for number in 1..=14 {
            let spread = texts.sent(0xdead_beef, customer(number), 2, START);
            assert_eq!(
                (spread.customers, spread.recipients),
                (u64::from(number), 2)
            );
        }
        // Again, by one of them.
        let spread = texts.sent(0xdead_beef, customer(3), 5, START);
        assert_eq!((spread.customers, spread.recipients), (14, 7));
        // An hour later only those count that go on.
        let later = START + HOUR + Duration::from_secs(1);
        let spread = texts.sent(0xdead_beef, customer(3), 1, later);
        assert_eq!((spread.customers, spread.recipients), (1, 1));
        let spread = texts.sent(!0xdead_beef, customer(3), 1, later);
        assert_eq!(spread.customers, 1);
    }

    #[test]
    fn texts_and_their_senders_are_bounded() {
        let mut texts = Texts::new(50);
        for number in 0..1000 {
            texts.sent(hash::finish(number), customer(1), 1, START);
        }
        assert!(texts.texts.len() <= 50);
        // The last ones are still known, the first ones are not.
        assert_eq!(
            texts
                .sent(hash::finish(999), customer(2), 1, START)
                .customers,
            2
        );
        assert_eq!(
            texts.sent(hash::finish(1), customer(2), 1, START).customers,
            1
        );
        for number in 0..=255 {
            let spread = texts.sent(7, customer(number), 1, START);
            assert!(spread.customers <= SENDERS_MAX as u64);
        }
    }

    proptest! {
        #[test]
        fn up_to_three_bits_are_found_among_others(
            simhash: u64,
            flips in proptest::collection::vec(0_u32..64, 0..=3),
            others in proptest::collection::vec(any::<u64>(), 0..200),
        ) {
            let mut texts = Texts::new(1000);
            texts.sent(simhash, customer(1), 1, START);
            for other in others {
                prop_assume!(simhash::distance(other, simhash) > 2 * NEAR);
                texts.sent(other, customer(2), 1, START);
            }
            let near = flips.iter().fold(simhash, |simhash, bit| simhash ^ (1 << bit));
            prop_assert_eq!(texts.sent(near, customer(3), 1, START).customers, 2);
            // One with four bits more in all quarters is another.
            let far = simhash ^ 0x8001_8001_8001_8001;
            prop_assert!(texts.sent(far, customer(4), 1, START).customers <= 1);
        }
    }
}
