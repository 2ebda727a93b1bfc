//! Jobs in bodies: references, states, reservations, and options.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::millis;
use crate::model::{
    Backoff, Blob, JobRef, JobState, PushOptions, PushRequest, Reservation, Unique,
};

/// An optional byte string.
pub(super) type WireBytes<'a> = Option<&'a serde_bytes::Bytes>;

pub(super) fn some_bytes(blob: &Option<Blob>) -> WireBytes<'_> {
    blob.as_deref().map(serde_bytes::Bytes::new)
}

pub(super) fn some_blob(bytes: WireBytes<'_>) -> Option<Blob> {
    bytes.map(|bytes| Blob::from(&**bytes))
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireReservation {
    id: u64,
    epoch: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireJobRef<'a> {
    Id(u64),
    Index {
        #[serde(borrow, with = "serde_bytes")]
        topic: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        index: &'a [u8],
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireJobState {
    Ready,
    Delayed,
    Reserved,
    Done,
    Dead,
    Cancelled,
}

/// A job to push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireJob<'a> {
    #[serde(borrow, with = "serde_bytes")]
    topic: &'a [u8],
    #[serde(borrow, with = "serde_bytes")]
    payload: &'a [u8],
    #[serde(borrow)]
    index: WireBytes<'a>,
    unique: WireUnique,
    #[serde(borrow)]
    order_key: WireBytes<'a>,
    priority: u8,
    delay_ms: u64,
    retry_max: Option<u32>,
    loss_max: Option<u32>,
    backoff: Option<WireBackoff>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireUnique {
    Waiting,
    Unfinished,
    Finished { after_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireBackoff {
    Constant { pause_ms: u64 },
    Exponential { base_ms: u64, cap_ms: u64, floor_ms: u64 },
    List { pauses_ms: Vec<u64> },
}

impl From<&Reservation> for WireReservation {
    fn from(reservation: &Reservation) -> Self {
        Self { id: reservation.id, epoch: reservation.epoch }
    }
}

impl From<WireReservation> for Reservation {
    fn from(wire: WireReservation) -> Self {
        Self { id: wire.id, epoch: wire.epoch }
    }
}

impl<'a> From<&'a JobRef> for WireJobRef<'a> {
    fn from(job: &'a JobRef) -> Self {
        match job {
            JobRef::Id(id) => Self::Id(*id),
            JobRef::Index { topic, index } => Self::Index { topic, index },
        }
    }
}

impl From<WireJobRef<'_>> for JobRef {
    fn from(wire: WireJobRef<'_>) -> Self {
        match wire {
            WireJobRef::Id(id) => Self::Id(id),
            WireJobRef::Index { topic, index } => {
                Self::Index { topic: Blob::from(topic), index: Blob::from(index) }
            }
        }
    }
}

impl From<JobState> for WireJobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Ready => Self::Ready,
            JobState::Delayed => Self::Delayed,
            JobState::Reserved => Self::Reserved,
            JobState::Done => Self::Done,
            JobState::Dead => Self::Dead,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<WireJobState> for JobState {
    fn from(wire: WireJobState) -> Self {
        match wire {
            WireJobState::Ready => Self::Ready,
            WireJobState::Delayed => Self::Delayed,
            WireJobState::Reserved => Self::Reserved,
            WireJobState::Done => Self::Done,
            WireJobState::Dead => Self::Dead,
            WireJobState::Cancelled => Self::Cancelled,
        }
    }
}

impl<'a> From<&'a PushRequest> for WireJob<'a> {
    fn from(push: &'a PushRequest) -> Self {
        let options = &push.options;
        Self {
            topic: &push.topic,
            payload: &push.payload,
            index: some_bytes(&options.index),
            unique: options.unique.into(),
            order_key: some_bytes(&options.order_key),
            priority: options.priority,
            delay_ms: millis(options.delay),
            retry_max: options.retry_max,
            loss_max: options.loss_max,
            backoff: options.backoff.as_ref().map(WireBackoff::from),
        }
    }
}

impl From<WireJob<'_>> for PushRequest {
    fn from(wire: WireJob<'_>) -> Self {
        Self {
            topic: Blob::from(wire.topic),
            payload: Blob::from(wire.payload),
            options: PushOptions {
                index: some_blob(wire.index),
                unique: wire.unique.into(),
                order_key: some_blob(wire.order_key),
                priority: wire.priority,
                delay: Duration::from_millis(wire.delay_ms),
                retry_max: wire.retry_max,
                loss_max: wire.loss_max,
                backoff: wire.backoff.map(Backoff::from),
            },
        }
    }
}

impl From<Unique> for WireUnique {
    fn from(unique: Unique) -> Self {
        match unique {
            Unique::Waiting => Self::Waiting,
            Unique::Unfinished => Self::Unfinished,
            Unique::Finished(after) => Self::Finished { after_ms: millis(after) },
        }
    }
}

impl From<WireUnique> for Unique {
    fn from(wire: WireUnique) -> Self {
        match wire {
            WireUnique::Waiting => Self::Waiting,
            WireUnique::Unfinished => Self::Unfinished,
            WireUnique::Finished { after_ms } => Self::Finished(Duration::from_millis(after_ms)),
        }
    }
}

impl From<&Backoff> for WireBackoff {
    fn from(backoff: &Backoff) -> Self {
        match backoff {
            Backoff::Constant(pause) => Self::Constant { pause_ms: millis(*pause) },
            Backoff::Exponential { base, cap, floor } => Self::Exponential {
                base_ms: millis(*base),
                cap_ms: millis(*cap),
                floor_ms: millis(*floor),
            },
            Backoff::List(pauses) => {
                Self::List { pauses_ms: pauses.iter().copied().map(millis).collect() }
            }
        }
    }
}

impl From<WireBackoff> for Backoff {
    fn from(wire: WireBackoff) -> Self {
        match wire {
            WireBackoff::Constant { pause_ms } => Self::Constant(Duration::from_millis(pause_ms)),
            WireBackoff::Exponential { base_ms, cap_ms, floor_ms } => Self::Exponential {
                base: Duration::from_millis(base_ms),
                cap: Duration::from_millis(cap_ms),
                floor: Duration::from_millis(floor_ms),
            },
            WireBackoff::List { pauses_ms } => {
                Self::List(pauses_ms.into_iter().map(Duration::from_millis).collect())
            }
        }
    }
}
