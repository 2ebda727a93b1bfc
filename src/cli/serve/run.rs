//! A server from its start to its end.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;

use super::dial::DialArgs;
use super::ports::Ports;
use crate::auth::Auth;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::cli::signal::Signals;
use crate::{Config, Wakeful};

/// Where it can be reached, and by whom.
pub(super) struct Doors<'a> {
    /// `None` if everybody may come in.
    pub(super) auth: Option<Auth>,
    pub(super) ports: Ports,
    pub(super) dial: &'a DialArgs,
}

/// Serves until a signal, or until the journal fails.
pub(super) async fn run(
    config: Config,
    dir: Option<&Path>,
    doors: Doors<'_>,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let Doors { auth, ports, dial } = doors;
    let mut signals = Signals::new().map_err(|error| Failure::io("signals", &error))?;
    let grace = config.rpc.shutdown_grace;
    let credentials = dial.credentials()?;
    let wakeful = match dir {
        Some(dir) => Wakeful::open(config, dir)?,
        None => Wakeful::start(config)?,
    };
    if let Some(auth) = auth {
        wakeful.require_login(auth).await?;
    }
    ports.open(&wakeful, out).await?;
    dial.start(&wakeful, credentials, out).await?;
    match out.flush().await {
        // Whoever started it need not read on.
        Ok(()) | Err(Failure::ClosedPipe) => {}
        Err(failure) => return Err(failure),
    }
    let failed = tokio::select! {
        _ = signals.next() => None,
        error = wakeful.failed() => Some(error),
    };
    tracing::info!(grace_ms = grace.as_millis(), "stopping; a second signal stops at once");
    tokio::select! {
        () = wakeful.stop() => {
            // The last sync may fail too.
            let failed = failed.or_else(|| wakeful.failed().now_or_never());
            failed.map_or(Ok(Exit::Done), |error| Err(error.into()))
        }
        // `stop` keeps to the grace itself; this is for the day it does not.
        () = tokio::time::sleep(grace + Duration::from_secs(5)) => {
            notice("error: stopping took too long; stopped at once");
            std::process::exit(Exit::Failed as i32)
        }
        exit = signals.next() => std::process::exit(exit as i32),
    }
}
