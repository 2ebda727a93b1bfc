//! Admission of connections.
//!
//! [`admit`] applies the limits of connections in total, per address, and of the file descriptors
//! of the process; [`AcceptBackoff`] pauses the accept loop while none can be accepted.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::addresses::AddressSlot;
use crate::environment;
use crate::error::{Details, Error, ErrorCode};
use crate::handle::Wakeful;

/// Pause of the accept loop after an error (too many open files), which never ends the loop.
const PAUSE: Duration = Duration::from_millis(50);

/// Minimum interval between log lines about connections that cannot be accepted.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Returns a place for one more connection from `peer`; `None` for a connection over a link, which
/// has no socket and no address of its own.
///
/// # Errors
/// `LimitExceeded`, naming the limit that is reached: of all connections, of the file descriptors of
/// this process, or of the connections from this address.
pub(super) fn admit(wakeful: &Wakeful, peer: Option<IpAddr>) -> Result<Option<AddressSlot>, Error> {
    let config = wakeful.rpc();
    let open = usize::try_from(wakeful.connections().load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    if open >= config.connections_max {
        return Err(too_many(config.connections_max));
    }
    let Some(peer) = peer else { return Ok(None) };
    check_reserve(open, config.descriptors_reserved)?;
    let max = config.connections_per_address_max;
    wakeful.addresses().enter(peer, max).map(Some).ok_or_else(|| too_many_from(peer, max))
}

/// Checks that one connection more than `open` leaves the reserved descriptors free.
///
/// # Errors
/// `LimitExceeded` if it does not.
pub(crate) fn check_reserve(open: usize, reserved: usize) -> Result<(), Error> {
    let full = |descriptors: &usize| open >= descriptors.saturating_sub(reserved);
    let Some(descriptors) = descriptors().filter(full) else { return Ok(()) };
    let message = format!(
        "too many connections: of the {descriptors} files that the server may have open \
         (ulimit -n), rpc.descriptors_reserved, which is {reserved}, are not for connections; \
         try again later"
    );
    Err(refusal("rpc.descriptors_reserved", reserved, message))
}

/// Checks that a port, once opened, can serve at least one connection.
///
/// # Errors
/// `LimitExceeded` if every file that the process may have open is reserved.
pub(crate) fn check_descriptors(reserved: usize) -> Result<(), Error> {
    let Some(descriptors) = descriptors().filter(|descriptors| *descriptors <= reserved) else {
        return Ok(());
    };
    let message = format!(
        "no connection can be served: of the {descriptors} files that the process may have open \
         (ulimit -n), rpc.descriptors_reserved, which is {reserved}, are not for connections; raise \
         the one or lower the other"
    );
    Err(refusal("rpc.descriptors_reserved", reserved, message))
}

/// Returns the refusal of a connection beyond `max` in total.
pub(crate) fn too_many(max: usize) -> Error {
    let message =
        format!("too many connections: the limit rpc.connections_max is {max}; try again later");
    refusal("rpc.connections_max", max, message)
}

/// Returns the refusal of a connection beyond `max` from `peer`.
pub(crate) fn too_many_from(peer: IpAddr, max: usize) -> Error {
    let message = format!(
        "too many connections from {peer}: the limit rpc.connections_per_address_max is {max}; \
         close some of them"
    );
    refusal("rpc.connections_per_address_max", max, message)
}

fn refusal(name: &str, max: usize, message: String) -> Error {
    let details = Details::Limit { name: name.to_owned(), value: max as u64 };
    Error::new(ErrorCode::LimitExceeded, message).with_details(details)
}

/// Returns the number of files that this process may have open; `None` if it is not limited.
pub(crate) fn descriptors() -> Option<usize> {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
        usize::try_from(limit).ok()
    }
    #[cfg(not(unix))]
    None
}

/// Pauses the accept loop after failures, and limits the log lines about them.
#[derive(Default)]
pub(crate) struct AcceptBackoff {
    failures: u64,
    said: Option<Instant>,
}

impl AcceptBackoff {
    /// Pauses after a failed accept, unless the peer was the reason. Too many open files, or too
    /// little memory, can pass when other connections end.
    pub(crate) async fn note(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        self.failures += 1;
        // Not for each attempt: a peer that causes the failures must not also fill the log.
        if self.said.is_none_or(|said| environment::since(said) >= SAY_EVERY) {
            let failures = std::mem::take(&mut self.failures);
            tracing::warn!(%error, failures, "connections cannot be accepted; trying again");
            self.said = Some(environment::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
