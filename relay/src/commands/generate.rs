//! `outgate-relay completion` and `outgate-relay man`: what is made of the command line's own definitions, for packagers and
//! people.
//!
//! Nothing here needs a configuration or a relay.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, ValueEnum};
use clap_complete::{aot, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// `outgate-relay completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArguments {
    /// The shell that completes
    shell: Shell,
}

/// `outgate-relay man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Directory for all pages [default: the first one, to standard output]
    directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Writes the script for `command`.
pub(crate) fn completion(
    arguments: &CompletionArguments,
    mut command: Command,
) -> anyhow::Result<()> {
    let name = command.get_name().to_owned();
    // By itself first: the generator panics where it cannot write.
    let mut script = Vec::new();
    match arguments.shell {
        Shell::Bash => {
            generate(aot::Bash, &mut command, name.as_str(), &mut script);
            script = one_spelling(&name, script);
        }
        Shell::Zsh => generate(aot::Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(aot::Fish, &mut command, name, &mut script),
    }
    print(&script)
}

/// Spells the program's name in the script as the script itself looks it up. clap_complete 4.6 spells it in two ways where it
/// has a hyphen, so that nothing below the first word would be completed; a script that is right is left as it is.
fn one_spelling(name: &str, script: Vec<u8>) -> Vec<u8> {
    let [asked, offered] = ["__", "__subcmd__"].map(|between| name.replace('-', between));
    let script = String::from_utf8_lossy(&script);
    script.replace(&offered, &asked).into_bytes()
}

/// Writes the pages of `command`.
pub(crate) fn man(arguments: &ManArguments, command: Command) -> anyhow::Result<()> {
    let Some(directory) = &arguments.directory else {
        return print(&Page::of(&command)?.text);
    };
    let named = |path: &Path| path.display().to_string();
    fs::create_dir_all(directory).with_context(|| named(directory))?;
    let pages = pages(command)?;
    for page in &pages {
        let path = directory.join(&page.file);
        fs::write(&path, &page.text).with_context(|| named(&path))?;
    }
    let directory = directory.display();
    let said = format!(
        "{} pages in {directory}; `man -l {directory}/outgate-relay.{SECTION}` shows the first\n",
        pages.len()
    );
    print(said.as_bytes())
}

/// A reader that has seen enough is no fault.
fn print(octets: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(octets) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}

/// One page.
struct Page {
    file: String,
    text: Vec<u8>,
}

impl Page {
    fn of(command: &Command) -> io::Result<Self> {
        let man = Man::new(command.clone())
            .section(SECTION)
            .manual("Outgate")
            .source(format!("Outgate {}", env!("CARGO_PKG_VERSION")));
        let mut text = Vec::new();
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut text)?;
        }
        if let Some(said) = command.get_after_help() {
            notes(&said.to_string()).to_writer(&mut text)?;
        }
        Ok(Self {
            file: man.get_filename(),
            text,
        })
    }
}

/// A command's page, and those of all below it.
fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        pages.push(Page::of(&command)?);
        left.extend(
            command
                .get_subcommands()
                .filter(|it| !it.is_hide_set())
                .cloned(),
        );
    }
    Ok(pages)
}

/// What stands below a command's help, line by line: filled to paragraphs, examples could not be copied.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

/// Commands of administrators.
const SECTION: &str = "8";
