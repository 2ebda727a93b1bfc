//! The encoding produces the bodies that `docs/protocol.md` shows in bytes, and they decode to the same
//! values.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::golden_jobs::{job_replies, job_requests};
use super::*;
use crate::auth::Credentials;
use crate::config::Durability;
use crate::error::{Details, Error, ErrorCode};
use crate::model::*;
use crate::rpc::codec::{CodecError, decode, encode_frame};
use crate::rpc::frame::{HEADER_BYTES, Header, Kind};
use crate::session::{Identity, Via};

pub(super) const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// Returns the bodies of requests in the document.
pub(crate) fn request_bodies() -> Vec<Vec<u8>> {
    let Golden(bodies) = Golden::read("bodies");
    let requests = bodies.into_iter().filter(|(name, _)| name.starts_with("Request "));
    requests.map(|(_, body)| body).collect()
}

/// The bodies of the document by name; each is removed when it is checked.
pub(super) struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn read(block: &str) -> Self {
        let (_, lines) = DOCUMENT.split_once(&format!("```{block}\n")).unwrap();
        let (lines, _) = lines.split_once("```").unwrap();
        let mut lines = lines.lines();
        let mut golden = BTreeMap::new();
        while let (Some(name), Some(hex)) = (lines.next(), lines.next()) {
            let hex: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let byte = |digits: &[u8]| {
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            };
            assert!(golden.insert(name, hex.chunks(2).map(byte).collect()).is_none(), "{name}");
        }
        Self(golden)
    }

    /// Encodes `body` and compares; returns the document's bytes.
    fn encode(&mut self, name: &str, body: &impl Serialize) -> Vec<u8> {
        let golden = self.0.remove(name).unwrap_or_else(|| panic!("{name} is not documented"));
        let mut frame = Vec::new();
        encode_frame(&mut frame, Kind::Push, 1, 0, body, usize::MAX).unwrap();
        assert_eq!(hex(&frame[HEADER_BYTES..]), hex(&golden), "{name}");
        golden
    }

    fn wire<T: Serialize + for<'a> Deserialize<'a> + PartialEq + Debug>(
        &mut self,
        name: &str,
        body: &T,
    ) {
        let golden = self.encode(name, body);
        assert_eq!(decode::<T>(&golden).unwrap(), *body, "{name}");
    }

    fn call(&mut self, name: &str, call: &RpcCall) {
        let golden = self.encode(&format!("Request {name}"), &WireCall::from(call));
        assert_eq!(RpcCall::from(decode::<WireCall<'_>>(&golden).unwrap()), *call, "{name}");
    }

    fn header(&mut self, name: &str, header: Header, durability: Option<Durability>) {
        let golden = self.0.remove(name).unwrap_or_else(|| panic!("{name} is not documented"));
        let header = Header { durability: durability_byte(durability), ..header };
        assert_eq!(hex(&header.encode()), hex(&golden), "{name}");
        let decoded = Header::decode(golden.first_chunk().unwrap()).unwrap();
        assert_eq!((decoded, read_durability(decoded.durability)), (header, Ok(durability)));
    }

    pub(super) fn request(&mut self, name: &str, request: impl Into<Request>) {
        self.call(name, &RpcCall::from(request.into()));
    }

    pub(super) fn reply(&mut self, name: &str, reply: &Reply) {
        let golden = self.encode(&format!("Reply {name}"), &WireReply::from(reply));
        let decoded = decode::<WireReply<'_>>(&golden).unwrap().into_store_reply();
        assert_eq!(decoded.as_ref(), Some(reply), "{name}");
    }

    fn wire_reply(&mut self, name: &str, reply: &WireReply<'_>) {
        let golden = self.encode(&format!("Reply {name}"), reply);
        assert_eq!(decode::<WireReply<'_>>(&golden).unwrap(), *reply, "{name}");
    }

    fn push(&mut self, name: &str, push: &WirePush<'_>) {
        let golden = self.encode(&format!("Push {name}"), push);
        assert_eq!(decode::<WirePush<'_>>(&golden).unwrap(), *push, "{name}");
    }

    fn error(&mut self, name: &str, error: &Error) {
        let golden = self.encode(name, &WireError::from(error));
        assert_eq!(Error::from(decode::<WireError<'_>>(&golden).unwrap()), *error, "{name}");
    }

    fn end(self) {
        let left: Vec<_> = self.0.into_keys().collect();
        assert!(left.is_empty(), "documented, but not checked: {left:?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn kv() -> Arc<KeyValue> {
    Arc::new(KeyValue {
        key: "a".into(),
        value: "1".into(),
        create_revision: 2,
        mod_revision: 3,
        version: 4,
        lease: 5,
    })
}

pub(super) fn error(code: ErrorCode, details: Details) -> Error {
    Error::new(code, "no").with_details(details)
}

#[test]
fn r1_bodies_are_as_documented() {
    let mut golden = Golden::read("bodies");
    connection(&mut golden);
    requests(&mut golden);
    waits_and_watches(&mut golden);
    replies(&mut golden);
    job_requests(&mut golden);
    job_replies(&mut golden);
    pushes(&mut golden);
    golden.end();
}

fn connection(golden: &mut Golden) {
    let hello = WireHello { client_name: "me", server: "edge" };
    assert_eq!(decode::<WireHello<'_>>(&golden.encode("Hello", &hello)).unwrap(), hello);
    let welcome = WireWelcome {
        server_version: "0.1.0",
        store_id: 7,
        revision: 1,
        frame_bytes_max: 8 * 1024 * 1024,
        requests_in_flight_max: 4096,
        ping_interval_ms: 30_000,
    };
    assert_eq!(decode::<WireWelcome<'_>>(&golden.encode("Welcome", &welcome)).unwrap(), welcome);
    golden.wire("Credit", &WireCredit { bytes: 65_536 });
    golden.error("Error", &error(ErrorCode::WatchNotFound, Details::None));
    let limit = Details::Limit { name: "store.keys_max".to_owned(), value: 10 };
    golden.error("Error with Limit", &error(ErrorCode::LimitExceeded, limit));
    let revisions = Details::Revisions { oldest: 5, current: 9 };
    golden.error("Error with Revisions", &error(ErrorCode::Compacted, revisions));
    let resume = Details::Resume { revision: 10 };
    golden.error("Error with Resume", &error(ErrorCode::Unavailable, resume));
}

fn requests(golden: &mut Golden) {
    let set = SetRequest::new("a", "1");
    golden.request("Set", KvRequest::Set(set.clone()));
    let everything = SetRequest {
        lease: 5,
        ttl: Some(ms(1000)),
        only_if_changed: true,
        return_previous: true,
        ..set
    };
    let options = CallOptions::once(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let call = RpcCall::Store { options, request: KvRequest::Set(everything).into() };
    golden.call("Set with everything", &call);
    golden.request("Get", KvRequest::Get(GetRequest { key: "a".into(), revision: 3 }));
    let range = RangeRequest {
        range: KeyRange::range("a", "c"),
        revision: 3,
        limit: 10,
        order: RangeOrder::Descending,
        keys_only: true,
        count_only: false,
        after: Some("b".into()),
    };
    golden.request("Range", KvRequest::Range(range.clone()));
    golden.request("Scan", KvRequest::Scan(Box::new(range)));
    let delete = DeleteRequest { range: KeyRange::prefix("a"), return_previous: true };
    golden.request("Delete", KvRequest::Delete(delete));
    let compare = |key: &str, op, target| Compare { range: KeyRange::key(key), op, target };
    let txn = TxnRequest {
        compares: vec![
            compare("a", CompareOp::Equal, CompareTarget::Value("1".into())),
            compare("b", CompareOp::Greater, CompareTarget::Version(2)),
        ],
        success: vec![
            TxnOp::Set(SetRequest::new("a", "2")),
            TxnOp::Delete(DeleteRequest::new(KeyRange::key("b"))),
        ],
        failure: vec![
            TxnOp::Get(GetRequest { key: "a".into(), revision: 0 }),
            TxnOp::Range(RangeRequest::new(KeyRange::all())),
        ],
    };
    golden.request("Txn", KvRequest::Txn(txn));
    let grant = LeaseGrantRequest { id: 5, ttl: ms(60_000) };
    golden.request("LeaseGrant", KvRequest::LeaseGrant(grant));
    golden.request("LeaseKeepAlive", KvRequest::LeaseKeepAlive(5));
    golden.request("LeaseRevoke", KvRequest::LeaseRevoke(5));
    golden.request("LeaseTimeToLive", KvRequest::LeaseTimeToLive(5));
    golden.request("LeaseList", KvRequest::LeaseList { after: 5, limit: 100 });
    golden.request("Compact", KvRequest::Compact(3));
    golden.request("Status", HubRequest::Status);
    golden.request("Watchers", HubRequest::Watchers { after: 5, limit: 100 });
    golden.request("EndWatcher", HubRequest::EndWatcher(5));
    golden.request("Snapshot", FilesRequest::Snapshot);
    let part = FilesRequest::ReadSnapshot { id: 5, offset: 4096, limit: 1024 };
    golden.request("ReadSnapshot", part);
    let method = "HelloService.Hello".to_owned();
    let argument = Payload::bincode("x").unwrap();
    let invocation = Invocation { method: method.clone(), argument };
    golden.request("Invoke", Request::Invoke(invocation));
    let argument = Payload::json("x").unwrap();
    golden.request("Invoke with JSON", Request::Invoke(Invocation { method, argument }));
    golden.request("Services", NodeRequest::Services);
    golden.request("LeaseKeys", KvRequest::LeaseKeys { id: 5, after: "a".into(), limit: 100 });
    golden.request("Limits", NodeRequest::Limits);
    golden.request("Gauges", NodeRequest::Gauges);
    golden.call("Login with a password", &RpcCall::Login(Credentials::password("me", "secret")));
    golden.call("Login with a token", &RpcCall::Login(Credentials::token("wakeful_1")));
}

fn waits_and_watches(golden: &mut Golden) {
    let wait = WaitRequest {
        condition: WaitCondition::Equals("1".into()),
        ..WaitRequest::new(KeyRange::key("a"))
    };
    golden.call("Wait", &RpcCall::Wait(wait));
    let wait = WaitRequest {
        after: Some(3),
        timeout: Some(ms(1000)),
        ..WaitRequest::new(KeyRange::prefix("a"))
    };
    golden.call("Wait with everything", &RpcCall::Wait(wait));
    golden.call("StreamOpen", &RpcCall::StreamOpen { window_bytes: 1 << 20 });
    let watch = WatchRequest::new(KeyRange::key("a"));
    golden.call("WatchAdd", &RpcCall::WatchAdd { stream: 4, watch_id: 1, watch });
    let watch = WatchRequest {
        range: KeyRange::range("a", ""),
        from: WatchFrom::Revision(3),
        puts: true,
        deletes: false,
        previous: true,
        keys_only: true,
        progress: Some(ms(1000)),
        delivery: Delivery::Latest,
    };
    golden.call("WatchAdd with everything", &RpcCall::WatchAdd { stream: 4, watch_id: 1, watch });
    golden.call("WatchCancel", &RpcCall::WatchCancel { stream: 4, watch_id: 1 });
}

fn replies(golden: &mut Golden) {
    let set = SetReply { revision: 3, changed: true, lease: 5, previous: Some(kv()) };
    golden.reply("Set", &Reply::Set(set));
    golden.reply("Get", &Reply::Get(GetReply { revision: 3, kv: Some(kv()) }));
    let next = Some(kv().key.clone());
    let range = RangeReply { revision: 3, kvs: vec![kv()], more: true, count: 1, next };
    golden.reply("Range", &Reply::Range(range));
    let next = Some("b".into());
    let scan = RangeReply { revision: 3, kvs: Vec::new(), more: true, count: 0, next };
    golden.reply("Scan", &Reply::Scan(scan));
    let delete = DeleteReply { revision: 4, deleted: 1, previous: vec![kv()] };
    golden.reply("Delete", &Reply::Delete(delete));
    let txn = TxnReply {
        revision: 3,
        succeeded: true,
        results: vec![
            Reply::Set(SetReply { revision: 3, changed: true, lease: 0, previous: None }),
            Reply::Get(GetReply { revision: 3, kv: None }),
            Reply::Range(RangeReply {
                revision: 3,
                kvs: Vec::new(),
                more: false,
                count: 0,
                next: None,
            }),
            Reply::Delete(DeleteReply { revision: 3, deleted: 0, previous: Vec::new() }),
        ],
    };
    golden.reply("Txn", &Reply::Txn(txn));
    let lease = LeaseReply { revision: 3, id: 5, ttl: ms(60_000) };
    golden.reply("LeaseGrant", &Reply::LeaseGrant(lease.clone()));
    golden.reply("LeaseKeepAlive", &Reply::LeaseKeepAlive(lease));
    let revoke = DeleteReply { revision: 4, deleted: 1, previous: Vec::new() };
    golden.reply("LeaseRevoke", &Reply::LeaseRevoke(revoke));
    let time = LeaseTimeToLiveReply {
        revision: 3,
        id: 5,
        granted: ms(60_000),
        remaining: ms(59_000),
        keys: vec!["a".into()],
    };
    golden.reply("LeaseTimeToLive", &Reply::LeaseTimeToLive(time));
    let list = LeaseListReply { revision: 3, leases: vec![5, 6], more: false };
    golden.reply("LeaseList", &Reply::LeaseList(list));
    golden.reply("Compact", &Reply::Compact(CompactReply { revision: 9, oldest: 5 }));
    let status = StatusReply {
        revision: 9,
        oldest: 5,
        store_id: 7,
        server_version: "0.1.0".to_owned(),
        uptime: ms(1),
        keys: 2,
        bytes: 3,
        history_events: 4,
        history_bytes: 5,
        leases: 6,
        waits: 7,
        watches: 8,
        streams: 9,
        connections: 10,
        requests: 11,
        journal_records: 12,
        journal_commits: 13,
        journal_bytes: 14,
        journal_sync: Duration::from_micros(15),
        durable_revision: 16,
        snapshot_bytes: 17,
        log_bytes: 18,
    };
    golden.reply("Status", &Reply::Status(Box::new(status)));
    let watcher = WatcherInfo {
        id: 5,
        kind: WatcherKind::Watch,
        owner: "me".to_owned(),
        range: KeyRange::key("a"),
        behind: 2,
    };
    let watchers = WatchersReply { revision: 9, watchers: vec![watcher], more: false };
    golden.reply("Watchers", &Reply::Watchers(watchers));
    golden.reply("EndWatcher", &Reply::EndWatcher);
    let snapshot = SnapshotReply { revision: 9, id: 5, bytes: 4096 };
    golden.reply("Snapshot", &Reply::Snapshot(snapshot));
    golden.reply("ReadSnapshot", &Reply::ReadSnapshot("part".into()));
    golden.reply("Invoke", &Reply::Invoke(Payload::bincode("hello:x").unwrap()));
    let hello = ServiceInfo { name: "HelloService".into(), methods: vec!["Hello".into()] };
    golden.reply("Services", &Reply::Services(vec![hello]));
    let page = LeaseKeysReply { revision: 3, keys: vec!["a".into()], more: true };
    golden.reply("LeaseKeys", &Reply::LeaseKeys(page));
    let limit = LimitInfo { name: "store.keys_max".to_owned(), value: 10 };
    golden.reply("Limits", &Reply::Limits(vec![limit]));
    let guard = GaugeInfo { name: "rpc.total_output_bytes".to_owned(), value: 10 };
    golden.reply("Gauges", &Reply::Gauges(vec![guard]));
    let identity = Identity { name: "me".to_owned(), via: Via::Token };
    golden.wire_reply("Login", &WireReply::Login((&identity).into()));
    let event = Some(Event { kv: kv(), previous: None });
    let met = WaitOutcome::Met { revision: 3, event };
    golden.wire_reply("Wait met", &WireReply::from(&met));
    golden.wire_reply("Wait timed out", &WireReply::from(&WaitOutcome::Timeout { revision: 9 }));
    golden.wire_reply("StreamOpen", &WireReply::StreamOpen);
    golden.wire_reply("WatchAdd", &WireReply::WatchAdd { revision: 9 });
    golden.wire_reply("WatchCancel", &WireReply::WatchCancel);
}

fn pushes(golden: &mut Golden) {
    let (now, before) = (
        kv(),
        KeyValue { value: "0".into(), mod_revision: 2, version: 1, lease: 0, ..(*kv()).clone() },
    );
    let event = Event { kv: now, previous: Some(Arc::new(before)) };
    let to = |watch_id, skipped, fragment| WireDelivery {
        watch_id,
        revision: 3,
        first: 0,
        count: 1,
        skipped,
        fragment,
    };
    let events = vec![WireEvent::of(&event, true, false)];
    let deliveries = vec![to(1, 0, false), to(2, 6, true)];
    golden.push("Events", &WirePush::Events { events, deliveries });
    let key_value = kv();
    let kvs = vec![WireKeyValue::from(&*key_value)];
    golden.push("Snapshot", &WirePush::Snapshot { watch_id: 1, revision: 9, kvs });
    golden.push("SnapshotEnd", &WirePush::SnapshotEnd { watch_id: 1, revision: 9 });
    golden.push("Progress", &WirePush::Progress { watch_id: 1, revision: 9 });
    let ended = error(ErrorCode::Unavailable, Details::Resume { revision: 10 });
    golden.push("Ended", &WirePush::Ended { watch_id: 1, error: WireError::from(&ended) });
    golden.push("Parked", &WirePush::Parked { revision: 9 });
}

/// The table of errors is complete and agrees with the code.
#[test]
fn r1_error_codes_are_as_documented() {
    let (_, table) = DOCUMENT.split_once("| Code | Name | Again |").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), ErrorCode::ALL.len());
    for (row, code) in rows.iter().zip(ErrorCode::ALL) {
        let again = if code.retryable() { "yes" } else { "no" };
        assert_eq!(row[1..4], [&(code as u16).to_string(), &code.to_string(), again]);
    }
}

#[test]
fn d9_headers_are_as_documented() {
    let mut golden = Golden::read("headers");
    let request = Header { body_bytes: 0x34, ..Header::bare(Kind::Request, 7) };
    let reply = Header { body_bytes: 0x16, ..Header::bare(Kind::Reply, 7) };
    let (interval, fsync) = (Some(Durability::Interval), Some(Durability::Fsync));
    let in_a_second = Header { deadline_ms: 1000, ..request };
    let plain = "Request 7 with a deadline of a second and the default durability";
    golden.header(plain, in_a_second, None);
    golden.header("Request 7 with durability interval", request, interval);
    golden.header("Request 7 with durability fsync", request, fsync);
    golden.header("Reply 7 of a store in memory", reply, None);
    golden.header("Reply 7 with durability interval", reply, interval);
    golden.header("Reply 7 with durability fsync", reply, fsync);
    golden.end();
    for unknown in 3..=u8::MAX {
        assert_eq!(read_durability(unknown), Err(CodecError::UnknownDurability(unknown)));
    }
}
