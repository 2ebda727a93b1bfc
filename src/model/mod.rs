//! The vocabulary of the API: keys, values, revisions, requests and replies.
//!
//! Plain data: no actix, tokio, clock or I/O, and nothing of the wire, which has its own mirror types
//! in `rpc::proto`.

mod blob;
mod call;
mod credentials;
mod durability;
pub(crate) mod facts;
mod invocation;
mod job;
mod job_call;
mod key_range;
mod key_request;
mod key_value;
mod kv_request;
mod reply;
mod request;
mod rpc_call;
mod schedule;
mod topic;
mod watch;

pub use blob::Blob;
pub use call::{CallOptions, CallReply};
pub use credentials::Credentials;
pub use durability::Durability;
pub use invocation::{Invocation, Payload, ServiceInfo};
pub(crate) use job::cut_off;
pub use job::{
    Backoff, JobId, JobInfo, JobRef, JobState, OutcomeSeq, PushOptions, PushRequest, Reservation,
    ReservedJob, Settlement, Unique, UnixMillis, Verdict,
};
pub use job_call::{JobPage, JobReply, JobRequest, Pushed, ReserveRequest};
pub use key_range::KeyRange;
pub(crate) use key_range::after_prefix;
pub(crate) use key_request::{KeyAction, KeyBuffer, KeyRequest, KeyView, KvCall};
pub use key_value::{Event, EventKind, KeyValue};
pub use kv_request::*;
pub use reply::*;
pub use request::*;
pub(crate) use rpc_call::RpcCall;
pub use schedule::{Schedule, ScheduleInfo};
pub use topic::{OrderRetry, Rate, TopicInfo, TopicSettings};
pub use watch::{
    Delivery, WaitCondition, WaitOutcome, WaitRequest, WatchFrom, WatchItem, WatchRequest,
};

/// Number of a write transaction. A new store is at 1, the first write makes 2; in requests, 0 stands
/// for the current revision.
pub type Revision = u64;

/// Id of a lease; 0 stands for none.
pub type LeaseId = u64;

/// The caller's name for one write, so that sending the write twice executes it once.
///
/// The reply to a write is remembered under its key for a while (`store.idempotency_ttl`,
/// `store.idempotency_keys_max`) and returned again for the same request. Choose keys at random.
pub type IdempotencyKey = u128;
