//! `wakeful completions`

use clap_complete::Shell;

use super::failure::{Exit, Failure};
use super::output::Output;

/// Print shell completions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wakeful completions bash > ~/.local/share/bash-completion/completions/wakeful
  wakeful completions zsh > ~/.zfunc/_wakeful    with ~/.zfunc in $fpath
  wakeful completions fish > ~/.config/fish/completions/wakeful.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(
        self,
        command: &mut clap::Command,
        out: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "wakeful", &mut script);
        out.bytes(&script);
        out.flush_blocking()?;
        Ok(Exit::Done)
    }
}
