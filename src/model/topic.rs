//! Topics of jobs: how they are run, and what there is to tell of them.

use std::time::Duration;

use super::{Backoff, Blob};

/// How a topic is run. [`TopicSettings::default`] is what a topic has that nobody has set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TopicSettings {
    /// Most jobs handed out at once; `None` for any number.
    pub concurrency: Option<u32>,
    /// How often jobs are handed out at most; `None` for any.
    pub rate: Option<Rate>,
    /// Most unfinished jobs; `None` for `queue.topic_jobs_max`.
    pub jobs_max: Option<u64>,
    /// Most bytes of unfinished jobs; `None` for `queue.topic_bytes_max`.
    pub bytes_max: Option<u64>,
    /// `None` for `queue.retry_max`.
    pub retry_max: Option<u32>,
    /// `None` for `queue.loss_max`.
    pub loss_max: Option<u32>,
    /// `None` for exponential, from `queue.backoff_base`, `_cap` and `_floor`.
    pub backoff: Option<Backoff>,
    /// Most jobs of one order key at once; `None` for 1, which keeps them in order.
    pub order_limit: Option<u32>,
    /// What the others of its order key do while a job waits for its next run.
    pub order_retry: OrderRetry,
}

/// How often jobs are handed out at most: a bucket of `burst` tokens that fills evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// So many jobs, at least 1.
    pub jobs: u32,
    /// In so long, at least a millisecond.
    pub per: Duration,
    /// So many at once after a quiet time, at least 1.
    pub burst: u32,
}

/// What the others of its order key do while a job waits for its next run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OrderRetry {
    /// They wait too: order is kept.
    #[default]
    Block,
    /// They go on without it.
    Skip,
}

/// What there is to tell of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: Blob,
    /// As set.
    pub settings: TopicSettings,
    /// Whether nothing is handed out.
    pub paused: bool,
    /// Jobs to be handed out, those that wait for their order key included.
    pub ready: u64,
    /// Jobs to be ready later.
    pub delayed: u64,
    /// Jobs handed out.
    pub reserved: u64,
    /// Dead letters kept.
    pub dead: u64,
    /// Bytes of its unfinished jobs.
    pub bytes: u64,
    /// Jobs pushed, ever.
    pub pushed_total: u64,
    /// Jobs done, ever.
    pub done_total: u64,
    /// Jobs that became dead letters, ever, less those replayed.
    pub dead_total: u64,
    /// Jobs cancelled or cleared, ever.
    pub cancelled_total: u64,
    /// Dead letters given up for room or age, ever.
    pub evicted_total: u64,
    /// How long the job that is next has been ready.
    pub oldest: Duration,
    /// Pushed in the last ten seconds.
    pub pushed_recent: u64,
    /// Finished in the last ten seconds.
    pub finished_recent: u64,
    /// Workers that wait for jobs.
    pub waiting_workers: u64,
}

impl TopicInfo {
    /// Makes a topic that is empty and runs as the server has it.
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
