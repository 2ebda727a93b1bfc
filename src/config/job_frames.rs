//! The maximum sizes of frame bodies about jobs.

use super::QueueConfig;

/// Maximum size of a job, a topic or an outcome in a body, without its bytes and pauses.
const FIXED_BYTES: usize = 256;

/// Maximum size of a refusal that is one of many.
const REFUSAL_BYTES: usize = 512;

/// Size of one reservation in a body.
const RESERVATION_BYTES: usize = 12;

/// Returns the maximum sizes of bodies, and the names of their parts: each body must fit in a frame.
pub(crate) fn job_frames(queue: &QueueConfig) -> [(usize, &'static str); 7] {
    let sum = |parts: &[usize]| parts.iter().copied().fold(0, usize::saturating_add);
    let names = queue.name_bytes_max.saturating_mul(3);
    let pauses = FIXED_BYTES.saturating_add(queue.backoff_pauses_max.saturating_mul(8));
    let errors = queue.error_bytes_max.saturating_add(8).saturating_mul(queue.errors_kept_max);
    let told = sum(&[queue.output_bytes_max, queue.progress_bytes_max, errors, names]);
    let credits = queue.credits_max as usize;
    [
        (
            sum(&[queue.push_bytes_max, queue.push_jobs_max.saturating_mul(pauses)]),
            "queue.push_bytes_max, 256 bytes and queue.backoff_pauses_max numbers for each of \
             queue.push_jobs_max",
        ),
        (
            sum(&[
                queue.push_bytes_max,
                queue.payload_bytes_max,
                credits.saturating_mul(names.saturating_add(FIXED_BYTES)),
            ]),
            "queue.push_bytes_max, queue.payload_bytes_max, 256 bytes and three of \
             queue.name_bytes_max for each of queue.credits_max",
        ),
        (
            // Refusals of settlements, or topics of what is resumed.
            queue
                .push_jobs_max
                .saturating_mul(queue.name_bytes_max.saturating_add(16).max(REFUSAL_BYTES)),
            "512 bytes, or 16 and queue.name_bytes_max if that is more, for each of \
             queue.push_jobs_max",
        ),
        (
            sum(&[queue.payload_bytes_max, told, FIXED_BYTES]),
            "queue.payload_bytes_max, queue.output_bytes_max, queue.progress_bytes_max, \
             queue.errors_kept_max of queue.error_bytes_max, three of queue.name_bytes_max and \
             256 bytes",
        ),
        (
            sum(&[queue.list_bytes_max, told, queue.list_jobs_max.saturating_mul(pauses)]),
            "queue.list_bytes_max, queue.output_bytes_max, queue.progress_bytes_max, \
             queue.errors_kept_max of queue.error_bytes_max, three of queue.name_bytes_max, and \
             256 bytes and queue.backoff_pauses_max numbers for each of queue.list_jobs_max",
        ),
        (
            sum(&[queue.list_bytes_max, queue.schedules_max.saturating_mul(pauses)]),
            "queue.list_bytes_max, 256 bytes and queue.backoff_pauses_max numbers for each of \
             queue.schedules_max",
        ),
        (
            queue.revoked_max.saturating_mul(RESERVATION_BYTES).saturating_add(FIXED_BYTES),
            "12 bytes for each of queue.revoked_max, and 256",
        ),
    ]
}
