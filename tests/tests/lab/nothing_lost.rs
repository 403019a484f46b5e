//! The proof that nothing is lost, in short; and that it would notice.

use anyhow::{Context as _, Result, ensure};
use lab::proof::{self, Options, Outcome, Peer};

#[test]
fn a_loss_behind_the_back_of_a_real_server_is_noticed() -> Result<()> {
    let report = proof::run(
        &Options {
            sabotage: true,
            ..options("ldgsabot", Peer::Postfix, 1)
        },
        |_outcome| {},
    )?;
    ensure!(!report.is_good(), "{}", report.table());
    let outcome = report.outcomes().first().context("a run")?;
    ensure!(!outcome.lost().is_empty(), "{}", outcome.line());
    Ok(())
}

#[test]
fn the_relay_keeps_what_it_has_acknowledged() -> Result<()> {
    // Each fault once.
    let report = proof::run(&options("ldgrelay", Peer::Relay, 7), |_outcome| {})?;
    let lines: Vec<String> = report.outcomes().iter().map(Outcome::line).collect();
    let (lines, table) = (lines.join("\n"), report.table());
    ensure!(report.is_good(), "{lines}\n{table}");
    ensure!(report.unmet().is_empty(), "{lines}\n{table}");
    Ok(())
}

#[test]
fn a_server_that_keeps_its_word_loses_nothing() -> Result<()> {
    // How late it notes what it has delivered, and so what it sends twice, is its own business.
    let report = proof::run(&options("ldgpostfix", Peer::Postfix, 2), |_outcome| {})?;
    for outcome in report.outcomes() {
        ensure!(outcome.lost().is_empty(), "{}", outcome.line());
    }
    Ok(())
}

fn options(prefix: &str, peer: Peer, runs: u64) -> Options {
    Options {
        prefix: prefix.to_owned(),
        bin_dir: None,
        peer,
        runs,
        seed: 1,
        sabotage: false,
    }
}
