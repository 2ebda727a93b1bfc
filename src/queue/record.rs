//! The bytes of the queue's records: a head, then changes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::change::{Finish, QueueChange};
use super::millis;
use crate::model::{
    Backoff, Blob, JobId, JobInfo, JobState, OrderRetry, Rate, Reservation, TopicSettings, Unique,
    UnixMillis,
};
use crate::record::encode;

/// The first bytes of a record's payload: the state machine that the record belongs to, and the
/// version.
pub(super) const QUEUE_RECORD: [u8; 2] = [2, 1];

/// The first bytes of a record of outcomes.
pub(super) const OUTCOME_RECORD: [u8; 2] = [3, 1];

/// The latest time of day that a record may have.
pub(super) const TIME_LIMIT: UnixMillis = 1 << 62;

/// The head of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueueRecordHead {
    /// The time of day.
    pub(super) at: UnixMillis,
    /// The number of changes that follow.
    pub(super) changes: u32,
}

/// Appends one record of `changes`.
pub(super) fn encode_record<'a>(
    at: UnixMillis,
    changes: impl ExactSizeIterator<Item = &'a QueueChange>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&QUEUE_RECORD);
    encode(&QueueRecordHead { at, changes: changes.len() as u32 }, out);
    changes.for_each(|change| encode(change, out));
}

/// Encodes a blob as bytes.
pub(super) mod blob {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Blob;

    pub(crate) fn serialize<S: Serializer>(blob: &Blob, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(blob)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Blob, D::Error> {
        <&serde_bytes::Bytes>::deserialize(from).map(|bytes| Blob::from(&**bytes))
    }
}

/// Encodes an optional blob as bytes.
pub(super) mod blobs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::model::Blob;

    pub(crate) fn serialize<S: Serializer>(blob: &Option<Blob>, to: S) -> Result<S::Ok, S::Error> {
        blob.as_deref().map(serde_bytes::Bytes::new).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Blob>, D::Error> {
        let bytes = Option::<&serde_bytes::Bytes>::deserialize(from)?;
        Ok(bytes.map(|bytes| Blob::from(&**bytes)))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredUnique {
    Waiting,
    #[default]
    Unfinished,
    Finished(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredBackoff {
    Constant(Duration),
    Exponential(Duration, Duration, Duration),
    List(Vec<Duration>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredSettings {
    concurrency: Option<u32>,
    /// Jobs, per this many nanoseconds, burst.
    rate: Option<(u32, u64, u32)>,
    jobs_max: Option<u64>,
    bytes_max: Option<u64>,
    retry_max: Option<u32>,
    loss_max: Option<u32>,
    backoff: Option<StoredBackoff>,
    order_limit: Option<u32>,
    skip: bool,
}

impl StoredBackoff {
    /// Returns the approximate size of the encoding in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Constant(_) | Self::Exponential(..) => 48,
            Self::List(pauses) => 16 * pauses.len(),
        }
    }
}

impl StoredSettings {
    /// Returns the approximate size of the encoding in bytes.
    pub(super) fn bytes(&self) -> usize {
        64 + self.backoff.as_ref().map_or(0, StoredBackoff::bytes)
    }
}

impl From<Unique> for StoredUnique {
    fn from(unique: Unique) -> Self {
        match unique {
            Unique::Waiting => Self::Waiting,
            Unique::Unfinished => Self::Unfinished,
            Unique::Finished(after) => Self::Finished(millis(after)),
        }
    }
}

impl From<StoredUnique> for Unique {
    fn from(unique: StoredUnique) -> Self {
        match unique {
            StoredUnique::Waiting => Self::Waiting,
            StoredUnique::Unfinished => Self::Unfinished,
            StoredUnique::Finished(after) => Self::Finished(Duration::from_millis(after)),
        }
    }
}

impl From<&Backoff> for StoredBackoff {
    fn from(backoff: &Backoff) -> Self {
        match backoff {
            Backoff::Constant(pause) => Self::Constant(*pause),
            Backoff::Exponential { base, cap, floor } => Self::Exponential(*base, *cap, *floor),
            Backoff::List(pauses) => Self::List(pauses.clone()),
        }
    }
}

impl From<&StoredBackoff> for Backoff {
    fn from(backoff: &StoredBackoff) -> Self {
        match backoff {
            StoredBackoff::Constant(pause) => Self::Constant(*pause),
            StoredBackoff::Exponential(base, cap, floor) => {
                Self::Exponential { base: *base, cap: *cap, floor: *floor }
            }
            StoredBackoff::List(pauses) => Self::List(pauses.clone()),
        }
    }
}

impl From<&TopicSettings> for StoredSettings {
    fn from(settings: &TopicSettings) -> Self {
        let nanos = |per: Duration| u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        Self {
            concurrency: settings.concurrency,
            rate: settings.rate.map(|rate| (rate.jobs, nanos(rate.per), rate.burst)),
            jobs_max: settings.jobs_max,
            bytes_max: settings.bytes_max,
            retry_max: settings.retry_max,
            loss_max: settings.loss_max,
            backoff: settings.backoff.as_ref().map(StoredBackoff::from),
            order_limit: settings.order_limit,
            skip: settings.order_retry == OrderRetry::Skip,
        }
    }
}

impl From<&StoredSettings> for TopicSettings {
    fn from(settings: &StoredSettings) -> Self {
        let rate = |(jobs, per, burst)| Rate { jobs, per: Duration::from_nanos(per), burst };
        Self {
            concurrency: settings.concurrency,
            rate: settings.rate.map(rate),
            jobs_max: settings.jobs_max,
            bytes_max: settings.bytes_max,
            retry_max: settings.retry_max,
            loss_max: settings.loss_max,
            backoff: settings.backoff.as_ref().map(Backoff::from),
            order_limit: settings.order_limit,
            order_retry: if settings.skip { OrderRetry::Skip } else { OrderRetry::Block },
        }
    }
}

/// The outcome of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredOutcome {
    id: JobId,
    #[serde(with = "blob")]
    pub(super) topic: Blob,
    state: Finish,
    #[serde(with = "blobs")]
    index: Option<Blob>,
    #[serde(with = "blobs")]
    order_key: Option<Blob>,
    priority: u8,
    epoch: u32,
    failures: u32,
    losses: u32,
    retry_max: u32,
    pushed: UnixMillis,
    started: Option<UnixMillis>,
    finished: UnixMillis,
    errors: Vec<String>,
    #[serde(with = "blobs")]
    output: Option<Blob>,
}

impl StoredOutcome {
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { id: self.id, epoch: self.epoch }
    }

    pub(super) fn state(&self) -> JobState {
        self.state.into()
    }

    /// Returns the approximate size of the encoding in bytes.
    pub(super) fn bytes(&self) -> usize {
        let blobs = [&self.index, &self.order_key, &self.output].into_iter().flatten();
        let errors: usize = self.errors.iter().map(|error| error.len() + 8).sum();
        64 + self.topic.len() + blobs.map(|blob| blob.len()).sum::<usize>() + errors
    }
}

impl From<&JobInfo> for StoredOutcome {
    fn from(info: &JobInfo) -> Self {
        Self {
            id: info.id,
            topic: info.topic.clone(),
            state: info.state.into(),
            index: info.index.clone(),
            order_key: info.order_key.clone(),
            priority: info.priority,
            epoch: info.epoch,
            failures: info.failures,
            losses: info.losses,
            retry_max: info.retry_max,
            pushed: info.pushed,
            started: info.started,
            finished: info.finished.unwrap_or(0),
            errors: info.errors.clone(),
            output: info.output.clone(),
        }
    }
}

impl From<StoredOutcome> for JobInfo {
    fn from(stored: StoredOutcome) -> Self {
        Self {
            index: stored.index,
            order_key: stored.order_key,
            priority: stored.priority,
            epoch: stored.epoch,
            failures: stored.failures,
            losses: stored.losses,
            retry_max: stored.retry_max,
            pushed: stored.pushed,
            started: stored.started,
            finished: Some(stored.finished),
            output: stored.output,
            errors: stored.errors,
            ..Self::new(stored.id, stored.topic, stored.state.into())
        }
    }
}
