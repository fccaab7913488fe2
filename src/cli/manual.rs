//! `ekho completions` and `ekho man`: what a shell and man(1) know of the commands, made of the
//! commands themselves.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, CliError};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ekho completions bash > ~/.local/share/bash-completion/completions/ekho
  ekho completions zsh > /usr/local/share/zsh/site-functions/_ekho
  ekho completions fish > ~/.config/fish/completions/ekho.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  ekho man | man -l -
  ekho man --out /usr/local/share/man/man1";

/// Print the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, or write those of all commands.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ekho", &mut text);
    Ok(io::stdout().lock().write_all(&text)?)
}

pub(super) fn man(args: &ManArgs) -> Result<(), CliError> {
    let Some(out) = &args.out else {
        let mut text = Vec::new();
        Man::new(Cli::command()).render(&mut text)?;
        return Ok(io::stdout().lock().write_all(&text)?);
    };
    fs::create_dir_all(out).map_err(|source| CliError::File {
        path: out.clone(),
        source,
    })?;
    let written = clap_mangen::generate_to(Cli::command(), out);
    written.map_err(|source| CliError::File {
        path: out.clone(),
        source,
    })
}
