//! [`PushWriter`]: turns a batch into push frames, one at a time.

use super::large_values::large_values_of;
use super::output::OutputBuffer;
use crate::buffered::Buffered;
use crate::config::PUSH_BYTES;
use crate::error::Error;
use crate::model::{Blob, Event};
use crate::rpc::codec::CodecError;
use crate::rpc::frame::{Header, Kind};
use crate::rpc::proto::{WireDelivery, WireError, WireEvent, WireKeyValue, WirePush};
use crate::watch::{EventBatch, View, WatchDelivery, WatchUpdate};

/// Events of a frame among which large values are looked for: as many small ones fill it.
const FRAME_EVENTS: usize = 1024;

/// A batch and how far it is written.
pub(super) struct PushWriter {
    batch: Buffered<EventBatch>,
    delivery: usize,
    /// Events of that delivery already written.
    event: usize,
    /// The connection's own, of which the store knows nothing.
    own: bool,
}

/// What a frame that was written means to the connection.
pub(super) struct WrittenFrame {
    pub(super) body_bytes: usize,
    /// The watch it ended.
    pub(super) ended: Option<u64>,
}

impl PushWriter {
    pub(super) fn new(batch: Buffered<EventBatch>) -> Self {
        Self { batch, delivery: 0, event: 0, own: false }
    }

    /// One that the store does not wait for.
    pub(super) fn own(batch: EventBatch) -> Self {
        Self { own: true, ..Self::new(Buffered::uncounted(batch)) }
    }

    /// Notes whether what is left of it waits for credit.
    pub(super) fn set_uncredited(&mut self, is_uncredited: bool) {
        self.batch.set_uncredited(is_uncredited);
    }

    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Leaves out what is not written yet of the watches that are not to be kept.
    pub(super) fn keep(&mut self, mut keep: impl FnMut(u64) -> bool) {
        let (at, mut place) = (self.delivery, 0);
        let begun = self.batch.deliveries.get(at).map(|delivery| delivery.watch_id);
        if begun.is_some_and(|watch_id| !keep(watch_id)) {
            self.event = 0;
        }
        self.batch.deliveries.retain(|delivery| {
            place += 1;
            place <= at || keep(delivery.watch_id)
        });
    }

    /// Whether everything is written.
    pub(super) fn is_done(&self) -> bool {
        self.delivery >= self.batch.deliveries.len()
    }

    /// Appends the next frame to `out`.
    pub(super) fn write(
        &mut self,
        out: &mut OutputBuffer,
        stream: u64,
        body_bytes_max: usize,
    ) -> Result<WrittenFrame, CodecError> {
        let (header, values) = (Header::bare(Kind::Push, stream), self.large_values());
        self.write_by(|push| out.frame(header, push, body_bytes_max, &values))
    }

    /// The values of the next frame, and maybe of others, that are too large to be copied.
    fn large_values(&self) -> Vec<Blob> {
        match self.batch.deliveries.get(self.delivery).map(|delivery| &delivery.update) {
            Some(WatchUpdate::Events { first, .. }) => {
                let next = self.batch.events.iter().skip(*first as usize + self.event);
                let kvs = next.take(FRAME_EVENTS).flat_map(|event| {
                    std::iter::once(&event.kv).chain(&event.previous).map(|kv| &**kv)
                });
                large_values_of(kvs)
            }
            Some(WatchUpdate::Snapshot { kvs, .. }) => large_values_of(kvs.iter().map(|kv| &**kv)),
            _ => Vec::new(),
        }
    }

    /// Has `write` write the next push, and tell its length.
    pub(super) fn write_by(
        &mut self,
        mut write: impl FnMut(&WirePush<'_>) -> Result<usize, CodecError>,
    ) -> Result<WrittenFrame, CodecError> {
        let Some(WatchDelivery { watch_id, view, update }) =
            self.batch.deliveries.get(self.delivery)
        else {
            return Ok(WrittenFrame { body_bytes: 0, ended: None });
        };
        let (watch_id, mut ended) = (*watch_id, None);
        let body_bytes = match update {
            WatchUpdate::Events { .. } => {
                let (push, delivery, event) = self.next_events();
                let body_bytes = write(&push)?;
                (self.delivery, self.event) = (delivery, event);
                return Ok(WrittenFrame { body_bytes, ended });
            }
            WatchUpdate::Snapshot { revision, kvs } => {
                let kvs = kvs.iter().map(|kv| {
                    let kv = WireKeyValue::from(&**kv);
                    if view.keys_only { WireKeyValue { value: &[], ..kv } } else { kv }
                });
                let (revision, kvs) = (*revision, kvs.collect());
                write(&WirePush::Snapshot { watch_id, revision, kvs })?
            }
            WatchUpdate::SnapshotEnd { revision } => {
                write(&WirePush::SnapshotEnd { watch_id, revision: *revision })?
            }
            WatchUpdate::Progress { revision } => {
                write(&WirePush::Progress { watch_id, revision: *revision })?
            }
            WatchUpdate::Ended(error) => {
                ended = Some(watch_id);
                let error = Error::from(error.clone());
                write(&WirePush::Ended { watch_id, error: WireError::from(&error) })?
            }
        };
        self.delivery += 1;
        Ok(WrittenFrame { body_bytes, ended })
    }

    /// A frame of events: of as many deliveries as fit, from where the last frame ended; and
    /// where this one ends.
    fn next_events(&self) -> (WirePush<'_>, usize, usize) {
        let mut events: Vec<WireEvent<'_>> = Vec::new();
        let mut deliveries: Vec<WireDelivery> = Vec::new();
        let (mut at, mut offset, mut bytes) = (self.delivery, self.event, 0);
        // The last delivery written whole, and where its events are in this frame.
        let mut shared: Option<((u32, u32, View), u32)> = None;
        while let Some(delivery) = self.batch.deliveries.get(at) {
            let WatchUpdate::Events { first, count, revision, skipped } = delivery.update else {
                break;
            };
            let source = (first, count, delivery.view);
            if let Some((_, place)) = shared.filter(|(before, _)| offset == 0 && *before == source)
            {
                let whole = WireDelivery {
                    watch_id: delivery.watch_id,
                    revision,
                    first: place,
                    count,
                    skipped,
                    fragment: false,
                };
                deliveries.push(whole);
                at += 1;
                continue;
            }
            if bytes >= PUSH_BYTES {
                break;
            }
            let all = self.batch.events_of(first, count);
            let rest = all.get(offset..).unwrap_or_default();
            let place = events.len() as u32;
            let taken = take_events(rest, delivery.view, &mut bytes, &mut events);
            let part = part_of(rest, taken, revision);
            deliveries.push(WireDelivery {
                watch_id: delivery.watch_id,
                revision: part.revision,
                first: place,
                count: taken as u32,
                skipped: if part.last { skipped } else { 0 },
                fragment: part.fragment,
            });
            if !part.last {
                offset += taken;
                break;
            }
            shared = (offset == 0).then_some((source, place));
            (at, offset) = (at + 1, 0);
        }
        (WirePush::Events { events, deliveries }, at, offset)
    }
}

/// A part of a delivery.
struct DeliveryPart {
    revision: u64,
    /// Its last revision goes on in the next part.
    fragment: bool,
    /// It is the last part.
    last: bool,
}

/// Takes events until the frame is full; at least one.
fn take_events<'a>(
    rest: &'a [Event],
    view: View,
    bytes: &mut usize,
    events: &mut Vec<WireEvent<'a>>,
) -> usize {
    let mut taken = 0;
    for event in rest {
        if *bytes >= PUSH_BYTES {
            break;
        }
        *bytes += event.kv.bytes();
        if let Some(previous) = event.previous.as_ref().filter(|_| view.previous) {
            *bytes += previous.bytes();
        }
        events.push(WireEvent::of(event, view.previous, view.keys_only));
        taken += 1;
    }
    taken
}

/// What the first `taken` of `rest`, whose whole reaches up to `revision`, are.
fn part_of(rest: &[Event], taken: usize, revision: u64) -> DeliveryPart {
    let last = taken.checked_sub(1).and_then(|last| rest.get(last)).map(Event::revision);
    match (last, rest.get(taken).map(Event::revision)) {
        (Some(last), Some(next)) => {
            DeliveryPart { revision: last, fragment: last == next, last: false }
        }
        _ => DeliveryPart { revision, fragment: false, last: true },
    }
}
