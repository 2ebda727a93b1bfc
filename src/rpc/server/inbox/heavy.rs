//! Which requests are heavy: a turn takes few of them.

use crate::model::{JobRequest, Request};
use crate::rpc::proto::Call;
use crate::rpc::server::jobs::is_large;

/// Whether it may take much longer than a look-up.
pub(super) fn is_heavy(call: &Call) -> bool {
    match call {
        Call::Store { request, .. } => match request {
            // Few at a time, so that a read starts no more calls than the connection may have.
            Request::Invoke(_) => true,
            Request::Job(job) => is_heavy_job(job),
            request => request.is_heavy(),
        },
        Call::Wait(wait) => wait.is_heavy(),
        Call::StreamOpen { .. }
        | Call::WatchAdd { .. }
        | Call::WatchCancel { .. }
        | Call::Login(_) => false,
    }
}

/// Whether it may take long, or concern many jobs, while it is short itself: a read has room for many
/// of those.
fn is_heavy_job(job: &JobRequest) -> bool {
    match job {
        JobRequest::Reserve(reserve) => reserve.credits > 1,
        JobRequest::Replay { id, .. } | JobRequest::DeleteDead { id, .. } => id.is_none(),
        JobRequest::ClearTopic(_) | JobRequest::DeleteTopic { .. } | JobRequest::SetSchedule(_) => {
            true
        }
        job => is_large(job),
    }
}
