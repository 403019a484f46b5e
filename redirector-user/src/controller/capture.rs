//! One capture at a time: frames from the kernel's ring to whoever asked, until that one has enough or goes.
//!
//! The order in the kernel is renewed every second and lapses by itself, so it outlives neither a crash nor a
//! caller that has gone.

use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use redirector_common::{
    abi::{NO_RELAY, capture::Captured},
    counters::Counter,
};
use tokio::{
    sync::{OwnedMutexGuard, mpsc},
    time::{interval, sleep},
};

use super::{
    Controller, Problem,
    rings::{Ring, read_ring},
};
use crate::{
    api::view::{CaptureLine, CapturedView},
    edge::{self, CaptureReader, CaptureTerms},
    hex,
};

/// What somebody wants to see.
#[derive(Clone, Debug)]
pub struct CaptureOrder {
    /// Frames from or to this prefix alone.
    pub source: Option<IpNetwork>,
    /// Octets of each frame; `None` = its headers.
    pub octets: Option<u32>,
    /// It ends with so many frames.
    pub count: Option<u64>,
    /// It ends after so long.
    pub lasts: Option<Duration>,
    /// Who, for the log.
    pub actor: String,
}

impl Controller {
    /// Begins to capture; frames come out of the channel until it ends. Dropping the receiver ends it.
    ///
    /// # Errors
    ///
    /// [`Problem::Busy`] while another one runs, else what the kernel answers.
    pub async fn capture(
        self: &Arc<Self>,
        order: CaptureOrder,
    ) -> Result<mpsc::Receiver<CaptureLine>, Problem> {
        let only_one = Arc::clone(&self.capturing).try_lock_owned();
        let only_one = only_one.map_err(|_taken| {
            Problem::Busy(String::from(
                "another capture runs; it must end first (Ctrl-C where it was started)",
            ))
        })?;
        let terms = CaptureTerms {
            octets: order.octets.unwrap_or(HEADERS_OCTETS),
            source: order.source,
        };
        let begin = move |edge: &mut edge::Edge| edge.begin_capture(terms);
        let reader = self.kernel.call(begin).await??;
        tracing::info!(actor = order.actor, source = ?order.source, octets = order.octets, "capture begins");
        let (lines, receiver) = mpsc::channel(LINES);
        let controller = Arc::clone(self);
        tokio::spawn(async move { controller.run_capture(order, reader, lines, only_one).await });
        Ok(receiver)
    }

    async fn run_capture(
        &self,
        order: CaptureOrder,
        reader: CaptureReader,
        lines: mpsc::Sender<CaptureLine>,
        only_one: OwnedMutexGuard<()>,
    ) {
        let lost_before = reader.lost_before;
        let (frames, mut captured) = mpsc::channel(LINES);
        let overrun = Arc::new(AtomicU64::new(0));
        let reading = read_ring(CaptureRing {
            reader,
            frames,
            overrun: Arc::clone(&overrun),
        });
        tokio::pin!(reading);
        let over = async {
            match order.lasts {
                Some(lasts) => sleep(lasts).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let mut renewal = interval(RENEWAL);
        let mut teller = Teller {
            names: BTreeMap::new(),
            boot: edge::boot_time(),
            headers_alone: order.octets.is_none(),
        };
        let (mut told, mut lost) = (0, 0);
        loop {
            if order.count.is_some_and(|count| told >= count) {
                break;
            }
            tokio::select! {
                () = &mut over => break,
                () = self.stopped() => break,
                () = lines.closed() => break,
                () = &mut reading => break,
                _ = renewal.tick() => {
                    match self.renew(lost_before).await {
                        Ok(in_kernel) => lost = in_kernel,
                        Err(error) => {
                            tracing::error!(%error, "the capture could not be kept in force");
                            break;
                        }
                    }
                    // Whoever has gone is noticed by this, too.
                    let lost = lost + overrun.load(Ordering::Relaxed);
                    if lines.send(CaptureLine::Going { lost }).await.is_err() {
                        break;
                    }
                }
                Some((head, octets)) = captured.recv() => {
                    told += 1;
                    let view = Box::new(teller.view(&head, &octets));
                    if lines.send(CaptureLine::Frame(view)).await.is_err() {
                        break;
                    }
                }
            }
        }
        // What was taken in time and is on its way.
        while order.count.is_none_or(|count| told < count)
            && let Ok((head, octets)) = captured.try_recv()
        {
            told += 1;
            let view = Box::new(teller.view(&head, &octets));
            if lines.send(CaptureLine::Frame(view)).await.is_err() {
                break;
            }
        }
        if let Ok(in_kernel) = self.renew(lost_before).await {
            lost = in_kernel;
        }
        let ended = self.kernel.call(|edge| edge.end_capture()).await;
        if let Err(error) | Ok(Err(error)) = ended.map(|ended| ended.map_err(Problem::from)) {
            tracing::error!(%error, "the capture could not be ended; it lapses by itself");
        }
        let lost = lost + overrun.load(Ordering::Relaxed);
        tracing::info!(frames = told, lost, "capture ends");
        drop(only_one);
        // If nobody listens any more, nobody wants to know.
        drop(lines.send(CaptureLine::Ended { lost }).await);
    }

    async fn renew(&self, lost_before: u64) -> Result<u64, Problem> {
        let renew = move |edge: &mut edge::Edge| edge.renew_capture(lost_before);
        Ok(self.kernel.call(renew).await??)
    }
}

/// Hands frames on as they come. What finds no room is counted: the ring must not wait.
struct CaptureRing {
    reader: CaptureReader,
    frames: mpsc::Sender<(Captured, Vec<u8>)>,
    overrun: Arc<AtomicU64>,
}

impl Ring for CaptureRing {
    fn drain(&mut self) {
        while let Some(frame) = self.reader.next_frame() {
            if self.frames.try_send(frame).is_err() {
                self.overrun.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl AsRawFd for CaptureRing {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// Puts names to numbers.
struct Teller {
    names: BTreeMap<u32, String>,
    boot: Timestamp,
    headers_alone: bool,
}

impl Teller {
    fn view(&mut self, head: &Captured, octets: &[u8]) -> CapturedView {
        let interface = self.names.entry(head.ifindex).or_insert_with(|| {
            let named = edge::interface_name(head.ifindex);
            named.unwrap_or_else(|_unknown| format!("number {}", head.ifindex))
        });
        let kept = match self.headers_alone {
            true => edge::headers(octets),
            false => octets,
        };
        let counter = Counter::ALL
            .iter()
            .find(|counter| counter.index() == head.counter);
        let since = i64::try_from(head.at_ns).unwrap_or(i64::MAX);
        CapturedView {
            at: self.boot + SignedDuration::from_nanos(since),
            interface: interface.clone(),
            verdict: edge::verdict_name(head.verdict.into())
                .unwrap_or("unknown")
                .to_owned(),
            counter: counter.map_or("none", |counter| counter.name()).to_owned(),
            relay: (head.relay != NO_RELAY).then_some(head.relay),
            flag_id: (head.flag_id != 0).then_some(head.flag_id),
            octets: head.wire_octets,
            as_it_left: head.as_it_left != 0,
            frame: hex::encode(kept),
        }
    }
}

/// Ethernet with two tags, IPv6, and the longest TCP header; other headers in between may be cut.
const HEADERS_OCTETS: u32 = 14 + 8 + 40 + 60 + 70;
/// Frames on their way to a caller that is slower than they come.
const LINES: usize = 4096;
const RENEWAL: Duration = Duration::from_secs(1);
