//! What a message costs in memory while the scanners of the program itself look at it.
//!
//! A program of its own, because it counts what the whole process has allocated.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use relay::classifier::Live;
use relay::config::{ScannerConfig, VerdictConfig};
use relay::message::Message;
use relay::scan::{Means, Pipeline, Submission};
use relay_proto::address::ReversePath;
use relay_proto::envelope::Mail;

#[path = "it/torture/messages.rs"]
mod messages;

/// The system's, counted.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came; the counters are not part of what it answers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: what `alloc` returned came from there, with this layout.
        unsafe { System.dealloc(octets, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_message_costs_more_than_a_few_times_its_length() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let verdict = VerdictConfig::default();
    let live = Arc::new(Live::open(None, None).unwrap());
    let means = Means::alone(Some(live), None);
    let pipeline = Pipeline::from_config(&ScannerConfig::embedded(), &means, &verdict);
    for (name, content, _) in messages::messages() {
        let content = Bytes::from(content);
        let submission = Submission {
            id: "1".into(),
            client: IpAddr::from([192, 0, 2, 10]),
            user: None,
            ehlo: None,
            mail: Mail::new(ReversePath::Null),
            recipients: Vec::new(),
            content: Message::from(content),
        };
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let tier = pipeline.tier(None);
        runtime.block_on(pipeline.at_dot(tier, submission, Vec::new()));
        let cost = PEAK.load(Relaxed).saturating_sub(before);
        assert!(cost < OCTETS_MAX, "{name}: {cost} octets");
    }
}

/// Messages have a megabyte here. Four may be decoded, and a text is up to three times as long in another charset.
const OCTETS_MAX: usize = 16 << 20;
