//! What the program takes, in a file that others read; and a file judged frame by frame.

use std::{fs, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    capture::{SETTLE, send},
    dialogue::smtp,
    frames::Syn,
    gate::{Answer, Gate},
    host::HOST_INTERFACE,
    process::checked,
    relay::Options,
    wait::until,
};
use serde_json::Value;

use crate::{RELAY, connect, flag, lab_up, start};

#[test]
fn taken_frames_are_in_the_file_with_what_became_of_them() -> Result<()> {
    let lab = lab_up("ogtcapture")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let file = lab.dir().join(format!("{}.pcapng", family.name()));
        let file = file.to_str().context("a path of letters")?;
        let customer = Host::CustomerA.address(family);
        let answer = while_capturing(&gate, file, &["--source", &customer.to_string()], || {
            let second = gate.outgate(&["capture", "/nonexistent/second.pcapng"])?;
            ensure!(
                second.code == 1 && second.err.contains("another capture runs"),
                "{second}"
            );
            let mut dialogue = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
            dialogue.reply()?;
            dialogue.command("EHLO payload.example.net")?;
            // A bystander's connection is not taken.
            syn(&lab, Host::CustomerB, family, 40_100)
        })?;
        assert!(answer.out.contains("none lost"), "{answer}");

        let read = tcpdump(file)?;
        let (mx, relay) = (Host::Mx1.address(family), Host::Relay.address(family));
        // There as the customer wrote it, and back as the relay did: as it came in, not as it left.
        assert!(read.contains(&format!("> {mx}.25: Flags [S]")), "{read}");
        assert!(
            read.contains(&format!("{relay}.2525 > {customer}.")),
            "{read}"
        );
        assert!(
            !read.contains(&Host::CustomerB.address(family).to_string()),
            "{read}"
        );
        let octets = fs::read(file)?;
        let holds = |text: &str| octets.windows(text.len()).any(|at| at == text.as_bytes());
        assert!(holds("redirect counter=to_relay relay="), "{read}");
        assert!(holds("redirect counter=to_customer"), "{read}");
        assert!(!holds(RELAY) && !holds("payload.example.net"), "no payload");
        let mode = fs::metadata(file)?.permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );

        // The same frames as octets on request.
        let whole = lab.dir().join(format!("{}-whole.pcapng", family.name()));
        let whole = whole.to_str().context("a path of letters")?;
        while_capturing(&gate, whole, &["--octets", "2048"], || {
            connect(&lab, Host::CustomerA, Host::Mx1, family)?.reply()?;
            Ok(())
        })?;
        let octets = fs::read(whole)?;
        let greeting = octets.windows(RELAY.len()).any(|at| at == RELAY.as_bytes());
        assert!(greeting, "the relay's greeting is a payload");
    }
    Ok(())
}

#[test]
fn a_capture_is_judged_again_and_nothing_comes_of_it() -> Result<()> {
    let lab = lab_up("ogtwhypcap")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    flag(&gate, Family::V4, &["--action", "drop", "--cut"])?;
    flag(&gate, Family::V6, &["--cut"])?;
    let file = lab.dir().join("taken.pcapng");
    let file = file.to_str().context("a path of letters")?;
    // The relay answers the SYN twice or more, and the customer's kernel says RST to that.
    while_capturing(&gate, file, &[], || {
        for family in Family::ALL {
            syn(&lab, Host::CustomerA, family, 40_200)?;
        }
        until("the answer", SETTLE, || {
            Ok((gate.counter("to_customer")? > 0).then_some(()))
        })
    })?;
    // Quiet from here on: what is counted now would be the judgement.
    let quiet = || {
        let before = gate.json(&["counters"])?;
        thread::sleep(Duration::from_millis(50));
        Ok((gate.json(&["counters"])? == before).then_some(before))
    };
    let before = until("the wires to be quiet", Duration::from_secs(30), quiet)?;
    let judged = gate.must(&["why", "--pcap", file, "-j"])?;
    assert_eq!(
        gate.json(&["counters"])?,
        before,
        "a judgement counts nothing"
    );

    let lines: Vec<Value> = judged
        .out
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let (sums, frames) = lines.split_last().context("no sums")?;
    assert_eq!(sums["sums"]["frames"], frames.len(), "{sums}");
    for (family, verdict, counter, changed) in [
        (Family::V4, "drop", "dropped", false),
        (Family::V6, "redirect", "to_relay", true),
    ] {
        let customer = Host::CustomerA.address(family).to_string();
        let of_customer = |frame: &&Value| {
            let source = frame["source"].as_str().unwrap_or_default();
            source.contains(&customer) && source.ends_with(":40200")
        };
        let frame = frames.iter().find(of_customer).context("no frame of it")?;
        assert_eq!(frame["verdict"], verdict, "{frame}");
        assert_eq!(frame["counter"], counter, "{frame}");
        assert_eq!(frame["changed"], changed, "{frame}");
        assert!(
            frame["rule"]
                .as_str()
                .is_some_and(|rule| rule.contains('/')),
            "{frame}"
        );
    }

    // People read a table; and where the frames come in makes the difference.
    let table = gate.must(&["why", "--pcap", file])?;
    let first = table.out.lines().next().unwrap_or_default();
    assert!(
        first.contains("VERDICT") && first.contains("COUNTER"),
        "{table}"
    );
    assert!(table.out.contains(" would change"), "{table}");
    let uplink = gate.must(&["why", "--pcap", file, "--role", "uplink"])?;
    assert!(!uplink.out.contains("dropped"), "{uplink}");
    let named = gate.must(&["why", "--pcap", file, "--interface", "cust-a"])?;
    assert!(named.out.contains("dropped"), "{named}");

    for (arguments, said) in [
        (
            &["why", "--pcap", file, "--interface", "lo"][..],
            "not attached",
        ),
        (&["why", "--pcap", "/nonexistent.pcap"], "No such file"),
        (
            &["why", "--pcap", "/proc/version"],
            "neither pcap nor pcapng",
        ),
        (&["why"], "required"),
    ] {
        let answer = gate.outgate(arguments)?;
        assert_eq!(answer.code, 1, "{answer}");
        assert!(answer.err.contains(said), "{said:?} in {answer}");
    }
    Ok(())
}

#[test]
fn what_tcpdump_wrote_is_judged_as_well() -> Result<()> {
    let lab = lab_up("ogtwhytcpd")?;
    let gate = Gate::start(&lab)?;
    flag(&gate, Family::V4, &["--action", "reset"])?;
    let whole = lab.dir().join("whole.pcap");
    let file = whole.to_str().context("a path of letters")?;
    let mut command = lab.namespace(Host::CustomerA).command("tcpdump");
    // As root it would write as another user, who may not write there.
    command.args([
        "-i",
        HOST_INTERFACE,
        "-U",
        "-c",
        "1",
        "-s",
        "60",
        "-Z",
        "root",
    ]);
    let mut tcpdump = command
        .args(["-w", file, "tcp", "port", "25"])
        .spawn()
        .context("tcpdump")?;
    let ended = until("tcpdump to have its frame", Duration::from_secs(20), || {
        syn(&lab, Host::CustomerA, Family::V4, 40_300)?;
        Ok(tcpdump.try_wait()?)
    });
    if ended.is_err() {
        tcpdump.kill()?;
        tcpdump.wait()?;
    }
    assert!(ended?.success());
    let judged = gate.must(&["why", "--pcap", file, "-j"])?;
    let first: Value = serde_json::from_str(judged.out.lines().next().context("no line")?)?;
    assert_eq!(
        (&first["verdict"], &first["counter"]),
        (&"tx".into(), &"reset".into()),
        "{first}"
    );

    // A file that ends too early is told by frame; what is before it is judged.
    let octets = fs::read(&whole)?;
    let cut = lab.dir().join("cut.pcap");
    let twice = [&octets[..], &octets[24..octets.len() - 7]].concat();
    fs::write(&cut, twice)?;
    let answer = gate.outgate(&["why", "--pcap", cut.to_str().context("letters")?])?;
    assert_eq!(answer.code, 1, "{answer}");
    assert!(answer.err.contains("ends inside frame 2"), "{answer}");
    assert!(answer.out.contains("reset"), "{answer}");
    Ok(())
}

/// Captures while something happens, and until it is in the file.
fn while_capturing(
    gate: &Gate<'_>,
    file: &str,
    more: &[&str],
    happens: impl FnOnce() -> Result<()>,
) -> Result<Answer> {
    thread::scope(|scope| {
        let arguments = [&["capture", file, "--seconds", "4"], more].concat();
        let capturing = scope.spawn(move || gate.must(&arguments));
        until("the capture to begin", SETTLE, || {
            Ok(fs::exists(file)?.then_some(()))
        })?;
        happens()?;
        capturing
            .join()
            .map_err(|_panic| anyhow::anyhow!("the capture panicked"))?
    })
}

/// Sends a SYN to port 25 by hand.
fn syn(lab: &Lab, host: Host, family: Family, port: u16) -> Result<()> {
    let syn = Syn {
        source_mac: lab.mac(host, HOST_INTERFACE)?,
        destination_mac: lab.mac(Host::Edge, host.edge_interface())?,
        tags: Vec::new(),
        source: (host.address(family), port).into(),
        destination: smtp(Host::Mx1.address(family)),
        sequence: 1_000,
    };
    send(&lab.namespace(host), HOST_INTERFACE, &syn.frame())
}

/// What tcpdump makes of a file.
fn tcpdump(file: &str) -> Result<String> {
    let output = checked(Command::new("tcpdump").args(["-nr", file]))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
