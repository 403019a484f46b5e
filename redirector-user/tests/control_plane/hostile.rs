//! Files from anywhere: whatever they hold, each is taken whole or refused with its line, and nothing is stored.

use std::{fs, path::PathBuf};

use crate::lab::Lab;

impl Lab {
    fn hostile(&self, octets: &[u8]) -> PathBuf {
        let path = self.config().with_file_name("hostile");
        fs::write(&path, octets).unwrap();
        path
    }
}

fn utf16(text: &str, mark: bool) -> Vec<u8> {
    let units = mark
        .then_some(0xfeff)
        .into_iter()
        .chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

#[test]
fn hostile_files_are_refused_with_their_line_and_change_nothing() {
    let lab = Lab::started();
    let before = lab.json(0, &["status"])["generation"].clone();
    let flags = "prefix,reason\n192.0.2.10,r\n";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "NUL",
            format!("{flags}192.0.2.11,a\0b\n").into(),
            "line 3: holds NUL",
        ),
        (
            "UTF-16",
            utf16(flags, false),
            "line 1: holds NUL; is it UTF-16?",
        ),
        (
            "UTF-16 with a mark",
            utf16(flags, true),
            "line 1: is UTF-16",
        ),
        (
            "Latin-1",
            [flags.as_bytes(), b"192.0.2.11,caf\xe9\n"].concat(),
            "line 3: not UTF-8",
        ),
        (
            "a quote without an end",
            format!("{flags}192.0.2.11,\"{}", "192.0.2.12,r\n".repeat(500_000)).into(),
            "line 3: longer than 4096 octets; is there a quote without its end?",
        ),
        (
            "100 MB in one line",
            [flags.as_bytes(), &vec![b'x'; 100_000_000]].concat(),
            "line 3: longer than 4096 octets",
        ),
        (
            "100 MB of one line of JSON",
            [b"[\"".as_slice(), &vec![b'x'; 100_000_000]].concat(),
            "line 1: longer than 65536 octets",
        ),
        (
            "ten million lines",
            [b"prefix,reason\n".as_slice(), &b"x,r\n".repeat(10_000_000)].concat(),
            "nothing was imported: 100000 bad lines",
        ),
        (
            "twice the same",
            format!("{flags}192.0.2.10,r\n").into(),
            "line 3: 192.0.2.10/32 stands on line 2 already",
        ),
        (
            "twice something else",
            "prefix,reason,action\n2001:db8:a:a::1,r,drop\n2001:db8:a:a::2,r,pass\n".into(),
            "line 3: 2001:db8:a:a::/64 stands on line 2 already",
        ),
        ("JSON cut off", "[{\"prefix\":".into(), "line 1: not JSON"),
    ];
    for (name, file, said) in cases {
        let path = lab.hostile(&file);
        let heard = lab.outgate(&["flag", "import", path.to_str().unwrap()]);
        assert_eq!(heard.code, 1, "{name}: {heard:?}");
        let err = heard
            .err
            .get(..heard.err.len().min(2000))
            .unwrap_or_default();
        assert!(err.contains(said), "{name}: {said:?} is not in: {err}");
    }
    let policy = |text: &[u8], said: &str| {
        let path = lab.hostile(text);
        let heard = lab.outgate(&["apply", "-f", path.to_str().unwrap()]);
        assert_eq!(heard.code, 1, "{heard:?}");
        assert!(heard.err.contains(said), "{said:?} is not in: {heard:?}");
    };
    policy(
        b"origin = \"p\"\n[[flag]]\nreason = \"caf\xe9\"\n",
        "line 3: not UTF-8",
    );
    policy(b"origin = \"p\"\n[[flag]]\nreason = \"open\n", "line 3:");
    policy(&utf16("origin = \"p\"", true), "line 1: is UTF-16");
    let assignments =
        lab.hostile(b"{\"results\": [{\"prefix\": \"192.0.2.0/28\", \"tenant\": 1}]}");
    let heard = lab.outgate(&["assign", "import", assignments.to_str().unwrap()]);
    assert_eq!(heard.code, 1, "{heard:?}");
    assert!(heard.err.contains("line 1: invalid type"), "{heard:?}");

    assert_eq!(lab.json(0, &["status"])["generation"], before);
    assert!(lab.json(0, &["flag", "ls"]).as_array().unwrap().is_empty());
    assert!(
        lab.json(0, &["assign", "ls"])
            .as_array()
            .unwrap()
            .is_empty()
    );

    // What spreadsheets write is no harm.
    let marked = lab.hostile("\u{feff}prefix,reason,action\r\n192.0.2.10,r,drop\r\n".as_bytes());
    lab.json(0, &["flag", "import", marked.to_str().unwrap()]);
    let size = fs::read_to_string(format!("/proc/{}/status", lab.pid())).unwrap();
    let peak = size
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kibioctets: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // The file itself, as it came over the socket, and once more while it grew.
    assert!(kibioctets < 500_000, "outgated took {kibioctets} KiB");
}
