//! [`Operations`]: the operations on a Wakeful, in this process or over the wire.

use std::future::Future;
use std::time::Duration;

use futures_core::Stream;

use crate::error::{Error, ErrorCode};
use crate::model::{
    Blob, CallOptions, CallReply, CompactReply, DeleteReply, DeleteRequest, FilesRequest,
    GaugeInfo, GetReply, GetRequest, HubRequest, KeyRange, KvRequest, LeaseGrantRequest, LeaseId,
    LeaseKeysReply, LeaseListReply, LeaseReply, LeaseTimeToLiveReply, LimitInfo, NodeRequest,
    RangeReply, RangeRequest, Reply, Request, Revision, SetReply, SetRequest, SnapshotReply,
    StatusReply, TxnReply, TxnRequest, WaitOutcome, WaitRequest, WatchItem, WatchRequest,
    WatchersReply,
};

/// The operations on a Wakeful: the same on [`Wakeful`](crate::Wakeful), in this process, and on
/// [`Client`](crate::Client), over the wire.
///
/// Errors of every method: the refusals of [`ErrorCode`] that apply to the request, each of which
/// says whether anything changed; `Unavailable` when the service is stopping or unreachable.
/// Cancel: dropping a future gives up the answer. A request that had not begun does not run; one
/// that had runs to its end. A dropped `wait` or `watch` frees everything it held.
pub trait Operations: Sync {
    /// The stream that [`watch`](Self::watch) returns.
    type Watch: Stream<Item = Result<WatchItem, Error>> + Send + Unpin;

    /// Executes one request with `options`: at most once, however often it is sent, or answered
    /// only when it has the given durability. The reply includes its durability.
    ///
    /// Errors: with an idempotency key, `InvalidArgument` if the request is not a write,
    /// `IdempotencyMismatch` if the key was used for another request.
    fn call_with(
        &self,
        request: Request,
        options: CallOptions,
    ) -> impl Future<Output = Result<CallReply, Error>> + Send;

    /// Executes one request.
    fn call(
        &self,
        request: impl Into<Request> + Send,
    ) -> impl Future<Output = Result<Reply, Error>> + Send {
        let request = request.into();
        async { Ok(self.call_with(request, CallOptions::default()).await?.reply) }
    }

    /// Waits for one change; see [`WaitRequest`].
    fn wait(&self, request: WaitRequest)
    -> impl Future<Output = Result<WaitOutcome, Error>> + Send;

    /// Watches keys; see [`WatchRequest`]. The stream ends after its first error, which says where
    /// to resume ([`Details::Resume`](crate::Details::Resume)) if that is possible.
    fn watch(
        &self,
        request: WatchRequest,
    ) -> impl Future<Output = Result<Self::Watch, Error>> + Send;

    /// Sets a key.
    fn set(&self, request: SetRequest) -> impl Future<Output = Result<SetReply, Error>> + Send {
        async {
            match self.call(KvRequest::Set(request)).await? {
                Reply::Set(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Reads the current value of a key.
    fn get(
        &self,
        key: impl Into<Blob> + Send,
    ) -> impl Future<Output = Result<GetReply, Error>> + Send {
        self.get_at(key, 0)
    }

    /// Reads a key as of `revision`; 0 means now.
    fn get_at(
        &self,
        key: impl Into<Blob> + Send,
        revision: Revision,
    ) -> impl Future<Output = Result<GetReply, Error>> + Send {
        let request = GetRequest { key: key.into(), revision };
        async {
            match self.call(KvRequest::Get(request)).await? {
                Reply::Get(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Reads a page of keys.
    fn range(
        &self,
        request: RangeRequest,
    ) -> impl Future<Output = Result<RangeReply, Error>> + Send {
        async {
            match self.call(KvRequest::Range(request)).await? {
                Reply::Range(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Reads a page of keys, which may end before it has found any: `next` of the reply says where
    /// to continue. With `count_only` it counts as far as it gets.
    ///
    /// For ranges of the past that [`range`](Self::range) refuses because they look at too many
    /// keys (`store.steps_max`).
    fn scan(
        &self,
        request: RangeRequest,
    ) -> impl Future<Output = Result<RangeReply, Error>> + Send {
        async {
            match self.call(KvRequest::Scan(Box::new(request))).await? {
                Reply::Scan(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Deletes keys, in one revision.
    fn delete(&self, range: KeyRange) -> impl Future<Output = Result<DeleteReply, Error>> + Send {
        async {
            match self.call(KvRequest::Delete(DeleteRequest::new(range))).await? {
                Reply::Delete(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Compares, then executes one of two lists of operations, in one revision.
    fn txn(&self, request: TxnRequest) -> impl Future<Output = Result<TxnReply, Error>> + Send {
        async {
            match self.call(KvRequest::Txn(request)).await? {
                Reply::Txn(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Grants a lease with an id that the store picks.
    fn lease_grant(&self, ttl: Duration) -> impl Future<Output = Result<LeaseReply, Error>> + Send {
        async move {
            match self.call(KvRequest::LeaseGrant(LeaseGrantRequest { id: 0, ttl })).await? {
                Reply::LeaseGrant(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Renews a lease for its full time to live.
    fn lease_keep_alive(
        &self,
        id: LeaseId,
    ) -> impl Future<Output = Result<LeaseReply, Error>> + Send {
        async move {
            match self.call(KvRequest::LeaseKeepAlive(id)).await? {
                Reply::LeaseKeepAlive(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Ends a lease and deletes its keys, in one revision.
    fn lease_revoke(&self, id: LeaseId) -> impl Future<Output = Result<DeleteReply, Error>> + Send {
        async move {
            match self.call(KvRequest::LeaseRevoke(id)).await? {
                Reply::LeaseRevoke(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Returns the remaining time of a lease, and the first page of its keys.
    fn lease_time_to_live(
        &self,
        id: LeaseId,
    ) -> impl Future<Output = Result<LeaseTimeToLiveReply, Error>> + Send {
        async move {
            match self.call(KvRequest::LeaseTimeToLive(id)).await? {
                Reply::LeaseTimeToLive(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Lists leases above `after`, up to `limit` (0 means a page).
    fn lease_list(
        &self,
        after: LeaseId,
        limit: usize,
    ) -> impl Future<Output = Result<LeaseListReply, Error>> + Send {
        async move {
            match self.call(KvRequest::LeaseList { after, limit }).await? {
                Reply::LeaseList(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Lists the keys of a lease above `after` (empty for all), up to `limit` (0 means a page).
    fn lease_keys(
        &self,
        id: LeaseId,
        after: impl Into<Blob> + Send,
        limit: usize,
    ) -> impl Future<Output = Result<LeaseKeysReply, Error>> + Send {
        let request = KvRequest::LeaseKeys { id, after: after.into(), limit };
        async {
            match self.call(request).await? {
                Reply::LeaseKeys(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Discards the history before `revision`.
    fn compact(
        &self,
        revision: Revision,
    ) -> impl Future<Output = Result<CompactReply, Error>> + Send {
        async move {
            match self.call(KvRequest::Compact(revision)).await? {
                Reply::Compact(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Returns the status of the store.
    fn status(&self) -> impl Future<Output = Result<StatusReply, Error>> + Send {
        async {
            match self.call(HubRequest::Status).await? {
                Reply::Status(reply) => Ok(*reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Writes a snapshot of the current state, or a later one, and waits until it is durable.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if the store is in memory; `Unavailable` if the snapshot could not be
    /// written, which may be retried; `JournalFailed`.
    fn snapshot(&self) -> impl Future<Output = Result<SnapshotReply, Error>> + Send {
        async {
            match self.call(FilesRequest::Snapshot).await? {
                Reply::Snapshot(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Reads a part of a snapshot's file, from `offset` on, up to `limit` bytes (0 means as many as
    /// fit well in a frame); an empty part at its end.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a newer snapshot has replaced this one: request a new one.
    fn read_snapshot(
        &self,
        id: u64,
        offset: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Blob, Error>> + Send {
        async move {
            match self.call(FilesRequest::ReadSnapshot { id, offset, limit }).await? {
                Reply::ReadSnapshot(part) => Ok(part),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Lists the limits by which requests are refused, with their values.
    ///
    /// # Errors
    ///
    /// `Protocol` if the server is older than this request.
    fn limits(&self) -> impl Future<Output = Result<Vec<LimitInfo>, Error>> + Send {
        async {
            match self.call(NodeRequest::Limits).await? {
                Reply::Limits(limits) => Ok(limits),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Lists gauges of the server, such as `rpc.total_output_bytes`, the bytes that clients have
    /// not read yet.
    ///
    /// # Errors
    ///
    /// `Protocol` if the server is older than this request.
    fn gauges(&self) -> impl Future<Output = Result<Vec<GaugeInfo>, Error>> + Send {
        async {
            match self.call(NodeRequest::Gauges).await? {
                Reply::Gauges(gauges) => Ok(gauges),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Lists waits and watches with ids above `after`, up to `limit` (0 means a page).
    fn watchers(
        &self,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<WatchersReply, Error>> + Send {
        async move {
            match self.call(HubRequest::Watchers { after, limit }).await? {
                Reply::Watchers(reply) => Ok(reply),
                other => Err(unexpected(&other)),
            }
        }
    }

    /// Ends a wait or a watch by its id from [`watchers`](Self::watchers).
    fn end_watcher(&self, id: u64) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            match self.call(HubRequest::EndWatcher(id)).await? {
                Reply::EndWatcher => Ok(()),
                other => Err(unexpected(&other)),
            }
        }
    }
}

/// Returns the error for a reply that does not belong to its request.
pub(crate) fn unexpected(reply: &Reply) -> Error {
    Error::new(ErrorCode::Internal, format!("the reply does not match the request: {reply:?}"))
}
