//! `generate`: man pages and shell completions, made from the same definitions as `--help`.

use super::{CommandResult, say};
use anyhow::Context as _;
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const NAME: &str = env!("CARGO_PKG_NAME");

/// Where shells look for completions, below a prefix such as /usr/local.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions"),
    (Shell::Zsh, "share/zsh/site-functions"),
    (Shell::Fish, "share/fish/vendor_completions.d"),
];

const MAN_PAGES: &str = "share/man/man1";

#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 written; 1 a file cannot be written.")]
pub(super) struct Generate {
    /// Write below this directory, in the layout of /usr/local
    #[arg(value_name = "DIR")]
    to: PathBuf,
}

impl Generate {
    pub(super) fn run(self, mut program: clap::Command) -> CommandResult {
        // Before completions are made, which adds the commands of `help` to the program's.
        let documented = without_help_commands(program.clone());
        for (shell, folder) in COMPLETIONS {
            let folder = made(&self.to, folder)?;
            clap_complete::generate_to(shell, &mut program, NAME, &folder)
                .with_context(|| format!("cannot write completions to {}", folder.display()))?;
        }
        let folder = made(&self.to, MAN_PAGES)?;
        clap_mangen::generate_to(documented, &folder)
            .with_context(|| format!("cannot write man pages to {}", folder.display()))?;
        say(&format!("wrote man pages and completions to {}", self.to.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// `help` has no manual of its own: each command has one.
fn without_help_commands(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help_commands)
}

fn made(root: &Path, folder: &str) -> anyhow::Result<PathBuf> {
    let folder = root.join(folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
