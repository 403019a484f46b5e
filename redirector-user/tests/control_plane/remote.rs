//! A controller that listens over TLS on loopback, an authority, and callers with tokens and certificates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    authority::Authority,
    command::{Said, said},
    lab::Lab,
};

/// The controller, and what its callers need.
pub(crate) struct Remote {
    pub(crate) lab: Lab,
    authority: Authority,
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Remote {
    /// Starts it with `more` at the end of its `[api]`.
    pub(crate) fn started(more: &str) -> Self {
        let mut remote = Self {
            lab: Lab::new(),
            authority: Authority::new(),
        };
        remote.certify("server", &["localhost", "::1", "127.0.0.1"]);
        let text = format!(
            "{}\n[api]\nlisten = [\"[::1]:8443\", \"127.0.0.1:8443\"]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n{more}\n",
            remote.lab.text(),
            remote.file("server.pem"),
            remote.file("server.key"),
            remote.file("ca.pem"),
        );
        fs::write(remote.lab.config(), text).unwrap();
        remote.lab.start();
        remote
    }

    /// Makes a certificate for these names, and its key.
    pub(crate) fn certify(&self, file: &str, names: &[&str]) {
        self.authority.certify(file, names);
    }

    /// Makes a token by the socket; answers with the file that it is in.
    pub(crate) fn token(&self, name: &str, scope: &str) -> PathBuf {
        let told = self.lab.json(0, &["token", "add", name, "--scope", scope]);
        let file = self.file(&format!("{name}.token"));
        fs::write(&file, told["secret"].as_str().unwrap()).unwrap();
        file
    }

    /// Runs `outgate` over TLS, as the person `tester`.
    pub(crate) fn outgate(&self, token: &Path, arguments: &[&str]) -> Said {
        let mut command = self.lab.inside(env!("CARGO_BIN_EXE_outgate"));
        command.env("USER", "tester").env_remove("SUDO_USER");
        command
            .args(["--server", SERVER, "--token-file"])
            .arg(token);
        command.arg("--ca").arg(self.file("ca.pem"));
        said(command.args(arguments))
    }

    /// One request over TLS by curl, with more of its options.
    #[track_caller]
    pub(crate) fn curl(&self, path: &str, more: &[&str]) -> Answer {
        let mut command = self.lab.inside("curl");
        command.args([
            "--silent",
            "--show-error",
            "--include",
            "--http1.1",
            "--max-time",
            "60",
        ]);
        command.arg("--cacert").arg(self.file("ca.pem"));
        command.args(more).arg(format!("{SERVER}{path}"));
        let said = said(&mut command);
        assert_eq!(said.code, 0, "{path}: {said:?}\n{}", self.lab.logged());
        let (head, body) = said.out.split_once("\r\n\r\n").unwrap();
        // `100 Continue` has no body.
        let (head, body) = match head.contains(" 100 ") {
            true => body.split_once("\r\n\r\n").unwrap(),
            false => (head, body),
        };
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    /// The same with a token.
    #[track_caller]
    pub(crate) fn curl_as(&self, token: &Path, path: &str, more: &[&str]) -> Answer {
        let authorization = bearer(token);
        self.curl(path, &[&["--header", &authorization], more].concat())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.authority.file(name)
    }
}

/// As it stands in a header.
pub(crate) fn bearer(token: &Path) -> String {
    format!(
        "Authorization: Bearer {}",
        fs::read_to_string(token).unwrap()
    )
}

pub(crate) const SERVER: &str = "https://localhost:8443";
