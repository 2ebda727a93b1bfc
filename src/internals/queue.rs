//! The queue alone.

use std::time::Duration;

use crate::config::Config;
use crate::model::{
    JobReply, JobRequest, PushOptions, PushRequest, Reservation, ReserveRequest, Settlement,
    Verdict,
};
use crate::queue::{Effect, Now, QueueAnswer, QueueState};

/// A queue whose records are encoded and discarded.
#[derive(Debug)]
pub struct BenchQueue {
    state: QueueState,
    now: Now,
    record: Vec<u8>,
}

impl Default for BenchQueue {
    fn default() -> Self {
        let mut state = QueueState::new(Config::new().queue, 1);
        state.set_journaled(true);
        Self { state, now: Now { steady: 0, utc: 1_790_000_000_000 }, record: Vec::new() }
    }
}

impl BenchQueue {
    /// Pushes jobs with `payload` bytes, one for each of `options`; returns how many were accepted.
    pub fn push(
        &mut self,
        topic: &str,
        payload: usize,
        options: impl Iterator<Item = PushOptions>,
    ) -> usize {
        let payload = vec![b'x'; payload];
        let jobs = options.map(|options| PushRequest {
            topic: topic.into(),
            payload: payload.as_slice().into(),
            options,
        });
        let request = JobRequest::Push { jobs: jobs.collect(), wait: Duration::ZERO };
        let answer = self.state.request(self.now, 1, request);
        self.finish();
        match answer {
            QueueAnswer::Now(Ok(JobReply::Pushed(pushed))) => pushed.len(),
            _ => 0,
        }
    }

    /// Takes up to `credits` jobs and settles each as done, in one turn each, a millisecond later;
    /// returns how many.
    pub fn work(&mut self, topic: &str, credits: u32) -> usize {
        let (wait, visibility) = (Some(Duration::ZERO), None);
        let reserve = ReserveRequest { topic: topic.into(), credits, wait, visibility };
        let _ = self.state.request(self.now, 1, JobRequest::Reserve(reserve));
        let mut held: Vec<Reservation> = Vec::new();
        for effect in self.finish() {
            if let Effect::Reserved(_, jobs) = effect {
                held.extend(jobs.iter().map(|job| job.reservation));
            }
        }
        self.now.steady += 1_000;
        self.now.utc += 1;
        for reservation in &held {
            let verdict = Verdict::Done { output: "".into() };
            let settlement = Settlement { reservation: *reservation, verdict };
            let _ = self.state.settle(self.now, settlement);
        }
        self.finish();
        for reservation in &held {
            self.state.recorded(self.now, *reservation, Ok(()));
        }
        self.finish();
        held.len()
    }

    fn finish(&mut self) -> Vec<Effect> {
        let effects = self.state.finish_turn(self.now);
        self.record.clear();
        while self.state.take_record(&mut self.record) {
            self.record.clear();
        }
        effects
    }
}
