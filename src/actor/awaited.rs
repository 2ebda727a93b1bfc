//! [`FileRequestDeadlines`]: the deadlines of requests that the snapshot thread answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::awaiting_durability::late;
use super::message::ReplyCallback;

/// Requests about files that must be answered by a deadline, whatever the disk does.
///
/// Bounded by `rpc.requests_in_flight_max` of each connection.
#[derive(Default)]
pub(super) struct FileRequestDeadlines {
    requests: BTreeMap<(Instant, u64), Weak<Mutex<Option<ReplyCallback>>>>,
    /// Number of the next request.
    next: u64,
}

impl FileRequestDeadlines {
    /// Wraps `later`, so that [`expire`](Self::expire) can answer first.
    pub(super) fn add(&mut self, deadline: Option<Instant>, later: ReplyCallback) -> ReplyCallback {
        let Some(deadline) = deadline else { return later };
        let waiting = Arc::new(Mutex::new(Some(later)));
        self.requests.insert((deadline, self.next), Arc::downgrade(&waiting));
        self.next += 1;
        Box::new(move |reply| {
            let later = waiting.lock().take();
            if let Some(later) = later {
                later(reply);
            }
        })
    }

    /// Returns the earliest deadline.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        while let Some(first) = self.requests.first_entry() {
            if first.get().strong_count() > 0 {
                return Some(first.key().0);
            }
            first.remove();
        }
        None
    }

    /// Answers requests whose deadline has passed: the disk did not finish in time.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some((_, waiting)) = self.requests.pop_first() else { return };
            let later = waiting.upgrade().and_then(|waiting| waiting.lock().take());
            if let Some(later) = later {
                later(Err(late()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorCode;
    use crate::model::Reply;

    #[test]
    fn each_has_one_answer_by_its_deadline() {
        let now = Instant::now();
        let at = |seconds| Some(now + Duration::from_secs(seconds));
        let mut awaited = FileRequestDeadlines::default();
        let (answers, answered) = channel();
        let mut add = |deadline| {
            let answers = answers.clone();
            awaited.add(deadline, Box::new(move |reply| answers.send(reply).unwrap()))
        };
        let (late, done, later, never) = (add(at(1)), add(at(2)), add(at(3)), add(None));
        done(Ok(Reply::EndWatcher));
        answered.try_recv().unwrap().unwrap();
        awaited.expire(now + Duration::from_millis(2_500));
        let refused = answered.try_recv().unwrap().unwrap_err();
        assert_eq!(refused.code, ErrorCode::DeadlineExceeded);
        late(Ok(Reply::EndWatcher));
        assert!(answered.try_recv().is_err());
        assert_eq!(awaited.next_deadline(), at(3));
        drop(later);
        assert_eq!(awaited.next_deadline(), None);
        never(Ok(Reply::EndWatcher));
        answered.try_recv().unwrap().unwrap();
    }
}
