//! The run of a server, from start to end.

use std::ffi::OsString;
use std::time::Duration;

use futures_util::FutureExt;

use super::dial::Links;
use super::log::ServerLog;
use super::manager::Manager;
use super::ports::{BoundPorts, OpenPorts, Ports};
use super::reload::{self, Reloads};
use super::signals::SignalRequests;
use super::{ServeArgs, ServedDurability};
use crate::auth::Auth;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, notice};
use crate::cli::settings::SettingsReport;
use crate::cli::stderr;
use crate::{Config, Error, Operations, Wakeful};

/// The parameters of a server's start.
pub(super) struct StartParameters {
    pub(super) args: ServeArgs,
    pub(super) config: Config,
    /// `None` if no login is needed.
    pub(super) auth: Option<Auth>,
    pub(super) ports: Ports,
    pub(super) links: Links,
    pub(super) log: ServerLog,
    /// The command line, and the settings it resolves to.
    pub(super) given: Vec<OsString>,
    pub(super) report: SettingsReport,
}

/// Serves until a signal, or until the service fails.
pub(super) async fn run(start: StartParameters, out: &mut Output) -> Result<Exit, Failure> {
    let orders = SignalRequests::new().map_err(|error| Failure::io("signals", &error))?;
    let StartParameters { args, config, auth, ports, links, mut log, given, report } = start;
    // Before the data is touched: a start that cannot succeed changes nothing.
    let bound = ports.bind().await?;
    let wakeful = match args.durability {
        ServedDurability::Memory => Wakeful::start(config)?,
        ServedDurability::Fsync | ServedDurability::Interval => {
            Wakeful::open(config, &args.data_dir)?
        }
    };
    wakeful.report_lines_dropped(stderr::lines_dropped);
    orders.serving();
    let opened = match open(&wakeful, auth.clone(), bound, links, out).await {
        Ok(opened) => opened,
        Err(failure) => {
            wakeful.stop().await;
            return Err(failure);
        }
    };
    out.announce();
    let status = serving(&opened.addresses);
    Manager.ready(&status).await;
    let _watch = AbortOnDrop(actix_rt::spawn(Manager.keep_watch(wakeful.clone())));
    let mut reloads = Reloads::new(given, report, wakeful.clone());
    reloads.add("log", move |args| log.reload(&args.log));
    if let Some(auth) = auth {
        reloads.add("users", reload::users(auth));
    }
    #[cfg(feature = "tls")]
    if !opened.tls.is_empty() {
        reloads.add("certificates", reload::certificates(opened.tls));
    }
    let failed = loop {
        tokio::select! {
            () = orders.stop() => break None,
            error = wakeful.failed() => break Some(error),
            () = orders.reload() => {
                Manager.reloading().await;
                let told = reloads.reload();
                Manager.ready(&format!("{status}; {told}")).await;
            }
        }
    };
    orders.stopping();
    stop(&wakeful, failed).await
}

/// Opens the ports to clients.
async fn open(
    wakeful: &Wakeful,
    auth: Option<Auth>,
    bound: BoundPorts,
    links: Links,
    out: &mut Output,
) -> Result<OpenPorts, Failure> {
    if let Some(auth) = auth {
        wakeful.require_login(auth).await?;
    }
    let opened = bound.open(wakeful, out).await?;
    links.dial(wakeful, out).await?;
    Ok(opened)
}

fn serving(addresses: &[String]) -> String {
    match addresses {
        [] => "serving over links only".to_owned(),
        addresses => format!("serving at {}", addresses.join(", ")),
    }
}

async fn stop(wakeful: &Wakeful, failed: Option<Error>) -> Result<Exit, Failure> {
    let grace = wakeful.rpc().shutdown_grace;
    Manager.stopping(&format!("stopping, within {}s", grace.as_secs())).await;
    let clients = wakeful.status().await.map_or(0, |status| status.connections);
    tracing::info!(
        grace_ms = grace.as_millis(),
        clients,
        "stopping; a second signal stops at once"
    );
    tokio::select! {
        () = wakeful.stop() => {
            tracing::info!("stopped");
            // The last sync may fail too.
            let failed = failed.or_else(|| wakeful.failed().now_or_never());
            failed.map_or(Ok(Exit::Done), |error| Err(error.into()))
        }
        // `stop` limits itself to the grace period; this is a safeguard.
        () = tokio::time::sleep(grace + Duration::from_secs(5)) => {
            notice("error: the stop took too long; stopped immediately");
            stderr::exit(Exit::Failed)
        }
    }
}

/// A task that ends when its holder is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
