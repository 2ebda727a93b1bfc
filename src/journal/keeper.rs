//! The thread that keeps snapshots: it writes them beside the log, removes what they replace, and
//! reads them for backups.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::error::Action;
use super::shared::Shared;
use super::snapshot::{self, Writing};
use super::{JournalError, Part, Progress, Report, Seq, SnapshotInfo, segment};
use crate::failpoint;

/// What the thread is asked to do.
pub(super) enum Order {
    /// Begin a snapshot of every record up to this one.
    Begin(Seq),
    /// Framed records of it, how many, and how long they are to take at least.
    Add(Vec<u8>, u64, Duration),
    /// There are no more.
    Finish,
    /// Forget about it.
    Abandon,
    Read(Part),
}

pub(super) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store_id: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) report: Report,
}

impl Keeper {
    /// Works until the handle is gone.
    pub(super) fn run(self, orders: &Receiver<Order>) {
        let mut writing: Option<Writing> = None;
        let mut begun = Instant::now();
        while let Ok(order) = orders.recv() {
            failpoint::reached("snapshots");
            let done = match order {
                Order::Begin(seq) => {
                    begun = Instant::now();
                    // One that was given up goes first: the new one's file may have its name.
                    writing = None;
                    Writing::begin(&self.disk, &self.dir, self.store_id, seq)
                        .map(|begin| writing = Some(begin))
                }
                Order::Add(framed, records, pace) => {
                    let taken = Instant::now();
                    let added = writing.as_mut().map_or(Ok(()), |it| it.append(&framed, records));
                    self.rest(pace.saturating_sub(taken.elapsed()));
                    (self.report)(Progress::SnapshotTaken);
                    added
                }
                Order::Finish => match writing.take() {
                    Some(writing) => self.finish(writing, begun),
                    None => Ok(()),
                },
                Order::Abandon => {
                    writing = None;
                    Ok(())
                }
                Order::Read(part) => {
                    self.read(part);
                    Ok(())
                }
            };
            if let Err(error) = done {
                // The log is as it was: nothing is lost but the time.
                writing = None;
                tracing::warn!(%error, "a snapshot could not be written; another is tried later");
                (self.report)(Progress::SnapshotFailed(error));
            }
        }
    }

    /// Lets the disk be, unless the journal ends.
    fn rest(&self, pause: Duration) {
        if !pause.is_zero() {
            let mut state = self.shared.state.lock();
            if !state.done {
                self.shared.ended.wait_for(&mut state, pause);
            }
        }
    }

    fn finish(&self, writing: Writing, begun: Instant) -> Result<(), JournalError> {
        let seq = writing.seq;
        // It must not know what a power cut could still take back from the log.
        let (segment, first) = {
            let mut state = self.shared.state.lock();
            if state.stats.synced < seq {
                (state.sync, state.owed, state.retry) = (true, true, true);
                self.shared.work.notify_all();
                self.shared.wanted.notify_all();
            }
            while state.stats.synced < seq && state.failed.is_none() && !state.done {
                self.shared.synced.wait(&mut state);
            }
            state.owed = false;
            if state.stats.synced < seq {
                return Err(state.failed.clone().unwrap_or(JournalError::Closed));
            }
            let holds_next = state.used.iter().rev().find(|used| used.first <= seq + 1);
            holds_next.map_or((1, 1), |used| (used.number, used.first))
        };
        let bytes = writing.finish(segment, first)?;
        failpoint::reached("snapshot-made");
        remove_replaced(&*self.disk, &self.dir, seq, segment)?;
        let mut state = self.shared.state.lock();
        let before = state.stats.snapshot.map_or(0, |it| it.bytes);
        while let Some(used) = state.used.front().filter(|it| it.number < segment).copied() {
            state.used.pop_front();
            state.stats.segments -= 1;
            state.stats.disk_bytes -= used.bytes;
        }
        state.stats.disk_bytes = state.stats.disk_bytes + bytes - before;
        let info = SnapshotInfo { seq, bytes };
        state.stats.snapshot = Some(info);
        // There may be room now.
        state.retry = true;
        self.shared.wanted.notify_all();
        drop(state);
        let took_ms = begun.elapsed().as_millis();
        tracing::info!(records = seq, bytes, took_ms, "wrote a snapshot");
        (self.report)(Progress::Snapshot(info));
        Ok(())
    }

    fn read(&self, part: Part) {
        let Part { seq, offset, bytes, done } = part;
        let path = snapshot::path(&self.dir, seq);
        let read = self.disk.open(&path).and_then(|file| {
            let left = file.len()?.saturating_sub(offset).min(bytes as u64);
            let mut part = vec![0; left as usize];
            file.read_at(offset, &mut part)?;
            Ok(part)
        });
        done(read.map_err(|error| JournalError::io(Action::Read, &path, &error)));
    }
}

/// Removes what the snapshot of `seq` replaces, which is safe.
pub(super) fn remove_replaced(
    disk: &dyn Disk,
    dir: &Path,
    seq: Seq,
    segment: u64,
) -> Result<(), JournalError> {
    let names = disk.list(dir).map_err(|error| JournalError::io(Action::List, dir, &error))?;
    let old = |name: &&String| {
        segment::number_in(name).flatten().is_some_and(|number| number < segment)
            || snapshot::seq_in(name).flatten().is_some_and(|other| other < seq)
    };
    for name in names.iter().filter(old) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| JournalError::io(Action::Remove, &path, &error))?;
    }
    disk.sync_dir(dir).map_err(|error| JournalError::io(Action::Sync, dir, &error))
}
