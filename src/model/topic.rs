//! Topics of jobs: their settings and descriptions.

use std::time::Duration;

use super::{Backoff, Blob};

/// The settings of a topic. [`TopicSettings::default`] applies to topics without settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TopicSettings {
    /// The most jobs handed out at once; `None` for no limit.
    pub concurrency: Option<u32>,
    /// The highest rate of hand-outs; `None` for no limit.
    pub rate: Option<Rate>,
    /// The most unfinished jobs; `None` for `queue.topic_jobs_max`.
    pub jobs_max: Option<u64>,
    /// The most bytes of unfinished jobs; `None` for `queue.topic_bytes_max`.
    pub bytes_max: Option<u64>,
    /// Failures that are followed by another run; `None` for `queue.retry_max`.
    pub retry_max: Option<u32>,
    /// Losses that are followed by another run; `None` for `queue.loss_max`.
    pub loss_max: Option<u32>,
    /// The delay after a failure; `None` for exponential, from `queue.backoff_base`, `_cap` and
    /// `_floor`.
    pub backoff: Option<Backoff>,
    /// The most jobs of one order key at once; `None` for 1, which keeps them in order.
    pub order_limit: Option<u32>,
    /// The effect on the other jobs of an order key while one of its jobs waits for its next run.
    pub order_retry: OrderRetry,
}

/// The highest rate of hand-outs: a bucket of `burst` tokens that refills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Jobs per interval, at least 1.
    pub jobs: u32,
    /// The interval, at least a millisecond.
    pub per: Duration,
    /// Burst size after an idle period, at least 1.
    pub burst: u32,
}

/// The effect on the other jobs of an order key while one of its jobs waits for its next run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OrderRetry {
    /// They wait too: the order is kept.
    #[default]
    Block,
    /// They run before it.
    Skip,
}

/// A description of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Name of the topic.
    pub name: Blob,
    /// The settings as set.
    pub settings: TopicSettings,
    /// Whether the hand-out is paused.
    pub paused: bool,
    /// Jobs that are ready, including those that wait for their order key.
    pub ready: u64,
    /// Jobs that become ready later.
    pub delayed: u64,
    /// Jobs that are handed out.
    pub reserved: u64,
    /// Dead letters that are kept.
    pub dead: u64,
    /// Bytes of the unfinished jobs.
    pub bytes: u64,
    /// Jobs pushed since the topic was created.
    pub pushed_total: u64,
    /// Jobs done since the topic was created.
    pub done_total: u64,
    /// Jobs that became dead letters since the topic was created, less those replayed.
    pub dead_total: u64,
    /// Jobs cancelled or cleared since the topic was created.
    pub cancelled_total: u64,
    /// Dead letters dropped for lack of space or because of their age, since the topic was created.
    pub evicted_total: u64,
    /// How long the next job has been ready.
    pub oldest: Duration,
    /// Jobs pushed in the last ten seconds.
    pub pushed_recent: u64,
    /// Jobs finished in the last ten seconds.
    pub finished_recent: u64,
    /// Workers that wait for jobs.
    pub waiting_workers: u64,
}

impl TopicInfo {
    /// Makes an empty topic with the settings of the server.
    pub fn new(name: impl Into<Blob>) -> Self {
        Self {
            name: name.into(),
            settings: TopicSettings::default(),
            paused: false,
            ready: 0,
            delayed: 0,
            reserved: 0,
            dead: 0,
            bytes: 0,
            pushed_total: 0,
            done_total: 0,
            dead_total: 0,
            cancelled_total: 0,
            evicted_total: 0,
            oldest: Duration::ZERO,
            pushed_recent: 0,
            finished_recent: 0,
            waiting_workers: 0,
        }
    }
}
