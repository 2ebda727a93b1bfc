//! [`JobVisibility`]: the jobs that a request may name, if there are users.

use std::sync::Arc;

use crate::auth::{Access, Action};
use crate::model::facts::{JobUse, Reference};
use crate::model::{Blob, JobId, JobRequest};
use crate::queue;

/// Returns whether a job must not be visible. A job that is unknown here may be visible.
pub(super) fn hides_job(queue: &queue::QueueState, access: &Access, id: JobId) -> bool {
    queue.topic_of(id).is_some_and(|topic| !access.sees_topic(topic))
}

/// The jobs that a request may name by id, by their topics. Any other job is treated as if it had never
/// been pushed: neither the answer nor its timing depends on it.
#[derive(Default)]
pub(crate) struct JobVisibility(Option<(Arc<Access>, JobUse)>);

impl JobVisibility {
    /// Returns the sight of a user with `access`; `None` for everything.
    pub(super) fn of(access: Option<&Arc<Access>>, request: &JobRequest) -> Self {
        let needed = match request.facts().names {
            Reference::Job(needed, _) => needed,
            _ => JobUse::Work,
        };
        Self(access.map(|access| (Arc::clone(access), needed)))
    }

    /// Returns whether jobs of this topic are visible.
    pub(super) fn has(&self, topic: &Blob) -> bool {
        self.0.as_ref().is_none_or(|(access, needed)| match needed {
            JobUse::Push => access.has(Action::Push, topic),
            JobUse::Work => access.has(Action::Work, topic),
            JobUse::Look => access.sees_topic(topic),
        })
    }
}
