//! The load on a server while it lives: writers, a watcher, leases.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;

use super::told_answers::ToldAnswers;
use crate::{
    KeyRange, Operations, SetRequest, TxnOp, TxnRequest, WatchFrom, WatchItem, WatchRequest,
};

/// Time to live of leases: longer than any round, so that none may be missing.
pub(super) const LEASE_TTL: Duration = Duration::from_secs(3600);

/// Maximum number of leases.
const LEASES_MAX: usize = 32;

/// Increments two keys in one transaction after another, until one fails.
pub(super) async fn write(store: impl Operations, told: Arc<Mutex<ToldAnswers>>, number: usize) {
    loop {
        let count = told.lock().attempt(number).to_string();
        let set = |side: &str| TxnOp::Set(SetRequest::new(format!("{side}/{number}"), &*count));
        let success = vec![set("left"), set("right")];
        match store.txn(TxnRequest { success, ..TxnRequest::default() }).await {
            Ok(reply) => told.lock().acknowledge(number, reply.revision),
            Err(_) => return,
        }
    }
}

/// Watches everything from now on, until the watch ends.
pub(super) async fn watch(store: impl Operations, told: Arc<Mutex<ToldAnswers>>) {
    let request = WatchRequest { from: WatchFrom::Now, ..WatchRequest::new(KeyRange::all()) };
    let Ok(mut watch) = store.watch(request).await else { return };
    while let Some(Ok(item)) = watch.next().await {
        if let WatchItem::Events { events, .. } = item {
            let mut told = told.lock();
            events.iter().for_each(|event| told.show(event));
        }
    }
}

/// Grants leases, each with a key of its name, and revokes the oldest, until a call fails.
pub(super) async fn lease(store: impl Operations, told: Arc<Mutex<ToldAnswers>>) {
    loop {
        let Ok(granted) = store.lease_grant(LEASE_TTL).await else { return };
        told.lock().leases.insert(granted.id, false);
        let key = key_of(granted.id);
        let Ok(set) =
            store.set(SetRequest { lease: granted.id, ..SetRequest::new(&*key, "") }).await
        else {
            return;
        };
        let oldest = {
            let mut told = told.lock();
            told.leases.insert(granted.id, true);
            told.revision = told.revision.max(set.revision);
            // From here on the lease may be gone: nothing is claimed about it any more.
            if told.leases.len() > LEASES_MAX { told.leases.pop_first() } else { None }
        };
        if let Some((id, _)) = oldest
            && store.lease_revoke(id).await.is_err()
        {
            return;
        }
    }
}

/// Returns the key that belongs to a lease.
pub(super) fn key_of(lease: u64) -> String {
    format!("lease/{lease}")
}
