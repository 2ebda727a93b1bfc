//! Waits of [`Hub`]: one condition, one answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::hub::{Answer, Hub};
use super::search::{Found, TOO_MANY_KEYS, met};
use super::watcher::{Handle, Owner, Role, Search, Wait, Watcher};
use crate::model::{
    Event, EventKind, KeyRange, KeyValue, Revision, WaitCondition, WaitOutcome, WaitRequest,
};
use crate::store::{Micros, Seq, StoreError};

/// Events that a wait which counts keys looks at in the turn that brings them; with more, it goes on
/// in the next.
const SEARCHED_AT_ONCE: usize = 32;

/// What the present state says about a condition.
enum Judged {
    Met(WaitOutcome),
    /// It does not hold; what is still to be looked at.
    Search(Search),
}

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
        let from = match self.first_search(&request)? {
            Some(from) => from,
            None => match self.judge(&request)? {
                Judged::Met(outcome) => return Ok(WaitStart::Answered(outcome)),
                Judged::Search(from) => from,
            },
        };
        let mut slice = self.state.config().slice_max;
        let search = match self.search_some(&request.range, &request.condition, from, &mut slice) {
            Found::Met(event) => return Ok(WaitStart::Answered(met(event))),
            Found::End(search) | Found::More(search) => search,
            Found::Overtaken => return Err(self.overtaken()),
        };
        self.check_room(owner)?;
        let considered = self.considered(Some(search))?;
        let handle = self.park(now.saturating_add(timeout), owner, request, search, party());
        Ok(WaitStart::Parked(handle, considered))
    }

    fn park(
        &mut self,
        deadline: Micros,
        owner: &Arc<Owner>,
        request: WaitRequest,
        search: Search,
        party: P,
    ) -> Handle {
        let WaitRequest { range, condition, .. } = request;
        let wait = Wait { party, owner: Arc::clone(owner), condition, deadline, search: None };
        let generation = self.new_generation();
        let handle = self.insert(owner, Watcher { generation, range, role: Role::Wait(wait) });
        self.deadlines.insert((deadline, handle.index));
        self.set_search(handle.index, search);
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

    /// Whether the condition holds in the present state; where to go on if not.
    fn judge(&self, request: &WaitRequest) -> Result<Judged, StoreError> {
        let revision = self.state.visible();
        let met = |kv: Option<&Arc<KeyValue>>| {
            let event = kv.map(|kv| Event { kv: kv.clone(), previous: None });
            Judged::Met(WaitOutcome::Met { revision, event })
        };
        let seen = self.state.history().end();
        let over = Search { cursor: 0, seen, live: 0, deleted: 0 };
        match (&request.condition, &request.range) {
            (WaitCondition::Changed, _) => return Ok(Judged::Search(over)),
            (WaitCondition::Absent, KeyRange::Prefix(_) | KeyRange::Range { .. }) => {
                let live = self.count_now(&request.range)?;
                let counted = Judged::Search(Search { live, ..over });
                return Ok(if live == 0 { met(None) } else { counted });
            }
            (condition, KeyRange::Key(key)) => {
                let kv = self.state.shown(key);
                if state_meets(condition, kv) {
                    return Ok(met(kv.filter(|_| *condition != WaitCondition::Absent)));
                }
            }
            (condition, range) => {
                if let Some(kv) = self.first_that_meets(range, condition)? {
                    return Ok(met(Some(kv)));
                }
            }
        }
        // Above a revision that is compacted, a key that exists was looked at already; one that was
        // deleted is in history.
        match request.condition {
            WaitCondition::ModRevisionAbove(_) => {
                let before = self.state.history().oldest() - 1;
                self.search_after(request, before).map(Judged::Search)
            }
            _ => Ok(Judged::Search(over)),
        }
    }

    /// How many keys of a range are shown to exist.
    fn count_now(&self, range: &KeyRange) -> Result<usize, StoreError> {
        let mut steps = self.state.steps();
        let count = self.state.count_visible(range, &mut steps);
        self.state.count_steps(steps.taken());
        count.map_or_else(|| self.count_at(range, self.state.visible()), Ok)
    }

    /// The first key of a range that is shown to meet a condition.
    fn first_that_meets(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
    ) -> Result<Option<&Arc<KeyValue>>, StoreError> {
        let mut steps = self.state.steps();
        let mut found = None;
        let visible = self.state.visible();
        self.state.walk(&range.bounds(), visible, false, |look| {
            steps.take(look.steps);
            found = look.kv.filter(|kv| state_meets(condition, Some(kv)));
            if found.is_some() || steps.are_used_up() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        self.state.count_steps(steps.taken());
        if found.is_none() && steps.are_used_up() {
            return Err(steps.refusal(TOO_MANY_KEYS));
        }
        Ok(found)
    }

    /// An event of its range: perhaps the one it waits for.
    pub(super) fn notify_wait(&mut self, index: u32, seq: Seq, event: &Event) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let Role::Wait(wait) = &watcher.role else { return };
        match wait.search.as_deref() {
            None => {
                if condition_meets(&wait.condition, event) {
                    self.answer(index, Ok(met(event.clone())));
                }
            }
            // With the first event of a revision it has looked at all of it.
            Some(counted) if counted.is_over() && seq < counted.seen => {}
            // What the revision left is known at its end: few events away, unless it is a large one.
            Some(counted) if counted.is_over() => {
                self.set_search(index, Search { cursor: seq, ..*counted });
                self.search_on(index, &mut { SEARCHED_AT_ONCE });
            }
            // While it searches, it will come to this event in its turn.
            Some(_) => {}
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

/// Whether a key as it is makes the condition hold.
fn state_meets(condition: &WaitCondition, kv: Option<&Arc<KeyValue>>) -> bool {
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
