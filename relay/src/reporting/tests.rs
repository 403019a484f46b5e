//! The reporter against a controller that takes, forgets to answer, refuses, or is away.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;

use bytes::Bytes;
use contract::event::{Batch, Taken};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep, timeout};

use super::*;

/// What a controller does with a batch.
#[derive(Clone, Copy)]
enum Mood {
    /// Takes it, and its answer is lost.
    Silent,
    /// Takes nothing.
    Busy,
}

/// What it has taken, as outgated takes it: by run and number.
#[derive(Default)]
struct Taking {
    moods: VecDeque<Mood>,
    /// An event that it does not understand.
    hates: Option<String>,
    through: BTreeMap<String, u64>,
    events: Vec<(String, Event)>,
    batches: usize,
}

#[derive(Clone)]
struct Controller(Arc<Mutex<Taking>>);

impl Controller {
    fn listen(socket: &Path, taking: Taking) -> (Self, JoinHandle<()>) {
        let listener = UnixListener::bind(socket).unwrap();
        let this = Self(Arc::new(Mutex::new(taking)));
        let controller = this.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let controller = controller.clone();
                let service = service_fn(move |request| controller.clone().answer(request));
                let connection = hyper::server::conn::http1::Builder::new();
                let connection = connection.serve_connection(TokioIo::new(stream), service);
                // A relay that ends hangs up.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        (this, serving)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/v1/relays/relay-1/events");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (status, body) = locked(&self.0).take(&body);
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        Ok(response)
    }

    fn said(&self) -> Vec<String> {
        let taking = locked(&self.0);
        let record = |(_, event): &(String, Event)| match &event.happening {
            Happening::Kept { record } => record.clone(),
            other => other.kind().to_owned(),
        };
        taking.events.iter().map(record).collect()
    }

    async fn has(&self, number: usize) {
        let arrived = async {
            while locked(&self.0).events.len() < number {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), arrived)
            .await
            .unwrap_or_else(|_| panic!("{:?}", self.said()));
    }
}

impl Taking {
    fn take(&mut self, body: &[u8]) -> (StatusCode, String) {
        self.batches += 1;
        let batch: Batch = serde_json::from_slice(body).unwrap();
        assert!(batch.is_sound(), "{batch:?}");
        let mood = self.moods.pop_front();
        if matches!(mood, Some(Mood::Busy)) {
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        let text = String::from_utf8_lossy(body);
        if self
            .hates
            .as_ref()
            .is_some_and(|hated| text.contains(hated))
        {
            return (StatusCode::UNPROCESSABLE_ENTITY, "what is that?".into());
        }
        let through = self.through.entry(batch.epoch.clone()).or_default();
        for event in batch.events {
            if event.seq > *through {
                *through = event.seq;
                self.events.push((batch.epoch.clone(), event));
            }
        }
        let taken = Taken {
            epoch: batch.epoch,
            through: *through,
        };
        match mood {
            Some(Mood::Silent) => (StatusCode::GATEWAY_TIMEOUT, String::new()),
            Some(Mood::Busy) | None => (StatusCode::OK, serde_json::to_string(&taken).unwrap()),
        }
    }
}

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("outgated.sock")
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("events.journal")
    }

    /// A reporter of a run of the relay.
    fn run(&self) -> Reporter {
        let way = Way::new(&self.socket(), "relay-1");
        Reporter(Some(Arc::new(Desk::open(&self.journal(), way, BOUNDS))))
    }
}

fn kept(reporter: &Reporter, records: std::ops::Range<usize>) {
    for record in records {
        let record = format!("r{record}");
        let customer = "192.0.2.10".parse().unwrap();
        reporter.happened(customer, Some(3), Happening::Kept { record });
    }
}

fn records(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|record| format!("r{record}")).collect()
}

/// What a relay that is killed leaves: nothing is saved, and whatever was being done stops.
async fn written(scene: &Scene, tending: JoinHandle<()>, through: &str) {
    let arrived = async {
        let has = |text: String| text.contains(&format!("\"{through}\""));
        while !std::fs::read_to_string(scene.journal()).is_ok_and(has) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), arrived).await.unwrap();
    tending.abort();
}

#[tokio::test]
async fn each_event_arrives_once_in_order_whatever_ends_in_between() {
    let scene = Scene::new();
    let tend = |reporter: &Reporter| tokio::spawn(reporter.clone().tend(None));
    // The controller is away, and the relay is killed.
    let reporter = scene.run();
    let tending = tend(&reporter);
    kept(&reporter, 0..700);
    written(&scene, tending, "r699").await;

    // It comes; its first answers are lost, and it is busy for a while.
    let moods = VecDeque::from([Mood::Silent, Mood::Busy, Mood::Silent]);
    let taking = Taking {
        moods,
        ..Taking::default()
    };
    let (controller, serving) = Controller::listen(&scene.socket(), taking);
    let reporter = scene.run();
    let tending = tend(&reporter);
    kept(&reporter, 700..750);
    controller.has(750).await;
    written(&scene, tending, "r749").await;

    // It is gone, and what happens meanwhile is saved by a stop.
    serving.abort();
    std::fs::remove_file(scene.socket()).unwrap();
    let reporter = scene.run();
    kept(&reporter, 750..760);
    reporter.count("192.0.2.10".parse().unwrap(), None, |it| it.messages += 7);
    reporter.save();
    let before = std::mem::take(&mut *locked(&controller.0));
    let (controller, _serving) = Controller::listen(&scene.socket(), before);
    let reporter = scene.run();
    let _tending = tend(&reporter);
    kept(&reporter, 760..770);
    controller.has(771).await;
    let mut expected = records(0..760);
    expected.push("rates".into());
    expected.extend(records(760..770));
    assert_eq!(controller.said(), expected);
}

#[tokio::test]
async fn an_event_that_is_refused_does_not_hold_up_the_others() {
    let scene = Scene::new();
    let taking = Taking {
        hates: Some("\"r3\"".into()),
        ..Taking::default()
    };
    let (controller, _serving) = Controller::listen(&scene.socket(), taking);
    let reporter = scene.run();
    kept(&reporter, 0..40);
    let _tending = tokio::spawn(reporter.clone().tend(None));
    controller.has(40).await;
    let mut said = controller.said();
    // Where that is said among the others is a matter of time.
    said.retain(|record| record != "lost");
    let mut expected = records(0..40);
    expected.remove(3);
    assert_eq!(said, expected);
}

#[tokio::test]
async fn without_a_journal_events_are_sent_from_memory() {
    let scene = Scene::new();
    std::fs::create_dir(scene.journal()).unwrap();
    let (controller, _serving) = Controller::listen(&scene.socket(), Taking::default());
    let reporter = scene.run();
    let _tending = tokio::spawn(reporter.clone().tend(None));
    kept(&reporter, 0..10);
    controller.has(10).await;
    assert_eq!(controller.said(), records(0..10));
}

#[tokio::test]
async fn the_journal_does_not_grow_for_ever() {
    let scene = Scene::new();
    let (controller, _serving) = Controller::listen(&scene.socket(), Taking::default());
    let reporter = scene.run();
    let _tending = tokio::spawn(reporter.clone().tend(None));
    let mut longest = 0;
    for round in 0..20 {
        kept(&reporter, round * 1000..(round + 1) * 1000);
        controller.has((round + 1) * 1000).await;
        longest = std::fs::metadata(scene.journal())
            .unwrap()
            .len()
            .max(longest);
    }
    // Twenty thousand events are more than that.
    assert!(longest < 3 << 20, "{longest}");
    let text = std::fs::read_to_string(scene.journal()).unwrap();
    assert!(text.len() < 2 << 20, "{}", text.len());
}

#[test]
fn trouble_is_told_when_it_begins_and_when_it_ends() {
    let scene = Scene::new();
    let reporter = scene.run();
    let broken = || Err(String::from("connection refused"));
    reporter.scanner("clamd", Ok(()));
    reporter.scanner("clamd", broken());
    reporter.scanner("clamd", broken());
    reporter.scanner("rspamd", broken());
    reporter.scanner("clamd", Ok(()));
    reporter.disk("spool", broken());
    reporter.disk("spool", Ok(()));
    reporter.disk("spool", Ok(()));
    let desk = reporter.0.unwrap();
    let told: Vec<String> = locked(&desk.book)
        .buffer
        .unwritten()
        .map(|entry| {
            let text = journal::memory(&entry.place).unwrap();
            let event: Event = serde_json::from_str(&text).unwrap();
            assert_eq!((event.customer, event.flag_id), (None, None));
            event.happening.kind().to_owned()
        })
        .collect();
    let expected = [
        "scanner_down",
        "scanner_down",
        "scanner_back",
        "disk_failed",
        "disk_back",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_relay_without_a_controller_keeps_nothing() {
    let reporter = Reporter(None);
    reporter.relay_happened(Happening::Lost { events: 1 });
    reporter.count("192.0.2.10".parse().unwrap(), None, |_| {
        panic!("nobody counts")
    });
    reporter.save();
}

#[test]
fn what_is_thrown_away_is_told() {
    let scene = Scene::new();
    let way = Way::new(&scene.socket(), "relay-1");
    let bounds = Bounds {
        events: 100,
        ..BOUNDS
    };
    let desk = Desk::open(&scene.journal(), way, bounds);
    for record in 0..200 {
        let record = format!("r{record}");
        desk.note(None, None, Happening::Kept { record });
    }
    desk.write();
    let (_, left) = Journal::open(&scene.journal()).unwrap();
    let file = std::fs::File::open(scene.journal()).unwrap();
    let mut lost = 0;
    let mut kept = 0;
    for entry in &left.entries {
        let text = journal::text(&file, &entry.place).unwrap();
        match serde_json::from_str::<Event>(&text).unwrap().happening {
            Happening::Lost { events } => lost += events,
            _ => kept += 1,
        }
    }
    assert!(left.entries.len() <= 100);
    assert_eq!(lost + kept, 200);
}
