//! `outgate completion` and `outgate man`: what is made of the command line's own definitions, for packagers and people.
//!
//! Nothing here asks the controller.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _, ValueEnum};
use clap_complete::{aot, generate};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{Cli, CliError, Outcome};
use crate::daemon;

/// `outgate completion`.
#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// The shell that completes
    shell: Shell,
    /// The program whose command line it is
    #[arg(long, value_enum, default_value_t = Program::Outgate, value_name = "NAME")]
    program: Program,
}

/// `outgate man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Directory for all pages, of outgate and outgated [default: the one of outgate, to standard output]
    directory: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Program {
    Outgate,
    Outgated,
}

impl Program {
    const ALL: [Self; 2] = [Self::Outgate, Self::Outgated];

    fn command(self) -> Command {
        match self {
            Self::Outgate => Cli::command(),
            Self::Outgated => daemon::command(),
        }
    }
}

pub(super) fn completion(arguments: &CompletionArgs) -> Result<Outcome, CliError> {
    let mut command = arguments.program.command();
    let name = command.get_name().to_owned();
    // By itself first: the generator panics where it cannot write.
    let mut script = Vec::new();
    match arguments.shell {
        Shell::Bash => generate(aot::Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(aot::Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(aot::Fish, &mut command, name, &mut script),
    }
    io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Done)
}

pub(super) fn man(arguments: &ManArgs) -> Result<Outcome, CliError> {
    let Some(directory) = &arguments.directory else {
        let page = Page::of(&Cli::command())?;
        io::stdout().lock().write_all(&page.text)?;
        return Ok(Outcome::Done);
    };
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::File { path, source }
    };
    fs::create_dir_all(directory).map_err(at(directory))?;
    let mut written = 0;
    for program in Program::ALL {
        for page in pages(program.command())? {
            let path = directory.join(&page.file);
            fs::write(&path, &page.text).map_err(at(&path))?;
            written += 1;
        }
    }
    let directory = directory.display();
    writeln!(
        io::stdout().lock(),
        "{written} pages in {directory}; `man -l {directory}/outgate.{SECTION}` shows the first"
    )?;
    Ok(Outcome::Done)
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
