//! [`MemoryStorage`]: results in memory, with the oldest evicted first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use parking_lot::Mutex;

use super::storage::outrun;
use super::{ResultKey, Storage, StoredResult};
use crate::error::{Error, ErrorCode};
use crate::model::{Blob, JobId};

/// Stores results in memory, bounded by count and bytes: beyond either, those with the lowest ids
/// are evicted.
#[derive(Debug)]
pub struct MemoryStorage {
    results_max: usize,
    bytes_max: usize,
    state: Mutex<MemoryStorageState>,
}

#[derive(Debug, Default)]
struct MemoryStorageState {
    results: BTreeMap<JobId, StoredResult>,
    /// For each index, the job whose result was stored last.
    indexes: HashMap<Blob, JobId>,
    bytes: usize,
    closed: bool,
}

impl MemoryStorage {
    /// Returns a storage for up to `results_max` results, and `bytes_max` bytes of outputs and
    /// indexes.
    pub fn new(results_max: usize, bytes_max: usize) -> Self {
        Self { results_max, bytes_max, state: Mutex::default() }
    }
}

/// A hundred thousand results, 64 MiB.
impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new(100_000, 64 * 1024 * 1024)
    }
}

impl MemoryStorageState {
    fn put(&mut self, result: StoredResult) -> Option<Error> {
        let StoredResult { id, epoch, .. } = result;
        if self.results.get(&id).is_some_and(|kept| kept.epoch > epoch) {
            return Some(outrun(id, epoch));
        }
        self.remove(id);
        self.bytes += bytes(&result);
        if let Some(index) = &result.index {
            self.indexes.insert(index.clone(), result.id);
        }
        self.results.insert(id, result);
        None
    }

    fn remove(&mut self, id: JobId) -> bool {
        let Some(result) = self.results.remove(&id) else { return false };
        self.bytes -= bytes(&result);
        if let Some(index) = &result.index
            && self.indexes.get(index) == Some(&id)
        {
            self.indexes.remove(index);
        }
        true
    }

    fn id(&self, key: &ResultKey) -> Option<JobId> {
        match key {
            ResultKey::Id(id) => Some(*id),
            ResultKey::Index(index) => self.indexes.get(index).copied(),
        }
    }
}

fn bytes(result: &StoredResult) -> usize {
    result.output.len() + result.index.as_ref().map_or(0, |index| index.len())
}

impl Storage for MemoryStorage {
    async fn put(&self, results: Vec<StoredResult>) -> Result<Vec<Option<Error>>, Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        let mut answers = Vec::with_capacity(results.len());
        for result in results {
            answers.push(state.put(result));
            while state.results.len() > self.results_max || state.bytes > self.bytes_max {
                let Some((oldest, _)) = state.results.first_key_value() else { break };
                let oldest = *oldest;
                state.remove(oldest);
            }
        }
        Ok(answers)
    }

    async fn get(&self, key: ResultKey) -> Result<Option<StoredResult>, Error> {
        let state = self.state.lock();
        Ok(state.id(&key).and_then(|id| state.results.get(&id).cloned()))
    }

    async fn remove(&self, key: ResultKey) -> Result<bool, Error> {
        let mut state = self.state.lock();
        Ok(state.id(&key).is_some_and(|id| state.remove(id)))
    }

    async fn range(&self, after: JobId, limit: usize) -> Result<Vec<StoredResult>, Error> {
        let state = self.state.lock();
        let above = (Bound::Excluded(after), Bound::Unbounded);
        Ok(state.results.range(above).take(limit).map(|(_, result)| result.clone()).collect())
    }

    async fn len(&self) -> Result<u64, Error> {
        Ok(self.state.lock().results.len() as u64)
    }

    async fn clear(&self) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let count = state.results.len() as u64;
        *state = MemoryStorageState { closed: state.closed, ..MemoryStorageState::default() };
        Ok(count)
    }

    async fn close(&self) -> Result<(), Error> {
        self.state.lock().closed = true;
        Ok(())
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorCode::Unavailable, "the storage is closed")
}
