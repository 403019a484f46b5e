use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use super::*;

/// Octets of text that the format seals at once, and what it adds to them.
const CHUNK_OCTETS: usize = 64 << 10;
const TAG_OCTETS: usize = 16;

fn pair() -> (Identity, Recipient) {
    let identity = Identity::generate();
    let recipient = identity.recipient();
    (identity, recipient)
}

fn seal(text: &[u8], piece: usize, recipients: &[Recipient]) -> Vec<u8> {
    let (mut sealer, mut sealed) = Sealer::new(recipients).unwrap();
    for piece in text.chunks(piece) {
        sealer.update(piece, &mut sealed).unwrap();
    }
    sealer.finish(&mut sealed).unwrap();
    sealed
}

fn open(sealed: &[u8], identities: &[Identity]) -> Result<Vec<u8>, OpenError> {
    let mut text = Vec::new();
    Opener::new(Cursor::new(sealed), identities)?.read_to_end(&mut text)?;
    Ok(text)
}

fn text(octets: usize) -> Vec<u8> {
    (0..=250).cycle().take(octets).collect()
}

#[test]
fn what_was_sealed_is_opened_whatever_its_size_and_its_pieces() {
    let (identity, recipient) = pair();
    for octets in [
        0,
        1,
        CHUNK_OCTETS - 1,
        CHUNK_OCTETS,
        CHUNK_OCTETS + 1,
        3 * CHUNK_OCTETS,
    ] {
        for piece in [1000, CHUNK_OCTETS, 10 * CHUNK_OCTETS] {
            let sealed = seal(&text(octets), piece, std::slice::from_ref(&recipient));
            let opened = open(&sealed, std::slice::from_ref(&identity)).unwrap();
            assert!(opened == text(octets), "{octets} octets by {piece}");
        }
    }
}

#[test]
fn each_recipient_can_open_it_and_nobody_else() {
    let (ann, bob, eve) = (pair(), pair(), pair());
    let sealed = seal(b"text", 1, &[ann.1, bob.1]);
    for identity in [ann.0, bob.0] {
        assert_eq!(open(&sealed, &[eve.0.clone(), identity]).unwrap(), b"text");
    }
    let refused = open(&sealed, &[eve.0]);
    assert!(matches!(refused, Err(OpenError::WrongIdentity)));
    assert!(matches!(Sealer::new(&[]), Err(SealError::NoRecipient)));
}

#[test]
fn no_octet_can_be_changed_or_left_out() {
    let (identity, recipient) = pair();
    let identities = [identity];
    let sealed = seal(b"some text", 100, std::slice::from_ref(&recipient));
    for place in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        assert!(open(&changed, &identities).is_err(), "{place}");
        assert!(open(&sealed[..place], &identities).is_err(), "{place}");
    }
    // At the border of two chunks nothing but the last chunk's own word tells that something is missing.
    let sealed = seal(
        &text(2 * CHUNK_OCTETS),
        1000,
        std::slice::from_ref(&recipient),
    );
    let cut = sealed.len() - CHUNK_OCTETS - TAG_OCTETS;
    assert!(open(&sealed[..cut], &identities).is_err());
}

#[test]
fn keys_are_read_as_age_writes_them() {
    // As `age-keygen -y` pairs them.
    let identity = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6";
    let recipient = "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn";
    let identities = Identity::read(&format!("# created: today\n\n{identity}\n")).unwrap();
    assert_eq!(identities[0].recipient().to_string(), recipient);
    assert_eq!(format!("{identities:?}"), "[Identity(..)]");
    let parsed: Recipient = recipient.parse().unwrap();
    assert_eq!(parsed.to_string(), recipient);
    for wrong in [
        "",
        "age1",
        identity,
        "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwym",
        "age1W3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn",
    ] {
        assert_eq!(wrong.parse::<Recipient>(), Err(NotARecipient), "{wrong}");
    }
    for wrong in ["", "# nothing\n", recipient] {
        assert!(Identity::read(wrong).is_err(), "{wrong}");
    }
}

/// Debian's program, fed with `input`.
#[track_caller]
fn age(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("age")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("age: {error}; `cargo xtask setup` installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert!(output.status.success(), "age {arguments:?}");
    output.stdout
}

#[test]
fn debians_age_opens_what_we_seal_and_we_what_it_seals() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("identity");
    let file = file.to_str().unwrap();
    let made = Command::new("age-keygen").args(["-o", file]).output();
    let made = made
        .unwrap_or_else(|error| panic!("age-keygen: {error}; `cargo xtask setup` installs age"));
    assert!(made.status.success());
    let identities = Identity::read(&std::fs::read_to_string(file).unwrap()).unwrap();
    let recipient = identities[0].recipient();
    let other = pair().1;
    for octets in [0, 5, CHUNK_OCTETS, 2 * CHUNK_OCTETS + 1] {
        let text = text(octets);
        let ours = seal(&text, 1000, &[other.clone(), recipient.clone()]);
        assert!(age(&["-d", "-i", file], &ours) == text, "{octets}");
        let recipients = [recipient.to_string(), other.to_string()];
        let theirs = age(&["-r", &recipients[0], "-r", &recipients[1]], &text);
        assert!(open(&theirs, &identities).unwrap() == text, "{octets}");
    }
}
