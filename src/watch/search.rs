//! Searches of history by waits of [`Hub`]: the event a wait asks for may be in the past.
//!
//! A search goes a slice at a time. While it lasts, new events do not answer its wait: it comes
//! to them in its turn.

use std::ops::ControlFlow;

use super::hub::Hub;
use super::wait::condition_meets;
use super::watcher::{Role, Search, Wait};
use crate::model::{Event, EventKind, KeyRange, Revision, WaitCondition, WaitOutcome, WaitRequest};
use crate::store::StoreError;

/// Why a wait is refused that has to look at too much before it can begin.
pub(super) const TOO_MANY_KEYS: &str =
    "the wait looks at too many keys; wait for a smaller range, or after a revision";

/// What a piece of a search found.
pub(super) enum Found {
    /// The event asked for.
    Met(Event),
    /// Nothing up to the end of history: live from now on.
    End(Search),
    /// Nothing yet.
    More(Search),
    /// Compaction was faster.
    Overtaken,
}

impl<P> Hub<P> {
    /// The search for the first event after `after` that makes the condition of a checked
    /// request hold.
    pub(super) fn search_after(
        &self,
        request: &WaitRequest,
        after: Revision,
    ) -> Result<Search, StoreError> {
        let (oldest, current) = (self.state.history().oldest(), self.state.visible());
        if after > current {
            return Err(StoreError::Future { asked: after, oldest, current });
        }
        if after + 1 < oldest {
            return Err(StoreError::Compacted { asked: after + 1, oldest, current });
        }
        let cursor = match &request.range {
            KeyRange::Key(key) => self.state.first_event_after(key, after),
            _ => self.state.history().first_of(after + 1),
        };
        let live = if request.counts() { self.count_at(&request.range, after)? } else { 0 };
        Ok(Search { cursor, seen: 0, live, deleted: 0 })
    }

    /// How many keys of `range` existed after revision `after`, all of whose later events history
    /// has.
    pub(super) fn count_at(&self, range: &KeyRange, after: Revision) -> Result<usize, StoreError> {
        let mut steps = self.state.steps();
        let mut live = 0;
        if after == 0 {
            // Before the first revision there was nothing; to a walk it stands for now.
            return Ok(0);
        }
        let more = self.state.walk(&range.bounds(), after, false, |look| {
            if steps.are_used_up() {
                return ControlFlow::Break(());
            }
            steps.take(look.steps);
            live += usize::from(look.kv.is_some());
            ControlFlow::Continue(())
        });
        self.state.count_steps(steps.taken());
        if more { Err(steps.refusal(TOO_MANY_KEYS)) } else { Ok(live) }
    }

    /// Goes on with the searches, each in its turn, about `slice` events in all.
    pub(super) fn search(&mut self, mut slice: usize) {
        while slice > 0 {
            let next = self.searching.range(self.search_turn..).next();
            let Some(index) = next.or(self.searching.first()).copied() else { return };
            self.search_turn = index.wrapping_add(1);
            self.search_on(index, &mut slice);
            // A search that had nothing left to read took a share too.
            slice = slice.saturating_sub(1);
        }
    }

    /// Goes on with the search of a wait, at most `slice` events of it.
    pub(super) fn search_on(&mut self, index: u32, slice: &mut usize) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let Role::Wait(Wait { search: Some(from), condition, .. }) = &watcher.role else {
            return;
        };
        match self.search_some(&watcher.range, condition, **from, slice) {
            Found::Met(event) => self.answer(index, Ok(met(event))),
            Found::End(search) => self.set_search(index, search),
            Found::More(search) => self.set_search(index, search),
            Found::Overtaken => self.answer(index, Err(self.overtaken())),
        }
    }

    /// Notes how far a wait has searched.
    pub(super) fn set_search(&mut self, index: u32, search: Search) {
        let Some(watcher) = self.watchers.get_mut(index as usize) else { return };
        let Role::Wait(wait) = &mut watcher.role else { return };
        if search.is_over() {
            self.searching.remove(&index);
        } else {
            self.searching.insert(index);
        }
        wait.search = search.kept(&watcher.range, &wait.condition).map(Box::new);
    }

    /// Searches history from `from`, at most `slice` events of it, which it takes off `slice`.
    pub(super) fn search_some(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        from: Search,
        slice: &mut usize,
    ) -> Found {
        let before = *slice;
        let found = self.search_events(range, condition, from, slice);
        self.state.count_steps(before - *slice);
        found
    }

    fn search_events(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        from: Search,
        slice: &mut usize,
    ) -> Found {
        let history = self.state.history();
        let single = matches!(range, KeyRange::Key(_));
        let mut at = from;
        loop {
            // First of all: a cursor past the end of its key would never see what comes next.
            if at.cursor == 0 || at.cursor >= history.end() {
                return Found::End(Search { cursor: 0, seen: history.end(), ..at });
            }
            if *slice == 0 {
                return Found::More(at);
            }
            *slice -= 1;
            let Some(entry) = history.get(at.cursor) else { return Found::Overtaken };
            let found = match condition {
                WaitCondition::Absent if !single => self.emptied(range, &mut at, &entry.event),
                _ => {
                    range.contains(&entry.event.kv.key) && condition_meets(condition, &entry.event)
                }
            };
            if found {
                let seq = if at.deleted == 0 { at.cursor } else { at.deleted };
                return history
                    .get(seq)
                    .map_or(Found::Overtaken, |it| Found::Met(it.event.clone()));
            }
            at.cursor = if single { entry.next } else { at.cursor + 1 };
        }
    }

    /// Whether the revision that `event` ends left no key of the range where there was one: by
    /// its first delete of them, `at.deleted`.
    fn emptied(&self, range: &KeyRange, at: &mut Search, event: &Event) -> bool {
        if range.contains(&event.kv.key) {
            at.live += usize::from(event.is_creation());
            if event.kind() == EventKind::Delete {
                at.live = at.live.saturating_sub(1);
                at.deleted = if at.deleted == 0 { at.cursor } else { at.deleted };
            }
        }
        if !self.state.history().ends_revision(at.cursor) {
            return false;
        }
        if at.deleted > 0 && at.live == 0 {
            return true;
        }
        at.deleted = 0;
        false
    }

    /// The revision up to which a wait has considered everything.
    pub(super) fn considered(&self, search: Option<Search>) -> Result<Revision, StoreError> {
        match search.filter(|search| !search.is_over()) {
            None => Ok(self.state.visible()),
            Some(search) => match self.state.history().get(search.cursor) {
                Some(entry) => Ok(entry.event.revision() - 1),
                None => Err(self.overtaken()),
            },
        }
    }

    pub(super) fn overtaken(&self) -> StoreError {
        StoreError::Overtaken { resume: self.state.history().oldest() }
    }
}

impl Search {
    /// Whether everything up to now was looked at.
    pub(super) fn is_over(&self) -> bool {
        self.cursor == 0
    }

    /// What a wait keeps of it: nothing, once it is over, unless keys are counted.
    pub(super) fn kept(self, range: &KeyRange, condition: &WaitCondition) -> Option<Self> {
        (!self.is_over() || counts(range, condition)).then_some(self)
    }
}

impl WaitRequest {
    /// Whether it is met when no key of a range is left, so that those there are have to be counted.
    pub(super) fn counts(&self) -> bool {
        counts(&self.range, &self.condition)
    }
}

fn counts(range: &KeyRange, condition: &WaitCondition) -> bool {
    *condition == WaitCondition::Absent && !matches!(range, KeyRange::Key(_))
}

pub(super) fn met(event: Event) -> WaitOutcome {
    WaitOutcome::Met { revision: event.revision(), event: Some(event) }
}
