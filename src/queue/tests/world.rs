//! A queue and its outcomes connected as in the actors, and replicas that follow their records.

use super::description::{describe, describe_outcomes};
use super::*;
use crate::journal::RecordBatch;

/// A replica that reads the records.
struct Follower {
    queue: QueueState,
    outcomes: Outcomes,
}

/// A snapshot in progress, and the records since it began.
#[derive(Default)]
struct Telling {
    batch: RecordBatch,
    since: Vec<Vec<u8>>,
    queue_told: bool,
}

/// The whole system; after each turn, every follower must equal it.
pub(super) struct World {
    pub(super) now: Now,
    unaged: u64,
    pub(super) config: QueueConfig,
    pub(super) queue: QueueState,
    pub(super) outcomes: Outcomes,
    /// Results that are not recorded yet.
    pub(super) to_record: Vec<JobInfo>,
    pub(super) told: Vec<(u64, OutcomeAnswer)>,
    pub(super) records: Vec<Vec<u8>>,
    followers: Vec<Follower>,
    telling: Option<Telling>,
}

impl World {
    pub(super) fn new(config: QueueConfig) -> Self {
        let mut queue = QueueState::new(config.clone(), 7);
        let mut outcomes = Outcomes::new(config.clone());
        queue.set_journaled(true);
        outcomes.set_journaled(true);
        Self {
            now: Now { steady: 1_000_000, utc: MORNING },
            unaged: 0,
            queue,
            outcomes,
            to_record: Vec::new(),
            told: Vec::new(),
            records: Vec::new(),
            followers: vec![Follower::new(&config)],
            telling: None,
            config,
        }
    }

    pub(super) fn later(&mut self, millis: u64) {
        self.now.steady += millis * 1_000;
        self.now.utc += millis;
    }

    /// Moves the time of day ahead.
    pub(super) fn jump(&mut self, millis: u64) {
        self.now.utc += millis;
        self.unaged += millis;
        self.queue.set_unaged(self.unaged);
        self.outcomes.set_unaged(self.unaged);
    }

    pub(super) fn ask(&mut self, owner: u64, request: JobRequest) -> QueueAnswer {
        self.queue.request(self.now, owner, request)
    }

    /// Resumes reservations as a user who may work on every topic except `denied`.
    pub(super) fn resume(
        &mut self,
        owner: u64,
        user: u64,
        reservations: &[Reservation],
        denied: Option<&str>,
    ) -> Vec<Option<Blob>> {
        let may_work = |topic: &Blob| denied.is_none_or(|denied| &topic[..] != denied.as_bytes());
        match self.queue.resume(self.now, owner, user, reservations, may_work) {
            Ok(JobReply::Resumed(topics)) => topics,
            other => panic!("{other:?}"),
        }
    }

    /// Ends a turn of the queue, and one of the outcomes with the jobs that finished in it.
    pub(super) fn turn(&mut self) -> Vec<Effect> {
        let effects = self.queue.finish_turn(self.now);
        self.take_queue_records();
        let mut noted = 0;
        for effect in &effects {
            match effect {
                Effect::Record(info) => self.to_record.push((**info).clone()),
                Effect::Note(info) => {
                    self.outcomes.record(self.now, info.clone());
                    noted += 1;
                }
                Effect::Cleared(info) => self.outcomes.answer_cleared(info),
                _ => {}
            }
        }
        self.end_outcomes();
        self.queue.notes_recorded(noted);
        self.compare();
        effects
    }

    /// Runs the turn of the queue before a crash: nothing of it reaches the outcomes.
    pub(super) fn turn_of_the_queue(&mut self) {
        self.queue.finish_turn(self.now);
        self.take_queue_records();
    }

    /// Records results; a crash comes before the queue learns of it.
    pub(super) fn record_in_the_outcomes_alone(&mut self) {
        for info in std::mem::take(&mut self.to_record) {
            self.outcomes.record(self.now, Box::new(info));
        }
        self.end_outcomes();
    }

    fn end_outcomes(&mut self) {
        let told = self.outcomes.finish_turn(self.now);
        self.told.extend(told);
        let mut record = Vec::new();
        while self.outcomes.take_record(&mut record) {
            self.keep(std::mem::take(&mut record));
        }
    }

    fn take_queue_records(&mut self) {
        let mut record = Vec::new();
        while self.queue.take_record(&mut record) {
            self.keep(std::mem::take(&mut record));
        }
    }

    fn keep(&mut self, record: Vec<u8>) {
        for follower in &mut self.followers {
            follower.replay(&record);
        }
        if let Some(telling) = &mut self.telling {
            telling.since.push(record.clone());
        }
        self.records.push(record);
    }

    /// Records the waiting results, or lets that fail.
    pub(super) fn record(&mut self, recorded: bool) -> Vec<Effect> {
        let infos = std::mem::take(&mut self.to_record);
        for info in infos {
            let reservation = Reservation { id: info.id, epoch: info.epoch };
            let result = if recorded {
                self.outcomes.record(self.now, Box::new(info));
                Ok(())
            } else {
                Err("no room".to_owned())
            };
            self.end_outcomes();
            self.outcomes.confirmed(usize::from(result.is_ok()));
            self.queue.recorded(self.now, reservation, result);
        }
        self.turn()
    }

    pub(super) fn begin_snapshot(&mut self) {
        if self.telling.is_none() {
            self.queue.begin_snapshot();
            self.outcomes.begin_snapshot();
            self.telling = Some(Telling::default());
        }
    }

    /// Reads a slice of the snapshot; once complete, a reader of it and of the records since becomes a
    /// follower.
    pub(super) fn tell(&mut self, slice: usize) {
        let Some(telling) = &mut self.telling else { return };
        if !telling.queue_told {
            telling.queue_told = !self.queue.write_snapshot(slice, &mut telling.batch);
            return;
        }
        if self.outcomes.write_snapshot(slice, &mut telling.batch) {
            return;
        }
        self.queue.end_snapshot();
        self.outcomes.end_snapshot();
        let Some(telling) = self.telling.take() else { return };
        let mut follower = Follower::new(&self.config);
        let told = telling.batch.payloads();
        told.iter().chain(&telling.since).for_each(|record| follower.replay(record));
        self.followers.push(follower);
        self.compare();
        // Keeps the newest snapshot, and the follower with every record.
        if self.followers.len() > 3 {
            self.followers.remove(1);
        }
    }

    pub(super) fn tell_all(&mut self) {
        while self.telling.is_some() {
            self.tell(3);
        }
    }

    /// Does the same as [`restart`](Self::restart), with a clock that has not gone back; the last time
    /// is known from the records only.
    pub(super) fn restart_in_time(&mut self) -> Vec<Effect> {
        self.now.utc = self.now.utc.max(self.queue.utc());
        self.restart()
    }

    /// Ends abruptly, and restarts from the newest snapshot and the records since.
    pub(super) fn restart(&mut self) -> Vec<Effect> {
        self.restart_with(false)
    }

    /// Does the same as [`restart`](Self::restart); with `fenced`, as if something visible may be lost.
    pub(super) fn restart_with(&mut self, fenced: bool) -> Vec<Effect> {
        self.telling = None;
        self.to_record.clear();
        self.told.clear();
        self.unaged = 0;
        let Some(Follower { mut queue, mut outcomes }) = self.followers.pop() else {
            return Vec::new();
        };
        queue.set_journaled(true);
        outcomes.set_journaled(true);
        queue.recover(self.now, &mut outcomes, fenced);
        (self.queue, self.outcomes) = (queue, outcomes);
        if self.followers.is_empty() {
            let mut follower = Follower::new(&self.config);
            self.records.iter().for_each(|record| follower.replay(record));
            self.followers.push(follower);
        }
        self.turn()
    }

    /// Checks that every follower equals the system.
    fn compare(&mut self) {
        let utc = self.queue.utc().max(self.now.utc);
        self.queue.audit().unwrap();
        let live = describe(&self.queue, utc);
        let topics: Vec<Blob> = self.queue.names.keys().cloned().collect();
        let told = describe_outcomes(&mut self.outcomes, &topics, self.now);
        for follower in &mut self.followers {
            pretty_assert(&describe(&follower.queue, utc), &live);
            follower.outcomes.set_unaged(self.unaged);
            follower.outcomes.finish_turn(self.now);
            pretty_assert(&describe_outcomes(&mut follower.outcomes, &topics, self.now), &told);
        }
    }
}

impl Follower {
    fn new(config: &QueueConfig) -> Self {
        Self { queue: QueueState::new(config.clone(), 9), outcomes: Outcomes::new(config.clone()) }
    }

    fn replay(&mut self, record: &[u8]) {
        let replayed = match QueueState::owns(record) {
            true => self.queue.replay(record),
            false => self.outcomes.replay(record, |of, state| self.queue.acknowledge(of, state)),
        };
        replayed.expect("a record that was written can be read");
    }
}

/// Shows the lines that differ.
fn pretty_assert(read: &[String], live: &[String]) {
    if read != live {
        let only = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|line| !other.contains(line)).cloned().collect()
        };
        panic!("read back: {:#?}\nbut it was: {:#?}", only(read, live), only(live, read));
    }
}
