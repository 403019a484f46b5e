//! The file that the table of customers is kept in.
//!
//! A line that says what it is, then records: length and CRC-32C of what follows, each a big-endian `u32`, and then the
//! customer. A record that a disk has damaged is left out, and the others are read; a length that cannot be ends it.

use super::customer::{Customer, SITES_MAX, Usage};
use super::customers::{CustomerKey, Customers, Damaged, OCTETS};
use super::gcra::Cell;
use super::identity::Identity;
use super::limits::Distinct;
use super::sketch::{FEW, REGISTERS, Sketch};
use super::tally::{PIECES, Piece, Tally};
use super::window::{THIRDS, Window};
use crate::Time;

pub(super) fn encode(customers: &Customers) -> Vec<u8> {
    let mut out = HEAD.to_vec();
    let mut record = Vec::new();
    for (key, customer) in customers.all() {
        record.clear();
        put_customer(&mut record, key, customer);
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(&record).to_be_bytes());
        out.extend_from_slice(&record);
    }
    out
}

pub(super) fn decode(octets: &[u8], capacity: usize, now: Time) -> Option<(Customers, Damaged)> {
    let mut rest = Reader(octets.strip_prefix(HEAD)?);
    let (mut customers, mut damaged) = (Customers::new(capacity), Damaged(0));
    while !rest.0.is_empty() {
        let Some((check, record)) = rest.record() else {
            damaged.0 += 1;
            break;
        };
        let valid = crc32c::crc32c(record) == check;
        match valid.then(|| customer(&mut Reader(record), now)).flatten() {
            Some((key, customer)) => *customers.heard(key) = customer,
            None => damaged.0 += 1,
        }
    }
    Some((customers, damaged))
}

fn put_customer(out: &mut Vec<u8>, key: CustomerKey, customer: &Customer) {
    out.extend_from_slice(&key.octets());
    put_usage(out, &customer.usage);
    for window in customer.distinct.iter().flatten() {
        let (latest, thirds) = window.parts();
        out.extend_from_slice(&latest.to_be_bytes());
        thirds.iter().for_each(|sketch| put_sketch(out, sketch));
    }
    out.push(u8::try_from(customer.sites.len()).unwrap_or(u8::MAX));
    for (name, usage) in &customer.sites {
        out.push(u8::try_from(name.as_str().len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_str().as_bytes());
        put_usage(out, usage);
    }
}

fn put_usage<const KINDS: usize>(out: &mut Vec<u8>, usage: &Usage<KINDS>) {
    for cell in usage.cells.iter().flatten() {
        out.extend_from_slice(&cell.raw().to_be_bytes());
    }
    out.extend_from_slice(&usage.last.as_secs().to_be_bytes());
    let (latest, pieces) = usage.tally.parts();
    out.extend_from_slice(&latest.to_be_bytes());
    for piece in pieces {
        out.extend_from_slice(&piece.octets.to_be_bytes());
        for count in piece.counts {
            out.extend_from_slice(&count.to_be_bytes());
        }
    }
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch) {
    match sketch.parts() {
        Ok(few) => {
            out.push(u8::try_from(few.len()).unwrap_or(0));
            for trace in few {
                out.extend_from_slice(&trace.to_be_bytes());
            }
        }
        Err(registers) => {
            out.push(MANY);
            out.extend_from_slice(registers);
        }
    }
}

fn customer(reader: &mut Reader<'_>, now: Time) -> Option<(CustomerKey, Customer)> {
    let key = CustomerKey::of_octets(reader.array::<OCTETS>()?)?;
    let mut customer = Customer {
        usage: usage(reader, now)?,
        ..Customer::default()
    };
    for windows in &mut customer.distinct {
        for (window, period) in core::iter::zip(windows, Distinct::PERIODS) {
            let latest = reader.u64()?;
            let thirds: [Option<Sketch>; THIRDS] = core::array::from_fn(|_| sketch(reader));
            let [Some(a), Some(b), Some(c)] = thirds else {
                return None;
            };
            // What the future would say is forgotten at once.
            let third = period.duration().as_secs() / THIRDS as u64;
            if latest <= now.as_secs() / third {
                *window = Window::of_parts(period, latest, [a, b, c]);
            }
        }
    }
    let [sites] = reader.array()?;
    for _ in 0..usize::from(sites).min(SITES_MAX) {
        let [length] = reader.array()?;
        let name = core::str::from_utf8(reader.take(usize::from(length))?).ok()?;
        let name = Identity::clean(name)?;
        let usage = usage(reader, now)?;
        customer.sites.insert(name, usage);
    }
    reader.0.is_empty().then_some((key, customer))
}

fn usage<const KINDS: usize>(reader: &mut Reader<'_>, now: Time) -> Option<Usage<KINDS>> {
    let mut cells = [[Cell::default(); 3]; 4];
    for cell in cells.iter_mut().flatten() {
        *cell = Cell::from_raw(reader.u64()?);
    }
    let last = Time::from_secs(reader.u64()?).min(now);
    let latest = reader.u64()?;
    let mut pieces = [Piece::default(); PIECES];
    for piece in &mut pieces {
        piece.octets = reader.u64()?;
        let mut counts = [0; KINDS];
        for count in &mut counts {
            *count = u32::from_be_bytes(reader.array()?);
        }
        piece.counts = counts;
    }
    let tally = Tally::of_parts(latest, pieces);
    // What the future would say is forgotten at once.
    let tally = if tally.is_before(now) {
        tally
    } else {
        Tally::default()
    };
    Some(Usage { cells, tally, last })
}

fn sketch(reader: &mut Reader<'_>) -> Option<Sketch> {
    let [count] = reader.array()?;
    if count == MANY {
        return Some(Sketch::of_many(reader.array::<REGISTERS>()?));
    }
    let count = Some(usize::from(count)).filter(|&count| count <= FEW)?;
    let (few, []) = reader.take(count * size_of::<u32>())?.as_chunks::<4>() else {
        return None;
    };
    Some(Sketch::of_few(
        few.iter().map(|trace| u32::from_be_bytes(*trace)),
    ))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// What the next record is checked by, and the record.
    fn record(&mut self) -> Option<(u32, &'a [u8])> {
        let length = u32::from_be_bytes(self.array()?);
        let check = u32::from_be_bytes(self.array()?);
        let record = self.take(usize::try_from(length).ok()?)?;
        Some((check, record))
    }
}

const HEAD: &[u8] = b"outgate behaviour 1\n";
/// In place of how few there are.
const MANY: u8 = 255;

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use core::num::NonZeroU64;
    use core::time::Duration;

    use proptest::prelude::*;

    use super::super::answers::Answered;
    use super::super::limits::{Limits, Measure, Name};
    use super::*;

    const NOW: Time = Duration::from_secs(1_790_000_400);

    fn limits() -> Limits {
        let mut limits = Limits::default();
        Name::all().for_each(|name| limits.set(name, NonZeroU64::new(5000)));
        limits
    }

    /// Three customers that have done all that there is to do.
    fn busy() -> Customers {
        let mut customers = Customers::new(10);
        for (number, address) in ["192.0.2.10", "2001:db8:a:a::10", "192.0.2.11"]
            .iter()
            .enumerate()
        {
            let address: IpAddr = address.parse().unwrap();
            let customer = customers.heard(CustomerKey::of(address, 64));
            for measure in Measure::ALL {
                customer.used(measure, 10 + number as u64, &limits(), NOW);
            }
            for recipient in 0..200 * number {
                let address = format!("<{recipient}@x.example>");
                customer.saw(Distinct::Recipients, &address, NOW);
            }
            customer.answered(Answered::Unknown, NOW);
            customer.sent_spam(NOW);
            let site = Identity::clean("1001:mail.php").unwrap();
            customer.site_used(&site, Measure::Messages, 3, &limits(), NOW);
        }
        customers
    }

    fn figures(customers: &Customers) -> String {
        let each = customers
            .all()
            .map(|(key, it)| (key, it.figures(&limits(), NOW)));
        format!("{:?}", each.collect::<Vec<_>>())
    }

    #[test]
    fn what_was_used_up_stays_so_over_a_restart() {
        let before = busy();
        let (after, damaged) = Customers::decode(&before.encode(), 10, NOW).unwrap();
        assert_eq!(damaged, Damaged(0));
        assert_eq!(figures(&after), figures(&before));
        for ((key, before), (again, after)) in before.all().zip(after.all()) {
            assert_eq!((key, before), (again, after));
        }
        // Who was heard last is who stays.
        let (two, _) = Customers::decode(&before.encode(), 2, NOW).unwrap();
        let keys: Vec<_> = two.all().map(|(key, _)| key.to_string()).collect();
        assert_eq!(keys, ["2001:db8:a:a::/64", "192.0.2.11"]);
    }

    #[test]
    fn a_damaged_record_is_left_out_and_another_file_is_none() {
        let mut octets = busy().encode();
        let place = HEAD.len() + 100;
        octets[place] ^= 1;
        let (rest, damaged) = Customers::decode(&octets, 10, NOW).unwrap();
        assert_eq!((rest.len(), damaged), (2, Damaged(1)));
        octets.truncate(octets.len() - 1);
        let (rest, damaged) = Customers::decode(&octets, 10, NOW).unwrap();
        assert_eq!((rest.len(), damaged), (1, Damaged(2)));
        assert!(Customers::decode(b"{}", 10, NOW).is_none());
        let (empty, _) = Customers::decode(&Customers::new(1).encode(), 1, NOW).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn a_file_of_the_future_keeps_nobody_out() {
        let past = NOW - Duration::from_secs(86_400 * 400);
        let (customers, _) = Customers::decode(&busy().encode(), 10, past).unwrap();
        for (_, customer) in customers.all() {
            assert_eq!(customer.counts(past).messages, 0);
            assert_eq!(
                customer.distinct(Distinct::Recipients, super::super::Period::Day, past),
                0
            );
            let later = past + Duration::from_secs(86_400);
            assert_eq!(
                customer.room(Measure::Messages, 1, &limits(), later),
                Ok(())
            );
        }
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(octets: Vec<u8>, at in 0_usize..2000, with: u8) {
            let mut file = HEAD.to_vec();
            file.extend_from_slice(&octets);
            drop(Customers::decode(&file, 5, NOW));
            let mut file = busy().encode();
            if let Some(octet) = file.get_mut(at) {
                *octet = with;
            }
            drop(Customers::decode(&file, 5, NOW));
            // And with a check that is right.
            drop(customer(&mut Reader(&octets), NOW));
        }
    }
}
