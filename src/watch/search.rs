//! Searches of history by waits of [`Hub`]: the event a wait asks for may be in the past.
//!
//! A search goes a slice at a time. While it lasts, new events do not answer its wait: it comes
//! to them in its turn.

use super::hub::Hub;
use super::wait::condition_meets;
use super::watcher::{Role, Search, Wait, Watcher};
use crate::model::{Event, EventKind, KeyRange, Revision, WaitCondition, WaitOutcome, WaitRequest};
use crate::store::{Seq, StoreError};

/// What a piece of a search found.
pub(super) enum Found {
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
        Ok(match &request.range {
            KeyRange::Key(key) => {
                Search { cursor: self.state.first_event_after(key, after), live: 0, deleted: 0 }
            }
            range => {
                let cursor = self.state.history().first_of(after + 1);
                let live = match request.condition {
                    WaitCondition::Absent => self.count_before(range, after, cursor)?,
                    _ => 0,
                };
                Search { cursor, live, deleted: 0 }
            }
        })
    }

    /// How many keys of `range` existed after revision `after`, whose next event is `cursor`.
    fn count_before(
        &self,
        range: &KeyRange,
        after: Revision,
        cursor: Seq,
    ) -> Result<usize, StoreError> {
        let (history, max) = (self.state.history(), self.scan_max());
        let count = self.state.count_at(range, after.max(history.oldest()), max);
        let live = count.ok_or_else(|| self.scans_too_much())?;
        if after >= history.oldest() {
            return Ok(live);
        }
        // Just before the oldest revision, the state is that of the oldest, its events undone.
        let undone = (cursor..history.end())
            .map_while(|seq| history.get(seq).map(|entry| &entry.event))
            .take_while(|event| event.revision() == history.oldest())
            .filter(|event| range.contains(&event.kv.key));
        let (mut deleted, mut created) = (0, 0);
        for event in undone {
            deleted += usize::from(event.kind() == EventKind::Delete);
            created += usize::from(is_creation(event));
        }
        Ok((live + deleted).saturating_sub(created))
    }

    /// Goes on with the searches, each in its turn, about `slice` events in all.
    pub(super) fn search(&mut self, mut slice: usize) {
        while slice > 0 {
            let next = self.searching.range(self.search_turn..).next();
            let Some(index) = next.or(self.searching.first()).copied() else { return };
            self.search_turn = index.wrapping_add(1);
            let Some(watcher) = self.watchers.get(index as usize) else { return };
            let Role::Wait(Wait { search: Some(from), condition, .. }) = &watcher.role else {
                return;
            };
            match self.search_some(&watcher.range, condition, **from, &mut slice) {
                Found::Met(event) => self.answer(index, Ok(met(event))),
                Found::End => self.set_search(index, None),
                Found::More(rest) => self.set_search(index, Some(rest)),
                Found::Overtaken => self.answer(index, Err(self.overtaken())),
            }
            // A search that had nothing left to read took a share too.
            slice = slice.saturating_sub(1);
        }
    }

    fn set_search(&mut self, index: u32, rest: Option<Search>) {
        if let Some(Watcher { role: Role::Wait(wait), .. }) = self.watchers.get_mut(index as usize)
        {
            wait.search = rest.map(Box::new);
        }
        if rest.is_none() {
            self.searching.remove(&index);
        }
    }

    /// Searches history from `from`, at most `slice` events of it, which it takes off `slice`.
    pub(super) fn search_some(
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
                return Found::End;
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
            at.live += usize::from(is_creation(event));
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
        match search {
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

pub(super) fn met(event: Event) -> WaitOutcome {
    WaitOutcome::Met { revision: event.revision(), event: Some(event) }
}

fn is_creation(event: &Event) -> bool {
    event.kv.version == 1
}
