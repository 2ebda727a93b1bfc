//! [`StepBudget`]: a budget for the work of a request.

use super::{StoreError, StoreState};

/// The remaining steps of a request: each key or event that it looks at, whether it exists or not,
/// costs one.
///
/// All operations of a request share one budget, so that many small ones cost no more than a large one.
#[derive(Debug)]
pub(crate) struct StepBudget {
    max: usize,
    taken: usize,
}

impl StepBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: 0 }
    }

    /// Takes `steps`.
    pub(crate) fn take(&mut self, steps: usize) {
        self.taken = self.taken.saturating_add(steps);
    }

    /// Returns whether no step is left.
    pub(crate) fn are_used_up(&self) -> bool {
        self.taken >= self.max
    }

    /// Takes `steps` if that many are left.
    ///
    /// # Errors
    /// The request looks at too much; `what` explains how to ask for less.
    pub(crate) fn spend(&mut self, steps: usize, what: &'static str) -> Result<(), StoreError> {
        self.take(steps);
        if self.taken > self.max { Err(self.refusal(what)) } else { Ok(()) }
    }

    /// Returns the refusal of a request that looks at too much.
    pub(crate) fn refusal(&self, what: &'static str) -> StoreError {
        StoreError::limit("store.steps_max", self.max, what)
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}

impl StoreState {
    /// Returns the steps that one request may take.
    pub(crate) fn steps(&self) -> StepBudget {
        StepBudget::new(self.config.steps_max)
    }

    /// Adds `steps` to the total.
    pub(crate) fn count_steps(&self, steps: usize) {
        self.steps_taken.set(self.steps_taken.get().saturating_add(steps as u64));
    }

    /// Returns the number of keys and events that all requests so far have looked at.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn steps_taken(&self) -> u64 {
        self.steps_taken.get()
    }
}
