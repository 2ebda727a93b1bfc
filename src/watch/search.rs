//! Searches of waits of [`Hub`]: the event that meets a condition may be in the past, and a key that
//! meets it may already exist.
//!
//! A search examines a slice at a time, of visible keys or of the history. While it examines the
//! history, new events do not answer its wait: the search will reach them. While it examines keys, each
//! new event is judged at once, together with the version before it, which the search may not have
//! reached.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::hub::Hub;
use super::wait::{condition_meets, state_meets};
use super::watcher::{Count, Events, Wait, WaitSearch, WatcherRole};
use crate::model::{
    Blob, Event, EventKind, KeyRange, Revision, WaitCondition, WaitOutcome, WaitRequest,
};
use crate::store::{EventSeq, StoreError};

/// The number of keys and events that one search examines before another owner's turn.
const SEARCHED_IN_TURN: usize = 64;

/// The result of a slice of a search.
pub(super) enum SearchResult {
    /// The answer.
    Met(WaitOutcome),
    /// No event up to the end of the history: from now on, new events are judged.
    End(WaitSearch),
    /// No event yet.
    More(WaitSearch),
    /// Events were compacted before the search reached them.
    Overtaken,
}

impl<P> Hub<P> {
    /// Returns the search for the first event after `after` that meets the condition of a checked
    /// request.
    pub(super) fn search_after(
        &self,
        request: &WaitRequest,
        after: Revision,
    ) -> Result<WaitSearch, StoreError> {
        let (oldest, current) = (self.state.history().oldest(), self.state.visible());
        if after > current {
            return Err(StoreError::Future { asked: after, oldest, current });
        }
        if after + 1 < oldest {
            return Err(StoreError::Compacted { asked: after + 1, oldest, current });
        }
        if request.counts() {
            return Ok(self.count_after(&request.range, after, false));
        }
        let cursor = match &request.range {
            KeyRange::Key(key) => self.state.first_event_after(key, after),
            _ => self.state.history().first_of(after + 1),
        };
        Ok(WaitSearch::Events(Events { cursor, ..Events::OVER }))
    }

    /// Returns the count of the keys of `range` that existed after revision `at`, whose later events
    /// must all be in the history.
    pub(super) fn count_after(&self, range: &KeyRange, at: Revision, is_state: bool) -> WaitSearch {
        let history = self.state.history();
        let first = history.first_of(at + 1);
        let live = i64::try_from(self.state.count_applied(range)).unwrap_or(i64::MAX);
        WaitSearch::Count(Count {
            at,
            is_state,
            first,
            next: first,
            end: history.applied_end(),
            live,
        })
    }

    /// Continues the searches by about `slice` keys and events in all. Owners take turns, so that many
    /// searches of one owner do not delay those of others; each owner's first search is completed
    /// first.
    pub(super) fn search(&mut self, mut slice: usize) {
        while slice > 0 {
            let next = self.searching.range((self.search_turn, 0)..).next();
            let Some((owner, index)) = next.or(self.searching.first()).copied() else { return };
            self.search_turn = owner.wrapping_add(1);
            let mut share = slice.min(SEARCHED_IN_TURN);
            slice -= share;
            self.search_on(index, &mut share);
            // A search that had nothing left to read took part of the slice too.
            slice += share.saturating_sub(1);
        }
    }

    /// Continues the search of a wait by up to `slice` keys and events.
    pub(super) fn search_on(&mut self, index: u32, slice: &mut usize) {
        let Some(watcher) = self.watchers.get_mut(index as usize) else { return };
        let WatcherRole::Wait(wait) = &mut watcher.role else { return };
        let Some(from) = wait.search.take() else { return };
        self.search_from(index, *from, slice);
    }

    /// Searches for the event of a wait from `from` on, up to `slice` keys and events.
    pub(super) fn search_from(&mut self, index: u32, from: WaitSearch, slice: &mut usize) {
        let Some(watcher) = self.watchers.get(index as usize) else { return };
        let WatcherRole::Wait(Wait { condition, .. }) = &watcher.role else { return };
        match self.search_some(&watcher.range, condition, from, slice) {
            SearchResult::Met(outcome) => self.answer(index, Ok(outcome)),
            SearchResult::End(search) | SearchResult::More(search) => {
                self.set_search(index, search)
            }
            SearchResult::Overtaken => self.answer(index, Err(self.overtaken())),
        }
    }

    /// Stores the progress of a wait's search.
    pub(super) fn set_search(&mut self, index: u32, search: WaitSearch) {
        let Some(watcher) = self.watchers.get_mut(index as usize) else { return };
        let WatcherRole::Wait(wait) = &mut watcher.role else { return };
        let place = (wait.owner.id, index);
        if search.is_over() {
            self.searching.remove(&place);
        } else {
            self.searching.insert(place);
        }
        wait.search = search.kept(&watcher.range, &wait.condition).map(Box::new);
    }

    /// Examines up to `slice` keys and events from `from` on, and subtracts them from `slice`.
    pub(super) fn search_some(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        from: WaitSearch,
        slice: &mut usize,
    ) -> SearchResult {
        let before = *slice;
        let found = match from {
            WaitSearch::Keys { last, first } => {
                self.search_keys(range, condition, last, first, slice)
            }
            WaitSearch::Count(count) => self.search_count(range, condition, count, slice),
            WaitSearch::Events(from) => self.search_events(range, condition, from, slice),
        };
        self.state.count_steps(before - *slice);
        found
    }

    /// Searches the visible keys for one that meets a condition. If a key changes before the search
    /// reaches it, its event is judged instead.
    fn search_keys(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        last: Option<Blob>,
        first: EventSeq,
        slice: &mut usize,
    ) -> SearchResult {
        let (start, end) = range.bounds();
        let bounds = (last.clone().map_or(start, Bound::Excluded), end);
        let revision = self.state.visible();
        let (mut at, mut found) = (None, None);
        let more = self.state.walk(&bounds, revision, false, |look| {
            if *slice == 0 {
                return ControlFlow::Break(());
            }
            *slice = slice.saturating_sub(look.steps.max(1));
            at = Some(look.key);
            found = look.kv.filter(|kv| state_meets(condition, Some(kv)));
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(kv) = found {
            let event = Event { kv: Arc::clone(kv), previous: None };
            return SearchResult::Met(WaitOutcome::Met { revision, event: Some(event) });
        }
        if more {
            return SearchResult::More(WaitSearch::Keys { last: at.cloned().or(last), first });
        }
        self.search_events(range, condition, Events { cursor: first, ..Events::OVER }, slice)
    }

    /// Counts the keys at a revision, then searches the events after it.
    fn search_count(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        mut count: Count,
        slice: &mut usize,
    ) -> SearchResult {
        while count.next < count.end {
            if *slice == 0 {
                return SearchResult::More(WaitSearch::Count(count));
            }
            *slice -= 1;
            // Includes events that are not visible yet, because the existing keys include theirs.
            let Some(entry) = self.state.history().entry(count.next) else {
                return SearchResult::Overtaken;
            };
            count.next += 1;
            if range.contains(&entry.event.kv.key) {
                count.live += i64::from(entry.event.kind() == EventKind::Delete);
                count.live -= i64::from(entry.event.is_creation());
            }
        }
        if count.is_state && count.live == 0 {
            return SearchResult::Met(WaitOutcome::Met { revision: count.at, event: None });
        }
        let live = usize::try_from(count.live).unwrap_or(0);
        let events = Events { cursor: count.first, live, ..Events::OVER };
        self.search_events(range, condition, events, slice)
    }

    fn search_events(
        &self,
        range: &KeyRange,
        condition: &WaitCondition,
        from: Events,
        slice: &mut usize,
    ) -> SearchResult {
        let history = self.state.history();
        let single = matches!(range, KeyRange::Key(_));
        let mut at = from;
        loop {
            // Must come first: a cursor past the last event of its key would never see the next one.
            if at.cursor == 0 || at.cursor >= history.end() {
                let over = Events { cursor: 0, seen: history.end(), ..at };
                return SearchResult::End(WaitSearch::Events(over));
            }
            if *slice == 0 {
                return SearchResult::More(WaitSearch::Events(at));
            }
            *slice -= 1;
            let Some(entry) = history.get(at.cursor) else { return SearchResult::Overtaken };
            let found = match condition {
                WaitCondition::Absent if !single => self.emptied(range, &mut at, &entry.event),
                _ => {
                    range.contains(&entry.event.kv.key) && condition_meets(condition, &entry.event)
                }
            };
            if found {
                let seq = if at.deleted == 0 { at.cursor } else { at.deleted };
                return history.get(seq).map_or(SearchResult::Overtaken, |it| {
                    SearchResult::Met(met(it.event.clone()))
                });
            }
            at.cursor = if single { entry.next } else { at.cursor + 1 };
        }
    }

    /// Returns whether the revision that `event` ends left the range empty after it had keys; the event
    /// to report is the revision's first delete of a key of the range, `at.deleted`.
    fn emptied(&self, range: &KeyRange, at: &mut Events, event: &Event) -> bool {
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

    /// Returns the revision up to which a wait has considered everything; `None` while it examines the
    /// state.
    pub(super) fn considered(
        &self,
        search: Option<&WaitSearch>,
    ) -> Result<Option<Revision>, StoreError> {
        let history = self.state.history();
        match search {
            Some(WaitSearch::Keys { .. } | WaitSearch::Count(Count { is_state: true, .. })) => {
                Ok(None)
            }
            Some(WaitSearch::Count(count)) if count.at + 1 < history.oldest() => {
                Err(self.overtaken())
            }
            Some(WaitSearch::Count(count)) => Ok(Some(count.at)),
            Some(WaitSearch::Events(events)) if events.cursor != 0 => {
                match history.get(events.cursor) {
                    Some(entry) => Ok(Some(entry.event.revision() - 1)),
                    None => Err(self.overtaken()),
                }
            }
            Some(WaitSearch::Events(_)) | None => Ok(Some(self.state.visible())),
        }
    }

    pub(super) fn overtaken(&self) -> StoreError {
        StoreError::Overtaken { resume: self.state.history().oldest() }
    }

    /// Returns the error of a wait that ends before it has examined the whole state.
    pub(super) fn unfinished(&self) -> StoreError {
        let what = "the wait ended before it had examined all keys of its range; give it more time, \
                    wait for a smaller range, or after a revision";
        self.state.steps().refusal(what)
    }
}

impl Events {
    /// A finished search.
    pub(super) const OVER: Self = Self { cursor: 0, seen: 0, live: 0, deleted: 0 };
}

impl WaitSearch {
    /// Returns whether everything up to now was examined.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Events(Events { cursor: 0, .. }))
    }

    /// Returns the part of the search that a wait keeps: nothing once it is finished, unless keys are
    /// counted.
    pub(super) fn kept(self, range: &KeyRange, condition: &WaitCondition) -> Option<Self> {
        (!self.is_over() || counts(range, condition)).then_some(self)
    }
}

impl WaitRequest {
    /// Returns whether the condition is that no key of a range is left, so that the existing keys must
    /// be counted.
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
