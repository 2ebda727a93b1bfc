//! `wakeful config`

use super::Common;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::serve::ServeArgs;
use super::settings::{Report, Source};
use crate::Config;

/// Shown at the end of its help.
pub(super) const HELP: &str = "\
Takes the options of `serve`, and does nothing but print them as they would be used. Behind each
value stands where it is from: flag, environment, file or default, each of which goes before those
behind it. What is printed is itself a file for --config. What the next start would refuse is printed,
then refused with exit 2: what contradicts itself, and files that cannot be used (of users, of
certificates, of tokens). So this also checks a file before a server is told to read it. Whether a
port is free, and what is in the data directory, shows at the start.

Examples:
  wakeful config
  wakeful config --config /etc/wakeful/wakeful.toml
  wakeful config --json --limit store.keys_max=1000 | jq 'select(.origin != \"default\")'";

/// Prints what a server would be told.
pub(super) fn run(
    args: &ServeArgs,
    common: &Common,
    mut report: Report,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let config = args.config().map_err(Failure::usage)?;
    // Where it listens unless it is told otherwise.
    let addr = &*common.addr;
    let addr_is_from = if addr == super::DEFAULT_ADDR {
        Source::Default
    } else if std::env::var("WAKEFUL_ADDR").is_ok_and(|said| said == addr) {
        Source::Environment("WAKEFUL_ADDR".to_owned())
    } else {
        Source::Flag
    };
    report.fill("listen", addr, addr_is_from);
    if config.journal.durability != Config::new().journal.durability {
        report.derive("journal.durability", report.source("durability"));
    }
    report.print(&config, out);
    out.flush_blocking()?;
    config.check()?;
    args.check(common)?;
    args.check_files(common, &config)?;
    Ok(Exit::Done)
}
