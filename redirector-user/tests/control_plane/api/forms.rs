//! Requests that are not what they should be: the status says what is wrong, and the message names the field.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::lab::{Lab, deadline};

/// Sends octets as they are; answers with status and body.
#[track_caller]
fn raw(lab: &Lab, request: &[u8]) -> (u16, Value) {
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    stream.set_read_timeout(Some(deadline())).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn head(line: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nHost: outgated\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[test]
fn each_mistake_has_its_status() {
    let lab = Lab::started();
    let body = |line: &str, kind: &str, body: &[u8]| {
        let length = format!("Content-Length: {}", body.len());
        let kind = format!("Content-Type: {kind}");
        let mut headers = vec![length.as_str()];
        if kind != "Content-Type: " {
            headers.push(&kind);
        }
        let request = [head(line, &headers), body.to_vec()].concat();
        raw(&lab, &request)
    };
    let json = "application/json";
    let flag = br#"{"target": "192.0.2.10", "reason": "r", "actor": "a", "action": "observe"}"#;
    let add = "POST /v1/flags";
    for (kind, sent, status) in [
        ("", &flag[..], 415),
        ("text/plain", flag, 415),
        (
            "application/x-www-form-urlencoded",
            b"target=192.0.2.10",
            415,
        ),
        (json, b"", 422),
        (json, b"\xff\xfe", 422),
        (json, b"{}{}", 422),
        (json, b"null", 422),
        (json, &[b'['; 10_000], 422),
        (json, &[b' '; 20_000], 413),
        ("Application/JSON; charset=utf-8", flag, 201),
    ] {
        let (got, answer) = body(add, kind, sent);
        assert_eq!(
            got,
            status,
            "{kind} {:?}: {answer}",
            String::from_utf8_lossy(sent).get(..40)
        );
        if status != 201 {
            assert_eq!(answer["error"]["kind"], "usage", "{answer}");
        }
    }
    for (sent, words) in [
        (json!({ "target": "192.0.2.10", "burst": -1 }), "burst: "),
        (
            json!({ "target": "192.0.2.10", "colour": "red" }),
            "unknown field `colour`",
        ),
        (json!({ "reason": "r" }), "missing field `target`"),
        (json!({ "target": ["192.0.2.10"] }), "target: "),
    ] {
        let (status, answer) = body(add, json, sent.to_string().as_bytes());
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            status == 422 && message.contains(words),
            "{status} {message}"
        );
    }
    for (line, status) in [
        ("HEAD /v1/status", 200),
        ("HEAD /v1/nothing", 404),
        ("OPTIONS /v1/status", 405),
        ("TRACE /v1/status", 405),
        ("PATCH /v1/flags/import", 405),
        ("GET /v1/users/%ff", 405),
        ("GET /v1/radar/%ff", 422),
        ("GET /v1/radar/192.0.2.10%00", 422),
        ("GET /v1/flags/%31", 200),
        ("GET /v1/flags/4294967296", 422),
        ("GET /v1/flags/-1", 422),
        ("GET /v1//flags", 404),
        ("GET /v1/flags/", 404),
        ("GET /v1/flags?all=true&all=true", 422),
        ("GET /v1/flags?all=%ff", 422),
        ("GET /v1/flags?target=192.0.2.0%2F24&all=true", 200),
    ] {
        let (got, answer) = raw(&lab, &head(line, &[]));
        assert_eq!(got, status, "{line}: {answer}");
        if status >= 400 && !line.starts_with("HEAD") {
            assert!(
                !answer["error"]["message"]
                    .as_str()
                    .unwrap_or_default()
                    .is_empty(),
                "{line}: {answer}"
            );
        }
    }
    assert_eq!(lab.json(0, &["flag", "ls"]).as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_http_ends_its_own_connection_alone() {
    let lab = Lab::started();
    for octets in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"EHLO mx.example.net\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut stream = UnixStream::connect(lab.socket()).unwrap();
        stream.set_read_timeout(Some(deadline())).unwrap();
        stream.write_all(octets).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(
            !answer.starts_with(b"HTTP/1.1 5"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(lab.outgate(&["status"]).code, 0);
}

#[test]
fn the_description_is_served_and_printed_alike() {
    let lab = Lab::started();
    let (status, served) = lab.http("GET /v1/openapi.json", "");
    assert_eq!(status, 200);
    assert_eq!(served["openapi"], "3.1.0");
    let printed = lab.json(0, &["openapi"]);
    assert_eq!(served, printed);
    assert_eq!(
        served["paths"]["/v1/flags/{id}"]["put"]["x-outgate-scope"],
        "flag"
    );
}

#[test]
fn a_body_that_comes_after_the_answer_was_known_breaks_no_connection() {
    let lab = Lab::started();
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    stream.set_read_timeout(Some(deadline())).unwrap();
    let answered = |stream: &mut UnixStream| {
        let mut octets = Vec::new();
        // An error is a line, `}}` and nothing behind it.
        while !octets.ends_with(b"}}") {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&octets));
            octets.extend_from_slice(&some[..count]);
        }
        String::from_utf8(octets).unwrap()
    };
    let body = [b' '; 10_000];
    // Neither path takes a body; the second request needs the connection of the first.
    for (line, status) in [
        ("POST /v1/nowhere", "404"),
        ("DELETE /v1/flags/99999", "409"),
        ("POST /v1/status", "405"),
    ] {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: outgated\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The time in which an answer would overtake the body.
        thread::sleep(Duration::from_millis(200));
        stream.write_all(&body).unwrap();
        let answer = answered(&mut stream);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
}
