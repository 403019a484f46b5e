//! What people say to the queue through `outgate-relay queue`, and what they hear.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use relay::queue::admin::door::{self, Asked};
use relay_proto::queued::QueueId;
use tokio::task::spawn_blocking;

use super::world::{Running, site};
use crate::host::wait_until;
use crate::program::Home;

struct Scene {
    home: Home,
    running: Running,
}

impl Scene {
    /// A queue behind the door that the program's configuration names.
    fn start() -> Self {
        let home = home();
        let running = Running::start(&home.path(""));
        let listener = door::bind(&home.path("admin.sock")).unwrap();
        let asked = Asked {
            queue: Some(running.queue.clone()),
            transfers: None,
            behaviour: None,
            quarantine: None,
        };
        tokio::spawn(door::serve(asked, listener));
        Self { home, running }
    }

    async fn say(&self, words: &[&str]) -> Output {
        say(&self.home, words).await
    }

    /// What is said with success.
    async fn hear(&self, words: &[&str]) -> String {
        let output = self.say(words).await;
        let heard = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {heard}{error}");
        heard
    }

    fn jobs(&self, state: usize) -> usize {
        self.running.queue.stats().counts.by_state[state]
    }

    fn wait_for(&self, what: &str, until: impl Fn(&Self) -> bool) {
        tokio::task::block_in_place(|| wait_until(what, || until(self)));
    }
}

fn home() -> Home {
    let listener = "[[authorised]]\nlisten = [\"127.0.0.1:2599\"]\nfrom = [\"192.0.2.0/24\"]\n\
                    destination = \"so-original-dst\"\n";
    Home::authorised(false, listener)
}

async fn say(home: &Home, words: &[&str]) -> Output {
    let mut command: Command = home.command(&[]);
    command.arg("queue").args(words);
    spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

const SCHEDULED: usize = 0;
const HELD: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_shown_held_released_and_deleted() {
    let scene = Scene::start();
    let first = scene
        .running
        .arrive("192.0.2.1", &["one@a.example", "two@b.example"]);
    let second = scene.running.arrive("192.0.2.2", &["three@a.example"]);
    scene.wait_for("deferrals", |scene| scene.jobs(SCHEDULED) == 3);

    let table = scene.hear(&["ls"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ID             AGE"), "{table}");
    assert_eq!(lines.len(), 4, "{table}");
    assert!(table.contains("4.4.3 no  [31msuch [0m server"), "{table:?}");
    assert!(!table.contains('\x1b'), "{table:?}");
    let some = scene
        .hear(&["ls", "--domain", "A.example", "--customer", "192.0.2.0/31"])
        .await;
    assert!(
        some.contains(&first.to_string()) && !some.contains(&second.to_string()),
        "{some}"
    );
    let json = scene
        .hear(&["ls", "-j", "--state", "scheduled", "--younger", "1h"])
        .await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!(json[0]["sender"], "customer.example");

    let shown = scene
        .hear(&["show", &first.to_string().to_lowercase()])
        .await;
    for expected in [
        "one@a.example",
        "two@b.example",
        "sender@customer.example",
        "flag          17",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }

    let said = scene
        .hear(&["hold", "--customer", "192.0.2.1", "--dry-run"])
        .await;
    assert_eq!(said, "2 match, 2 would be held\n");
    assert_eq!(scene.jobs(HELD), 0);
    let said = scene.hear(&["hold", "--customer", "192.0.2.1"]).await;
    assert_eq!(said, "2 match, 2 held\n");
    assert_eq!(scene.jobs(HELD), 2);
    let kept = std::fs::read_to_string(scene.home.path("queue.json")).unwrap();
    assert!(kept.contains(&first.to_string()), "{kept}");
    let said = scene.hear(&["release", &first.to_string()]).await;
    assert_eq!(said, "2 match, 2 released\n");
    let kept = std::fs::read_to_string(scene.home.path("queue.json")).unwrap();
    assert!(!kept.contains(&first.to_string()), "{kept}");

    scene.wait_for("deferrals", |scene| scene.jobs(SCHEDULED) == 3);
    let said = scene
        .hear(&["delete", "--domain", "a.example", "--reason", "spam", "-j"])
        .await;
    assert_eq!(
        said,
        "{\"matched\":2,\"changed\":2,\"in_flight\":0,\"failed\":0}\n"
    );
    assert_eq!(scene.jobs(SCHEDULED), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_goes_on_when_it_is_resumed_and_flushes_are_attempts() {
    let scene = Scene::start();
    assert!(
        scene
            .hear(&["pause", "--domain", "a.example"])
            .await
            .starts_with("paused")
    );
    assert_eq!(
        scene.hear(&["pause", "--domain", "A.example"]).await,
        "was paused already\n"
    );
    site(&scene.running.world, "a.example", true).await;
    scene.running.arrive("192.0.2.1", &["x@a.example"]);
    scene.running.arrive("192.0.2.1", &["x@b.example"]);
    scene.wait_for("a deferral", |scene| scene.jobs(SCHEDULED) == 1);
    let stats = scene.hear(&["stats"]).await;
    assert!(
        stats.contains("waiting      1") && stats.contains("paused       domain a.example"),
        "{stats}"
    );
    assert_eq!(scene.running.delivered("a.example"), 0);
    assert_eq!(
        scene.hear(&["resume", "--domain", "a.example"]).await,
        "goes on\n"
    );
    scene.wait_for("the delivery", |scene| {
        scene.running.delivered("a.example") == 1
    });
    assert_eq!(scene.say(&["resume", "--all"]).await.status.code(), Some(2));

    // Whoever knows that it is mended does not wait for the schedule, nor for what was looked up before.
    site(&scene.running.world, "b.example", true).await;
    let said = scene.hear(&["requeue", "--domain", "b.example"]).await;
    assert_eq!(said, "1 match, 1 requeued\n");
    scene.wait_for("the delivery", |scene| {
        scene.running.delivered("b.example") == 1
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let home = home();
    let absent = QueueId::from_number(1).unwrap().to_string();
    let output = say(&home, &["ls"]).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("admin.sock: no relay answers"), "{error}");
    let scene = Scene::start();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["show", &absent], 2, "0000000000001: not in the queue"),
        (&["show", "xyz"], 1, "xyz: not a queue id"),
        (&["flush"], 1, "no condition is given"),
        (&["flush", "--all"], 2, "nothing in the queue matches"),
        (
            &["delete", "--all", "--reason", " "],
            1,
            "mail is deleted for a reason",
        ),
        (&["delete", "--all"], 2, "--reason"),
        (
            &["ls", "--customer", "192.0.2.0/33"],
            1,
            "192.0.2.0/33: not an address or prefix",
        ),
        (
            &["ls", "--state", "lost"],
            1,
            "lost: must be one of: scheduled, waiting",
        ),
        (&["pause"], 2, "--domain"),
    ];
    for (words, code, expected) in cases {
        let output = scene.say(words).await;
        let heard = [output.stdout, output.stderr].concat();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {heard}");
        assert!(heard.contains(expected), "{words:?}: {heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_is_for_the_group_and_a_socket_left_behind_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let listener = door::bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let error = door::bind(&path).unwrap_err().to_string();
    assert!(error.contains("another relay answers there"), "{error}");
    drop(listener);
    door::bind(&path).unwrap();
}
