//! [`DeferredRequests`]: requests of a connection whose answers come later.

use std::collections::VecDeque;

/// Ids of requests whose answers come later, most of them in the order of the requests.
#[derive(Default)]
pub(super) struct DeferredRequests {
    ids: VecDeque<u64>,
    /// Requests whose answer arrived before [`begin`](Self::begin).
    early: Vec<u64>,
    /// Requests that read files, whose answers are large.
    files: Vec<u64>,
}

impl DeferredRequests {
    /// Notes that the answer to `id` comes later; `large` if it is part of a file.
    pub(super) fn begin(&mut self, id: u64, large: bool) {
        match self.early.iter().position(|early| *early == id) {
            Some(at) => drop(self.early.swap_remove(at)),
            None => {
                self.ids.push_back(id);
                if large {
                    self.files.push(id);
                }
            }
        }
    }

    pub(super) fn end(&mut self, id: u64) {
        self.files.retain(|file| *file != id);
        match self.ids.iter().position(|deferred| *deferred == id) {
            Some(at) => drop(self.ids.remove(at)),
            None => self.early.push(id),
        }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns true if any of the answers will be large.
    pub(super) fn has_large(&self) -> bool {
        !self.files.is_empty()
    }
}
