//! `wakeful config`

use super::Common;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::serve::ServeArgs;
use super::settings::{SettingsReport, Source};
use crate::Config;

/// The long description in `wakeful config --help`.
pub(super) const ABOUT: &str = "\
Print the effective configuration and the source of each value\n\n\
Takes the options of `serve`, those of TLS included, and only prints their effective values. The \
source follows each value: flag, environment, file or default, in order of precedence. The output \
is itself a valid file for --config.\n\n\
Settings that the next start would refuse are printed, then refused with exit 2: contradictions, \
and files that cannot be used (of users, certificates or tokens). So this command also checks a \
file before a server reads it. It does not check that a port is free, nor the data directory.";

/// The examples in its help.
pub(super) const EXAMPLES: &str = "\
Examples:
  wakeful config
  wakeful config --config /etc/wakeful/wakeful.toml
  wakeful config --json --durability fsync | jq 'select(.origin != \"default\")'";

/// Prints the effective configuration.
pub(super) fn run(
    args: &ServeArgs,
    common: &Common,
    mut report: SettingsReport,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let config = args.config().map_err(Failure::usage)?;
    // The listening address defaults to the address of --addr.
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
