//! Records of the queue and of outcomes.

use std::time::Duration;

use crate::config::Config;
use crate::fair::ClientId;
use crate::journal::RecordBatch;
use crate::model::{
    Blob, JobRef, JobRequest, JobState, PushOptions, PushRequest, Reservation, ReserveRequest,
    Settlement, TopicSettings, Verdict,
};
use crate::queue::{self, Effect, Now, Outcomes, QueueAnswer};

/// Reads `data` as records of the queue and of outcomes, framed as for [`store_records`]. The records
/// before the first refused one make a queue, which must then answer all requests; its descriptions and
/// its snapshot must be readable.
pub fn queue_records(data: &[u8]) {
    let mut rooms = FuzzedQueue::new();
    let mut rest = data;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (record, after) = more.split_at(length);
        if rooms.replay(record).is_err() {
            break;
        }
        rest = after;
    }
    rooms.use_them();
    rooms.tell();
}

/// A queue and its outcomes.
struct FuzzedQueue {
    queue: queue::QueueState,
    outcomes: Outcomes,
    now: Now,
}

impl FuzzedQueue {
    fn new() -> Self {
        let config = Config::new().queue;
        let (queue, outcomes) = (queue::QueueState::new(config.clone(), 1), Outcomes::new(config));
        Self { queue, outcomes, now: Now { steady: 1, utc: 0 } }
    }

    fn replay(&mut self, record: &[u8]) -> Result<(), String> {
        match queue::QueueState::owns(record) {
            true => self.queue.replay(record),
            false => self.outcomes.replay(record, |of, state| self.queue.acknowledge(of, state)),
        }
    }

    /// Checks that a queue answers, whatever records made it.
    fn use_them(&mut self) {
        self.queue.set_journaled(true);
        self.outcomes.set_journaled(true);
        self.now.utc = self.queue.utc().saturating_add(1);
        self.queue.recover(self.now, &mut self.outcomes, false);
        self.turn();
        let (topic, index): (Blob, Blob) = ("t".into(), "i".into());
        let options = PushOptions {
            index: Some(index.clone()),
            order_key: Some("k".into()),
            ..PushOptions::default()
        };
        let push = PushRequest { topic: topic.clone(), payload: "p".into(), options };
        let named = JobRef::Index { topic: topic.clone(), index: index.clone() };
        let reserve = ReserveRequest {
            topic: topic.clone(),
            credits: 9,
            wait: Some(Duration::ZERO),
            visibility: None,
        };
        let list = |state| JobRequest::List { topic: topic.clone(), state, after: 0, limit: 0 };
        let wait = Some(Duration::ZERO);
        let requests = [
            JobRequest::Push { jobs: vec![push.clone(), push], wait: Duration::ZERO },
            JobRequest::Get(JobRef::Id(1)),
            JobRequest::Get(named.clone()),
            list(JobState::Ready),
            list(JobState::Dead),
            list(JobState::Done),
            JobRequest::Topics { after: Blob::default(), limit: 0 },
            JobRequest::Schedules,
            JobRequest::Outcomes { topic: topic.clone(), after: Some(0), limit: 0, wait },
            JobRequest::Reserve(reserve.clone()),
            JobRequest::Replay { topic: topic.clone(), id: None },
            JobRequest::SetTopic {
                topic: topic.clone(),
                settings: Box::new(TopicSettings::default()),
            },
            JobRequest::PauseTopic { topic: topic.clone(), paused: false },
            JobRequest::Reserve(reserve),
            JobRequest::Cancel(named),
            JobRequest::ClearTopic(topic.clone()),
            JobRequest::FreeIndex { topic: topic.clone(), index },
            JobRequest::DeleteDead { topic: topic.clone(), id: None },
            JobRequest::DeleteTopic { topic, force: true },
        ];
        for request in requests {
            if let QueueAnswer::Ask(sought) = self.queue.request(self.now, 1, request) {
                let _ = self.outcomes.query(
                    self.now,
                    ClientId::Process,
                    sought,
                    Duration::ZERO,
                    &|_| true,
                );
            }
            self.turn();
        }
        self.now.utc += 1_000_000;
        self.now.steady += 1_000_000_000;
        self.turn();
    }

    /// Settles every second handed-out job as done, and fails the others.
    fn turn(&mut self) {
        for effect in self.queue.finish_turn(self.now) {
            match effect {
                Effect::Reserved(_, jobs) => {
                    for job in jobs {
                        let reservation = job.reservation;
                        let verdict = match reservation.id % 2 {
                            0 => Verdict::Done { output: "o".into() },
                            _ => Verdict::Retry { after: None, error: "e".to_owned() },
                        };
                        let settlement = Settlement { reservation, verdict };
                        let _ = self.queue.settle(self.now, settlement);
                    }
                }
                Effect::Record(info) => {
                    let reservation = Reservation { id: info.id, epoch: info.epoch };
                    self.outcomes.record(self.now, info);
                    self.outcomes.confirmed(1);
                    self.queue.recorded(self.now, reservation, Ok(()));
                }
                Effect::Note(info) => {
                    self.outcomes.record(self.now, info);
                    self.queue.notes_recorded(1);
                }
                Effect::Cleared(info) => self.outcomes.answer_cleared(&info),
                _ => {}
            }
        }
        let _ = self.outcomes.finish_turn(self.now);
        let mut record = Vec::new();
        while self.queue.take_record(&mut record) || self.outcomes.take_record(&mut record) {
            record.clear();
        }
    }

    /// Checks that a snapshot can be read and leads to a state with the same snapshot.
    fn tell(&mut self) {
        let told = self.snapshot();
        let mut read = Self::new();
        for record in &told {
            let refusal = read.replay(record).err();
            assert!(refusal.is_none(), "a snapshot that was told cannot be read: {refusal:?}");
        }
        let sizes = |records: &[Vec<u8>]| records.iter().map(Vec::len).sum::<usize>();
        assert_eq!(sizes(&read.snapshot()), sizes(&told), "another queue was read");
    }

    fn snapshot(&mut self) -> Vec<Vec<u8>> {
        let mut batch = RecordBatch::new();
        self.queue.begin_snapshot();
        self.outcomes.begin_snapshot();
        while self.queue.write_snapshot(10_000, &mut batch) {}
        while self.outcomes.write_snapshot(10_000, &mut batch) {}
        self.queue.end_snapshot();
        self.outcomes.end_snapshot();
        batch.payloads()
    }
}
