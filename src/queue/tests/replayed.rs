//! Random histories: a replay of the records, up to any point, or of a snapshot taken while the queue
//! went on and the records since, restores the state.

use proptest::prelude::*;

use super::strategy::ops;
use super::*;
use crate::store::tests::cases;

/// Limits that are hit all the time.
fn tight() -> QueueConfig {
    QueueConfig {
        jobs_max: 12,
        bytes_max: 60,
        topic_jobs_max: 8,
        dead_max: 3,
        dead_age_max: ms(900),
        topic_dead_max: 2,
        outcomes_max: 5,
        topic_outcomes_max: 4,
        outcomes_age_max: ms(800),
        finished_indexes_max: 2,
        topic_finished_indexes_max: 1,
        errors_kept_max: 2,
        slice_max: 2,
        ..steady()
    }
}

/// A history with all its parts.
pub(super) struct Life {
    pub(super) world: World,
    given: Vec<Reservation>,
}

impl Life {
    pub(super) fn new(config: QueueConfig) -> Self {
        Self { world: World::new(config), given: Vec::new() }
    }

    fn picked(&self, pick: usize, newest: bool) -> Reservation {
        let last = if newest { 5.min(self.given.len()) } else { self.given.len() };
        let from = self.given.len() - last;
        let place = from + pick % last.max(1);
        self.given.get(place).copied().unwrap_or(Reservation { id: 1, epoch: 1 })
    }

    pub(super) fn step(&mut self, op: Op) {
        let world = &mut self.world;
        let request = match op {
            Op::Push { owner, jobs, wait } => {
                drop(world.ask(owner, JobRequest::Push { jobs, wait: ms(wait) }));
                None
            }
            Op::Reserve { owner, topic, credits, wait, visibility } => {
                let (wait, visibility) = (Some(ms(wait)), Some(ms(visibility)));
                let reserve = ReserveRequest { topic, credits, wait, visibility };
                drop(world.ask(owner, JobRequest::Reserve(reserve)));
                None
            }
            Op::Settle { pick, newest, verdict } => {
                let reservation = self.picked(pick, newest);
                let now = self.world.now;
                drop(self.world.queue.settle(now, Settlement { reservation, verdict }));
                None
            }
            Op::Touch { pick, visibility } => Some(JobRequest::Touch {
                reservations: vec![self.picked(pick, true)],
                visibility: visibility.map(ms),
            }),
            Op::Progress { pick } => Some(JobRequest::Progress {
                reservation: self.picked(pick, true),
                progress: "half".into(),
            }),
            Op::Recorded(recorded) => return self.note(|world| world.record(recorded)),
            Op::Undeliver { pick } => {
                let reservation = self.picked(pick, true);
                let now = self.world.now;
                self.world.queue.undeliver(now, [reservation]);
                None
            }
            Op::Gone { owner, may_return } => {
                drop(world.queue.owner_gone(world.now, owner, may_return));
                None
            }
            Op::Resume { owner, user, picks, granted } => {
                let picked: Vec<_> = picks.iter().map(|pick| self.picked(*pick, true)).collect();
                self.world.resume(owner, user, &picked, (!granted).then_some("b"));
                None
            }
            Op::Cancel(id) => Some(JobRequest::Cancel(JobRef::Id(id))),
            Op::CancelIndex(topic, index) => {
                Some(JobRequest::Cancel(JobRef::Index { topic, index }))
            }
            Op::Clear(topic) => Some(JobRequest::ClearTopic(topic)),
            Op::Replay(topic, id) => Some(JobRequest::Replay { topic, id }),
            Op::DeleteDead(topic, id) => Some(JobRequest::DeleteDead { topic, id }),
            Op::FreeIndex(topic, index) => Some(JobRequest::FreeIndex { topic, index }),
            Op::DeleteTopic(topic, force) => Some(JobRequest::DeleteTopic { topic, force }),
            Op::Set(topic, settings) => {
                Some(JobRequest::SetTopic { topic, settings: Box::new(settings) })
            }
            Op::Pause(topic, paused) => Some(JobRequest::PauseTopic { topic, paused }),
            Op::Schedule(number) => Some(script::some_schedule(number)),
            Op::Later(millis) => {
                world.later(millis);
                None
            }
            Op::Back(millis) => {
                world.now.utc -= millis;
                None
            }
            Op::BeginSnapshot => return world.begin_snapshot(),
            Op::Tell(slice) => return world.tell(slice),
            Op::Restart => return self.note(World::restart_in_time),
        };
        if let Some(request) = request {
            drop(self.world.ask(1, request));
        }
        self.note(World::turn);
    }

    fn note(&mut self, turn: impl FnOnce(&mut World) -> Vec<Effect>) {
        for effect in turn(&mut self.world) {
            if let Effect::Reserved(_, jobs) = effect {
                self.given.extend(jobs.iter().map(|job| job.reservation));
            }
        }
    }

    /// J14, as the topics count. Numbers without a topic are known as vacant.
    pub(super) fn count(&self) {
        let queue = &self.world.queue;
        let vacant = (0..).zip(&queue.topics).filter(|(_, topic)| topic.name.is_empty());
        assert!(vacant.map(|(number, _)| number).eq(queue.vacant.iter().copied()));
        assert_eq!(queue.names.len() + queue.vacant.len(), queue.topics.len());
        for topic in &queue.topics {
            let there = topic.ready_jobs() + topic.delayed + topic.reserved;
            assert_eq!(there, topic.jobs, "of {}", topic.name);
            let totals = topic.totals;
            let dead = topic.dead.len() as u64;
            let all = there + totals.done + dead + totals.evicted + totals.cancelled;
            assert_eq!(totals.pushed, all, "of {}", topic.name);
        }
    }
}

fn run(config: QueueConfig, ops: Vec<Op>) {
    let mut life = Life::new(config);
    for op in ops {
        life.step(op);
        life.count();
    }
    life.world.begin_snapshot();
    life.world.tell_all();
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn j2_what_is_read_back_is_what_there_is_at_tight_limits(ops in ops()) {
        run(tight(), ops);
    }

    #[test]
    fn j2_what_is_read_back_is_what_there_is_with_room(ops in ops()) {
        run(steady(), ops);
    }
}

/// Returns the records of a history: of its log and of a snapshot.
pub(crate) fn records_of(ops: Vec<Op>) -> [Vec<Vec<u8>>; 2] {
    let mut life = Life::new(steady());
    ops.into_iter().filter(|op| !matches!(op, Op::Restart)).for_each(|op| life.step(op));
    let mut batch = crate::journal::RecordBatch::new();
    life.world.queue.begin_snapshot();
    life.world.outcomes.begin_snapshot();
    while life.world.queue.write_snapshot(5, &mut batch) {}
    while life.world.outcomes.write_snapshot(5, &mut batch) {}
    [life.world.records, batch.payloads()]
}
