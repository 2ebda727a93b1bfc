//! Converts the batch of a stream to wire types, one push at a time.

use super::large_values::large_values_of;
use crate::config::PUSH_BYTES;
use crate::error::Error;
use crate::front::{PushCursor, WrittenPush};
use crate::model::{Blob, Event};
use crate::rpc::codec::CodecError;
use crate::rpc::proto::{WireDelivery, WireError, WireEvent, WireKeyValue, WirePush};
use crate::watch::{View, WatchDelivery, WatchUpdate};

/// Maximum number of events searched for large values; this many small ones fill a frame.
const FRAME_EVENTS: usize = 1024;

/// Returns the values too large to be copied of the next push, possibly with some of later ones.
pub(super) fn next_large_values(cursor: &PushCursor) -> Vec<Blob> {
    match cursor.next().map(|delivery| &delivery.update) {
        Some(WatchUpdate::Events { first, .. }) => {
            let next = cursor.batch().events.iter().skip(*first as usize + cursor.at().1);
            let kvs = next.take(FRAME_EVENTS).flat_map(|event| {
                std::iter::once(&event.kv).chain(&event.previous).map(|kv| &**kv)
            });
            large_values_of(kvs)
        }
        Some(WatchUpdate::Snapshot { kvs, .. }) => large_values_of(kvs.iter().map(|kv| &**kv)),
        _ => Vec::new(),
    }
}

/// Calls `write` with the next push; returns its length.
pub(super) fn write_next(
    cursor: &mut PushCursor,
    mut write: impl FnMut(&WirePush<'_>) -> Result<usize, CodecError>,
) -> Result<WrittenPush, CodecError> {
    let Some(WatchDelivery { watch_id, view, update }) = cursor.next() else {
        return Ok(WrittenPush { bytes: 0, ended: None, closes: false });
    };
    let (watch_id, mut ended) = (*watch_id, None);
    let bytes = match update {
        WatchUpdate::Events { .. } => {
            let (push, delivery, event) = next_events(cursor);
            let bytes = write(&push)?;
            cursor.advance_to(delivery, event);
            return Ok(WrittenPush { bytes, ended, closes: false });
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
    let (delivery, event) = cursor.at();
    cursor.advance_to(delivery + 1, event);
    Ok(WrittenPush { bytes, ended, closes: false })
}

/// Returns a push of events with as many deliveries as fit, from the position of the cursor, and the
/// position where it ends.
fn next_events(cursor: &PushCursor) -> (WirePush<'_>, usize, usize) {
    let mut events: Vec<WireEvent<'_>> = Vec::new();
    let mut deliveries: Vec<WireDelivery> = Vec::new();
    let ((mut at, mut offset), mut bytes) = (cursor.at(), 0);
    let batch = cursor.batch();
    // The last complete delivery, and the index of its events in this frame.
    let mut shared: Option<((u32, u32, View), u32)> = None;
    while let Some(delivery) = batch.deliveries.get(at) {
        let WatchUpdate::Events { first, count, revision, skipped } = delivery.update else {
            break;
        };
        let source = (first, count, delivery.view);
        if let Some((_, place)) = shared.filter(|(before, _)| offset == 0 && *before == source) {
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
        let all = batch.events_of(first, count);
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

/// The part of a delivery in one frame.
struct DeliveryPart {
    revision: u64,
    /// True if its last revision continues in the next part.
    fragment: bool,
    /// True if it is the last part.
    last: bool,
}

/// Takes events until the frame is full, but at least one; returns their number.
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

/// Describes the first `taken` events of `rest`, which as a whole reaches up to `revision`.
fn part_of(rest: &[Event], taken: usize, revision: u64) -> DeliveryPart {
    let last = taken.checked_sub(1).and_then(|last| rest.get(last)).map(Event::revision);
    match (last, rest.get(taken).map(Event::revision)) {
        (Some(last), Some(next)) => {
            DeliveryPart { revision: last, fragment: last == next, last: false }
        }
        _ => DeliveryPart { revision, fragment: false, last: true },
    }
}
