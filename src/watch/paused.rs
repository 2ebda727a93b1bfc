//! [`PausedStreams`]: streams that are not read for until their owner may buffer more.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::hub::Hub;
use super::watcher::{WatchOwner, WatcherHandle};

/// The number of streams that resume at once.
const GROUP: usize = 16;

/// The number of owners to try when it is not known which of them may buffer more.
const OWNERS: usize = 64;

/// The streams whose owners have buffered as much as they may, by owner.
#[derive(Debug, Default)]
pub(super) struct PausedStreams {
    streams: BTreeSet<(u64, WatcherHandle)>,
    /// The owners that may be able to buffer more.
    roomy: BTreeSet<u64>,
    /// The last owner that was tried.
    turn: u64,
}

impl PausedStreams {
    pub(super) fn remove(&mut self, stream: &(u64, WatcherHandle)) {
        self.streams.remove(stream);
    }

    pub(super) fn may_go_on(&self) -> bool {
        !self.roomy.is_empty()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.roomy.is_empty()
    }

    /// Returns the first paused streams of `owner`.
    fn first_of(&self, owner: u64, count: usize) -> Vec<WatcherHandle> {
        let own = self.streams.range((owner, WatcherHandle::FIRST)..=(owner, WatcherHandle::LAST));
        own.take(count).map(|(_, handle)| *handle).collect()
    }

    /// Returns the owner after the last one tried, in a circle.
    fn next_owner(&mut self) -> Option<u64> {
        let after = (Excluded((self.turn, WatcherHandle::LAST)), Unbounded);
        let next = self.streams.range(after).next().or_else(|| self.streams.first());
        self.turn = next?.0;
        Some(self.turn)
    }
}

impl<P> Hub<P> {
    /// Stops reading for a stream until its owner may buffer more.
    pub(super) fn pause(&mut self, owner: &Arc<WatchOwner>, handle: WatcherHandle) {
        owner.buffered.note_paused();
        // The allowance was too small: an owner with `GROUP` or more streams would be tried for ever.
        self.paused.roomy.remove(&owner.id);
        self.paused.streams.insert((owner.id, handle));
    }

    /// Notes that `owner` may be able to buffer more.
    pub(crate) fn note_capacity(&mut self, owner: u64) {
        if !self.paused.first_of(owner, 1).is_empty() {
            self.paused.roomy.insert(owner);
        }
    }

    /// Tries some owners of paused streams: when other owners free memory of the shared sum, nobody
    /// reports it.
    pub(crate) fn look_for_capacity(&mut self) {
        for _ in 0..OWNERS {
            let Some(owner) = self.paused.next_owner() else { break };
            if !self.paused.roomy.insert(owner) {
                break;
            }
        }
    }

    /// Resumes some paused streams whose owner may buffer more.
    pub(super) fn resume_paused(&mut self) {
        while let Some(owner) = self.paused.roomy.first().copied() {
            let some = self.paused.first_of(owner, GROUP);
            let first = some.first().and_then(|handle| self.stream(*handle).ok());
            let buffered = first.map(|stream| Arc::clone(&stream.owner.buffered));
            if let Some(buffered) = &buffered
                && buffered.allowance().bytes == 0
            {
                buffered.note_paused();
                self.paused.roomy.remove(&owner);
                continue;
            }
            if some.len() < GROUP {
                self.paused.roomy.remove(&owner);
            }
            for handle in some {
                self.paused.remove(&(owner, handle));
                self.touched.push_back(handle);
            }
            if !self.touched.is_empty() {
                return;
            }
        }
    }
}
