//! The snapshot thread: writes snapshots beside the log, removes the files that they replace, and reads
//! snapshots for backups.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::error::JournalOperation;
use super::format::SnapshotHead;
use super::preallocator::Preallocator;
use super::shared::{JournalShared, JournalState};
use super::snapshot::{self, UnfinishedSnapshot};
use super::{
    JournalError, JournalProgress, PartRequest, ProgressSink, RecordSeq, SnapshotInfo, segment,
};
use crate::environment;
use crate::failpoint;

/// An order to the thread.
pub(super) enum SnapshotCommand {
    /// Begin a snapshot of every record up to this one.
    Begin(RecordSeq),
    /// Add framed records, of this number, and take at least this long.
    Add(Vec<u8>, u64, Duration),
    /// Finish: there are no more records.
    Finish,
    /// Abandon the snapshot.
    Abandon,
    Read(PartRequest),
}

pub(super) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store_id: u64,
    incarnation: u64,
    shared: Arc<JournalShared>,
    report: ProgressSink,
    /// The snapshot in progress, and when it began.
    writing: Option<UnfinishedSnapshot>,
    begun: Instant,
}

/// The remaining work of an order.
pub(super) enum CommandRest {
    Nothing,
    /// A part was written; report that after this pause.
    Rest(Duration),
    /// The snapshot is complete, and must wait until the log before it is synced.
    Sync(UnfinishedSnapshot),
}

impl SnapshotWriter {
    pub(super) fn new(
        preallocator: &Preallocator,
        incarnation: u64,
        shared: &Arc<JournalShared>,
        report: &ProgressSink,
    ) -> Self {
        Self {
            disk: Arc::clone(&preallocator.disk),
            dir: preallocator.dir.clone(),
            store_id: preallocator.store_id,
            incarnation,
            shared: Arc::clone(shared),
            report: Arc::clone(report),
            writing: None,
            begun: environment::now(),
        }
    }

    /// Executes orders until the handle is dropped.
    pub(super) fn run(mut self, orders: &Receiver<SnapshotCommand>) {
        while let Ok(order) = orders.recv() {
            match self.take(order) {
                CommandRest::Nothing => {}
                CommandRest::Rest(pause) => {
                    self.rest(pause);
                    self.taken();
                }
                CommandRest::Sync(writing) => {
                    self.wait_for_sync(writing.seq);
                    self.finish(writing);
                }
            }
        }
    }

    /// Executes an order as far as possible without waiting.
    pub(super) fn take(&mut self, order: SnapshotCommand) -> CommandRest {
        failpoint::reached("snapshots");
        match order {
            SnapshotCommand::Begin(seq) => {
                self.begun = environment::now();
                // An abandoned one must go first, because the new one's file may have the same name.
                self.writing = None;
                let Self { store_id, incarnation, .. } = *self;
                let head = SnapshotHead { store_id, seq, incarnation };
                match UnfinishedSnapshot::begin(&self.disk, &self.dir, head) {
                    Ok(begin) => self.writing = Some(begin),
                    Err(error) => self.fail(error),
                }
            }
            SnapshotCommand::Add(framed, records, pace) => {
                let taken = environment::now();
                let added = self.writing.as_mut().map_or(Ok(()), |it| it.append(&framed, records));
                if let Err(error) = added {
                    self.taken();
                    self.fail(error);
                    return CommandRest::Nothing;
                }
                return CommandRest::Rest(pace.saturating_sub(environment::since(taken)));
            }
            SnapshotCommand::Finish => {
                if let Some(writing) = self.writing.take() {
                    self.ask_for_sync(writing.seq);
                    return CommandRest::Sync(writing);
                }
            }
            SnapshotCommand::Abandon => {
                self.writing = None;
                self.look();
            }
            SnapshotCommand::Read(part) => self.read(part),
        }
        CommandRest::Nothing
    }

    /// Reports that another part may be added.
    pub(super) fn taken(&self) {
        (self.report)(JournalProgress::SnapshotTaken);
    }

    fn fail(&mut self, error: JournalError) {
        // The log is unaffected: only time is lost.
        self.writing = None;
        self.look();
        tracing::warn!(%error, "a snapshot could not be written; it will be retried later");
        (self.report)(JournalProgress::SnapshotFailed(error));
    }

    /// Reads the free space of the disk, after files were created or removed.
    fn look(&self) {
        let free = self.disk.free_bytes(&self.dir).unwrap_or_default();
        self.shared.state.lock().free = free;
    }

    /// Pauses, unless the journal ends.
    fn rest(&self, pause: Duration) {
        if !pause.is_zero() {
            let mut state = self.shared.state.lock();
            if !state.done {
                self.shared.ended.wait_for(&mut state, pause);
            }
        }
    }

    /// Requests the sync that the snapshot of `seq` needs: a snapshot must not contain anything that a
    /// power failure could still remove from the log.
    fn ask_for_sync(&self, seq: RecordSeq) {
        let mut state = self.shared.state.lock();
        if state.stats.synced < seq {
            (state.sync, state.owed, state.retry, state.stuck) = (true, true, true, false);
            self.shared.work.notify_all();
            self.shared.wanted.notify_all();
        }
    }

    fn wait_for_sync(&self, seq: RecordSeq) {
        let mut state = self.shared.state.lock();
        while !settled(&state, seq) {
            self.shared.synced.wait(&mut state);
        }
    }

    /// Returns whether the log up to `seq` is synced, or will not be for now.
    #[cfg(any(test, feature = "cli"))]
    pub(super) fn is_settled(&self, seq: RecordSeq) -> bool {
        settled(&self.shared.state.lock(), seq)
    }

    /// Makes the snapshot safe, once its log is settled, and removes the files that it replaces.
    pub(super) fn finish(&mut self, writing: UnfinishedSnapshot) {
        if let Err(error) = self.make_safe(writing) {
            self.fail(error);
        }
    }

    fn make_safe(&self, writing: UnfinishedSnapshot) -> Result<(), JournalError> {
        let seq = writing.seq;
        let (segment, first) = {
            let mut state = self.shared.state.lock();
            state.owed = false;
            if state.stats.synced < seq {
                let why = state.failed.clone().or_else(|| state.no_space.clone());
                return Err(why.unwrap_or(JournalError::Closed));
            }
            let holds_next = state.used.iter().rev().find(|used| used.first <= seq + 1);
            holds_next.map_or((1, 1), |used| (used.number, used.first))
        };
        let bytes = writing.finish(segment, first)?;
        failpoint::reached("snapshot-made");
        remove_replaced(&*self.disk, &self.dir, seq, segment)?;
        self.look();
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
        // There may be space now.
        state.retry = true;
        self.shared.wanted.notify_all();
        drop(state);
        let took_ms = environment::since(self.begun).as_millis();
        tracing::info!(records = seq, bytes, took_ms, "wrote a snapshot");
        (self.report)(JournalProgress::Snapshot(info));
        Ok(())
    }

    fn read(&self, part: PartRequest) {
        let PartRequest { seq, offset, bytes, done } = part;
        let path = snapshot::path(&self.dir, seq);
        let read = self.disk.open(&path).and_then(|file| {
            let left = file.len()?.saturating_sub(offset).min(bytes as u64);
            let mut part = vec![0; left as usize];
            file.read_at(offset, &mut part)?;
            Ok(part)
        });
        done(read.map_err(|error| JournalError::io(JournalOperation::Read, &path, &error)));
    }
}

fn settled(state: &JournalState, seq: RecordSeq) -> bool {
    state.stats.synced >= seq || state.failed.is_some() || state.done || state.stuck
}

/// Removes the files that the snapshot of `seq` replaces; the snapshot must be safe.
pub(super) fn remove_replaced(
    disk: &dyn Disk,
    dir: &Path,
    seq: RecordSeq,
    segment: u64,
) -> Result<(), JournalError> {
    let names =
        disk.list(dir).map_err(|error| JournalError::io(JournalOperation::List, dir, &error))?;
    let old = |name: &&String| {
        segment::number_in(name).flatten().is_some_and(|number| number < segment)
            || snapshot::seq_in(name).flatten().is_some_and(|other| other < seq)
    };
    for name in names.iter().filter(old) {
        let path = dir.join(name);
        disk.remove(&path)
            .map_err(|error| JournalError::io(JournalOperation::Remove, &path, &error))?;
    }
    disk.sync_dir(dir).map_err(|error| JournalError::io(JournalOperation::Sync, dir, &error))
}
