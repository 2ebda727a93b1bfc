//! [`WatcherConnection`]: one connection of an audience, with its share of the waits or watches.

use std::ops::Range;

use wakeful::Error;
use wakeful::internals::wire::{self, RequestBody};
use wakeful::rpc::frame::{Header, Kind};
use wakeful::{HubRequest, KeyRange, WaitRequest, WatchRequest};

use super::audience::{Kind as WatcherKind, Watched};
use super::caller::refusal;
use super::connection::{Connection, frames};

/// Number of waits, or watch ids, requested at once: less than `rpc.requests_in_flight_max`.
const CHUNK: usize = 1_000;

/// The id of the stream of watches.
const STREAM: u64 = 1;

/// The id of the request whose answer shows that the waits before it are parked; waits are not
/// answered.
const FENCE: u64 = 2;

/// The id of the first wait, or request for a watch.
const FIRST: u64 = 16;

/// The bytes of pushes that may be in flight.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// The timeout of a wait: longer than any run.
const WAIT: std::time::Duration = std::time::Duration::from_secs(6 * 3600);

/// One connection, with its share of the waits or watches.
#[derive(Debug)]
pub(super) struct WatcherConnection {
    pub(super) connection: Connection,
    kind: WatcherKind,
    watched: Watched,
    /// True to request a wait again when its condition was met.
    again: bool,
    /// The numbers of the watchers.
    watchers: Range<u64>,
    /// The number of requested watchers.
    asked: u64,
    /// The number of answers to come before the next chunk is requested.
    awaiting: usize,
    /// True if the stream was requested.
    opened: bool,
    /// The bytes of pushes consumed and not yet credited.
    consumed: u32,
}

impl WatcherConnection {
    pub(super) fn new(
        connection: Connection,
        kind: WatcherKind,
        watched: Watched,
        again: bool,
        watchers: Range<u64>,
    ) -> Self {
        Self {
            connection,
            kind,
            watched,
            again,
            watchers,
            asked: 0,
            awaiting: 0,
            opened: false,
            consumed: 0,
        }
    }

    /// Returns true if all watchers are in place.
    pub(super) fn ready(&self) -> bool {
        self.awaiting == 0 && self.asked == self.watchers.end - self.watchers.start
    }

    /// Makes all waits be requested again; watches stay.
    pub(super) fn rearm(&mut self) {
        if self.kind == WatcherKind::Wait {
            self.asked = 0;
        }
    }

    /// Requests the next chunk of watchers, if the last one is in place.
    pub(super) fn ask(&mut self) -> Result<(), Error> {
        if self.awaiting > 0 || self.ready() {
            return Ok(());
        }
        let output = &mut self.connection.output;
        if self.kind == WatcherKind::Watch && !self.opened {
            RequestBody::open_stream(WINDOW_BYTES).encode(output, STREAM)?;
            self.opened = true;
            self.awaiting += 1;
        }
        let left = self.watchers.end - self.watchers.start - self.asked;
        for _ in 0..left.min(CHUNK as u64) {
            let (place, number) = (self.asked, self.watchers.start + self.asked);
            match self.kind {
                WatcherKind::Wait => ask_wait(output, place, self.watched.key(number))?,
                WatcherKind::Watch => {
                    let range = KeyRange::key(self.watched.key(number));
                    let watch = WatchRequest::new(range);
                    RequestBody::add_watch(STREAM, place, watch).encode(output, FIRST + place)?;
                    self.awaiting += 1;
                }
            }
            self.asked += 1;
        }
        if self.kind == WatcherKind::Wait {
            RequestBody::from(HubRequest::Status).encode(output, FENCE)?;
            self.awaiting += 1;
        }
        self.connection.flush()
    }

    /// Reads the available bytes; returns the number of events.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> Result<u64, Error> {
        let Self { connection, kind, watched, again, watchers, awaiting, consumed, .. } = self;
        let mut events = 0;
        connection.receive(scratch, |bytes, output| {
            frames(bytes, |header, body| {
                match header.kind {
                    // A wait is not decoded, because the server is measured, not the generator.
                    Kind::Reply if *kind == WatcherKind::Wait && header.id >= FIRST => {
                        events += 1;
                        if *again {
                            let place = header.id - FIRST;
                            ask_wait(output, place, watched.key(watchers.start + place))?;
                        }
                    }
                    Kind::Reply => *awaiting = awaiting.saturating_sub(1),
                    // The wait was parked.
                    Kind::Push if *kind == WatcherKind::Wait => {}
                    Kind::Push => {
                        events += wire::decode_events(body)?;
                        *consumed += header.body_bytes;
                        if *consumed >= WINDOW_BYTES / 2 {
                            wire::encode_credit(output, STREAM, std::mem::take(consumed))?;
                        }
                    }
                    Kind::Ping => {
                        output.extend_from_slice(&Header::bare(Kind::Pong, header.id).encode());
                    }
                    Kind::Pong => {}
                    _ => return Err(refusal(&header, body)),
                }
                Ok(())
            })
        })?;
        self.ask()?;
        self.connection.flush()?;
        Ok(events)
    }
}

fn ask_wait(output: &mut Vec<u8>, place: u64, key: Vec<u8>) -> Result<(), Error> {
    let wait = WaitRequest { timeout: Some(WAIT), ..WaitRequest::new(KeyRange::key(key)) };
    RequestBody::wait(wait).encode(output, FIRST + place)
}
