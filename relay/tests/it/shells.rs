//! Completion in real shells, and manual pages as the typesetter reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_outgate-relay");

/// Its standard output, of a program that ends well and complains of nothing.
#[track_caller]
fn says(command: &mut Command) -> String {
    let output = command.output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap_or_else(|error| panic!("{command:?}: {error}; is it installed?"));
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{command:?}: {out}\n{err}");
    assert_eq!(err, "", "{command:?}");
    out.into_owned()
}

fn relay(arguments: &[&str]) -> String {
    says(Command::new(PROGRAM).args(arguments))
}

/// A directory that PATH can begin with, so that the shells find the program by its name.
fn path() -> String {
    let directory = Path::new(PROGRAM).parent().unwrap();
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}

#[track_caller]
fn offers(shell: &str, arguments: &[&str], wanted: &[&str]) {
    let mut command = Command::new(shell);
    let command = command.args(arguments).env("PATH", path());
    let said = says(command.env("TERM", "dumb"));
    let words: Vec<&str> = said.split_whitespace().collect();
    for word in wanted {
        assert!(words.contains(word), "{shell}: {word}: {said}");
    }
}

#[test]
fn bash_completes_nouns_verbs_and_options() {
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (current, last) = (words.last().unwrap(), words.len() - 1);
        let before = words[last.saturating_sub(1)];
        let array = words.join("\" \"");
        format!(
            "source <(outgate-relay completion bash) && COMP_WORDS=(\"{array}\") && COMP_CWORD={last} && \
             _outgate__relay outgate-relay \"{current}\" \"{before}\" && printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    };
    for (line, wanted) in [
        ("outgate-relay sp", &["spool"][..]),
        ("outgate-relay --ch", &["--check"]),
        ("outgate-relay spool ", &["ls", "show", "verify"]),
        ("outgate-relay queue delete --cu", &["--customer"]),
        ("outgate-relay completion ", &["bash", "zsh", "fish"]),
    ] {
        offers("bash", &["-c", &complete(line)], wanted);
    }
}

#[test]
fn zsh_completes_nouns_and_verbs() {
    // A terminal of its own, because zsh completes for nobody else.
    let home = tempfile::tempdir().unwrap();
    let functions = home.path().join("functions");
    fs::create_dir(&functions).unwrap();
    fs::write(
        functions.join("_outgate-relay"),
        relay(&["completion", "zsh"]),
    )
    .unwrap();
    let script = format!(
        "zmodload zsh/zpty\n\
         zpty z 'TERM=dumb zsh -f -i'\n\
         zpty -w z 'PS1=; fpath=({} $fpath); autoload -Uz compinit; compinit -u -d {}/dump; zstyle \":completion:*\" list-colors \"\"; LISTMAX=1000; print re\"\"ady'\n\
         zpty -r -m z out '*ready*'\n\
         zpty -w -n z $'outgate-relay spo\\t'\n\
         zpty -r -m z out '*outgate-relay spool *'\n\
         print -r -- \"$out\"\n\
         zpty -w -n z $'ver\\t'\n\
         zpty -r -m z out '*verify *'\n\
         print -r -- \"$out\"\n\
         zpty -d z\n",
        functions.display(),
        home.path().display()
    );
    offers("zsh", &["-f", "-c", &script], &["spool", "verify"]);
}

#[test]
fn fish_completes_nouns_verbs_and_options() {
    for (line, wanted) in [
        ("outgate-relay sp", "spool"),
        ("outgate-relay spool v", "verify"),
        ("outgate-relay queue delete --cu", "--customer"),
    ] {
        let script = format!(
            "outgate-relay completion fish | source; complete --do-complete '{line}' | string split -f1 \\t"
        );
        offers("fish", &["--no-config", "-c", &script], &[wanted]);
    }
}

#[test]
fn a_completion_script_into_a_closed_pipe_is_no_fault() {
    let line = "set -o pipefail; outgate-relay completion bash | head -c 1 > /dev/null";
    says(Command::new("bash").args(["-c", line]).env("PATH", path()));
}

#[test]
fn every_page_is_sound_and_there_is_one_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man8");
    relay(&["man", pages.to_str().unwrap()]);
    let mut files: Vec<PathBuf> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for name in [
        "outgate-relay.8",
        "outgate-relay-spool.8",
        "outgate-relay-spool-verify.8",
        "outgate-relay-queue-delete.8",
        "outgate-relay-scan.8",
    ] {
        assert!(files.contains(&pages.join(name)), "{name}: {files:?}");
    }
    let typeset = |file: &Path, width: &str| {
        let mut command = Command::new("man");
        command.args(["--warnings", "-E", "UTF-8", "-l"]).arg(file);
        command.env("MANWIDTH", width).env("LC_ALL", "C.UTF-8");
        says(command.env("MANROFFSEQ", ""))
    };
    for file in &files {
        assert!(
            typeset(file, "80").contains("NAME"),
            "{}: no page",
            file.display()
        );
    }
    // An example can be copied from it.
    let first = typeset(&pages.join("outgate-relay.8"), "120");
    assert!(
        first.contains("  outgate-relay --config /etc/outgate/relay.toml\n"),
        "{first}"
    );
    assert!(relay(&["man"]).starts_with(".ie"), "a page for a pipe");
}
