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
    /// Steps of looks that come if nothing is refused.
    reserved: usize,
}

impl StepBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, taken: 0, reserved: 0 }
    }

    /// Takes `steps`.
    pub(crate) fn take(&mut self, steps: usize) {
        self.taken = self.taken.saturating_add(steps);
    }

    /// Returns whether no step is left.
    pub(crate) fn are_used_up(&self) -> bool {
        self.taken.saturating_add(self.reserved) >= self.max
    }

    /// Takes `steps` that a look has needed.
    ///
    /// # Errors
    /// The request looks at too much; `what` explains how to ask for less.
    pub(crate) fn spend(&mut self, steps: usize, what: &'static str) -> Result<(), StoreError> {
        self.take(steps);
        if self.left().is_none() { Err(self.refusal(what)) } else { Ok(()) }
    }

    /// Reserves `steps` for looks that come if nothing is refused.
    ///
    /// # Errors
    /// The request would look at too much; `what` explains how to ask for less.
    pub(crate) fn reserve(&mut self, steps: usize, what: &'static str) -> Result<(), StoreError> {
        if self.left().is_none_or(|left| steps > left) {
            return Err(self.refusal(what));
        }
        self.reserved += steps;
        Ok(())
    }

    /// Returns the number of steps left; `None` if more were taken than there are.
    fn left(&self) -> Option<usize> {
        self.max.checked_sub(self.taken)?.checked_sub(self.reserved)
    }

    /// Returns the refusal of a request that looks at too much.
    pub(crate) fn refusal(&self, what: &'static str) -> StoreError {
        StoreError::limit("store.steps_max", self.max, what)
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Takes the steps that were reserved: nothing was refused, so their looks come.
    pub(crate) fn take_reserved(&mut self) {
        let reserved = std::mem::take(&mut self.reserved);
        self.take(reserved);
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
