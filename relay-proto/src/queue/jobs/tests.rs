//! Lists, keys and rings.

use super::*;

fn id(number: u64) -> QueueId {
    QueueId::from_number(number).unwrap()
}

fn put(jobs: &mut Jobs, number: u64) -> u32 {
    let job = Job::new(id(number), 0, Recipients::One(0));
    jobs.insert(job).unwrap()
}

#[test]
fn a_message_is_found_by_any_of_its_jobs_that_is_left() {
    let mut jobs = Jobs::new();
    let slots: Vec<u32> = (0..4).map(|_| put(&mut jobs, 9)).collect();
    let other = put(&mut jobs, 8);
    for (gone, slot) in slots.iter().enumerate() {
        let first = jobs.first(id(9)).unwrap();
        let mut found: Vec<u32> = jobs.siblings(first).collect();
        found.sort_unstable();
        assert_eq!(found, &slots[gone..]);
        assert!(jobs.remove(*slot).is_some());
    }
    assert_eq!(jobs.first(id(9)), None);
    assert_eq!(jobs.siblings(other).collect::<Vec<_>>(), [other]);
    assert_eq!(jobs.len(), 1);
}

#[test]
fn a_key_names_nothing_once_its_job_is_gone() {
    let mut jobs = Jobs::new();
    let slot = put(&mut jobs, 1);
    let key = jobs.key(slot).unwrap();
    assert_eq!(jobs.slot(key), Some(slot));
    jobs.remove(slot);
    assert_eq!(jobs.slot(key), None);
    let again = put(&mut jobs, 2);
    assert_eq!(again, slot);
    assert_eq!(jobs.slot(key), None);
}

#[test]
fn jobs_leave_a_list_from_anywhere() {
    let mut jobs = Jobs::new();
    let slots: Vec<u32> = (1..=5).map(|number| put(&mut jobs, number)).collect();
    let (mut list, mut other) = (List::default(), List::default());
    for slot in &slots[..4] {
        jobs.push_back(&mut list, *slot, Chain::Place);
    }
    jobs.push_back(&mut other, slots[4], Chain::Place);
    jobs.unlink(&mut list, slots[1], Chain::Place);
    jobs.unlink(&mut list, slots[3], Chain::Place);
    jobs.append(&mut list, &mut other, Chain::Place);
    jobs.unlink(&mut list, slots[0], Chain::Place);
    assert!(other.is_empty());
    assert_eq!(jobs.pop_front(&mut list, Chain::Place), Some(slots[2]));
    assert_eq!(jobs.pop_front(&mut list, Chain::Place), Some(slots[4]));
    assert_eq!(jobs.pop_front(&mut list, Chain::Place), None);
    assert_eq!(list, List::default());
}

#[test]
fn a_job_is_small() {
    assert!(size_of::<Job>() <= 104, "{}", size_of::<Job>());
}
