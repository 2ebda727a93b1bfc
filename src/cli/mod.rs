//! The command line.

pub(crate) mod bench;

use std::process::ExitCode;

use clap::Parser;

/// Only what `wakeful bench` needs, until the real command line takes its place.
#[derive(Debug, clap::Parser)]
struct Wakeful {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Bench {
        #[command(flatten)]
        args: bench::BenchArgs,
        #[arg(long, default_value = "127.0.0.1:7500")]
        addr: String,
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let Command::Bench { args, addr, json } = Wakeful::parse().command;
    match bench::run(args, &addr, json, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
