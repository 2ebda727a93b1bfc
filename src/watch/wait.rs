//! Waits of [`Hub`]: one condition, one answer.

use std::sync::Arc;

use super::hub::{Hub, WaitAnswer};
use super::search::{SearchResult, met};
use super::watcher::{Events, Wait, WaitSearch, WatchOwner, Watcher, WatcherHandle, WatcherRole};
use crate::model::{
    Blob, Event, EventKind, KeyRange, KeyValue, Revision, WaitCondition, WaitOutcome, WaitRequest,
};
use crate::store::{EventSeq, StoreError};
use crate::time::Micros;

/// The number of events that a wait which counts keys looks at in the turn that brings them; more are
/// left to the next turn.
const SEARCHED_AT_ONCE: usize = 32;

/// The beginning of a wait.
enum InitialCheck {
    /// The current state meets the condition.
    Met(WaitOutcome),
    /// The keys or events that the wait must examine.
    Search(WaitSearch),
}

/// The immediate result of a wait.
#[derive(Debug)]
pub(crate) enum WaitStart {
    /// The wait is answered; nothing is kept.
    Answered(WaitOutcome),
    /// The wait is parked; everything after this revision counts. `None` if it has not examined the
    /// whole state yet.
    Parked(WatcherHandle, Option<Revision>),
}

impl<P> Hub<P> {
    /// Answers a wait, or parks it; `party` is called only if it is parked.
    pub(crate) fn wait(
        &mut self,
        now: Micros,
        owner: &Arc<WatchOwner>,
        request: WaitRequest,
        address: impl FnOnce() -> P,
    ) -> Result<WaitStart, StoreError> {
        self.finish_notifying();
        let timeout = self.check_wait(&request)?;
        let from = match self.first(&request)? {
            InitialCheck::Met(outcome) => return Ok(WaitStart::Answered(outcome)),
            InitialCheck::Search(from) => from,
        };
        let mut slice = match from {
            WaitSearch::Events(_) => self.state.config().slice_max,
            WaitSearch::Keys { .. } | WaitSearch::Count(_) => self.looks_max,
        };
        let search = match self.search_some(&request.range, &request.condition, from, &mut slice) {
            SearchResult::Met(outcome) => return Ok(WaitStart::Answered(outcome)),
            SearchResult::End(search) | SearchResult::More(search) => search,
            SearchResult::Overtaken => return Err(self.overtaken()),
        };
        self.check_capacity(owner)?;
        let considered = self.considered(Some(&search))?;
        let handle = self.park(now.saturating_add(timeout), owner, request, search, address());
        Ok(WaitStart::Parked(handle, considered))
    }

    fn park(
        &mut self,
        deadline: Micros,
        owner: &Arc<WatchOwner>,
        request: WaitRequest,
        search: WaitSearch,
        address: P,
    ) -> WatcherHandle {
        let WaitRequest { range, condition, .. } = request;
        let wait = Wait { address, owner: Arc::clone(owner), condition, deadline, search: None };
        let generation = self.new_generation();
        let handle =
            self.insert(owner, Watcher { generation, range, role: WatcherRole::Wait(wait) });
        self.deadlines.insert((deadline, handle.index));
        self.set_search(handle.index, search);
        handle
    }

    /// Ends a wait without an answer and returns its party.
    pub(crate) fn cancel_wait(&mut self, handle: WatcherHandle) -> Option<P> {
        match self.find(handle)?.role {
            WatcherRole::Wait(_) => self.take_wait(handle.index).map(|wait| wait.address),
            WatcherRole::Watch(_) => None,
        }
    }

    fn check_wait(&self, request: &WaitRequest) -> Result<Micros, StoreError> {
        self.state.check_range(&request.range)?;
        let timeout = request.timeout.unwrap_or(self.config.wait_timeout_default);
        if timeout > self.config.wait_timeout_max {
            let max = self.config.wait_timeout_max;
            let what = "the timeout is too long";
            return Err(StoreError::limit_ms("watch.wait_timeout_max", max, what));
        }
        Ok(u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns how a wait begins: with the history, or with the current state.
    fn first(&self, request: &WaitRequest) -> Result<InitialCheck, StoreError> {
        let (oldest, current) = (self.state.history().oldest(), self.state.visible());
        let after = match (request.after, &request.condition) {
            (Some(after), _) => after,
            // Above a revision means after it, as far back as the history goes.
            (None, WaitCondition::ModRevisionAbove(above)) if *above >= oldest - 1 => {
                (*above).min(current)
            }
            (None, _) => return self.judge(request),
        };
        self.search_after(request, after).map(InitialCheck::Search)
    }

    /// Returns whether the current state meets the condition, or what must be examined to find out.
    fn judge(&self, request: &WaitRequest) -> Result<InitialCheck, StoreError> {
        let revision = self.state.visible();
        let over = WaitSearch::Events(Events { seen: self.state.history().end(), ..Events::OVER });
        let key = match (&request.condition, &request.range) {
            (WaitCondition::Changed, _) => return Ok(InitialCheck::Search(over)),
            (_, KeyRange::Key(key)) => key,
            (WaitCondition::Absent, range) => {
                return Ok(InitialCheck::Search(self.count_after(range, revision, true)));
            }
            // An existing key is found among the keys, the delete of any other in the history.
            (WaitCondition::ModRevisionAbove(_), _) => {
                let history = self.state.history();
                let first = history.first_of(history.oldest());
                return Ok(InitialCheck::Search(WaitSearch::Keys { last: None, first }));
            }
            _ => return Ok(InitialCheck::Search(WaitSearch::Keys { last: None, first: 0 })),
        };
        let kv = self.state.shown(key);
        if state_meets(&request.condition, kv) {
            let kv = kv.filter(|_| request.condition != WaitCondition::Absent);
            let event = kv.map(|kv| Event { kv: Arc::clone(kv), previous: None });
            return Ok(InitialCheck::Met(WaitOutcome::Met { revision, event }));
        }
        match request.condition {
            // Above a compacted revision: existing keys were examined already; the delete of any other
            // key is in the history.
            WaitCondition::ModRevisionAbove(_) => {
                let before = self.state.history().oldest() - 1;
                self.search_after(request, before).map(InitialCheck::Search)
            }
            _ => Ok(InitialCheck::Search(over)),
        }
    }

    /// Notifies a wait of an event of its range, which may meet its condition.
    pub(super) fn notify_wait(&mut self, index: u32, seq: EventSeq, event: &Event) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let WatcherRole::Wait(wait) = &watcher.role else { return };
        match wait.search.as_deref() {
            None => {
                if condition_meets(&wait.condition, event) {
                    self.answer(index, Ok(met(event.clone())));
                }
            }
            Some(WaitSearch::Keys { last, .. }) => {
                if let Some(outcome) = outcome_of(&wait.condition, last.as_ref(), event) {
                    self.answer(index, Ok(outcome));
                }
            }
            // The first event of a revision has led the wait to examine all of its events.
            Some(WaitSearch::Events(Events { cursor: 0, seen, .. })) if seq < *seen => {}
            // The state after the revision is known at its end, which is near unless the revision is
            // large.
            Some(WaitSearch::Events(counted @ Events { cursor: 0, .. })) => {
                let from = WaitSearch::Events(Events { cursor: seq, ..*counted });
                self.search_from(index, from, &mut { SEARCHED_AT_ONCE });
            }
            // A wait that searches the history will reach this event.
            Some(WaitSearch::Events(_) | WaitSearch::Count(_)) => {}
        }
    }

    /// Handles the timeout of a wait.
    pub(super) fn time_out(&mut self, index: u32) {
        let outcome = match self.considered_by(index) {
            Ok(Some(revision)) => Ok(WaitOutcome::Timeout { revision }),
            Ok(None) => Err(self.unfinished()),
            Err(overtaken) => Err(overtaken),
        };
        self.answer(index, outcome);
    }

    /// Ends a wait with an error that states from which revision on it has considered nothing, if that
    /// is known.
    pub(super) fn end_wait(
        &mut self,
        index: u32,
        error: impl FnOnce(Option<Revision>) -> StoreError,
    ) {
        let considered = self.considered_by(index);
        let resume = considered.map(|considered| considered.map(|up_to| up_to + 1));
        self.answer(index, Err(resume.map_or_else(|gone| gone, error)));
    }

    fn considered_by(&self, index: u32) -> Result<Option<Revision>, StoreError> {
        let search = match self.watchers.get(index as usize).map(|watcher| &watcher.role) {
            Some(WatcherRole::Wait(wait)) => wait.search.as_deref(),
            _ => None,
        };
        self.considered(search)
    }

    pub(super) fn answer(&mut self, index: u32, outcome: Result<WaitOutcome, StoreError>) {
        if let Some(wait) = self.take_wait(index) {
            self.answers.push(WaitAnswer { address: wait.address, outcome });
        }
    }

    fn take_wait(&mut self, index: u32) -> Option<Wait<P>> {
        match self.remove(index)?.role {
            WatcherRole::Wait(wait) => Some(wait),
            WatcherRole::Watch(_) => None,
        }
    }
}

/// Returns the outcome, at an event, of a wait that has examined keys up to `last`: the event meets the
/// condition, or the version before it does and was not examined.
fn outcome_of(
    condition: &WaitCondition,
    last: Option<&Blob>,
    event: &Event,
) -> Option<WaitOutcome> {
    if condition_meets(condition, event) {
        return Some(met(event.clone()));
    }
    let before =
        event.previous.as_ref().filter(|_| last.is_none_or(|last| event.kv.key > *last))?;
    state_meets(condition, Some(before)).then(|| WaitOutcome::Met {
        revision: event.revision() - 1,
        event: Some(Event { kv: Arc::clone(before), previous: None }),
    })
}

/// Returns whether the state of a key meets the condition.
pub(super) fn state_meets(condition: &WaitCondition, kv: Option<&Arc<KeyValue>>) -> bool {
    match (condition, kv) {
        (WaitCondition::Changed, _) => false,
        (WaitCondition::Absent, kv) => kv.is_none(),
        (WaitCondition::Exists, kv) => kv.is_some(),
        (WaitCondition::Equals(value), Some(kv)) => kv.value == *value,
        (WaitCondition::Differs(value), Some(kv)) => kv.value != *value,
        (WaitCondition::Differs(_), None) => true,
        (WaitCondition::ModRevisionAbove(above), Some(kv)) => kv.mod_revision > *above,
        (WaitCondition::Equals(_) | WaitCondition::ModRevisionAbove(_), None) => false,
    }
}

/// Returns whether an event alone meets the condition.
pub(super) fn condition_meets(condition: &WaitCondition, event: &Event) -> bool {
    let put = event.kind() == EventKind::Put;
    match condition {
        WaitCondition::Changed => true,
        WaitCondition::Exists => put,
        WaitCondition::Absent => !put,
        WaitCondition::Equals(value) => put && event.kv.value == *value,
        WaitCondition::Differs(value) => !put || event.kv.value != *value,
        WaitCondition::ModRevisionAbove(above) => event.revision() > *above,
    }
}
