//! Waits of [`Hub`]: one condition, one answer.

use std::sync::Arc;

use super::hub::{Answer, Hub};
use super::search::{Found, met};
use super::watcher::{Handle, Owner, Role, Search, Wait, Watcher};
use crate::model::{
    Event, EventKind, KeyRange, KeyValue, Revision, WaitCondition, WaitOutcome, WaitRequest,
};
use crate::store::{Micros, StoreError};

/// What became of a wait at once.
#[derive(Debug)]
pub(crate) enum WaitStart {
    /// It is answered; nothing is kept.
    Answered(WaitOutcome),
    /// It is parked; everything after this revision counts.
    Parked(Handle, Revision),
}

impl<P> Hub<P> {
    /// Answers a wait, or parks it until it can be; `party` is made only if it is parked.
    pub(crate) fn wait(
        &mut self,
        now: Micros,
        owner: &Arc<Owner>,
        request: WaitRequest,
        party: impl FnOnce() -> P,
    ) -> Result<WaitStart, StoreError> {
        let timeout = self.check_wait(&request)?;
        let mut search = self.first_search(&request)?;
        if search.is_none() {
            if let Some(outcome) = self.holds_now(&request)? {
                return Ok(WaitStart::Answered(outcome));
            }
            search = self.search_of_deletes(&request)?;
        }
        if let Some(from) = search {
            let mut slice = self.state.config().slice_max;
            match self.search_some(&request.range, &request.condition, from, &mut slice) {
                Found::Met(event) => return Ok(WaitStart::Answered(met(event))),
                Found::End => search = None,
                Found::More(rest) => search = Some(rest),
                Found::Overtaken => return Err(self.overtaken()),
            }
        }
        self.check_room(owner)?;
        let considered = self.considered(search)?;
        let handle = self.park(now.saturating_add(timeout), owner, request, search, party());
        Ok(WaitStart::Parked(handle, considered))
    }

    fn park(
        &mut self,
        deadline: Micros,
        owner: &Arc<Owner>,
        request: WaitRequest,
        search: Option<Search>,
        party: P,
    ) -> Handle {
        let WaitRequest { range, condition, .. } = request;
        let searching = search.is_some();
        let search = search.map(Box::new);
        let wait = Wait { party, owner: Arc::clone(owner), condition, deadline, search };
        let generation = self.new_generation();
        let handle = self.insert(owner, Watcher { generation, range, role: Role::Wait(wait) });
        self.deadlines.insert((deadline, handle.index));
        if searching {
            self.searching.insert(handle.index);
        }
        handle
    }

    /// Frees a wait without an answer; its party is given back.
    pub(crate) fn cancel_wait(&mut self, handle: Handle) -> Option<P> {
        match self.find(handle)?.role {
            Role::Wait(_) => self.take_wait(handle.index).map(|wait| wait.party),
            Role::Watch(_) => None,
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

    /// Where history has to be searched from; `None` when the present is to be looked at first.
    fn first_search(&self, request: &WaitRequest) -> Result<Option<Search>, StoreError> {
        let (oldest, current) = (self.state.history().oldest(), self.state.visible());
        let after = match (request.after, &request.condition) {
            (Some(after), _) => after,
            // Above a revision means after it, as far back as history goes.
            (None, WaitCondition::ModRevisionAbove(above)) if *above >= oldest - 1 => {
                (*above).min(current)
            }
            (None, _) => return Ok(None),
        };
        self.search_after(request, after).map(Some)
    }

    /// Above a revision that is compacted, a key that exists was looked at already; one that was
    /// deleted is in history.
    fn search_of_deletes(&self, request: &WaitRequest) -> Result<Option<Search>, StoreError> {
        match request.condition {
            WaitCondition::ModRevisionAbove(_) => {
                self.search_after(request, self.state.history().oldest() - 1).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the condition holds in the present state.
    fn holds_now(&self, request: &WaitRequest) -> Result<Option<WaitOutcome>, StoreError> {
        let revision = self.state.visible();
        let met = |kv: Option<&Arc<KeyValue>>| {
            let event = kv.map(|kv| Event { kv: kv.clone(), previous: None });
            Some(WaitOutcome::Met { revision, event })
        };
        let single = matches!(request.range, KeyRange::Key(_));
        let mut seen = 0;
        for kv in self.state.seen_in(&request.range) {
            let holds = match &request.condition {
                WaitCondition::Changed | WaitCondition::Absent => return Ok(None),
                WaitCondition::Exists => true,
                WaitCondition::Equals(value) => kv.value == *value,
                WaitCondition::Differs(value) => kv.value != *value,
                WaitCondition::ModRevisionAbove(above) => kv.mod_revision > *above,
            };
            if holds {
                return Ok(met(Some(kv)));
            }
            seen += 1;
            if seen > self.scan_max() {
                return Err(self.scans_too_much());
            }
        }
        Ok(match request.condition {
            WaitCondition::Absent => met(None),
            WaitCondition::Differs(_) if single && seen == 0 => met(None),
            _ => None,
        })
    }

    /// Most keys that one wait may look at.
    pub(super) fn scan_max(&self) -> usize {
        self.state.config().revision_events_max
    }

    pub(super) fn scans_too_much(&self) -> StoreError {
        let what = "the wait looks at too many keys; wait for a smaller range";
        StoreError::limit("store.revision_events_max", self.scan_max(), what)
    }

    /// An event of its range: perhaps the one it waits for.
    pub(super) fn notify_wait(&mut self, index: u32, event: &Event) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let Role::Wait(wait) = &watcher.role else { return };
        // While it searches, it will come to this event in its turn.
        if wait.search.is_none() && self.meets(&watcher.range, &wait.condition, event) {
            self.answer(index, Ok(met(event.clone())));
        }
    }

    /// Whether a new event makes the condition hold.
    fn meets(&self, range: &KeyRange, condition: &WaitCondition, event: &Event) -> bool {
        match (condition, range) {
            (WaitCondition::Absent, KeyRange::Prefix(_) | KeyRange::Range { .. }) => {
                event.kind() == EventKind::Delete && self.state.seen_in(range).next().is_none()
            }
            _ => condition_meets(condition, event),
        }
    }

    /// The wait's time is over.
    pub(super) fn time_out(&mut self, index: u32) {
        let considered = self.considered_by(index);
        self.answer(index, considered.map(|revision| WaitOutcome::Timeout { revision }));
    }

    /// Ends a wait with an error that says from where on it has considered nothing.
    pub(super) fn end_wait(&mut self, index: u32, error: impl FnOnce(Revision) -> StoreError) {
        let considered = self.considered_by(index);
        self.answer(index, Err(considered.map_or_else(|gone| gone, |up_to| error(up_to + 1))));
    }

    fn considered_by(&self, index: u32) -> Result<Revision, StoreError> {
        let search = match self.watchers.get(index as usize).map(|watcher| &watcher.role) {
            Some(Role::Wait(wait)) => wait.search.as_deref().copied(),
            _ => None,
        };
        self.considered(search)
    }

    pub(super) fn answer(&mut self, index: u32, outcome: Result<WaitOutcome, StoreError>) {
        if let Some(wait) = self.take_wait(index) {
            self.answers.push(Answer { party: wait.party, outcome });
        }
    }

    fn take_wait(&mut self, index: u32) -> Option<Wait<P>> {
        match self.remove(index)?.role {
            Role::Wait(wait) => Some(wait),
            Role::Watch(_) => None,
        }
    }
}

/// Whether an event by itself makes the condition hold.
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
