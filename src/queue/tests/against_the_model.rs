//! Random requests: the queue's answers are those of the model, and its actions are allowed by it.

use proptest::prelude::*;

use super::model::{At, Model, PushAnswer};
use super::strategy::ops;
use super::*;
use crate::store::tests::cases;

/// Capacity is scarce, nothing else; no order key changes the number of its jobs that may run.
fn scarce() -> QueueConfig {
    QueueConfig { jobs_max: 14, topic_jobs_max: 10, topic_bytes_max: 40, ..steady() }
}

struct Pair {
    world: World,
    model: Model,
    given: Vec<Reservation>,
}

impl Pair {
    fn new(config: QueueConfig) -> Self {
        let world = World::new(config.clone());
        let model = Model::new(config, world.now);
        let mut pair = Self { world, model, given: Vec::new() };
        for topic in ["a", "b"] {
            pair.step(Op::Set(topic.into(), TopicSettings::default()));
        }
        pair
    }

    fn picked(&self, pick: usize, newest: bool) -> Reservation {
        let last = if newest { 5.min(self.given.len()) } else { self.given.len() };
        let place = self.given.len() - last + pick % last.max(1);
        self.given.get(place).copied().unwrap_or(Reservation { id: 1, epoch: 1 })
    }

    fn step(&mut self, op: Op) {
        self.model.time(self.world.now);
        match op {
            Op::Push { owner, jobs, wait } => self.push(owner, jobs, wait),
            Op::Reserve { owner, topic, credits, wait, visibility } => {
                let (wait, visibility) = (Some(ms(wait)), Some(ms(visibility)));
                let request = ReserveRequest { topic, credits, wait, visibility };
                match self.world.ask(owner, JobRequest::Reserve(request.clone())) {
                    QueueAnswer::Parked(park) => self.model.park_reserve(park, owner, &request),
                    other => panic!("{other:?}"),
                }
            }
            Op::Settle { pick, newest, verdict } => {
                let reservation = self.picked(pick, newest);
                let taken = self.model.settle(reservation, &verdict);
                let settlement = Settlement { reservation, verdict };
                match self.world.queue.settle(self.world.now, settlement) {
                    Ok(_) => assert!(taken, "{reservation:?} is stale"),
                    Err(error) => assert!(!taken && error == QueueError::Stale(reservation)),
                }
            }
            Op::Touch { pick, visibility } => {
                let reservation = self.picked(pick, true);
                let taken = self.model.touch(reservation, visibility);
                let (reservations, visibility) = (vec![reservation], visibility.map(ms));
                let touch = JobRequest::Touch { reservations, visibility };
                let QueueAnswer::Now(Ok(JobReply::Settled(answers))) = self.world.ask(1, touch)
                else {
                    panic!()
                };
                assert_eq!(answers[0].is_none(), taken);
            }
            Op::Recorded(recorded) => return self.recorded(recorded),
            Op::Undeliver { pick } => {
                let reservation = self.picked(pick, true);
                self.model.undeliver(reservation);
                self.world.queue.undeliver(self.world.now, [reservation]);
            }
            Op::Gone { owner, may_return } => {
                drop(self.world.queue.owner_gone(self.world.now, owner, may_return));
                self.model.gone(owner, may_return);
            }
            Op::Resume { owner, user, picks, granted } => {
                let picked: Vec<_> = picks.iter().map(|pick| self.picked(*pick, true)).collect();
                let denied = (!granted).then_some("b");
                let resumed = self.world.resume(owner, user, &picked, denied);
                assert_eq!(resumed, self.model.resume(owner, user, &picked, denied));
            }
            Op::Later(millis) => {
                self.world.later(millis);
                self.model.time(self.world.now);
            }
            Op::Back(millis) => self.world.now.utc -= millis,
            Op::BeginSnapshot => return self.world.begin_snapshot(),
            Op::Tell(slice) => return self.world.tell(slice),
            Op::Restart => {
                self.model.restart();
                let effects = self.world.restart_in_time();
                self.model.time(self.world.now);
                self.take_visibilities();
                return self.note(&effects);
            }
            Op::Progress { .. } | Op::Schedule(_) => return,
            other => self.manage(other),
        }
        let effects = self.world.turn();
        self.note(&effects);
    }

    /// Reads back the visibility timeouts: a restart finds the one of the hand-out or, from a snapshot,
    /// the one of the last touch.
    fn take_visibilities(&mut self) {
        let queue = &self.world.queue;
        for item in &mut self.model.items {
            let job = queue.ids.get(item.id).and_then(|slot| queue.job(slot));
            if let (At::Reserved, Some(job)) = (item.at, job) {
                item.restarted_with(
                    job.visibility,
                    self.world.now.steady,
                    queue.config.resume_grace,
                );
            }
        }
    }

    fn manage(&mut self, op: Op) {
        match op {
            Op::Cancel(id) => self.cancel(JobRef::Id(id)),
            Op::CancelIndex(topic, index) => self.cancel(JobRef::Index { topic, index }),
            Op::Clear(topic) => {
                let ids = self.model.waiting(&topic);
                ids.iter().for_each(|id| assert!(self.model.cancel(*id)));
                let mut count = 0;
                loop {
                    let clear = JobRequest::ClearTopic(topic.clone());
                    match self.world.ask(1, clear) {
                        QueueAnswer::Now(Ok(JobReply::Changed { count: some, more })) => {
                            count += some;
                            if !more {
                                break;
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(count, ids.len() as u64);
            }
            Op::Replay(topic, id) => {
                let count = self.model.replay(&topic, id);
                match self.world.ask(1, JobRequest::Replay { topic, id }) {
                    QueueAnswer::Now(Ok(JobReply::Changed { count: some, .. })) => {
                        assert_eq!(some, count);
                    }
                    QueueAnswer::Now(Err(QueueError::NotDead { .. })) => assert_eq!(count, 0),
                    other => panic!("{other:?}"),
                }
            }
            Op::DeleteDead(topic, id) => {
                let count = self.model.delete_dead(&topic, id);
                match self.world.ask(1, JobRequest::DeleteDead { topic, id }) {
                    QueueAnswer::Now(Ok(JobReply::Changed { count: some, more: false })) => {
                        assert_eq!(some, count);
                    }
                    QueueAnswer::Now(Err(QueueError::NotDead { .. })) => assert_eq!(count, 0),
                    other => panic!("{other:?}"),
                }
            }
            Op::FreeIndex(topic, index) => {
                let freed = self.model.free_index(&topic, &index);
                match self.world.ask(1, JobRequest::FreeIndex { topic, index }) {
                    QueueAnswer::Now(Ok(JobReply::Changed { count, more: false })) => {
                        assert_eq!(freed, Some(count == 1));
                    }
                    QueueAnswer::Now(Err(QueueError::JobUnfinished(_))) => assert_eq!(freed, None),
                    other => panic!("{other:?}"),
                }
            }
            Op::DeleteTopic(topic, force) => self.delete_topic(topic, force),
            Op::Set(topic, settings) => {
                // Jobs with a slot keep it, whatever the limit becomes.
                let order_limit = if &*topic == b"a" { None } else { Some(2) };
                let settings = TopicSettings { order_limit, ..settings };
                self.model.set(&topic, settings.clone());
                drop(
                    self.world.ask(1, JobRequest::SetTopic { topic, settings: Box::new(settings) }),
                );
            }
            Op::Pause(topic, paused) => {
                self.model.pause(&topic, paused);
                drop(self.world.ask(1, JobRequest::PauseTopic { topic, paused }));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Deletes a topic and creates it again at once, empty.
    fn delete_topic(&mut self, topic: Blob, force: bool) {
        let (waiting, dead) = (self.model.waiting(&topic), self.model.dead(&topic, None));
        let has_something = !waiting.is_empty() || !dead.is_empty();
        let topics = self.world.queue.topics.len();
        match self.world.ask(1, JobRequest::DeleteTopic { topic: topic.clone(), force }) {
            QueueAnswer::Now(Err(QueueError::TopicInUse { .. })) => {
                assert!(self.model.is_used(&topic) || has_something && !force);
            }
            QueueAnswer::Now(Ok(JobReply::Changed { count, more: false })) => {
                assert!(force || !has_something, "{waiting:?} and {dead:?} are gone");
                assert_eq!(count, (waiting.len() + dead.len()) as u64);
                waiting.iter().for_each(|id| assert!(self.model.cancel(*id)));
                self.model.delete_topic(&topic);
                assert!(!self.world.queue.names.contains_key(&topic));
                self.manage(Op::Set(topic, TopicSettings::default()));
                assert_eq!(self.world.queue.topics.len(), topics, "its number is reused");
            }
            other => panic!("{other:?}"),
        }
    }

    fn push(&mut self, owner: u64, jobs: Vec<PushRequest>, wait: u64) {
        let others_wait = self.model.pushes_wait();
        let answer = self.world.ask(owner, JobRequest::Push { jobs: jobs.clone(), wait: ms(wait) });
        match answer {
            QueueAnswer::Now(Ok(JobReply::Pushed(pushed))) => {
                assert_eq!(self.model.push(&jobs), PushAnswer::Pushed(pushed));
            }
            QueueAnswer::Now(Err(QueueError::Full { .. })) => {
                assert_eq!((wait, self.model.push(&jobs)), (0, PushAnswer::Full));
            }
            QueueAnswer::Now(Err(QueueError::Limit { .. })) => {
                assert_eq!(self.model.push(&jobs), PushAnswer::Never);
            }
            QueueAnswer::Parked(park) => {
                // Behind others, it waits whether it fits or not.
                if !others_wait {
                    assert_eq!(self.model.push(&jobs), PushAnswer::Full);
                }
                self.model.park_push(park, jobs, wait, owner);
            }
            other => panic!("{other:?}"),
        }
    }

    fn recorded(&mut self, recorded: bool) {
        let ids: Vec<JobId> = self.world.to_record.iter().map(|info| info.id).collect();
        self.model.recorded(&ids, recorded);
        let effects = self.world.record(recorded);
        self.note(&effects);
    }

    fn cancel(&mut self, job: JobRef) {
        match self.world.ask(1, JobRequest::Cancel(job)) {
            QueueAnswer::Now(Ok(JobReply::Job(info))) => {
                assert_eq!(info.state, JobState::Cancelled);
                assert!(self.model.cancel(info.id));
            }
            QueueAnswer::Now(Err(QueueError::JobFinished(id))) => assert!(!self.model.cancel(id)),
            QueueAnswer::Ask(OutcomeQuery::Job { job: JobRef::Id(id), .. }) => {
                assert!(!self.model.cancel(id))
            }
            QueueAnswer::Ask(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn note(&mut self, effects: &[Effect]) {
        self.model.turn(effects);
        for effect in effects {
            if let Effect::Reserved(_, jobs) = effect {
                self.given.extend(jobs.iter().map(|job| job.reservation));
            }
        }
        self.compare();
    }

    /// Checks that each unused topic is found without examining the others.
    fn compare_idle(&self) {
        let queue = &self.world.queue;
        let topics = 0..queue.topics.len() as u32;
        let forgettable: Vec<u32> = topics.filter(|topic| queue.is_forgettable(*topic)).collect();
        let is_idle =
            |topic: &u32| queue.idle.contains(&(queue.topics[*topic as usize].creator, *topic));
        assert!(forgettable.iter().all(is_idle), "{forgettable:?}");
    }

    /// J14: every job is in the place that the model has it in, and is counted there.
    fn compare(&mut self) {
        self.compare_idle();
        let mut counts: std::collections::BTreeMap<(Blob, JobState), u64> = Default::default();
        for item in &self.model.items {
            let slot = self.world.queue.ids.get(item.id);
            if item.gone {
                assert!(slot.is_none(), "{item:?}");
                continue;
            }
            *counts.entry((item.push.topic.clone(), self.model.state_of(item.id))).or_default() +=
                1;
            let live = slot.and_then(|slot| self.world.queue.job(slot));
            match (item.at, live) {
                (At::Finished(JobState::Done | JobState::Cancelled, _), None) => {}
                (_, Some(job)) => {
                    assert_eq!(job.state(), self.model.state_of(item.id), "job {}", job.id);
                    assert_eq!(
                        (job.epoch, job.failures, job.losses),
                        (item.epoch, item.failures, item.losses)
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        for topic in ["a", "b"].map(Blob::from) {
            let info = self.world.ask(1, JobRequest::Topic(topic.clone()));
            let QueueAnswer::Now(Ok(JobReply::Topic(info))) = info else { continue };
            let count = |state| counts.get(&(topic.clone(), state)).copied().unwrap_or(0);
            let all =
                counts.iter().filter(|((of, _), _)| *of == topic).map(|(_, it)| it).sum::<u64>();
            assert_eq!(info.pushed_total, all + info.evicted_total);
            assert_eq!(info.ready, count(JobState::Ready));
            assert_eq!(info.delayed, count(JobState::Delayed));
            assert_eq!(info.reserved, count(JobState::Reserved));
            assert_eq!(info.done_total, count(JobState::Done));
            assert_eq!(info.dead, count(JobState::Dead));
            assert_eq!(info.cancelled_total, count(JobState::Cancelled));
            let gone = self.model.items.iter().filter(|item| item.gone && item.push.topic == topic);
            assert_eq!(info.evicted_total, gone.count() as u64);
        }
    }
}

fn run(config: QueueConfig, ops: Vec<Op>) {
    let mut pair = Pair::new(config);
    ops.into_iter().for_each(|op| pair.step(op));
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn j_the_queue_is_as_the_model_at_tight_limits(ops in ops()) {
        run(scarce(), ops);
    }

    #[test]
    fn j_the_queue_is_as_the_model_with_room(ops in ops()) {
        run(steady(), ops);
    }
}
