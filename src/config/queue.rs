//! [`QueueConfig`]: the limits of the job queue.

use std::time::Duration;

/// Limits of the job queue, and the defaults of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Maximum number of topics; beyond it, a new topic replaces an empty one.
    pub topics_max: usize,
    /// Maximum number of schedules.
    pub schedules_max: usize,
    /// Longest name of a topic or schedule, longest index and longest order key, in bytes.
    pub name_bytes_max: usize,
    /// Longest payload, in bytes.
    pub payload_bytes_max: usize,
    /// Longest result, in bytes.
    pub output_bytes_max: usize,
    /// Longest progress note, in bytes.
    pub progress_bytes_max: usize,
    /// Size at which an error is truncated, in bytes.
    pub error_bytes_max: usize,
    /// Number of errors kept per job; the last ones are kept.
    pub errors_kept_max: usize,
    /// Maximum number of unfinished jobs in total.
    pub jobs_max: usize,
    /// Maximum size of unfinished jobs in total (payloads and names, excluding about 300 bytes of
    /// overhead per job).
    pub bytes_max: u64,
    /// Maximum number of unfinished jobs of a topic without a setting of its own.
    pub topic_jobs_max: u64,
    /// Maximum size of the unfinished jobs of a topic without a setting of its own.
    pub topic_bytes_max: u64,
    /// Maximum number of jobs in one push, and of settlements, touches or resumed reservations in
    /// one request.
    pub push_jobs_max: usize,
    /// Maximum size of payloads and names in one push, and of payloads in the answer to one reserve
    /// request (plus one job).
    pub push_bytes_max: usize,
    /// Maximum number of jobs that one reserve request may ask for.
    pub credits_max: u32,
    /// Maximum number of waiting requests: for jobs, for room, for outcomes.
    pub parked_max: usize,
    /// Maximum size of pushes that wait for room.
    pub parked_bytes_max: usize,
    /// Longest wait of a request.
    pub wait_max: Duration,
    /// Wait of a request that names none.
    pub wait_default: Duration,
    /// How long a job is held without a touch, if its worker names no visibility timeout.
    pub visibility_default: Duration,
    /// Longest visibility timeout that a worker may ask for.
    pub visibility_max: Duration,
    /// How long a job stays reserved for a worker that resumes its reservations, counted from the
    /// loss of its connection or from a restart of the server, but never longer than its visibility
    /// timeout; zero disables this.
    pub resume_grace: Duration,
    /// Longest delay, longest backoff, and longest time that an index stays taken after its job
    /// finished.
    pub delay_max: Duration,
    /// How far ahead the next time of a schedule is searched for; a schedule without one in that
    /// time does not run. Bounds the cost of the search.
    pub schedule_ahead_max: Duration,
    /// Number of failures that are followed by another run, if neither push nor topic set one.
    pub retry_max: u32,
    /// Number of losses that are followed by another run, if neither push nor topic set one. Stops
    /// a job that crashes its workers.
    pub loss_max: u32,
    /// Longest pause after the first failure, if neither push nor topic set one.
    pub backoff_base: Duration,
    /// Longest pause after any failure.
    pub backoff_cap: Duration,
    /// Shortest pause after a failure.
    pub backoff_floor: Duration,
    /// Maximum number of pauses in a backoff list.
    pub backoff_pauses_max: usize,
    /// How much earlier one step of priority ranks a job, compared with a job pushed at the same
    /// time.
    pub priority_step: Duration,
    /// Maximum number of dead letters; beyond it, the oldest of the topic that has the most are
    /// evicted.
    pub dead_max: usize,
    /// Maximum size of all dead letters.
    pub dead_bytes_max: u64,
    /// Maximum number of dead letters of one topic; beyond it, its oldest are evicted.
    pub topic_dead_max: usize,
    /// Maximum size of the dead letters of one topic.
    pub topic_dead_bytes_max: u64,
    /// How long a dead letter is kept.
    pub dead_age_max: Duration,
    /// Maximum number of outcomes (results included); beyond it, the oldest of the topic that has
    /// the most are evicted.
    pub outcomes_max: usize,
    /// Maximum size of all outcomes.
    pub outcomes_bytes_max: u64,
    /// Maximum number of outcomes of one topic; beyond it, its oldest are evicted.
    pub topic_outcomes_max: usize,
    /// Maximum size of the outcomes of one topic.
    pub topic_outcomes_bytes_max: u64,
    /// How long an outcome is kept.
    pub outcomes_age_max: Duration,
    /// Maximum number of indexes of finished jobs that stay taken; beyond it, the topic that has
    /// the most frees those that expire first.
    pub finished_indexes_max: usize,
    /// Maximum number of indexes of finished jobs of one topic that stay taken; beyond it, those
    /// that expire first are freed.
    pub topic_finished_indexes_max: usize,
    /// Maximum number of jobs in one page of a list.
    pub list_jobs_max: usize,
    /// Size at which a page of a list ends early, and maximum size (names, expressions, payloads)
    /// of all schedules.
    pub list_bytes_max: usize,
    /// Maximum number of jobs examined for one page of a list or one slice of a clear, including
    /// those that do not match.
    pub list_looked_at_max: usize,
    /// Maximum number of ended reservations kept for an owner until it asks for them; the owner
    /// learns of earlier ones when it touches or settles their jobs.
    pub revoked_max: usize,
    /// How long a jump of the time of day must last before the queue follows it.
    pub clock_settle: Duration,
    /// Number of jobs handled in one turn before other work runs; a due schedule counts as 16.
    pub slice_max: usize,
    /// Size of jobs at which a slice of a snapshot ends.
    pub slice_bytes_max: usize,
}

impl QueueConfig {
    /// Returns the defaults.
    pub(super) fn new() -> Self {
        Self {
            topics_max: 10_000,
            schedules_max: 10_000,
            name_bytes_max: 512,
            payload_bytes_max: 1024 * 1024,
            output_bytes_max: 1024 * 1024,
            progress_bytes_max: 1024,
            error_bytes_max: 1024,
            errors_kept_max: 5,
            jobs_max: 10_000_000,
            bytes_max: 8 * 1024 * 1024 * 1024,
            topic_jobs_max: 5_000_000,
            topic_bytes_max: 4 * 1024 * 1024 * 1024,
            push_jobs_max: 1_024,
            push_bytes_max: 4 * 1024 * 1024,
            credits_max: 1_024,
            parked_max: 200_000,
            parked_bytes_max: 64 * 1024 * 1024,
            wait_max: Duration::from_secs(24 * 3600),
            wait_default: Duration::from_secs(30),
            visibility_default: Duration::from_secs(30),
            visibility_max: Duration::from_secs(24 * 3600),
            // Three attempts of a client that reconnects every 5 s.
            resume_grace: Duration::from_secs(15),
            delay_max: Duration::from_secs(10 * 365 * 24 * 3600),
            // 29 February can be eight years away.
            schedule_ahead_max: Duration::from_secs(10 * 365 * 24 * 3600),
            retry_max: 25,
            loss_max: 3,
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(600),
            backoff_floor: Duration::from_millis(100),
            backoff_pauses_max: 32,
            priority_step: Duration::from_secs(10),
            dead_max: 100_000,
            dead_bytes_max: 256 * 1024 * 1024,
            topic_dead_max: 50_000,
            topic_dead_bytes_max: 128 * 1024 * 1024,
            dead_age_max: Duration::from_secs(90 * 24 * 3600),
            outcomes_max: 200_000,
            outcomes_bytes_max: 256 * 1024 * 1024,
            topic_outcomes_max: 100_000,
            topic_outcomes_bytes_max: 128 * 1024 * 1024,
            outcomes_age_max: Duration::from_secs(7 * 24 * 3600),
            finished_indexes_max: 100_000,
            topic_finished_indexes_max: 50_000,
            list_jobs_max: 1_000,
            list_bytes_max: 2 * 1024 * 1024,
            list_looked_at_max: 16_000,
            revoked_max: 16_384,
            clock_settle: Duration::from_secs(60),
            slice_max: 1_024,
            slice_bytes_max: 64 * 1024,
        }
    }
}
