//! [`Request`]: every request, by the part of the server that answers it.

use super::facts::Repeat;
use super::{Invocation, JobRequest, KvRequest};

/// A request, by the part of the server that answers it.
///
/// The enums of the groups, and what they hold, convert into it:
///
/// ```
/// use wakeful::{HubRequest, KvRequest, Request, SetRequest};
///
/// let set = Request::from(KvRequest::Set(SetRequest::new("greeting", "hello")));
/// assert!(set.is_write());
/// assert!(!Request::from(HubRequest::Status).is_write());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Request {
    /// A request to the store.
    Store(StoreRequest),
    /// A request to the queue.
    Job(JobRequest),
    /// A call of a method of a service that the application has registered.
    Invoke(Invocation),
    /// A request about the server itself.
    Node(NodeRequest),
}

/// A request to the store, by the part that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreRequest {
    /// Reads or changes keys and leases.
    Kv(KvRequest),
    /// Asks about the state of the store and its watchers.
    Hub(HubRequest),
    /// Asks for files of the journal.
    Files(FilesRequest),
}

/// Asks about the state of the store and its watchers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HubRequest {
    /// Returns the state of the store and figures of the server.
    Status,
    /// Lists waits and watches in order of id.
    Watchers {
        /// Return only ids above this one.
        after: u64,
        /// Up to this many; 0 for `store.range_keys_max`.
        limit: usize,
    },
    /// Ends the wait or watch with this id (from the list) with
    /// [`EndedByOperator`](crate::ErrorCode::EndedByOperator).
    EndWatcher(u64),
}

/// Asks for files of the journal, for a backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilesRequest {
    /// Writes a snapshot of the current state or a later one, and waits until it is safe.
    Snapshot,
    /// Reads a part of a snapshot's file.
    ReadSnapshot {
        /// The id from the reply to [`Snapshot`](Self::Snapshot).
        id: u64,
        /// The position in the file.
        offset: u64,
        /// Up to this many bytes; 0 for a size that suits a frame.
        limit: usize,
    },
}

/// Asks about the server itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeRequest {
    /// Lists the services of the application.
    Services,
    /// Lists the limits that requests are checked against.
    Limits,
    /// Lists figures about what the server keeps for its clients.
    Gauges,
}

impl Request {
    /// Returns whether the request takes an idempotency key: it changes keys or leases, in one
    /// revision.
    pub fn is_write(&self) -> bool {
        self.facts().repeat == Repeat::Keyed
    }
}

impl From<StoreRequest> for Request {
    fn from(request: StoreRequest) -> Self {
        Self::Store(request)
    }
}

impl From<KvRequest> for Request {
    fn from(request: KvRequest) -> Self {
        Self::Store(StoreRequest::Kv(request))
    }
}

impl From<HubRequest> for Request {
    fn from(request: HubRequest) -> Self {
        Self::Store(StoreRequest::Hub(request))
    }
}

impl From<FilesRequest> for Request {
    fn from(request: FilesRequest) -> Self {
        Self::Store(StoreRequest::Files(request))
    }
}

impl From<JobRequest> for Request {
    fn from(request: JobRequest) -> Self {
        Self::Job(request)
    }
}

impl From<Invocation> for Request {
    fn from(invocation: Invocation) -> Self {
        Self::Invoke(invocation)
    }
}

impl From<NodeRequest> for Request {
    fn from(request: NodeRequest) -> Self {
        Self::Node(request)
    }
}

impl From<KvRequest> for StoreRequest {
    fn from(request: KvRequest) -> Self {
        Self::Kv(request)
    }
}

impl From<HubRequest> for StoreRequest {
    fn from(request: HubRequest) -> Self {
        Self::Hub(request)
    }
}

impl From<FilesRequest> for StoreRequest {
    fn from(request: FilesRequest) -> Self {
        Self::Files(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requests of a turn are moved several times, so they must stay small.
    #[test]
    fn the_groups_of_requests_take_no_room() {
        let largest = size_of::<KvRequest>().max(size_of::<JobRequest>());
        assert!(size_of::<Request>() <= largest, "{} > {largest}", size_of::<Request>());
    }
}
