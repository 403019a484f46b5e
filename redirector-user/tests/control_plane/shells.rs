//! Completion in real shells, and manual pages as the typesetter reads them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{Said, said};

fn outgate(arguments: &[&str]) -> Said {
    let said = said(Command::new(env!("CARGO_BIN_EXE_outgate")).args(arguments));
    assert_eq!(said.code, 0, "{said:?}");
    said
}

/// A directory that PATH can begin with, so that the shells find the programs by their names.
fn path() -> String {
    let directory = Path::new(env!("CARGO_BIN_EXE_outgate")).parent().unwrap();
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}

#[track_caller]
fn offers(shell: &str, arguments: &[&str], wanted: &[&str]) {
    let mut command = Command::new(shell);
    let said = said(
        command
            .args(arguments)
            .env("PATH", path())
            .env("TERM", "dumb"),
    );
    let words: Vec<&str> = said.out.split_whitespace().collect();
    for word in wanted {
        assert!(words.contains(word), "{shell}: {word}: {said:?}");
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
            "source <(outgate completion bash) && COMP_WORDS=(\"{array}\") && COMP_CWORD={last} && \
             _outgate outgate \"{current}\" \"{before}\" && printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    };
    offers("bash", &["-c", &complete("outgate fl")], &["flag"]);
    offers(
        "bash",
        &["-c", &complete("outgate flag ")],
        &["add", "rm", "ls", "import"],
    );
    offers(
        "bash",
        &["-c", &complete("outgate flag add --tr")],
        &["--treatment"],
    );
    offers(
        "bash",
        &["-c", &complete("outgate attach cust0 --role ")],
        &["customer", "uplink"],
    );
    let daemon = "source <(outgate completion bash --program outgated) && COMP_WORDS=(outgated --c) && COMP_CWORD=1 && \
                  _outgated outgated --c outgated && printf '%s\\n' \"${COMPREPLY[@]}\"";
    offers("bash", &["-c", daemon], &["--check", "--config"]);
}

#[test]
fn zsh_completes_nouns() {
    // A terminal of its own, because zsh completes for nobody else.
    let home = tempfile::tempdir().unwrap();
    let functions = home.path().join("functions");
    fs::create_dir(&functions).unwrap();
    fs::write(
        functions.join("_outgate"),
        outgate(&["completion", "zsh"]).out,
    )
    .unwrap();
    let script = format!(
        "zmodload zsh/zpty\n\
         zpty z 'TERM=dumb zsh -f -i'\n\
         zpty -w z 'PS1=; fpath=({} $fpath); autoload -Uz compinit; compinit -u -d {}/dump; zstyle \":completion:*\" list-colors \"\"; LISTMAX=1000; print re\"\"ady'\n\
         zpty -r -m z out '*ready*'\n\
         zpty -w -n z $'outgate fla\\t'\n\
         zpty -r -m z out '*outgate flag *'\n\
         print -r -- \"$out\"\n\
         zpty -w -n z $'im\\t'\n\
         zpty -r -m z out '*import *'\n\
         print -r -- \"$out\"\n\
         zpty -d z\n",
        functions.display(),
        home.path().display()
    );
    offers("zsh", &["-f", "-c", &script], &["flag", "import"]);
}

#[test]
fn fish_completes_nouns_verbs_and_options() {
    let complete = |line: &str| {
        format!(
            "outgate completion fish | source; complete --do-complete '{line}' | string split -f1 \\t"
        )
    };
    offers(
        "fish",
        &["--no-config", "-c", &complete("outgate fl")],
        &["flag"],
    );
    offers(
        "fish",
        &["--no-config", "-c", &complete("outgate flag a")],
        &["add"],
    );
    offers(
        "fish",
        &["--no-config", "-c", &complete("outgate flag add --tr")],
        &["--treatment"],
    );
}

#[test]
fn a_completion_script_into_a_closed_pipe_is_no_fault() {
    let line = "set -o pipefail; outgate completion bash | head -c 1 > /dev/null";
    let mut command = Command::new("bash");
    let said = said(command.args(["-c", line]).env("PATH", path()));
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
}

#[test]
fn every_page_is_sound_and_there_is_one_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man8");
    outgate(&["man", pages.to_str().unwrap()]);
    let mut files: Vec<PathBuf> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let names: Vec<&str> = files
        .iter()
        .map(|it| it.file_name().unwrap().to_str().unwrap())
        .collect();
    for name in [
        "outgate.8",
        "outgated.8",
        "outgate-flag.8",
        "outgate-flag-add.8",
        "outgate-top.8",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for file in &files {
        let mut command = Command::new("man");
        command.args(["--warnings", "-E", "UTF-8", "-l"]).arg(file);
        let said = said(
            command
                .env("MANWIDTH", "80")
                .env("LC_ALL", "C.UTF-8")
                .env("MANROFFSEQ", ""),
        );
        assert_eq!(
            (said.code, said.err.as_str()),
            (0, ""),
            "{}: {said:?}",
            file.display()
        );
        assert!(said.out.contains("NAME"), "{said:?}");
    }
    let one = said(
        Command::new("man")
            .args(["-E", "UTF-8", "-l"])
            .arg(
                &files[names
                    .iter()
                    .position(|it| *it == "outgate-flag-add.8")
                    .unwrap()],
            )
            .env("MANWIDTH", "120")
            .env("LC_ALL", "C.UTF-8"),
    );
    // An example can be copied from it.
    assert!(
        one.out
            .contains("  outgate flag add 192.0.2.10 --reason \"spam run, complaint 4711\"\n"),
        "{}",
        one.out
    );
    assert!(
        outgate(&["man"]).out.starts_with(".ie"),
        "a page for a pipe"
    );
}
