//! [`Audience`]: many waits or watches on some connections, held by one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use wakeful::{Error, ErrorCode};

use super::caller::{Caller, TIMEOUT, lost};
use super::connection::SCRATCH_BYTES;
use super::loaded_server::LoadedServer;
use super::redis::Subscriber;
use super::template::key;
use super::watcher_connection::WatcherConnection;

/// The kind of watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Each watcher is one `wait`, answered once.
    Wait,
    /// Each watcher is one watch id; all of a connection are on one stream.
    Watch,
}

/// The keys that an audience watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// All watch the same key, [`Watched::ONE`].
    One,
    /// Each watches a key of its own, which is never set.
    Idle,
    /// All watch the keys of a load; their number.
    Loaded(u64),
}

/// The description of an audience.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The kind of watching.
    pub(super) kind: Kind,
    /// The watched keys.
    pub(super) watched: Watched,
    /// The number of watchers, over all connections.
    pub(super) watchers: u64,
    /// The number of connections.
    pub(super) connections: u64,
    /// True to request a wait again when its condition was met.
    pub(super) again: bool,
}

/// A party at one connection.
#[derive(Debug)]
enum AudienceMember {
    Wakeful(WatcherConnection),
    Redis(Subscriber),
}

/// Many waits or watches on some connections.
#[derive(Debug)]
pub(super) struct Audience {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    members: Vec<AudienceMember>,
}

impl Kind {
    /// Returns the name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Watch => "watch",
        }
    }
}

impl Watched {
    /// The key of [`Watched::One`].
    pub(super) const ONE: &'static str = "fan-out";

    /// Returns the key that the watcher with `number` watches.
    pub(super) fn key(self, number: u64) -> Vec<u8> {
        match self {
            Self::One => Self::ONE.into(),
            Self::Idle => key("idle", number),
            Self::Loaded(keys) => key("key", number % keys),
        }
    }
}

impl Audience {
    /// Connects, and returns when every watcher is in place.
    pub(super) fn gather(plan: &Plan, server: &LoadedServer) -> Result<Self, Error> {
        let mut audience = Self::empty()?;
        let connections = plan.connections.max(1);
        for number in 0..connections {
            let (share, more) = (plan.watchers / connections, plan.watchers % connections);
            let first = share * number + more.min(number);
            let watchers = first..first + share + u64::from(number < more);
            let mut connection = Caller::connect(server)?.into_connection()?;
            connection.register(audience.poll.registry(), audience.members.len())?;
            let connection =
                WatcherConnection::new(connection, plan.kind, plan.watched, plan.again, watchers);
            audience.members.push(AudienceMember::Wakeful(connection));
        }
        audience.settle()?;
        Ok(audience)
    }

    /// Connects `connections` subscribers to a Redis.
    pub(super) fn subscribe(addr: &str, connections: u64, payload: usize) -> Result<Self, Error> {
        let mut audience = Self::empty()?;
        for _ in 0..connections {
            let mut subscriber = Subscriber::connect(addr, payload)?;
            let token = audience.members.len();
            subscriber.connection.register(audience.poll.registry(), token)?;
            audience.members.push(AudienceMember::Redis(subscriber));
        }
        Ok(audience)
    }

    fn empty() -> Result<Self, Error> {
        Ok(Self {
            poll: Poll::new().map_err(lost)?,
            events: Events::with_capacity(1024),
            scratch: vec![0; SCRATCH_BYTES],
            members: Vec::new(),
        })
    }

    /// Requests every met wait again, and returns when all are in place.
    pub(super) fn rearm(&mut self) -> Result<(), Error> {
        for member in &mut self.members {
            if let AudienceMember::Wakeful(connection) = member {
                connection.rearm();
            }
        }
        self.settle()
    }

    /// Requests watchers until all are in place.
    fn settle(&mut self) -> Result<(), Error> {
        let mut moved = Instant::now();
        for member in &mut self.members {
            if let AudienceMember::Wakeful(connection) = member {
                connection.ask()?;
            }
        }
        while !self.ready() {
            self.turn(Duration::from_millis(100))?;
            if !self.events.is_empty() {
                moved = Instant::now();
            } else if moved.elapsed() > TIMEOUT {
                let what = "the server does not take the watchers";
                return Err(Error::new(ErrorCode::DeadlineExceeded, what));
            }
        }
        Ok(())
    }

    fn ready(&self) -> bool {
        self.members.iter().all(|member| match member {
            AudienceMember::Wakeful(connection) => connection.ready(),
            AudienceMember::Redis(_) => true,
        })
    }

    /// Waits up to `timeout` for input and reads it; returns the number of events, each counted once for
    /// each watcher.
    pub(super) fn turn(&mut self, timeout: Duration) -> Result<u64, Error> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            polled => polled.map_err(lost)?,
        }
        let mut events = 0;
        for event in &self.events {
            match self.members.get_mut(event.token().0) {
                Some(AudienceMember::Wakeful(connection)) => {
                    if event.is_writable() {
                        connection.connection.flush()?;
                    }
                    events += connection.receive(&mut self.scratch)?;
                }
                Some(AudienceMember::Redis(subscriber)) => {
                    events += subscriber.receive(&mut self.scratch)?;
                }
                None => {}
            }
        }
        Ok(events)
    }

    /// Runs on a thread of its own until it is stopped; the stop returns the number of its events.
    pub(super) fn spawn(mut self) -> (Arc<AtomicBool>, JoinHandle<Result<u64, Error>>) {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut events = 0;
            while !stopped.load(Ordering::Relaxed) {
                events += self.turn(Duration::from_millis(50))?;
            }
            Ok(events)
        });
        (stop, thread)
    }
}
