//! The hub against a model of its promises, the promises one by one, and regressions.

mod against_the_model;
mod buffered;
mod journaled;
mod promises;
mod regressions;
mod steps;
mod world;

use std::sync::Arc;
use std::time::Duration;

use super::batch::{EventBatch, WatchUpdate};
use super::hub::{Hub, NextBatch, WaitAnswer};
use super::wait::WaitStart;
use super::watcher::{WatchOwner, WatcherHandle, WatcherRole};
use crate::buffered::{Buffered, BufferedBytes};
use crate::config::{Config, StoreConfig, WatchConfig};
use crate::fair::ClientId;
use crate::model::{
    DeleteRequest, Event, EventKind, HubRequest, KeyRange, KvRequest, LeaseGrantRequest, Reply,
    Revision, SetRequest, TxnOp, TxnRequest, WaitCondition, WaitOutcome, WaitRequest, WatchFrom,
    WatchRequest,
};
use crate::store::{StoreError, StoreState};
use crate::time::Micros;

/// A second of the hub's clock.
const SECOND: Micros = 1_000_000;

type TestHub = Hub<u32>;

fn roomy() -> TestHub {
    hub_with(|_, _| {})
}

fn hub_with(change: impl FnOnce(&mut StoreConfig, &mut WatchConfig)) -> TestHub {
    let mut config = Config::new();
    change(&mut config.store, &mut config.watch);
    Hub::new(StoreState::new(config.store), config.watch)
}

fn owner(id: u64) -> Arc<WatchOwner> {
    let client = if id == 0 { ClientId::Process } else { ClientId::Connection(id) };
    Arc::new(WatchOwner { client, ..WatchOwner::unlimited(id, format!("owner {id}")) })
}

fn prefix(prefix: &str) -> KeyRange {
    KeyRange::prefix(prefix)
}

/// Short forms of requests for tests; the time is 0 unless stated.
impl TestHub {
    fn ask(&mut self, request: KvRequest) -> Result<Reply, StoreError> {
        self.apply(0, None, request)
    }

    fn set_to(&mut self, key: &str, value: &str) {
        self.ask(KvRequest::Set(SetRequest::new(key, value))).unwrap();
    }

    fn delete_in(&mut self, range: KeyRange) {
        self.ask(KvRequest::Delete(DeleteRequest::new(range))).unwrap();
    }

    fn compact(&mut self, revision: Revision) {
        self.ask(KvRequest::Compact(revision)).unwrap();
    }

    /// Sets these keys, and deletes those that begin with `-`, in one revision.
    fn txn(&mut self, keys: &[&str]) {
        let op = |key: &&str| match key.strip_prefix('-') {
            Some(key) => TxnOp::Delete(DeleteRequest::new(KeyRange::key(key))),
            None => TxnOp::Set(SetRequest::new(*key, "v")),
        };
        let success = keys.iter().map(op).collect();
        self.ask(KvRequest::Txn(TxnRequest { success, ..TxnRequest::default() })).unwrap();
    }

    fn stream_of(&mut self, address: u32) -> WatcherHandle {
        self.open_stream(&owner(1), usize::MAX, || address).unwrap()
    }

    fn parked(&mut self, address: u32, request: WaitRequest) -> WatcherHandle {
        match self.wait(0, &owner(1), request, || address).unwrap() {
            WaitStart::Parked(handle, _) => handle,
            WaitStart::Answered(outcome) => panic!("answered at once: {outcome:?}"),
        }
    }

    fn answered_at_once(&mut self, request: WaitRequest) -> String {
        match self.wait(0, &owner(1), request, || 0).unwrap() {
            WaitStart::Answered(outcome) => outcome_text(&outcome),
            WaitStart::Parked(..) => panic!("parked"),
        }
    }

    /// Returns the answers since the last call, as `party: outcome`.
    fn answers(&mut self) -> Vec<String> {
        let show = |WaitAnswer { address, outcome }| match outcome {
            Ok(outcome) => format!("{address}: {}", outcome_text(&outcome)),
            Err(error) => format!("{address}: {error:?}"),
        };
        self.take_answers().into_iter().map(show).collect()
    }

    /// Returns the batch that a single call finds for a ready stream.
    fn batch_now(&mut self) -> Option<(WatcherHandle, Buffered<EventBatch>)> {
        match self.next_batch() {
            NextBatch::Batch(handle, batch) => Some((handle, batch)),
            NextBatch::Again | NextBatch::Idle => None,
        }
    }

    /// Returns the batch of the next ready stream; `None` if there is none.
    fn batch(&mut self) -> Option<(WatcherHandle, Buffered<EventBatch>)> {
        loop {
            match self.next_batch() {
                NextBatch::Batch(handle, batch) => return Some((handle, batch)),
                NextBatch::Again => {}
                NextBatch::Idle => return None,
            }
        }
    }

    /// Returns everything that is shown to consumers that are always ready.
    fn shown(&mut self) -> Vec<String> {
        let mut shown = Vec::new();
        while let Some((handle, batch)) = self.batch() {
            shown.extend(batch_text(&batch));
            self.ready(handle, usize::MAX);
        }
        shown
    }

    /// Advances until nothing is left to do at `now`; returns the number of turns.
    fn settle(&mut self, now: Micros) -> usize {
        let mut turns = 0;
        while self.must_advance(now) {
            self.advance(now);
            while self.batch().is_some() {}
            turns += 1;
        }
        turns
    }

    /// Checks that nothing is kept for any client.
    fn assert_empty(&mut self) {
        assert!(self.batch().is_none());
        assert_eq!((self.watchers.len(), self.streams.len(), self.waits), (0, 0, 0));
        assert_eq!(self.registry.len(), 0);
        assert!(self.owners.is_empty() && self.deadlines.is_empty());
        assert!(self.searching.is_empty() && self.touched.is_empty() && self.paused.is_empty());
    }
}

fn wait(range: KeyRange, condition: WaitCondition) -> WaitRequest {
    WaitRequest { condition, ..WaitRequest::new(range) }
}

fn after(revision: Revision, range: KeyRange, condition: WaitCondition) -> WaitRequest {
    WaitRequest { after: Some(revision), ..wait(range, condition) }
}

fn from(from: Revision, range: KeyRange) -> WatchRequest {
    WatchRequest { from: WatchFrom::Revision(from), ..WatchRequest::new(range) }
}

fn snapshot(range: KeyRange) -> WatchRequest {
    WatchRequest { from: WatchFrom::Snapshot, ..WatchRequest::new(range) }
}

fn event_text(event: &Event) -> String {
    let sign = if event.kind() == EventKind::Delete { "-" } else { "" };
    format!("{}{sign}{}", event.revision(), event.kv.key)
}

fn outcome_text(outcome: &WaitOutcome) -> String {
    match outcome {
        WaitOutcome::Met { revision, event: Some(event) } => {
            format!("met at {revision}: {}", event_text(event))
        }
        WaitOutcome::Met { revision, event: None } => format!("met at {revision}"),
        WaitOutcome::Timeout { revision } => format!("timeout at {revision}"),
    }
}

/// Returns the deliveries of a batch, as `watch id: what`.
fn batch_text(batch: &EventBatch) -> Vec<String> {
    let show = |update: &WatchUpdate| match update {
        WatchUpdate::Events { first, count, revision, skipped } => {
            let events: Vec<_> = batch.events_of(*first, *count).iter().map(event_text).collect();
            let skipped = match skipped {
                0 => String::new(),
                skipped => format!(", {skipped} skipped"),
            };
            format!("{} up to {revision}{skipped}", events.join(" "))
        }
        WatchUpdate::Snapshot { revision, kvs } => {
            let keys: Vec<_> = kvs.iter().map(|kv| kv.key.to_string()).collect();
            format!("{} of {revision}", keys.join(" "))
        }
        WatchUpdate::SnapshotEnd { revision } => format!("all of {revision}"),
        WatchUpdate::Progress { revision } => format!("nothing up to {revision}"),
        WatchUpdate::Ended(error) => format!("{error:?}"),
    };
    batch
        .deliveries
        .iter()
        .map(|delivery| format!("{}: {}", delivery.watch_id, show(&delivery.update)))
        .collect()
}
