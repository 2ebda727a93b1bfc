//! [`append`]: the items of a watch, as JSON.

use serde::Serialize;

use super::formatter;
use crate::error::Error;
use crate::rpc::proto::{WireEvent, WireKeyValue, WirePush};

/// The next items of a watch.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WatchOutput<'a> {
    Events { revision: u64, skipped: u64, fragment: bool, events: Vec<&'a WireEvent<'a>> },
    Snapshot { revision: u64, kvs: &'a [WireKeyValue<'a>] },
    SnapshotEnd { revision: u64 },
    Progress { revision: u64 },
}

/// Appends the content of a push to the only watch of its stream.
///
/// # Errors
///
/// The reason why the watch has ended.
pub(super) fn append(out: &mut Vec<u8>, push: &WirePush<'_>) -> Result<(), Error> {
    let shown = match push {
        WirePush::Events { events, deliveries } => {
            let whole = |delivery: &crate::rpc::proto::WireDelivery| {
                let (first, count) = (delivery.first as usize, delivery.count as usize);
                events.get(first..first.saturating_add(count)).unwrap_or_default()
            };
            let last = deliveries.last();
            WatchOutput::Events {
                revision: last.map_or(0, |delivery| delivery.revision),
                skipped: deliveries.iter().map(|delivery| delivery.skipped).sum(),
                fragment: last.is_some_and(|delivery| delivery.fragment),
                events: deliveries.iter().flat_map(whole).collect(),
            }
        }
        WirePush::Snapshot { revision, kvs, .. } => {
            WatchOutput::Snapshot { revision: *revision, kvs }
        }
        WirePush::SnapshotEnd { revision, .. } => WatchOutput::SnapshotEnd { revision: *revision },
        WirePush::Progress { revision, .. } | WirePush::Parked { revision } => {
            WatchOutput::Progress { revision: *revision }
        }
        WirePush::Ended { error, .. } => return Err(Error::from(error.clone())),
    };
    // Writing to a vector cannot fail, and everything is valid JSON.
    let _ = formatter::append(out, &shown, 0);
    Ok(())
}
