//! Records of the store.

use crate::config::Config;
use crate::fair::ClientId;
use crate::model::{
    DeleteRequest, GetRequest, KeyRange, KvRequest, RangeOrder, RangeRequest, SetRequest,
};
use crate::store::{IdempotentWrite, StoreState};

/// Reads `data` as records of the store, each with its length in 2 bytes, little-endian. The records
/// before the first refused one make a store, which must then answer all requests.
pub fn store_records(data: &[u8]) {
    let mut state = StoreState::new(Config::new().store);
    state.begin_replay();
    let mut rest = data;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (record, after) = more.split_at(length);
        if state.replay(record).is_err() {
            // The store would not open. Its partial state must not cause any harm.
            break;
        }
        rest = after;
    }
    state.finish_replay();
    use_store(&mut state);
}

/// Checks that a store answers, whatever records made it, and that its changes can be recorded and
/// replayed.
fn use_store(state: &mut StoreState) {
    state.set_journaled(true);
    let now = state.time();
    let _ = state.check_leases();
    let oldest = state.history().oldest();
    let page = |revision, order| {
        let page = RangeRequest { revision, order, ..RangeRequest::new(KeyRange::all()) };
        KvRequest::Range(page)
    };
    let set = SetRequest { return_previous: true, ..SetRequest::new("k", "v") };
    let delete = DeleteRequest { range: KeyRange::all(), return_previous: true };
    let requests = [
        page(0, RangeOrder::Ascending),
        page(0, RangeOrder::Descending),
        page(oldest, RangeOrder::Ascending),
        KvRequest::Get(GetRequest { key: "k".into(), revision: state.revision() }),
        KvRequest::LeaseTimeToLive(9),
        KvRequest::LeaseKeys { id: 9, after: "a".into(), limit: 1 },
        KvRequest::LeaseKeepAlive(9),
        KvRequest::Set(set.clone()),
        KvRequest::Set(SetRequest { ttl: Some(std::time::Duration::from_secs(1)), ..set }),
        KvRequest::Compact(state.revision()),
        KvRequest::LeaseRevoke(9),
        KvRequest::Delete(delete),
    ];
    let of = |at| match at as u64 % 3 {
        0 => ClientId::Process,
        1 => ClientId::Connection(1),
        user => ClientId::User(user),
    };
    for (at, request) in requests.into_iter().enumerate() {
        let once =
            request.is_write().then_some(IdempotentWrite { key: at as u128, client: of(at) });
        let _ = state.apply(now, once, request);
        take_record(state, now);
    }
    while state.expire_one(u64::MAX).is_some() {
        take_record(state, u64::MAX);
    }
}

/// Checks that the record can be read.
fn take_record(state: &mut StoreState, now: u64) {
    let mut record = Vec::new();
    if state.take_record(now, &mut record) {
        let refusal = StoreState::new(Config::new().store).replay(&record).err();
        // The record follows others, so its revision is practically never the next one.
        let is_read = refusal.is_none_or(|refusal| refusal.starts_with("a record of revision"));
        assert!(is_read, "a record that was written cannot be read");
        state.settle(state.mark());
    }
}
