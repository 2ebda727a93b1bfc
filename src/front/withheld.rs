//! [`DeferredRequests`]: requests of a connection whose answers come later.

use std::collections::VecDeque;

/// Requests whose answers come later, most of them in the order of the requests.
#[derive(Default)]
pub(super) struct DeferredRequests {
    ids: VecDeque<u64>,
    /// Those whose answer came before it was known that it comes later.
    early: Vec<u64>,
    /// Those that read files: their answers are large.
    files: Vec<u64>,
}

impl DeferredRequests {
    /// The answer to `id` comes later; `large` if it is a part of a file.
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
        match self.ids.iter().position(|withheld| *withheld == id) {
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

    /// Whether any of them will be large.
    pub(super) fn has_large(&self) -> bool {
        !self.files.is_empty()
    }
}
