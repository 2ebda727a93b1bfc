//! [`Notices`]: the newest events, whose watchers are notified in slices.
//!
//! Until all watchers of a revision are notified, no watch is shown anything, no wait times out, and no
//! watcher is added, so clients cannot observe the slices. Requests that concern watchers come after. So
//! do writes without a journal; with one, they are executed meanwhile, because their events become
//! visible later: see [`Hub::may_pass`].

use std::ops::Range;

use super::hub::Hub;
use super::watcher::WatcherRole;
use crate::model::Event;
use crate::store::EventSeq;

/// Events whose watchers are not all notified yet.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// The events whose watchers are still to be looked up.
    events: Range<EventSeq>,
    /// The event before them, while some of its watchers are not notified.
    event: Option<(EventSeq, Event)>,
    /// The watchers of that event, and the number already notified. Reused to save allocations.
    watchers: Vec<u32>,
    notified: usize,
}

impl<P> Hub<P> {
    /// Returns whether some watchers are still to be notified of the newest events.
    pub(crate) fn is_notifying(&self) -> bool {
        self.notices.event.is_some() || !self.notices.events.is_empty()
    }

    /// Begins to notify the watchers of the events from `before` on, and notifies the first slice.
    pub(super) fn notify(&mut self, before: EventSeq) {
        if self.begin_to_notify(before) {
            self.notify_some(&mut { self.state.config().slice_max });
        }
    }

    /// Lists the events from `before` on; returns whether there are any. All watchers of earlier events
    /// must be notified.
    pub(super) fn begin_to_notify(&mut self, before: EventSeq) -> bool {
        let end = self.state.history().end();
        if before >= end || self.watchers.is_empty() {
            return false;
        }
        debug_assert!(!self.is_notifying(), "events are notified in order");
        self.notices.events = before..end;
        true
    }

    /// Looks up watchers of events and notifies them, up to `slice` of both in all, and subtracts them
    /// from `slice`; returns whether all are notified.
    pub(crate) fn notify_some(&mut self, slice: &mut usize) -> bool {
        loop {
            self.notify_watchers(slice);
            if self.notices.event.is_some() || *slice == 0 {
                return !self.is_notifying();
            }
            let Some(seq) = self.notices.events.next() else { return true };
            *slice -= 1;
            self.look_up(seq);
        }
    }

    /// Notifies all remaining watchers.
    pub(crate) fn finish_notifying(&mut self) {
        while !self.notify_some(&mut { usize::MAX }) {}
    }

    /// Looks up the watchers of an event.
    fn look_up(&mut self, seq: EventSeq) {
        let Some(entry) = self.state.history().get(seq) else { return };
        let Notices { watchers, notified, event, .. } = &mut self.notices;
        watchers.clear();
        *notified = 0;
        self.registry.for_each(&entry.event.kv.key, |watcher| watchers.push(watcher));
        if !watchers.is_empty() {
            *event = Some((seq, entry.event.clone()));
        }
    }

    /// Notifies up to `slice` watchers of the current event.
    fn notify_watchers(&mut self, slice: &mut usize) {
        let Some((seq, event)) = self.notices.event.take() else { return };
        let watchers = std::mem::take(&mut self.notices.watchers);
        let rest = watchers.get(self.notices.notified..).unwrap_or_default();
        let now = rest.get(..*slice).unwrap_or(rest);
        for index in now {
            // No watcher is added meanwhile, so the slot of one that has ended is vacant.
            match self.watchers.get(*index as usize).map(|watcher| &watcher.role) {
                Some(WatcherRole::Wait(_)) => self.notify_wait(*index, seq, &event),
                Some(WatcherRole::Watch(_)) => self.notify_watch(*index, seq, &event),
                None => {}
            }
        }
        self.state.count_steps(now.len());
        *slice -= now.len();
        self.notices.notified += now.len();
        if now.len() < rest.len() {
            self.notices.event = Some((seq, event));
        }
        self.notices.watchers = watchers;
    }
}
