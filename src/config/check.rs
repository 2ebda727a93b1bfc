//! Checks that the limits of a [`Config`] fit each other.

use std::time::Duration;

use super::job_frames::job_frames;
use super::record::{change_bytes_max, job_record_bytes_max, record_bytes_max};
use super::{BODY_BYTES_LIMIT, Config};
use crate::duration::show;
use crate::error::{Error, ErrorCode};

/// Size of keys and values at which a push of events ends: small enough that the streams of one connection
/// take turns.
pub(crate) const PUSH_BYTES: usize = 64 * 1024;

/// Upper bound of `rpc.json_depth_max`: the parser recurses as deep as the JSON is nested.
pub(crate) const JSON_DEPTH_LIMIT: usize = 120;

/// Lower bound of `rpc.json_id_bytes_max`: room for any number of 64 bits, which Go's clients send as ids.
const JSON_ID_BYTES_MIN: usize = 20;

/// Upper bound of what a segment contains besides one record.
const SEGMENT_OVERHEAD_BYTES: u64 = 1024;

/// Lower bound of `rpc.login_frame_bytes_max`: a login with a token is smaller.
const LOGIN_BYTES_LEAST: usize = 1024;

/// Longest time about jobs that can be configured; neither added to a clock nor multiplied by a priority
/// can it overflow.
const JOB_TIME_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Config {
    /// Checks that the limits fit each other.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the two limits that do not, or the one that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        self.check_frames()?;
        let store = &self.store;
        if store.slice_max == 0 || store.range_keys_max == 0 || store.steps_max == 0 {
            let message =
                "store.slice_max, store.range_keys_max and store.steps_max must be at least 1";
            return refuse(message.into());
        }
        let rpc = &self.rpc;
        if rpc.requests_in_flight_max == 0 || rpc.heavy_requests_max == 0 {
            return refuse(
                "rpc.requests_in_flight_max and rpc.heavy_requests_max must be at least 1".into(),
            );
        }
        if !(4..=JSON_DEPTH_LIMIT).contains(&rpc.json_depth_max) {
            return refuse(format!("rpc.json_depth_max must be 4 to {JSON_DEPTH_LIMIT}"));
        }
        if rpc.json_id_bytes_max < JSON_ID_BYTES_MIN {
            return refuse(format!("rpc.json_id_bytes_max must be at least {JSON_ID_BYTES_MIN}"));
        }
        let least = [rpc.output_bytes_max, rpc.total_output_bytes_max];
        if least.contains(&0) || rpc.control_frames_max == 0 {
            return refuse(
                "rpc.output_bytes_max, rpc.total_output_bytes_max and rpc.control_frames_max must be \
                 at least 1"
                    .into(),
            );
        }
        if rpc.tls_handshakes_max == 0 {
            return refuse("rpc.tls_handshakes_max must be at least 1".into());
        }
        if rpc.stranger_lines_interval.is_zero() {
            return refuse("rpc.stranger_lines_interval must be above 0".into());
        }
        if self.services.calls_per_connection_max == 0 {
            return refuse("services.calls_per_connection_max must be at least 1".into());
        }
        if rpc.login_frame_bytes_max < LOGIN_BYTES_LEAST {
            return refuse(format!(
                "rpc.login_frame_bytes_max must be at least {LOGIN_BYTES_LEAST}"
            ));
        }
        self.auth.check()?;
        self.check_records()?;
        self.check_jobs()?;
        self.check_links()?;
        if self.watch.batch_events_max == 0 || self.watch.batch_bytes_max == 0 {
            return refuse(
                "watch.batch_events_max and watch.batch_bytes_max must be at least 1".into(),
            );
        }
        Ok(())
    }

    /// Checks that every request, every reply and every push fits in a frame.
    fn check_frames(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let store = &self.store;
        let largest_item = store.key_bytes_max.saturating_add(store.value_bytes_max);
        let rows = store.range_keys_max.saturating_add(store.txn_ops_max);
        let needed = [store.range_bytes_max, largest_item, largest_item, rows.saturating_mul(64)]
            .into_iter()
            .fold(0, usize::saturating_add);
        if self.rpc.frame_bytes_max < needed {
            return refuse(format!(
                "rpc.frame_bytes_max must be at least {needed}: store.range_bytes_max, two of the \
                 largest keys and values, and 64 bytes for each of store.range_keys_max and \
                 store.txn_ops_max"
            ));
        }
        let watch = &self.watch;
        let needed = [
            watch.batch_bytes_max.max(PUSH_BYTES),
            largest_item,
            largest_item,
            store.range_keys_max.saturating_mul(64),
            watch.batch_events_max.saturating_mul(128),
        ];
        let needed = needed.into_iter().fold(0, usize::saturating_add);
        if self.rpc.frame_bytes_max < needed {
            return refuse(format!(
                "rpc.frame_bytes_max must be at least {needed}: watch.batch_bytes_max (at least \
                 {PUSH_BYTES}), two of the largest keys and values, 64 bytes for each of \
                 store.range_keys_max and 128 for each of watch.batch_events_max"
            ));
        }
        for (needed, parts) in job_frames(&self.queue) {
            if self.rpc.frame_bytes_max < needed {
                return refuse(format!("rpc.frame_bytes_max must be at least {needed}: {parts}"));
            }
        }
        let needed = self.services.output_bytes_max.saturating_add(64);
        if self.rpc.frame_bytes_max < needed {
            return refuse(format!(
                "rpc.frame_bytes_max must be at least {needed}: services.output_bytes_max and a \
                 little more"
            ));
        }
        if self.rpc.frame_bytes_max > BODY_BYTES_LIMIT {
            return refuse(format!("rpc.frame_bytes_max must be at most {BODY_BYTES_LIMIT}"));
        }
        Ok(())
    }

    /// Checks that every record fits in a segment of the journal, and can be read again.
    fn check_records(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let change = change_bytes_max(&self.store);
        if self.store.revision_bytes_max < change {
            return refuse(format!(
                "store.revision_bytes_max must be at least {change}: the largest key and value, \
                 and 64 bytes"
            ));
        }
        let record = record_bytes_max(&self.store);
        if record > BODY_BYTES_LIMIT {
            return refuse(format!(
                "store.revision_bytes_max and store.range_bytes_max are too large: with what one \
                 revision changes and its reply, a record of the journal could have {record} \
                 bytes, and {BODY_BYTES_LIMIT} is the most"
            ));
        }
        let segment = record as u64 + SEGMENT_OVERHEAD_BYTES;
        if self.journal.segment_bytes < segment {
            return refuse(format!(
                "journal.segment_bytes must be at least {segment}: store.revision_bytes_max, \
                 store.range_bytes_max, 48 bytes for each of store.range_keys_max and 80 for each \
                 of store.txn_ops_max, and a little more"
            ));
        }
        let segment = job_record_bytes_max(&self.queue) as u64 + SEGMENT_OVERHEAD_BYTES;
        if self.journal.segment_bytes < segment {
            return refuse(format!(
                "journal.segment_bytes must be at least {segment}: three of the larger of \
                 queue.payload_bytes_max and queue.output_bytes_max (the first two at most 256 KiB \
                 each), six of queue.name_bytes_max, queue.errors_kept_max of \
                 queue.error_bytes_max, 16 bytes for each of queue.backoff_pauses_max, and a \
                 little more"
            ));
        }
        let disk = self.journal.segment_bytes.saturating_mul(4);
        if self.journal.disk_bytes_max < disk {
            return refuse(format!(
                "journal.disk_bytes_max must be at least {disk}: four of journal.segment_bytes"
            ));
        }
        Ok(())
    }

    /// Checks that jobs can be pushed, handed out and listed at all.
    fn check_jobs(&self) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let queue = &self.queue;
        for (name, count) in [
            ("queue.name_bytes_max", queue.name_bytes_max),
            ("queue.push_jobs_max", queue.push_jobs_max),
            ("queue.push_bytes_max", queue.push_bytes_max),
            ("queue.credits_max", queue.credits_max as usize),
            ("queue.list_jobs_max", queue.list_jobs_max),
            ("queue.list_bytes_max", queue.list_bytes_max),
            ("queue.slice_max", queue.slice_max),
        ] {
            if count == 0 {
                return refuse(format!("{name} must be at least 1"));
            }
        }
        let (zero, ms, day) =
            (Duration::ZERO, Duration::from_millis(1), Duration::from_secs(24 * 3600));
        for (name, time, least) in [
            ("queue.wait_max", queue.wait_max, zero),
            ("queue.visibility_max", queue.visibility_max, ms),
            ("queue.resume_grace", queue.resume_grace, zero),
            ("queue.delay_max", queue.delay_max, zero),
            ("queue.schedule_ahead_max", queue.schedule_ahead_max, day),
            ("queue.backoff_cap", queue.backoff_cap, zero),
            ("queue.priority_step", queue.priority_step, zero),
        ] {
            if time < least || time > JOB_TIME_LIMIT {
                let (least, most) = (show(least), show(JOB_TIME_LIMIT));
                return refuse(format!("{name} must be from {least} to {most}"));
            }
        }
        if queue.visibility_default < ms || queue.visibility_default > queue.visibility_max {
            return refuse(format!(
                "queue.visibility_default must be from 1ms to queue.visibility_max, which is {}",
                show(queue.visibility_max)
            ));
        }
        if queue.backoff_floor > queue.backoff_cap {
            return refuse(format!(
                "queue.backoff_floor must be at most queue.backoff_cap, which is {}",
                show(queue.backoff_cap)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::QueueConfig;

    #[test]
    fn s10_limits_under_which_no_job_could_be_done_are_refused() {
        Config::new().check().unwrap();
        type Change = fn(&mut QueueConfig);
        let changes: [(&str, Change); 18] = [
            ("queue.name_bytes_max", |queue| queue.name_bytes_max = 0),
            ("queue.push_jobs_max", |queue| queue.push_jobs_max = 0),
            ("queue.push_bytes_max", |queue| queue.push_bytes_max = 0),
            ("queue.credits_max", |queue| queue.credits_max = 0),
            ("queue.list_jobs_max", |queue| queue.list_jobs_max = 0),
            ("queue.list_bytes_max", |queue| queue.list_bytes_max = 0),
            ("queue.slice_max", |queue| queue.slice_max = 0),
            ("queue.wait_max", |queue| queue.wait_max = Duration::MAX),
            ("queue.visibility_max", |queue| queue.visibility_max = Duration::ZERO),
            ("queue.visibility_max", |queue| queue.visibility_max = Duration::MAX),
            ("queue.visibility_default", |queue| queue.visibility_default = Duration::ZERO),
            ("queue.visibility_default", |queue| queue.visibility_max = Duration::from_secs(29)),
            ("queue.resume_grace", |queue| queue.resume_grace = Duration::MAX),
            ("queue.delay_max", |queue| queue.delay_max = Duration::MAX),
            ("queue.schedule_ahead_max", |queue| queue.schedule_ahead_max = Duration::ZERO),
            ("queue.backoff_cap", |queue| queue.backoff_cap = Duration::MAX),
            ("queue.backoff_floor", |queue| queue.backoff_cap = Duration::from_millis(99)),
            ("queue.priority_step", |queue| queue.priority_step = Duration::MAX),
        ];
        for (name, change) in changes {
            let mut config = Config::new();
            change(&mut config.queue);
            let refusal = config.check().unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidArgument);
            assert!(refusal.message.starts_with(&format!("{name} must be")), "{name}: {refusal}");
        }
    }
}
