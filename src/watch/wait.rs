//! Waits of [`Hub`]: one condition, one answer.

use std::sync::Arc;

use super::hub::{Answer, Hub};
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

/// What a piece of a search found.
enum Found {
    /// The event asked for.
    Met(Event),
    /// Nothing up to the end of history: live from now on.
    End,
    /// Nothing yet.
    More(Search),
    /// Compaction was faster.
    Overtaken,
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
        if search.is_none()
            && let Some(outcome) = self.holds_now(&request)?
        {
            return Ok(WaitStart::Answered(outcome));
        }
        if let Some(from) = search {
            let slice = self.state.config().slice_max;
            match self.search_some(&request.range, &request.condition, from, slice) {
                Found::Met(event) => {
                    let outcome =
                        WaitOutcome::Met { revision: event.revision(), event: Some(event) };
                    return Ok(WaitStart::Answered(outcome));
                }
                Found::End => search = None,
                Found::More(rest) => search = Some(rest),
                Found::Overtaken => return Err(self.overtaken()),
            }
        }
        self.check_room(owner)?;
        let deadline = now.saturating_add(timeout);
        let wait = Wait {
            party: party(),
            owner: Arc::clone(owner),
            condition: request.condition,
            deadline,
            search,
        };
        let generation = self.new_generation();
        let watcher = Watcher { generation, range: request.range, role: Role::Wait(wait) };
        let handle = self.insert(owner, watcher);
        self.deadlines.insert((deadline, handle.index));
        if search.is_some() {
            self.searching.push_back(handle);
        }
        Ok(WaitStart::Parked(handle, self.state.revision()))
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
            return Err(StoreError::Limit {
                name: "watch.wait_timeout_max",
                value: self.config.wait_timeout_max.as_millis() as u64,
                what: "the timeout is too long",
            });
        }
        Ok(timeout.as_micros() as Micros)
    }

    /// Where history has to be searched from; `None` when only the present and the future count.
    fn first_search(&self, request: &WaitRequest) -> Result<Option<Search>, StoreError> {
        let (oldest, current) = (self.state.history().oldest(), self.state.revision());
        let after = match (request.after, &request.condition) {
            (Some(after), _) => after,
            // Above a revision means after it, as far back as history goes; what is older than
            // that is looked for among the keys themselves.
            (None, WaitCondition::ModRevisionAbove(above)) if (oldest..current).contains(above) => {
                *above
            }
            (None, _) => return Ok(None),
        };
        // First, as there is no revision after the largest number.
        if after > current {
            return Err(StoreError::Future { asked: after, oldest, current });
        }
        if after + 1 < oldest {
            return Err(StoreError::Compacted { asked: after + 1, oldest, current });
        }
        let live = match (&request.condition, &request.range) {
            (_, KeyRange::Key(_)) => 0,
            (WaitCondition::Absent, range) => {
                self.bounded(self.state.count_at(range, after.max(oldest), self.scan_max() + 1))?
            }
            _ => 0,
        };
        let cursor = match &request.range {
            KeyRange::Key(key) => self.state.first_event_after(key, after),
            _ => self.state.history().first_of(after + 1),
        };
        Ok(Some(Search { cursor, live }))
    }

    /// Whether the condition holds in the present state.
    fn holds_now(&self, request: &WaitRequest) -> Result<Option<WaitOutcome>, StoreError> {
        let revision = self.state.revision();
        let met = |kv: Option<&Arc<KeyValue>>| {
            let event = kv.map(|kv| Event { kv: kv.clone(), previous: None });
            Some(WaitOutcome::Met { revision, event })
        };
        let single = matches!(request.range, KeyRange::Key(_));
        let mut seen = 0;
        for kv in self.state.current_in(&request.range) {
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
            self.bounded(seen)?;
        }
        Ok(match request.condition {
            WaitCondition::Absent => met(None),
            WaitCondition::Differs(_) if single && seen == 0 => met(None),
            _ => None,
        })
    }

    /// Most keys that one wait may look at.
    fn scan_max(&self) -> usize {
        self.state.config().revision_events_max
    }

    fn bounded(&self, keys: usize) -> Result<usize, StoreError> {
        let max = self.scan_max();
        if keys > max {
            let what = "the wait looks at too many keys; wait for a smaller range";
            return Err(StoreError::limit("store.revision_events_max", max, what));
        }
        Ok(keys)
    }

    /// An event of its range: perhaps the one it waits for.
    pub(super) fn notify_wait(&mut self, index: u32, event: &Event) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let Role::Wait(wait) = &watcher.role else { return };
        // While it searches, it will come to this event in its turn.
        if wait.search.is_none() && self.meets(&watcher.range, &wait.condition, event) {
            let outcome =
                WaitOutcome::Met { revision: event.revision(), event: Some(event.clone()) };
            self.answer(index, Ok(outcome));
        }
    }

    /// Whether a new event makes the condition hold.
    fn meets(&self, range: &KeyRange, condition: &WaitCondition, event: &Event) -> bool {
        match (condition, range) {
            (WaitCondition::Absent, KeyRange::Prefix(_) | KeyRange::Range { .. }) => {
                event.kind() == EventKind::Delete && self.state.current_in(range).next().is_none()
            }
            _ => condition_meets(condition, event),
        }
    }

    /// Goes on with the searches, about `slice` events in all.
    pub(super) fn search(&mut self, slice: usize) {
        let Some(handle) = self.searching.pop_front() else { return };
        let Some(watcher) = self.find(handle) else { return };
        let Role::Wait(Wait { search: Some(from), condition, .. }) = &watcher.role else { return };
        match self.search_some(&watcher.range, condition, *from, slice) {
            Found::Met(event) => {
                let outcome = WaitOutcome::Met { revision: event.revision(), event: Some(event) };
                self.answer(handle.index, Ok(outcome));
            }
            Found::End => self.set_search(handle.index, None),
            Found::More(rest) => {
                self.set_search(handle.index, Some(rest));
                self.searching.push_back(handle);
            }
            Found::Overtaken => {
                let error = self.overtaken();
                self.answer(handle.index, Err(error));
            }
        }
    }

    fn set_search(&mut self, index: u32, rest: Option<Search>) {
        if let Some(Watcher { role: Role::Wait(wait), .. }) = self.watchers.get_mut(index as usize)
        {
            wait.search = rest;
        }
    }

    /// Searches history from `from`, about `slice` events of it.
    fn search_some(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        from: Search,
        slice: usize,
    ) -> Found {
        let history = self.state.history();
        let single = matches!(range, KeyRange::Key(_));
        let Search { mut cursor, mut live } = from;
        let mut seen = 0;
        while cursor != 0 && cursor < history.end() {
            let Some(entry) = history.get(cursor) else { return Found::Overtaken };
            let event = &entry.event;
            if range.contains(&event.kv.key) {
                let met = match condition {
                    WaitCondition::Absent if !single => {
                        let created = event.kind() == EventKind::Put && event.kv.version == 1;
                        let deleted = event.kind() == EventKind::Delete;
                        live = (live + usize::from(created)).saturating_sub(usize::from(deleted));
                        deleted && live == 0 && history.ends_revision(cursor)
                    }
                    condition => condition_meets(condition, event),
                };
                if met {
                    return Found::Met(event.clone());
                }
            }
            cursor = if single { entry.next } else { cursor + 1 };
            seen += 1;
            if seen == slice {
                return Found::More(Search { cursor, live });
            }
        }
        Found::End
    }

    fn overtaken(&self) -> StoreError {
        StoreError::Overtaken { resume: self.state.history().oldest() }
    }

    /// The wait's time is over.
    pub(super) fn time_out(&mut self, index: u32) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let Role::Wait(wait) = &watcher.role else { return };
        let revision = match wait.search {
            None => self.state.revision(),
            Some(search) => self
                .state
                .history()
                .get(search.cursor)
                .map_or(self.state.revision(), |entry| entry.event.revision() - 1),
        };
        self.answer(index, Ok(WaitOutcome::Timeout { revision }));
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
fn condition_meets(condition: &WaitCondition, event: &Event) -> bool {
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
