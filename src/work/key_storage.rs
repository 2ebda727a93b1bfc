//! [`KeyStorage`]: results as keys of a Wakeful, which can be read, watched and backed up like
//! others.

use std::fmt;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::memory_storage::closed;
use super::storage::outrun;
use super::{Bincode, ResultKey, Schema, Storage, StoredResult};
use crate::error::{Error, ErrorCode};
use crate::model::{
    Blob, Compare, CompareOp, CompareTarget, DeleteRequest, JobId, KeyRange, RangeRequest,
    SetRequest, TxnOp, TxnRequest,
};
use crate::operations::Operations;

/// Stores results as keys of a Wakeful, and so as durably as its keys: for job 17 with index
/// `photo-17`, under the prefix `results/`, the key `results/id/0000000000000011`, and
/// `results/index/photo-17`, which refers to the other. Both change in one revision.
///
/// Bounded by the store's own limits (`store.keys_max`, `store.total_bytes_max`): beyond them a
/// result is refused, and its job tried again. [`remove`](Storage::remove) results that are no
/// longer needed.
pub struct KeyStorage<T> {
    operations: T,
    prefix: String,
    closed: watch::Sender<bool>,
}

/// The content of a value after the epoch: eight bytes, big-endian, by which values compare.
#[derive(Serialize, Deserialize)]
struct StoredValue {
    index: Option<Vec<u8>>,
    output: Vec<u8>,
    failures: u32,
}

/// Number of results removed at once.
const PAGE: usize = 256;

impl<T: Operations> KeyStorage<T> {
    /// Stores results under keys with this prefix, which nothing else may use.
    pub fn new(operations: T, prefix: impl Into<String>) -> Self {
        Self { operations, prefix: prefix.into(), closed: watch::Sender::new(false) }
    }

    fn id_key(&self, id: JobId) -> Blob {
        Blob::from(format!("{}id/{id:016x}", self.prefix))
    }

    fn index_key(&self, index: &Blob) -> Blob {
        Blob::from([self.prefix.as_bytes(), b"index/", index].concat())
    }

    fn id_of(&self, key: &[u8]) -> Option<JobId> {
        let hex = key.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"id/")?;
        JobId::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    }

    async fn put_one(&self, result: StoredResult) -> Option<Error> {
        let kept = StoredValue {
            index: result.index.as_ref().map(|index| index.to_vec()),
            output: result.output.to_vec(),
            failures: result.failures,
        };
        let (id, epoch) = (result.id, result.epoch);
        let value = match Bincode.encode(&kept) {
            Ok(value) => Blob::from([&before(epoch)[..], &value].concat()),
            Err(error) => return Some(Error::new(ErrorCode::Internal, error.to_string())),
        };
        let key = self.id_key(id);
        let mut success = vec![TxnOp::Set(SetRequest::new(key.clone(), value))];
        if let Some(index) = &result.index {
            success.push(TxnOp::Set(SetRequest::new(self.index_key(index), key.clone())));
        }
        let absent = (CompareOp::Equal, CompareTarget::Version(0));
        let next = before(u64::from(epoch) + 1);
        let not_later = (CompareOp::Less, CompareTarget::Value(Blob::from(next.to_vec())));
        // The last one is for a result that was removed in between.
        for (op, target) in [absent.clone(), not_later, absent] {
            let range = KeyRange::key(key.clone());
            let compares = vec![Compare { range, op, target }];
            let txn = TxnRequest { compares, success: success.clone(), ..TxnRequest::default() };
            match self.operations.txn(txn).await {
                Ok(done) if done.succeeded => return None,
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
        Some(outrun(id, epoch))
    }

    async fn id(&self, key: ResultKey) -> Result<Option<JobId>, Error> {
        match key {
            ResultKey::Id(id) => Ok(Some(id)),
            ResultKey::Index(index) => {
                let named = self.operations.get(self.index_key(&index)).await?.kv;
                Ok(named.and_then(|kv| self.id_of(&kv.value)))
            }
        }
    }

    async fn remove_one(&self, result: &StoredResult) -> Result<bool, Error> {
        let key = self.id_key(result.id);
        let delete = |key: Blob| TxnOp::Delete(DeleteRequest::new(KeyRange::key(key)));
        let mut txn = TxnRequest { success: vec![delete(key.clone())], ..TxnRequest::default() };
        if let Some(index) = &result.index {
            let index = self.index_key(index);
            txn.compares.push(Compare {
                range: KeyRange::key(index.clone()),
                op: CompareOp::Equal,
                target: CompareTarget::Value(key.clone()),
            });
            txn.success.push(delete(index));
            txn.failure.push(delete(key));
        }
        self.operations.txn(txn).await?;
        Ok(true)
    }
}

impl<T: Operations + Send + 'static> Storage for KeyStorage<T> {
    async fn put(&self, results: Vec<StoredResult>) -> Result<Vec<Option<Error>>, Error> {
        if *self.closed.borrow() {
            return Err(closed());
        }
        Ok(join_all(results.into_iter().map(|result| self.put_one(result))).await)
    }

    async fn get(&self, key: ResultKey) -> Result<Option<StoredResult>, Error> {
        let Some(id) = self.id(key).await? else { return Ok(None) };
        let kv = self.operations.get(self.id_key(id)).await?.kv;
        kv.map(|kv| read(id, &kv.value)).transpose()
    }

    async fn remove(&self, key: ResultKey) -> Result<bool, Error> {
        match self.get(key).await? {
            Some(result) => self.remove_one(&result).await,
            None => Ok(false),
        }
    }

    async fn range(&self, after: JobId, limit: usize) -> Result<Vec<StoredResult>, Error> {
        let range = KeyRange::prefix(format!("{}id/", self.prefix));
        let after = (after > 0).then(|| self.id_key(after));
        let request = RangeRequest { limit, after, ..RangeRequest::new(range) };
        let page = self.operations.range(request).await?;
        let ids = page.kvs.iter().filter_map(|kv| Some((self.id_of(&kv.key)?, kv)));
        ids.map(|(id, kv)| read(id, &kv.value)).collect()
    }

    async fn len(&self) -> Result<u64, Error> {
        let range = KeyRange::prefix(format!("{}id/", self.prefix));
        let request = RangeRequest { count_only: true, ..RangeRequest::new(range) };
        Ok(self.operations.range(request).await?.count)
    }

    async fn clear(&self) -> Result<u64, Error> {
        let mut removed = 0;
        loop {
            let page = self.range(0, PAGE).await?;
            if page.is_empty() {
                return Ok(removed);
            }
            for result in &page {
                removed += u64::from(self.remove_one(result).await?);
            }
        }
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.send_replace(true);
        Ok(())
    }
}

/// Returns the first bytes of a value with this epoch.
fn before(epoch: impl Into<u64>) -> [u8; 8] {
    epoch.into().to_be_bytes()
}

fn read(id: JobId, value: &[u8]) -> Result<StoredResult, Error> {
    let strange = |what: &dyn fmt::Display| {
        let message = format!("the key of result {id} has unknown content: {what}");
        Error::new(ErrorCode::Internal, message)
    };
    let (epoch, kept) = value.split_first_chunk().ok_or_else(|| strange(&"it is too short"))?;
    let epoch = u32::try_from(u64::from_be_bytes(*epoch)).map_err(|error| strange(&error))?;
    let StoredValue { index, output, failures } =
        Bincode.decode(kept).map_err(|error| strange(&error))?;
    let index = index.map(Blob::from);
    Ok(StoredResult { id, epoch, index, output: Blob::from(output), failures })
}

impl<T> fmt::Debug for KeyStorage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyStorage").field(&self.prefix).finish()
    }
}
