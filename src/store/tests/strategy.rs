//! Random requests over a handful of keys, few enough that they collide all the time.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{
    Blob, Compare, CompareOp, CompareTarget, DeleteRequest, GetRequest, KeyRange, KvRequest,
    LeaseGrantRequest, RangeOrder, RangeRequest, Revision, SetRequest, TxnOp, TxnRequest,
};

pub(crate) fn key() -> impl Strategy<Value = Blob> {
    prop_oneof![
        60 => select(vec![&b"a"[..], b"ab", b"ac", b"b", b"b\xff"]),
        1 => select(vec![&b""[..], b"long"]),
    ]
    .prop_map(Blob::from)
}

pub(crate) fn value() -> impl Strategy<Value = Blob> {
    prop_oneof![
        40 => select(vec!["", "x", "yy", "zzzz"]),
        1 => Just("longer"),
    ]
    .prop_map(Blob::from)
}

pub(crate) fn range() -> impl Strategy<Value = KeyRange> {
    let bound = || select(vec![&b""[..], b"a", b"ab", b"ac", b"b", b"c"]).prop_map(Blob::from);
    let start = select(vec![&b""[..], b"a", b"b", b"b\xff"]).prop_map(Blob::from);
    prop_oneof![
        4 => key().prop_map(KeyRange::Key),
        3 => start.prop_map(KeyRange::Prefix),
        3 => (bound(), bound()).prop_map(|(one, other)| {
            let (from, to) = if one > other { (other, one) } else { (one, other) };
            KeyRange::Range { from, to }
        }),
        1 => (bound(), bound()).prop_map(|(from, to)| KeyRange::Range { from, to }),
    ]
}

pub(crate) fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![6 => Just(0), 8 => 1..40u64, 1 => Just(u64::MAX)]
}

fn lease() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 2 => 1..8u64]
}

pub(crate) fn set_request() -> impl Strategy<Value = SetRequest> {
    let ttl = prop_oneof![6 => Just(None), 2 => (0..12_000u64).prop_map(Some)];
    (key(), value(), lease(), ttl, any::<bool>(), any::<bool>()).prop_map(
        |(key, value, lease, ttl, only_if_changed, return_previous)| SetRequest {
            key,
            value,
            lease: if ttl.is_some_and(|ttl| ttl % 9 > 0) { 0 } else { lease },
            ttl: ttl.map(Duration::from_millis),
            only_if_changed,
            return_previous,
        },
    )
}

pub(crate) fn get_request() -> impl Strategy<Value = GetRequest> {
    (key(), revision()).prop_map(|(key, revision)| GetRequest { key, revision })
}

pub(crate) fn range_request() -> impl Strategy<Value = RangeRequest> {
    let order = select(vec![RangeOrder::Ascending, RangeOrder::Descending]);
    let after = option::weighted(0.4, key());
    (range(), revision(), 0..5usize, order, any::<bool>(), 0..6u32, after).prop_map(
        |(range, revision, limit, order, keys_only, count, after)| RangeRequest {
            range,
            revision,
            limit,
            order,
            keys_only,
            count_only: count == 0,
            after,
        },
    )
}

pub(crate) fn delete_request() -> impl Strategy<Value = DeleteRequest> {
    (range(), any::<bool>())
        .prop_map(|(range, return_previous)| DeleteRequest { range, return_previous })
}

fn compare() -> impl Strategy<Value = Compare> {
    let op =
        select(vec![CompareOp::Equal, CompareOp::NotEqual, CompareOp::Less, CompareOp::Greater]);
    let target = prop_oneof![
        value().prop_map(CompareTarget::Value),
        (0..4u64).prop_map(CompareTarget::Version),
        (0..20u64).prop_map(CompareTarget::CreateRevision),
        (0..20u64).prop_map(CompareTarget::ModRevision),
        (0..4u64).prop_map(CompareTarget::Lease),
    ];
    (range(), op, target).prop_map(|(range, op, target)| Compare { range, op, target })
}

fn op() -> impl Strategy<Value = TxnOp> {
    prop_oneof![
        6 => set_request().prop_map(TxnOp::Set),
        2 => get_request().prop_map(TxnOp::Get),
        2 => range_request().prop_map(TxnOp::Range),
        3 => delete_request().prop_map(TxnOp::Delete),
    ]
}

pub(crate) fn txn_request() -> impl Strategy<Value = TxnRequest> {
    (vec(compare(), 0..3), vec(op(), 0..5), vec(op(), 0..4))
        .prop_map(|(compares, success, failure)| TxnRequest { compares, success, failure })
}

fn grant() -> impl Strategy<Value = KvRequest> {
    (0..6u64, 0..12_000u64).prop_map(|(id, ttl)| {
        KvRequest::LeaseGrant(LeaseGrantRequest { id, ttl: Duration::from_millis(ttl) })
    })
}

/// A request that may make events.
pub(crate) fn write() -> impl Strategy<Value = KvRequest> {
    prop_oneof![
        8 => set_request().prop_map(KvRequest::Set),
        3 => delete_request().prop_map(KvRequest::Delete),
        4 => txn_request().prop_map(KvRequest::Txn),
        2 => grant(),
        1 => (1..8u64).prop_map(KvRequest::LeaseRevoke),
    ]
}

/// Any request about keys.
pub(crate) fn request() -> impl Strategy<Value = KvRequest> {
    prop_oneof![
        16 => write(),
        2 => get_request().prop_map(KvRequest::Get),
        4 => range_request().prop_map(KvRequest::Range),
        2 => range_request().prop_map(|range| KvRequest::Scan(Box::new(range))),
        1 => (1..8u64).prop_map(KvRequest::LeaseKeepAlive),
        1 => (1..8u64).prop_map(KvRequest::LeaseTimeToLive),
        1 => (1..8u64, key(), 0..4usize)
            .prop_map(|(id, after, limit)| KvRequest::LeaseKeys { id, after, limit }),
        1 => (0..8u64, 0..4usize)
            .prop_map(|(after, limit)| KvRequest::LeaseList { after, limit }),
        1 => revision().prop_map(KvRequest::Compact),
    ]
}
