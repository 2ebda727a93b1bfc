//! The limits of the store.

use std::time::Duration;

use wakeful::{
    Compare, CompareOp, CompareTarget, DeleteRequest, Error, KeyRange, KvRequest, Operations,
    RangeRequest, SetRequest, TxnOp, TxnRequest, Wakeful,
};

use super::{Row, refusal};

pub(super) fn rows() -> Vec<Row> {
    [sizes(), room(), revisions(), pages(), leases(), several()].into_iter().flatten().collect()
}

/// Limits under which `store.revision_bytes_max` may be as low as 96.
const SMALL: [(&str, &str); 2] = [("store.key_bytes_max", "16"), ("store.value_bytes_max", "16")];

async fn fill(wakeful: &Wakeful, keys: &[&str]) {
    for key in keys {
        wakeful.set(SetRequest::new(*key, "v")).await.unwrap();
    }
}

fn sets<'a>(keys: impl IntoIterator<Item = &'a str>) -> TxnRequest {
    let set = |key| TxnOp::Set(SetRequest::new(key, "v"));
    TxnRequest { success: keys.into_iter().map(set).collect(), ..TxnRequest::default() }
}

fn short_lived(key: &str) -> SetRequest {
    SetRequest { ttl: Some(Duration::from_secs(60)), ..SetRequest::new(key, "v") }
}

/// Returns the refusal of a request that deletes every key and returns their values.
async fn take_all(wakeful: &Wakeful) -> Error {
    let request = DeleteRequest { return_previous: true, ..DeleteRequest::new(KeyRange::all()) };
    refusal(wakeful, wakeful.call(KvRequest::Delete(request))).await
}

/// Sets keys with one lease; returns the refusal of the last.
async fn attach(wakeful: &Wakeful, keys: &[&str]) -> Error {
    let lease = wakeful.lease_grant(Duration::from_secs(60)).await.unwrap().id;
    let set = |key: &str| SetRequest { lease, ..SetRequest::new(key, "v") };
    let (last, before) = keys.split_last().unwrap();
    for key in before {
        wakeful.set(set(key)).await.unwrap();
    }
    refusal(wakeful, wakeful.set(set(last))).await
}

fn sizes() -> Vec<Row> {
    vec![
        Row::inside("store.key_bytes_max", "8", 8, async |it: &Wakeful| {
            refusal(it, it.set(SetRequest::new("123456789", "v"))).await
        }),
        Row::inside("store.key_bytes_max", "8", 8, async |it: &Wakeful| {
            refusal(it, it.range(RangeRequest::new(KeyRange::prefix("123456789")))).await
        }),
        Row::inside("store.value_bytes_max", "8", 8, async |it: &Wakeful| {
            refusal(it, it.set(SetRequest::new("k", "123456789"))).await
        }),
        Row::inside("store.txn_ops_max", "2", 2, async |it: &Wakeful| {
            refusal(it, it.txn(sets(["a", "b", "c"]))).await
        }),
        Row::inside("store.txn_ops_max", "2", 2, async |it: &Wakeful| {
            let compares = vec![is_there(KeyRange::key("a")); 3];
            refusal(it, it.txn(TxnRequest { compares, ..sets(["a"]) })).await
        }),
    ]
}

fn room() -> Vec<Row> {
    vec![
        Row::inside("store.keys_max", "2", 2, async |it: &Wakeful| {
            fill(it, &["a", "b"]).await;
            refusal(it, it.set(SetRequest::new("c", "v"))).await
        }),
        Row::inside("store.total_bytes_max", "5", 5, async |it: &Wakeful| {
            fill(it, &["a", "b"]).await;
            refusal(it, it.set(SetRequest::new("c", "v"))).await
        }),
        Row::inside("store.total_bytes_max", "5", 5, async |it: &Wakeful| {
            fill(it, &["a", "b"]).await;
            refusal(it, it.set(SetRequest::new("a", "vvv"))).await
        }),
    ]
}

fn revisions() -> Vec<Row> {
    vec![
        Row::inside("store.revision_events_max", "2", 2, async |it: &Wakeful| {
            fill(it, &["a", "b", "c"]).await;
            refusal(it, it.delete(KeyRange::all())).await
        }),
        Row::inside("store.revision_events_max", "2", 2, async |it: &Wakeful| {
            refusal(it, it.txn(sets(["a", "b", "c"]))).await
        }),
        Row::inside("store.revision_events_max", "2", 2, async |it: &Wakeful| {
            attach(it, &["a", "b", "c"]).await
        }),
        Row::inside("store.revision_bytes_max", "96", 96, async |it: &Wakeful| {
            refusal(it, it.txn(sets(["a", "b"]))).await
        })
        .with(&SMALL),
        Row::inside("store.revision_bytes_max", "96", 96, async |it: &Wakeful| {
            attach(it, &["0123456789abcde1", "0123456789abcde2", "0123456789abcde3"]).await
        })
        .with(&SMALL),
    ]
}

fn is_there(range: KeyRange) -> Compare {
    Compare { range, op: CompareOp::Greater, target: CompareTarget::Version(0) }
}

fn pages() -> Vec<Row> {
    const KEYS: [&str; 5] = ["k1", "k2", "k3", "k4", "k5"];
    vec![
        Row::inside("store.range_keys_max", "2", 2, async |it: &Wakeful| {
            let request = RangeRequest { limit: 3, ..RangeRequest::new(KeyRange::all()) };
            refusal(it, it.range(request)).await
        }),
        Row::inside("store.range_keys_max", "2", 2, async |it: &Wakeful| {
            refusal(it, it.lease_list(0, 3)).await
        }),
        Row::inside("store.range_keys_max", "2", 2, async |it: &Wakeful| {
            fill(it, &["a", "b", "c"]).await;
            take_all(it).await
        }),
        Row::inside("store.range_bytes_max", "5", 5, async |it: &Wakeful| {
            fill(it, &["a", "b", "c"]).await;
            take_all(it).await
        }),
        Row::inside("store.steps_max", "2", 2, async |it: &Wakeful| {
            fill(it, &KEYS).await;
            let compares = vec![is_there(KeyRange::prefix("k"))];
            refusal(it, it.txn(TxnRequest { compares, ..sets(["a"]) })).await
        }),
        Row::inside("store.steps_max", "2", 2, async |it: &Wakeful| {
            fill(it, &KEYS).await;
            let revision = it.status().await.unwrap().revision;
            // The existing keys are counted without examining each of them.
            fill(it, &["z"]).await;
            let range = RangeRequest::new(KeyRange::prefix("k"));
            refusal(it, it.range(RangeRequest { revision, count_only: true, ..range })).await
        }),
    ]
}

fn leases() -> Vec<Row> {
    vec![
        Row::inside("store.leases_max", "1", 1, async |it: &Wakeful| {
            it.lease_grant(Duration::from_secs(60)).await.unwrap();
            refusal(it, it.lease_grant(Duration::from_secs(60))).await
        }),
        Row::inside("store.leases_max", "1", 1, async |it: &Wakeful| {
            it.set(short_lived("a")).await.unwrap();
            refusal(it, it.set(short_lived("b"))).await
        }),
        Row::inside("store.lease_ttl_min", "1s", 1_000, async |it: &Wakeful| {
            refusal(it, it.lease_grant(Duration::from_millis(999))).await
        }),
        Row::inside("store.lease_ttl_max", "30s", 30_000, async |it: &Wakeful| {
            refusal(it, it.set(short_lived("a"))).await
        }),
    ]
}

/// Returns requests that exceed several limits, or only some of whose parts exceed one.
fn several() -> Vec<Row> {
    vec![
        Row::inside("store.keys_max", "2", 2, async |it: &Wakeful| {
            fill(it, &["a"]).await;
            refusal(it, it.txn(sets(["b", "c"]))).await
        }),
        Row::inside("store.total_bytes_max", "5", 5, async |it: &Wakeful| {
            fill(it, &["a"]).await;
            refusal(it, it.txn(sets(["b", "c"]))).await
        }),
        Row::inside("store.leases_max", "1", 1, async |it: &Wakeful| {
            let success = ["a", "b"].map(|key| TxnOp::Set(short_lived(key))).to_vec();
            refusal(it, it.txn(TxnRequest { success, ..TxnRequest::default() })).await
        }),
        // There is room for neither a key nor a lease: the first limit is named.
        Row::inside("store.keys_max", "1", 1, async |it: &Wakeful| {
            fill(it, &["a"]).await;
            refusal(it, it.set(short_lived("b"))).await
        })
        .with(&[("store.leases_max", "0")]),
        // An existing key needs no room of its own: the limit of leases is named.
        Row::inside("store.leases_max", "0", 0, async |it: &Wakeful| {
            fill(it, &["a"]).await;
            refusal(it, it.set(short_lived("a"))).await
        })
        .with(&[("store.keys_max", "1")]),
        Row::inside("store.txn_ops_max", "1", 1, async |it: &Wakeful| {
            refusal(it, it.txn(sets(["123456789", "123456789"]))).await
        })
        .with(&[("store.key_bytes_max", "8")]),
        // The second operation alone exceeds a limit.
        Row::inside("store.key_bytes_max", "8", 8, async |it: &Wakeful| {
            refusal(it, it.txn(sets(["a", "123456789"]))).await
        }),
    ]
}
