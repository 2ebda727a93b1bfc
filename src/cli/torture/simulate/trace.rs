//! [`Trace`]: the events of a run, in order; as a number that distinguishes two runs, and their end
//! as text.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use siphasher::sip::SipHasher13;
use tokio::sync::Notify;

use crate::environment::simulated;
use crate::journal::JournalWorker;

/// Number of events kept for display.
const KEPT: usize = 60;

/// The direction of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// An event.
#[derive(Debug, Clone)]
pub(super) enum TraceEvent {
    /// The process starts, and lives for this time.
    Life {
        number: u64,
        kind: String,
    },
    Opened {
        connection: u64,
        whose: &'static str,
    },
    /// Bytes with this digest reached the other end.
    Bytes {
        connection: u64,
        way: Direction,
        bytes: usize,
        digest: u64,
    },
    /// One side of a connection ended.
    Closed {
        connection: u64,
        way: Direction,
    },
    /// The journal advanced.
    Step(JournalWorker),
    Fault(String),
    /// The process is gone; the digest is that of the disk.
    End {
        how: String,
        digest: u64,
    },
}

struct TraceLimit {
    number: u64,
    life: u64,
    at: Duration,
    event: TraceEvent,
}

/// The events. Clones share the trace.
#[derive(Clone)]
pub(super) struct Trace(Arc<Mutex<TraceState>>);

struct TraceState {
    hasher: SipHasher13,
    events: u64,
    life: u64,
    last: VecDeque<TraceLimit>,
    happened: Arc<Notify>,
}

impl Trace {
    pub(super) fn new() -> Self {
        let hasher = SipHasher13::new();
        let last = VecDeque::with_capacity(KEPT);
        Self(Arc::new(Mutex::new(TraceState {
            hasher,
            events: 0,
            life: 0,
            last,
            happened: Arc::default(),
        })))
    }

    /// Records an event at the present time.
    pub(super) fn note(&self, event: TraceEvent) {
        let at = simulated::elapsed();
        let mut state = self.0.lock();
        state.events += 1;
        state.hasher.write_u128(at.as_nanos());
        event.digest(&mut state.hasher);
        if let TraceEvent::Life { number, .. } = event {
            state.life = number;
        }
        if state.last.len() == KEPT {
            state.last.pop_front();
        }
        let (number, life) = (state.events, state.life);
        state.last.push_back(TraceLimit { number, life, at, event });
        state.happened.notify_one();
    }

    /// Returns the signal of every event.
    pub(super) fn happened(&self) -> Arc<Notify> {
        Arc::clone(&self.0.lock().happened)
    }

    /// Returns the number of events.
    pub(super) fn events(&self) -> u64 {
        self.0.lock().events
    }

    /// Returns a number that differs for different runs.
    pub(super) fn digest(&self) -> u64 {
        self.0.lock().hasher.finish()
    }
}

impl TraceEvent {
    fn digest(&self, hasher: &mut SipHasher13) {
        match self {
            Self::Bytes { connection, way, bytes, digest } => {
                hasher.write_u64(*connection);
                hasher.write_u8(*way as u8);
                hasher.write_usize(*bytes);
                hasher.write_u64(*digest);
            }
            Self::Step(hand) => hasher.write_u8(16 + *hand as u8),
            // Other events are rare.
            other => hasher.write(other.to_string().as_bytes()),
        }
    }
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Life { number, kind } => write!(f, "life {number} begins: {kind}"),
            Self::Opened { connection, whose } => write!(f, "connection {connection} of {whose}"),
            Self::Bytes { connection, way, bytes, digest } => {
                let to = if *way == Direction::ToServer { "->" } else { "<-" };
                write!(f, "connection {connection} {to} {bytes} bytes, {digest:016x}")
            }
            Self::Closed { connection, way: Direction::ToServer } => {
                write!(f, "connection {connection}: the client closed its side")
            }
            Self::Closed { connection, way: Direction::ToClient } => {
                write!(f, "connection {connection}: the server closed its side")
            }
            Self::Step(JournalWorker::Writer) => f.write_str("the journal writes"),
            Self::Step(JournalWorker::Preallocator) => f.write_str("the journal makes a segment"),
            Self::Step(JournalWorker::SnapshotWriter) => {
                f.write_str("the journal writes a snapshot")
            }
            Self::Fault(what) => f.write_str(what),
            Self::End { how, digest } => write!(f, "{how}; the disk holds {digest:016x}"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TraceLimit { number, life, at, event } in &self.0.lock().last {
            let micros = at.as_micros();
            writeln!(f, "  {number:>6}  life {life} +{micros:>9} us  {event}")?;
        }
        Ok(())
    }
}

/// Returns a number that differs for different bytes.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}
