//! Who has seen and done what: the list, and whether the log is what was written.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::scene::Scene;
use super::spam;
use crate::sink::Sink;

/// What the program prints and says beside that, with that exit code.
#[track_caller]
fn asked(scene: &Scene, words: &[&str], code: i32) -> (String, String) {
    let output = scene.run(&[&["audit"], words].concat());
    let text = |octets| String::from_utf8(octets).unwrap();
    let (said, error) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}{error}");
    (said, error)
}

fn file(scene: &Scene) -> PathBuf {
    scene.state.path().join("quarantine.audit")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_did_what_and_a_line_that_was_meddled_with_is_named() {
    let sink = Sink::start();
    let scene = Scene::with(sink.address, "");
    let (said, _) = asked(&scene, &["--verify"], 0);
    assert!(said.contains("no lines"), "{said}");
    asked(&scene, &[], 2);

    let (one, other) = (
        scene.refused(spam(1).as_bytes()).await,
        scene.refused(spam(2).as_bytes()).await,
    );
    let reason = "ticket 4711";
    scene.hear(&["show", &one, "--headers", "--reason", reason]);
    scene.hear(&["show", &other, "--reason", reason]);
    let (said, _) = asked(&scene, &["--verify", "-j"], 0);
    let early: Value = serde_json::from_str(&said).unwrap();
    scene.hear(&["drop", &one, "--reason", "erasure, ticket 4712"]);

    let (table, _) = asked(&scene, &["--id", &one], 0);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["LINE", "AT", "WHO", "ACT", "ID", "WHAT", "REASON"]
    );
    // Who it was is told by the socket: the number of a user, in two words.
    assert_eq!(rows[1][0], "1");
    assert_eq!(rows[1][4..], ["view", &one, "headers", "ticket", "4711"]);
    assert_eq!(rows.last().unwrap()[4..6], ["dropped", one.as_str()]);
    let (lines, _) = asked(&scene, &["--since", "1h", "-j"], 0);
    let lines: Value = serde_json::from_str(&lines).unwrap();
    let acts = lines.as_array().unwrap().iter();
    let acts: Vec<&str> = acts.map(|line| line["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["view", "view", "dropped"]);
    let actor = lines[0]["actor"].as_str().unwrap();
    asked(&scene, &["--actor", actor], 0);
    asked(&scene, &["--actor", "uid 4711"], 2);

    // What was printed earlier is still there.
    let mark = early["last"].as_str().unwrap();
    let (said, _) = asked(&scene, &["--verify", "--holds", mark], 0);
    assert!(said.contains("3 lines from number 1 on"), "{said}");
    let whole = fs::read_to_string(file(&scene)).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let changed = whole.replace("erasure", "mistake");
    let swapped = [lines[0], lines[2], lines[1]].concat();
    let without = [lines[0], lines[2]].concat();
    let torn = whole.get(..whole.len() - 10).unwrap();
    for (text, problem) in [
        (
            changed.as_str(),
            "line 3: its hash is not that of what it says",
        ),
        (&swapped, "line 2: it does not follow from the line before"),
        (&without, "line 2: it does not follow from the line before"),
        (torn, "line 3: it is not whole"),
    ] {
        fs::write(file(&scene), text).unwrap();
        let (said, error) = asked(&scene, &["--verify", "-j"], 1);
        let told: Value = serde_json::from_str(&said).unwrap();
        let broken = told["broken"].as_str().unwrap();
        assert!(broken.starts_with(problem), "{said}");
        assert!(error.contains(problem), "{error}");
        // What stands before it is shown, and what follows it is not.
        let (said, error) = asked(&scene, &[], 1);
        let good = problem.split([' ', ':']).nth(1).unwrap();
        assert_eq!(said.lines().count().to_string(), good, "{said}");
        assert!(error.contains(problem), "{error}");
    }
    // What is cut off at its end leaves no trace but elsewhere.
    fs::write(file(&scene), lines[0]).unwrap();
    asked(&scene, &["--verify"], 0);
    let (_, error) = asked(&scene, &["--verify", "--holds", mark], 1);
    let gone = "line number 2 is gone: the log ends with number 1";
    assert!(error.contains(gone), "{error}");
    let (_, error) = asked(&scene, &["--holds", mark], 2);
    assert!(error.contains("--verify"), "{error}");
    scene.stop().await;
}
