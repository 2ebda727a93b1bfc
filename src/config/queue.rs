//! [`QueueConfig`]: the limits of the job queue.

use std::time::Duration;

/// Bounds of the job queue, and what topics have that nobody has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Most topics; past this one that has nothing is forgotten for a new one.
    pub topics_max: usize,
    /// Most schedules.
    pub schedules_max: usize,
    /// Longest name of a topic or a schedule, longest index and order key, bytes.
    pub name_bytes_max: usize,
    /// Longest payload, bytes.
    pub payload_bytes_max: usize,
    /// Longest result, bytes.
    pub output_bytes_max: usize,
    /// Longest progress note, bytes.
    pub progress_bytes_max: usize,
    /// Errors are cut off after so many bytes.
    pub error_bytes_max: usize,
    /// Errors kept of a job: its last.
    pub errors_kept_max: usize,
    /// Most unfinished jobs in all.
    pub jobs_max: usize,
    /// Most bytes of unfinished jobs in all (payloads and names, without about 300 bytes a job).
    pub bytes_max: u64,
    /// Most unfinished jobs of a topic that says nothing else.
    pub topic_jobs_max: u64,
    /// Most bytes of unfinished jobs of a topic that says nothing else.
    pub topic_bytes_max: u64,
    /// Most jobs in one push, and settlements, touches or resumed reservations in one request.
    pub push_jobs_max: usize,
    /// Most bytes of payloads and names in one push, and of payloads in one reservation's answer
    /// (one job more).
    pub push_bytes_max: usize,
    /// Most jobs that one request to reserve may ask for.
    pub credits_max: u32,
    /// Most requests that wait: for jobs, for room, for outcomes.
    pub parked_max: usize,
    /// Most bytes of pushes that wait for room.
    pub parked_bytes_max: usize,
    /// Longest wait of a request.
    pub wait_max: Duration,
    /// How long a request waits that does not say.
    pub wait_default: Duration,
    /// How long a job is held without a touch, if its worker does not say.
    pub visibility_default: Duration,
    /// Longest time that a worker may hold a job without a touch.
    pub visibility_max: Duration,
    /// How long a job stays reserved for a worker that resumes its reservations, from the loss of its
    /// connection or from a restart of the server, but no longer than its visibility timeout; zero:
    /// not at all.
    pub resume_grace: Duration,
    /// Longest delay, backoff and time that an index stays taken after its job.
    pub delay_max: Duration,
    /// How far ahead the next time of a schedule is looked for; one that has none by then does not
    /// come. Bounds what the search costs.
    pub schedule_ahead_max: Duration,
    /// How many failures are followed by another run, if neither push nor topic say.
    pub retry_max: u32,
    /// How many losses are followed by another run, if neither push nor topic say: a job that
    /// takes its workers down with it is to stop doing so.
    pub loss_max: u32,
    /// Longest pause after the first failure, if neither push nor topic say.
    pub backoff_base: Duration,
    /// Longest pause after any.
    pub backoff_cap: Duration,
    /// Shortest pause.
    pub backoff_floor: Duration,
    /// Most pauses in a list of them.
    pub backoff_pauses_max: usize,
    /// How much sooner than another pushed at the same time a job of one more priority is.
    pub priority_step: Duration,
    /// Most dead letters kept; past this the oldest of the topic that has the most are given up.
    pub dead_max: usize,
    /// Most bytes of dead letters kept.
    pub dead_bytes_max: u64,
    /// Most dead letters kept of one topic; its oldest are given up past this.
    pub topic_dead_max: usize,
    /// Most bytes of dead letters kept of one topic.
    pub topic_dead_bytes_max: u64,
    /// How long a dead letter is kept.
    pub dead_age_max: Duration,
    /// Most outcomes kept (results included); past this the oldest of the topic that has the most are
    /// given up.
    pub outcomes_max: usize,
    /// Most bytes of outcomes kept.
    pub outcomes_bytes_max: u64,
    /// Most outcomes kept of one topic; its oldest are given up past this.
    pub topic_outcomes_max: usize,
    /// Most bytes of outcomes kept of one topic.
    pub topic_outcomes_bytes_max: u64,
    /// How long an outcome is kept.
    pub outcomes_age_max: Duration,
    /// Most indexes of finished jobs that stay taken; past this, of the topic that has the most of them,
    /// those are freed that would be first.
    pub finished_indexes_max: usize,
    /// Most indexes of finished jobs of one topic that stay taken; past this its first to be free are
    /// freed.
    pub topic_finished_indexes_max: usize,
    /// Most jobs in one page of a list.
    pub list_jobs_max: usize,
    /// Bytes after which a page of a list ends early, and most bytes (names, expressions,
    /// payloads) of all schedules.
    pub list_bytes_max: usize,
    /// Most jobs looked at for one page of a list or one slice of a clear, those that do not
    /// belong there included.
    pub list_looked_at_max: usize,
    /// Most ended reservations kept for an owner until it asks for them; of those before them it
    /// learns when it touches or settles them.
    pub revoked_max: usize,
    /// How long a jump of the time of day must last before the queue follows it.
    pub clock_settle: Duration,
    /// Jobs handled in one turn before other work gets its turn; a schedule that comes counts as 16.
    pub slice_max: usize,
    /// Bytes of jobs after which a slice of a snapshot ends.
    pub slice_bytes_max: usize,
}

impl QueueConfig {
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
