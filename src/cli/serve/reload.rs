//! [`Reloads`]: the effect of SIGHUP, part by part.
//!
//! A list of named functions, each of which applies what it can of the options that were read
//! again, and reports it. Limits that determine the layout of memory and disk stay as they are.

use std::ffi::OsString;

use super::ServeArgs;
use crate::auth::Auth;
use crate::cli::descriptors;
use crate::cli::settings::SettingsReport;
use crate::{LimitChange, Wakeful};

/// Options that the log applies, and reports, itself.
const OF_THE_LOG: [&str; 2] = ["log", "log-format"];

/// Applies what can change of the re-read options. Returns what changed; after a refusal nothing
/// has changed.
pub(super) type Reload = Box<dyn FnMut(&ServeArgs) -> Result<Vec<String>, String>>;

/// The reloadable parts, by name.
pub(super) struct Reloads {
    /// The command line the server was started with.
    given: Vec<OsString>,
    /// The settings at the start.
    started: SettingsReport,
    wakeful: Wakeful,
    parts: Vec<(&'static str, Reload)>,
}

impl Reloads {
    pub(super) fn new(given: Vec<OsString>, started: SettingsReport, wakeful: Wakeful) -> Self {
        Self { given, started, wakeful, parts: Vec::new() }
    }

    /// Adds a part.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        reload: impl FnMut(&ServeArgs) -> Result<Vec<String>, String> + 'static,
    ) {
        self.parts.push((name, Box::new(reload)));
    }

    /// Reads the options again, and lets each part apply its changes. If the options are invalid,
    /// nothing changes. A part that refuses its own files does not keep the others from reloading.
    /// Returns a summary.
    pub(super) fn reload(&mut self) -> String {
        let (args, options) = match self.read() {
            Ok(read) => read,
            Err(refusal) => {
                tracing::error!(%refusal, "reload refused; nothing was changed");
                return format!("reload refused: {refusal}");
            }
        };
        let (mut changes, mut refusals) = (0, 0);
        let own = std::iter::once(("options", Ok(options)));
        let parts = self.parts.iter_mut().map(|(part, reload)| (*part, reload(&args)));
        for (part, told) in own.chain(parts) {
            match told {
                Ok(told) => {
                    changes += told.len();
                    told.iter().for_each(|change| tracing::info!(part, change, "reloaded"));
                }
                Err(refusal) => {
                    refusals += 1;
                    tracing::error!(part, refusal, "reload refused; this part was not changed");
                }
            }
        }
        tracing::info!(changes, refusals, "reload done");
        format!("reloaded: {changes} changes, {refusals} refusals")
    }

    /// Returns the present options, and the changes of options and limits.
    fn read(&self) -> Result<(ServeArgs, Vec<String>), String> {
        let (args, report) = crate::cli::read_serve(&self.given)?;
        let mut config = args.config()?;
        descriptors::fit(&mut config.rpc).map_err(|failure| failure.message().to_owned())?;
        let came = self.wakeful.reconfigure(&config).map_err(|error| error.message)?;
        let now = |it: &LimitChange| format!("{} is now {}, was {}", it.name, it.to, it.from);
        let later = |it: &LimitChange| {
            format!("{} stays {}: {} takes effect at the next start", it.name, it.from, it.to)
        };
        let told = came.changed.iter().map(now).chain(came.at_next_start.iter().map(later));
        let told = told.chain(
            self.started
                .differing(&report)
                .filter(|name| !OF_THE_LOG.contains(name))
                .map(|name| format!("{name}: takes effect at the next start")),
        );
        Ok((args, told.collect()))
    }
}

/// Reads the user file again.
pub(super) fn users(auth: Auth) -> impl FnMut(&ServeArgs) -> Result<Vec<String>, String> {
    move |_| match auth.reload() {
        Ok(true) => Ok(vec!["the users".to_owned()]),
        Ok(false) => Ok(Vec::new()),
        Err(error) => Err(error.message),
    }
}

/// Reads the certificates of the TLS ports again.
#[cfg(feature = "tls")]
pub(super) fn certificates(
    doors: Vec<crate::TlsListener>,
) -> impl FnMut(&ServeArgs) -> Result<Vec<String>, String> {
    move |_| {
        let reload = |door: &crate::TlsListener| match door.reload() {
            Ok(()) => Ok(format!("the certificate at {}", door.addr())),
            Err(error) => Err(error.message),
        };
        doors.iter().map(reload).collect()
    }
}
