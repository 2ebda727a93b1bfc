//! The limits of the journal.

use wakeful::{ErrorCode, Operations, SetRequest, Wakeful};

use super::{Row, refusal};
use crate::support::within;

/// Limits under which a segment may be small, and fills up soon.
const SMALL: [(&str, &str); 11] = [
    ("store.key_bytes_max", "256"),
    ("store.value_bytes_max", "4KiB"),
    ("store.range_keys_max", "128"),
    ("store.range_bytes_max", "8KiB"),
    ("store.txn_ops_max", "16"),
    ("store.revision_bytes_max", "64KiB"),
    ("queue.payload_bytes_max", "8KiB"),
    ("queue.output_bytes_max", "8KiB"),
    ("queue.name_bytes_max", "128"),
    ("journal.segment_bytes", "128KiB"),
    ("journal.durability", "interval"),
];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("journal.pending_bytes_max", "0", 0, async |config| {
            let dir = tempfile::tempdir().unwrap();
            let wakeful = Wakeful::open(config, dir.path()).unwrap();
            let refusal = refusal(&wakeful, wakeful.set(SetRequest::new("a", "1"))).await;
            wakeful.stop().await;
            refusal
        })
        .with(&SMALL),
        Row::new("journal.disk_bytes_max", "640KiB", 640 * 1024, async |config| {
            let dir = tempfile::tempdir().unwrap();
            let wakeful = Wakeful::open(config, dir.path()).unwrap();
            let mut keys = 0;
            let refusal = loop {
                let large = SetRequest::new(format!("key{keys:04}"), vec![b'x'; 4_000]);
                match within(wakeful.set(large)).await {
                    Ok(_) => keys += 1,
                    Err(refusal) => break refusal,
                }
                assert!(keys < 1_000, "far beyond the limit");
            };
            assert_eq!(within(wakeful.status()).await.unwrap().keys, keys);
            wakeful.stop().await;
            refusal
        })
        .with(&SMALL)
        .code(ErrorCode::NoSpace),
    ]
}
