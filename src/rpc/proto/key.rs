//! Keys, ranges of keys and events on the wire.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Blob, Event, KeyRange, KeyValue};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireKeyRange<'a> {
    Key(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Prefix(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Range {
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
    },
}

impl<'a> From<&'a KeyRange> for WireKeyRange<'a> {
    fn from(range: &'a KeyRange) -> Self {
        match range {
            KeyRange::Key(key) => Self::Key(key),
            KeyRange::Prefix(prefix) => Self::Prefix(prefix),
            KeyRange::Range { from, to } => Self::Range { from, to },
        }
    }
}

impl From<WireKeyRange<'_>> for KeyRange {
    fn from(wire: WireKeyRange<'_>) -> Self {
        match wire {
            WireKeyRange::Key(key) => Self::Key(Blob::from(key)),
            WireKeyRange::Prefix(prefix) => Self::Prefix(Blob::from(prefix)),
            WireKeyRange::Range { from, to } => {
                Self::Range { from: Blob::from(from), to: Blob::from(to) }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireKeyValue<'a> {
    #[serde(borrow, with = "serde_bytes")]
    pub(crate) key: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    pub(crate) value: &'a [u8],
    pub(crate) create_revision: u64,
    pub(crate) mod_revision: u64,
    pub(crate) version: u64,
    #[serde(serialize_with = "super::id::decimal")]
    pub(crate) lease: u64,
}

impl<'a> From<&'a KeyValue> for WireKeyValue<'a> {
    fn from(kv: &'a KeyValue) -> Self {
        Self {
            key: &kv.key,
            value: &kv.value,
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

impl From<WireKeyValue<'_>> for KeyValue {
    fn from(wire: WireKeyValue<'_>) -> Self {
        Self {
            key: Blob::from(wire.key),
            value: Blob::from(wire.value),
            create_revision: wire.create_revision,
            mod_revision: wire.mod_revision,
            version: wire.version,
            lease: wire.lease,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireEvent<'a> {
    #[serde(borrow)]
    pub(crate) kv: WireKeyValue<'a>,
    #[serde(borrow)]
    pub(crate) previous: Option<WireKeyValue<'a>>,
}

impl<'a> WireEvent<'a> {
    /// Returns `event` without the parts that were not requested.
    pub(crate) fn of(event: &'a Event, previous: bool, keys_only: bool) -> Self {
        let strip = |kv: &'a Arc<KeyValue>| {
            let wire = WireKeyValue::from(&**kv);
            if keys_only { WireKeyValue { value: &[], ..wire } } else { wire }
        };
        Self {
            kv: strip(&event.kv),
            previous: event.previous.as_ref().filter(|_| previous).map(strip),
        }
    }
}

impl From<WireEvent<'_>> for Event {
    fn from(wire: WireEvent<'_>) -> Self {
        Self { kv: Arc::new(wire.kv.into()), previous: wire.previous.map(|kv| Arc::new(kv.into())) }
    }
}
