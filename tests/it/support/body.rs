//! Bodies, written and read byte by byte as `docs/protocol.md` describes them, without the crate's
//! codec, so that the document is tested.

/// Writes a body.
#[derive(Clone, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Begins a request: no idempotency key, then the variant.
    pub(crate) fn request(variant: u32) -> Self {
        Self::new().u8(0).u32(variant)
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u128(mut self, value: u128) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Writes bytes or text: the length, then the bytes.
    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self = self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Appends a written body.
    pub(crate) fn then(mut self, other: Body) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn key(key: &[u8]) -> Body {
    Body::new().u32(0).bytes(key)
}

pub(crate) fn prefix(prefix: &[u8]) -> Body {
    Body::new().u32(1).bytes(prefix)
}

pub(crate) fn set(key: &[u8], value: &[u8]) -> Body {
    Body::request(0).then(set_fields(key, value))
}

/// Returns the fields of a set: no lease, no time to live, unconditional, without the previous
/// value.
pub(crate) fn set_fields(key: &[u8], value: &[u8]) -> Body {
    Body::new().bytes(key).bytes(value).u64(0).u64(0).u8(0).u8(0)
}

pub(crate) fn get(key: &[u8]) -> Body {
    Body::request(1).bytes(key).u64(0)
}

/// Returns a count of the keys of a range: work with a small answer.
pub(crate) fn count(range: Body) -> Body {
    Body::request(2).then(range).u64(0).u32(0).u8(0).u8(0).u8(1).bytes(b"")
}

/// Returns a transaction without compares that sets these keys.
pub(crate) fn txn_of_sets(sets: &[(&[u8], &[u8])]) -> Body {
    let mut body = Body::request(4).u64(0).u64(sets.len() as u64);
    for (key, value) in sets {
        body = body.u32(0).then(set_fields(key, value));
    }
    body.u64(0)
}

pub(crate) fn delete(range: Body) -> Body {
    Body::request(3).then(range).u8(0)
}

pub(crate) fn compact(revision: u64) -> Body {
    Body::request(10).u64(revision)
}

pub(crate) fn status() -> Body {
    Body::request(11)
}

pub(crate) const CHANGED: u32 = 0;

/// Returns a wait for `condition` (one without a value) from now on.
pub(crate) fn wait(range: Body, condition: u32, timeout_ms: u64) -> Body {
    Body::request(14).then(range).u32(condition).u8(0).u8(1).u64(timeout_ms)
}

pub(crate) fn wait_after(range: Body, condition: u32, timeout_ms: u64, after: u64) -> Body {
    Body::request(14).then(range).u32(condition).u8(1).u64(after).u8(1).u64(timeout_ms)
}

pub(crate) fn stream_open(window_bytes: u32) -> Body {
    Body::request(15).u32(window_bytes)
}

pub(crate) enum From {
    Now,
    Revision(u64),
    Snapshot,
}

pub(crate) fn watch_add(stream: u64, watch_id: u64, range: Body, from: From) -> Body {
    let from = match from {
        From::Now => Body::new().u32(0),
        From::Revision(revision) => Body::new().u32(1).u64(revision),
        From::Snapshot => Body::new().u32(2),
    };
    let options = Body::new().u8(1).u8(1).u8(0).u8(0).u64(0).u8(0);
    Body::request(16).u64(stream).u64(watch_id).then(range).then(from).then(options)
}

pub(crate) fn watch_cancel(stream: u64, watch_id: u64) -> Body {
    Body::request(17).u64(stream).u64(watch_id)
}

/// Reads a body.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn bool(&mut self) -> bool {
        match self.u8() {
            0 => false,
            1 => true,
            other => panic!("{other} is not a bool"),
        }
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take(2).try_into().unwrap())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let length = self.u64() as usize;
        self.take(length).to_vec()
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).expect("text is UTF-8")
    }

    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.u64()).map(|_| item(self)).collect()
    }

    pub(crate) fn option<T>(&mut self, item: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.bool() { Some(item(self)) } else { None }
    }

    pub(crate) fn end(self) {
        assert!(self.0.is_empty(), "{} bytes follow the body", self.0.len());
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) create_revision: u64,
    pub(crate) mod_revision: u64,
    pub(crate) version: u64,
    pub(crate) lease: u64,
}

pub(crate) fn key_value(reader: &mut Reader<'_>) -> KeyValue {
    KeyValue {
        key: reader.bytes(),
        value: reader.bytes(),
        create_revision: reader.u64(),
        mod_revision: reader.u64(),
        version: reader.u64(),
        lease: reader.u64(),
    }
}

/// Reads an event without the previous value.
pub(crate) fn event(reader: &mut Reader<'_>) -> KeyValue {
    let kv = key_value(reader);
    assert_eq!(reader.option(key_value), None, "the previous value was not asked for");
    kv
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) revision: u64,
    pub(crate) oldest: u64,
    pub(crate) store_id: u64,
    pub(crate) keys: u64,
    pub(crate) waits: u64,
    pub(crate) watches: u64,
    pub(crate) streams: u64,
    pub(crate) connections: u64,
}

/// Reads the reply to a status request.
pub(crate) fn read_status(body: &[u8]) -> Status {
    let mut reader = Reader::new(body);
    assert_eq!(reader.u32(), 11);
    let (revision, oldest, store_id) = (reader.u64(), reader.u64(), reader.u64());
    assert_eq!(reader.text(), env!("CARGO_PKG_VERSION"));
    let [
        _uptime_ms,
        keys,
        _bytes,
        _events,
        _history,
        _leases,
        waits,
        watches,
        streams,
        connections,
        _requests,
        _journal_records,
        _journal_commits,
        _journal_bytes,
        _journal_sync,
        _durable_revision,
        _snapshot_bytes,
        _log_bytes,
    ] = std::array::from_fn(|_| reader.u64());
    reader.end();
    Status { revision, oldest, store_id, keys, waits, watches, streams, connections }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) message: String,
    pub(crate) details: Details,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Details {
    None,
    Limit { name: String, value: u64 },
    Revisions { oldest: u64, current: u64 },
    Resume { revision: u64 },
}

pub(crate) fn refusal(reader: &mut Reader<'_>) -> Refusal {
    let (code, message) = (reader.u16(), reader.text());
    let details = match reader.u32() {
        0 => Details::None,
        1 => Details::Limit { name: reader.text(), value: reader.u64() },
        2 => Details::Revisions { oldest: reader.u64(), current: reader.u64() },
        3 => Details::Resume { revision: reader.u64() },
        other => panic!("no details have the variant {other}"),
    };
    Refusal { code, message, details }
}

/// The body of a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Push {
    Events { events: Vec<KeyValue>, deliveries: Vec<Delivery> },
    Snapshot { watch_id: u64, revision: u64, kvs: Vec<KeyValue> },
    SnapshotEnd { watch_id: u64, revision: u64 },
    Progress { watch_id: u64, revision: u64 },
    Ended { watch_id: u64, refusal: Refusal },
    Parked { revision: u64 },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) watch_id: u64,
    pub(crate) revision: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) skipped: u64,
    pub(crate) fragment: bool,
}

pub(crate) fn read_push(body: &[u8]) -> Push {
    let mut reader = Reader::new(body);
    let push = match reader.u32() {
        0 => Push::Events { events: reader.list(event), deliveries: reader.list(delivery) },
        1 => Push::Snapshot {
            watch_id: reader.u64(),
            revision: reader.u64(),
            kvs: reader.list(key_value),
        },
        2 => Push::SnapshotEnd { watch_id: reader.u64(), revision: reader.u64() },
        3 => Push::Progress { watch_id: reader.u64(), revision: reader.u64() },
        4 => Push::Ended { watch_id: reader.u64(), refusal: refusal(&mut reader) },
        5 => Push::Parked { revision: reader.u64() },
        other => panic!("no push has the variant {other}"),
    };
    reader.end();
    push
}

fn delivery(reader: &mut Reader<'_>) -> Delivery {
    Delivery {
        watch_id: reader.u64(),
        revision: reader.u64(),
        first: reader.u32(),
        count: reader.u32(),
        skipped: reader.u64(),
        fragment: reader.bool(),
    }
}
