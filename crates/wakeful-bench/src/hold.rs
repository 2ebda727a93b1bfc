//! Passive load during other measurements: parked watchers, and a watcher that lags.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wakeful::Error;
use wakeful::internals::wire::RequestBody;
use wakeful::{KeyRange, WatchFrom, WatchRequest};

use super::audience::Audience;
use super::caller::Caller;
use super::loaded_server::LoadedServer;

/// Interval of checking for the end.
const GLANCE: Duration = Duration::from_millis(50);

/// Less than `rpc.ping_interval`: a watcher that never reads cannot answer pings, so it keeps
/// its connection alive by pings of its own.
const PING: Duration = Duration::from_secs(5);

/// The end of holding something.
#[derive(Debug)]
pub(super) enum Until {
    /// The end of stdin.
    StdinCloses(Arc<AtomicBool>),
    /// A point in time.
    Over(Instant),
}

impl Until {
    /// Ends after `seconds`, or otherwise when stdin closes.
    pub(super) fn new(seconds: Option<Duration>) -> Self {
        if let Some(time) = seconds {
            return Self::Over(Instant::now() + time);
        }
        let closed = Arc::new(AtomicBool::new(false));
        let seen = closed.clone();
        // Never joined: nothing can interrupt a read of stdin, and it ends with the process.
        std::thread::spawn(move || {
            let (mut stdin, mut bytes) = (std::io::stdin().lock(), [0; 256]);
            while stdin.read(&mut bytes).is_ok_and(|count| count > 0) {}
            seen.store(true, Ordering::Relaxed);
        });
        Self::StdinCloses(closed)
    }

    fn is_now(&self) -> bool {
        match self {
            Self::StdinCloses(closed) => closed.load(Ordering::Relaxed),
            Self::Over(end) => Instant::now() >= *end,
        }
    }
}

/// Holds `audience`, answering pings; returns the number of its events.
pub(super) fn park(mut audience: Audience, until: &Until) -> Result<u64, Error> {
    let mut events = 0;
    while !until.is_now() {
        events += audience.turn(GLANCE)?;
    }
    Ok(events)
}

/// A watcher of everything that never reads, credits or closes.
#[derive(Debug)]
pub(super) struct Laggard {
    caller: Caller,
    /// The revision that the watch starts from.
    pub(super) from: u64,
    /// The revision of the store.
    pub(super) current: u64,
}

impl Laggard {
    /// Watches from `behind` revisions ago, or the oldest one readable, with `window_bytes`.
    pub(super) fn connect(
        server: &LoadedServer,
        behind: u64,
        window_bytes: u32,
    ) -> Result<Self, Error> {
        let mut caller = Caller::connect(server)?;
        let status = caller.status()?;
        let from = (status.revision + 1).saturating_sub(behind).max(status.oldest);
        let watch =
            WatchRequest { from: WatchFrom::Revision(from), ..WatchRequest::new(KeyRange::all()) };
        let stream = caller.send(&RequestBody::open_stream(window_bytes))?;
        caller.answer(stream)?;
        let added = caller.send(&RequestBody::add_watch(stream, 1, watch))?;
        caller.answer(added)?;
        Ok(Self { caller, from, current: status.revision })
    }

    /// Stays idle.
    pub(super) fn hold(&mut self, until: &Until) -> Result<(), Error> {
        let mut pinged = Instant::now();
        while !until.is_now() {
            std::thread::sleep(GLANCE);
            if pinged.elapsed() > PING {
                self.caller.ping()?;
                pinged = Instant::now();
            }
        }
        Ok(())
    }
}
