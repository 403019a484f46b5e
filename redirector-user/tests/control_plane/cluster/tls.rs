//! The shared store over the network: whoever answers must be whom the operator has named.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::{authority::Authority, lab::Lab, postgres::Postgres};

/// Listens on the lab's loopback for TLS, and for nothing else; the role `outgate` has [`PASSWORD`].
fn server(lab: &Lab, authority: &Authority) -> Postgres {
    authority.certify("db", &["localhost", "::1"]);
    let through = format!("nsenter --net=/run/netns/{}", lab.edge());
    let settings = "-c listen_addresses=127.0.0.1,::1 -c ssl=on";
    let server = Postgres::start_with(&through, settings, |data| {
        for (from, to) in [("db.pem", "server.crt"), ("db.key", "server.key")] {
            let to = data.join(to);
            fs::copy(authority.file(from), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            let owned = Command::new("chown").arg("postgres").arg(&to).status();
            assert!(owned.unwrap().success());
        }
        let who = "local all postgres trust\nhostssl all outgate all scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), who).unwrap();
    });
    let role = format!("CREATE ROLE outgate LOGIN PASSWORD '{PASSWORD}'");
    assert!(server.psql("postgres", &role));
    assert!(server.psql("postgres", "CREATE DATABASE outgate OWNER outgate"));
    server
}

fn configure(lab: &Lab, authority: &Authority, host: &str, password: &str, mode: &str) {
    let ca = authority.file("ca.pem");
    let url = format!(
        "postgresql://outgate:{password}@{host}/outgate?sslmode={mode}&sslrootcert={}",
        ca.display()
    );
    let store = format!("\n[store]\nurl = \"{url}\"\nedge = \"a\"\n");
    fs::write(lab.config(), lab.text() + &store).unwrap();
}

#[test]
fn a_server_that_is_not_whom_the_operator_named_is_told_nothing() {
    let mut lab = Lab::new();
    let authority = Authority::new();
    let _server = server(&lab, &authority);
    let stranger = Authority::new();
    for (signed, host, password, mode, because) in [
        (
            &stranger,
            "localhost",
            PASSWORD,
            "verify-full",
            "invalid peer certificate: ",
        ),
        (
            &authority,
            "127.0.0.1",
            PASSWORD,
            "verify-full",
            "not valid for name",
        ),
        (
            &authority,
            "localhost",
            "wrong",
            "verify-full",
            "password authentication failed",
        ),
        (
            &authority,
            "localhost",
            PASSWORD,
            "disable",
            "no encryption",
        ),
    ] {
        configure(&lab, signed, host, password, mode);
        let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
        let tried = command.arg("--config").arg(lab.config()).output().unwrap();
        let said = String::from_utf8_lossy(&tried.stderr);
        assert_eq!(tried.status.code(), Some(75), "{said}");
        assert!(said.contains(because), "{host}, {mode}: {said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }

    for host in ["localhost", "[::1]:5432"] {
        configure(&lab, &authority, host, PASSWORD, "verify-full");
        lab.start();
        let flag = lab.json(
            0,
            &[
                "flag",
                "add",
                "192.0.2.10",
                "--reason",
                "r",
                "--action",
                "drop",
            ],
        );
        assert_eq!(flag["action"], "drop", "{flag}");
        let id = flag["id"].to_string();
        lab.json(0, &["flag", "rm", &id, "--reason", "over"]);
        lab.end(rustix::process::Signal::TERM);
        assert!(!lab.logged().contains(PASSWORD));
    }
}

const PASSWORD: &str = "s3cret-of-a-test";
