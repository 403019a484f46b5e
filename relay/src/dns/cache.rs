//! What was answered, for as long as it holds: positive, negative, and for a moment that nothing was.
//!
//! Customers and strangers choose the names, so its memory is bounded; the answer that was not asked for the
//! longest time goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use tokio::time::Instant;

use super::{Answer, DnsName, Failure, Found};

pub(super) type Key = (DnsName, RecordType);

/// Answers by question.
#[derive(Debug)]
pub(super) struct Cache {
    by_question: HashMap<Key, Entry>,
    /// Questions by the moment of their last use, which is a number.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    weight: usize,
    weight_max: usize,
}

#[derive(Debug)]
struct Entry {
    result: Result<Arc<Answer>, Failure>,
    until: Instant,
    used: u64,
    weight: usize,
}

impl Cache {
    /// Holds about so many octets.
    pub(super) fn new(weight_max: usize) -> Self {
        Self {
            by_question: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            weight: 0,
            weight_max,
        }
    }

    /// What holds now.
    pub(super) fn get(&mut self, key: &Key) -> Option<Result<Found, Failure>> {
        let entry = self.by_question.get_mut(key)?;
        let until = entry.until;
        if until <= Instant::now() {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        let used = std::mem::replace(&mut entry.used, self.uses);
        let result = entry.result.clone();
        if let Some(key) = self.by_use.remove(&used) {
            self.by_use.insert(self.uses, key);
        }
        Some(result.map(|answer| Found { answer, until }))
    }

    /// Keeps what was answered.
    pub(super) fn put(&mut self, key: &Key, result: Result<Arc<Answer>, Failure>, until: Instant) {
        self.remove(key);
        let weight =
            result.as_ref().map_or(256, |answer| answer.weight()) + 4 * key.0.as_str().len();
        while self.weight + weight > self.weight_max
            && let Some((_, oldest)) = self.by_use.first_key_value()
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        self.uses += 1;
        self.weight += weight;
        self.by_use.insert(self.uses, key.clone());
        let entry = Entry {
            result,
            until,
            used: self.uses,
            weight,
        };
        self.by_question.insert(key.clone(), entry);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.by_question.remove(key) {
            self.by_use.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(number: usize) -> Key {
        let name = DnsName::new(&format!("d{number}.example")).unwrap();
        (name, RecordType::MX)
    }

    fn answer(octets: usize) -> Result<Arc<Answer>, Failure> {
        Ok(Arc::new(Answer {
            exists: true,
            secure: true,
            aliased: false,
            canonical: None,
            data: vec![],
            octets,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_its_time_and_keeps_what_is_secure() {
        let mut cache = Cache::new(10_000);
        let until = Instant::now() + Duration::from_secs(60);
        cache.put(&key(1), answer(100), until);
        cache.put(&key(2), Err(Failure::Silent), until);
        tokio::time::advance(Duration::from_secs(59)).await;
        let found = cache.get(&key(1)).unwrap().unwrap();
        assert!(found.answer.secure() && found.until == until);
        assert!(matches!(cache.get(&key(2)), Some(Err(Failure::Silent))));
        let other_kind = (key(1).0, RecordType::A);
        assert!(cache.get(&other_kind).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(cache.get(&key(1)).is_none());
        assert!(cache.get(&key(2)).is_none());
        assert_eq!((cache.weight, cache.by_use.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_longest_unused_goes_first() {
        let mut cache = Cache::new(5_000);
        let until = Instant::now() + Duration::from_secs(60);
        for number in 0..6 {
            cache.put(&key(number), answer(100), until);
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(&key(9), answer(500), until);
        assert!(cache.get(&key(0)).is_some());
        assert!(cache.get(&key(1)).is_none());
        for number in 0..1000 {
            cache.put(&key(number), answer(number), until);
            assert!(cache.weight <= 5_000);
        }
        for _ in 0..10 {
            cache.put(&key(5), answer(1), until);
        }
        assert_eq!(cache.by_use.len(), cache.by_question.len());
    }
}
