//! [`ClientWatch`]: one watch of a stream, and the position from which it continues after a lost connection.

use std::mem;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::{Details, Error, ErrorCode};
use crate::model::{
    Blob, Event, KvRequest, RangeRequest, Revision, WatchFrom, WatchItem, WatchRequest,
};
use crate::rpc::client::inbound::CallOutcome;
use crate::rpc::proto::WireDelivery;

/// A watch and its progress.
#[derive(Debug)]
pub(super) struct ClientWatch {
    pub(super) request: WatchRequest,
    pub(super) at: WatchPosition,
    /// Events of a revision that is not complete yet.
    pub(super) held: Vec<Event>,
    skipped: u64,
    /// Receives the outcome of adding the watch.
    pub(super) added: Option<oneshot::Sender<CallOutcome>>,
    pub(super) asked: WatchInFlight,
    /// The interval of progress marks that this client itself requested; zero for none.
    pub(super) bookmarks: Duration,
    /// Whether its snapshot is scanned, because the server refused a page that looks at too many
    /// deleted keys.
    pub(super) scans: bool,
}

/// The request to the server for a watch on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchInFlight {
    Nothing,
    Add,
    Page,
}

/// The position from which a watch continues.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WatchPosition {
    /// The start, as requested.
    Start,
    /// The position after this key of the snapshot of this revision.
    Snapshot { revision: Revision, last: Blob },
    /// This revision.
    Next(Revision),
}

/// The request that a watch needs to continue.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rpc::client) enum WatchNeed {
    /// The watch must be added to the stream.
    Add(WatchRequest),
    /// The next page of its snapshot.
    Page(KvRequest),
}

impl ClientWatch {
    pub(super) fn new(request: WatchRequest, added: oneshot::Sender<CallOutcome>) -> Self {
        Self {
            request,
            at: WatchPosition::Start,
            held: Vec::new(),
            skipped: 0,
            added: Some(added),
            asked: WatchInFlight::Nothing,
            bookmarks: Duration::ZERO,
            scans: false,
        }
    }

    /// Forgets requests and partially received revisions of a lost connection: they come again.
    pub(super) fn forget(&mut self) {
        self.asked = WatchInFlight::Nothing;
        self.held = Vec::new();
        self.skipped = 0;
    }

    /// Returns the request for the server, with progress marks at this interval.
    pub(super) fn need(&mut self, bookmarks: Duration) -> WatchNeed {
        let from = match &self.at {
            WatchPosition::Start => self.request.from,
            WatchPosition::Next(revision) => WatchFrom::Revision(*revision),
            WatchPosition::Snapshot { revision, last } => {
                let page = RangeRequest {
                    revision: *revision,
                    keys_only: self.request.keys_only,
                    after: Some(last.clone()),
                    ..RangeRequest::new(self.request.range.clone())
                };
                let scans = self.scans;
                return WatchNeed::Page(if scans {
                    KvRequest::Scan(Box::new(page))
                } else {
                    KvRequest::Range(page)
                });
            }
        };
        let mut request = WatchRequest { from, ..self.request.clone() };
        if request.progress.is_none() && bookmarks > Duration::ZERO {
            request.progress = Some(bookmarks);
            self.bookmarks = bookmarks;
        }
        WatchNeed::Add(request)
    }

    /// Processes a delivery, and returns the complete revisions that can be handed out.
    pub(super) fn deliver(
        &mut self,
        part: Vec<Event>,
        delivery: &WireDelivery,
    ) -> Option<WatchItem> {
        let mut events = mem::take(&mut self.held);
        if events.is_empty() {
            events = part;
        } else {
            events.extend(part);
        }
        self.skipped += delivery.skipped;
        let mut revision = delivery.revision;
        if delivery.fragment {
            let last = events.last()?.revision();
            let whole = events.partition_point(|event| event.revision() < last);
            self.held = events.split_off(whole);
            revision = last.saturating_sub(1);
        }
        if !(delivery.fragment && events.is_empty()) {
            self.at = WatchPosition::Next(revision.saturating_add(1));
        }
        if events.is_empty() {
            return None;
        }
        let skipped = mem::take(&mut self.skipped);
        Some(WatchItem::Events { revision, events, skipped })
    }

    /// Adds the revision to resume from, unless the error has details already or revisions have become
    /// meaningless. If that revision is compacted, the oldest remaining one takes its place.
    pub(super) fn with_resume(&self, error: Error) -> Error {
        let WatchPosition::Next(next) = self.at else { return error };
        let revision = match (error.code, &error.details) {
            (ErrorCode::Compacted, Details::Revisions { oldest, .. }) => *oldest,
            (code, Details::None) if code != ErrorCode::StoreChanged => next,
            _ => return error,
        };
        error.with_details(Details::Resume { revision })
    }
}
