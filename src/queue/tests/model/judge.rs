//! Judges the actions of the queue in a turn.

use super::*;

impl Model {
    /// Ends a turn: asserts that the queue's actions were allowed and that nothing due is left.
    pub(in crate::queue::tests) fn turn(&mut self, effects: &[Effect]) {
        let late = |item: &&Item| item.at == At::Reserved && item.deadline <= self.steady;
        let ids: Vec<JobId> = self.items.iter().filter(late).map(|item| item.id).collect();
        ids.into_iter().for_each(|id| self.lose(id));
        let mut finished = Vec::new();
        let mut handed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reserved(park, jobs) => {
                    let requester = self.askers.remove(park).expect("it waits");
                    assert!(jobs.len() <= requester.credits);
                    assert!(!jobs.is_empty() || requester.deadline <= self.steady);
                    handed.extend(jobs.iter().map(|job| (requester.clone(), job.clone())));
                }
                Effect::Pushed(park, result) => {
                    let (jobs, deadline, _) = self.pushes.remove(park).expect("it waits");
                    match result {
                        Ok(pushed) => {
                            assert_eq!(self.push(&jobs), PushAnswer::Pushed(pushed.clone()));
                        }
                        Err(QueueError::Limit { .. }) => {
                            assert_eq!(self.push(&jobs), PushAnswer::Never);
                        }
                        Err(_) => assert!(deadline <= self.steady),
                    }
                }
                Effect::Record(info) | Effect::Note(info) | Effect::Cleared(info) => {
                    finished.push((info.id, info.state));
                }
                Effect::Refused(park, error) => {
                    assert_eq!(*error, QueueError::Stopping);
                    let waited =
                        self.askers.remove(park).is_some() || self.pushes.remove(park).is_some();
                    assert!(waited);
                }
                Effect::Revoked(..) => panic!("nobody asked"),
            }
        }
        // Each end is reported once.
        let mut expected = std::mem::take(&mut self.finished);
        expected.sort_unstable();
        finished.sort_unstable();
        assert_eq!(finished, expected);
        self.hand_out(handed);
        self.nothing_is_left();
    }

    fn hand_out(&mut self, mut handed: Vec<(Requester, ReservedJob)>) {
        handed.sort_by_key(|(_, job)| job.reservation.id);
        let ids: BTreeSet<JobId> = handed.iter().map(|(_, job)| job.reservation.id).collect();
        assert_eq!(ids.len(), handed.len(), "no job is handed out twice");
        for (_, job) in &handed {
            self.may_be_handed_out(job, &ids);
        }
        for (requester, job) in handed {
            let steady = self.steady;
            let resumable = self.resumes.get(&requester.owner).copied();
            let item = self.item(job.reservation.id).unwrap();
            item.epoch += 1;
            (item.resumable, item.first_visibility) = (resumable, requester.visibility);
            if let At::Due(due) = item.at {
                item.since = due;
            }
            (item.at, item.started, item.blocks) = (At::Reserved, true, false);
            (item.owner, item.visibility) = (requester.owner, requester.visibility);
            item.deadline = steady + requester.visibility;
            let topic = self.topics.get_mut(&requester.topic).unwrap();
            topic.starts.push(steady);
            self.keeps_to_limits(&requester.topic);
        }
    }

    /// J3, J10, J11, J12: asserts that a job may be handed out, along with the jobs `with`.
    fn may_be_handed_out(&self, job: &ReservedJob, with: &BTreeSet<JobId>) {
        let item = self.items.iter().find(|item| item.id == job.reservation.id).unwrap();
        assert!(item.ready(self.utc), "{item:?} is not ready");
        assert_eq!(job.reservation.epoch, item.epoch + 1);
        assert_eq!((job.failures, job.losses), (item.failures, item.losses));
        assert_eq!((&job.topic, &job.payload), (&item.push.topic, &item.push.payload));
        assert!(!self.topics[&job.topic].paused);
        let step = self.config().priority_step.as_millis() as u64;
        match &item.push.options.order_key {
            None => {
                // No job that ranks before it is left.
                let left = self.of_topic(&job.topic).filter(|other| {
                    other.ready(self.utc)
                        && other.push.options.order_key.is_none()
                        && !with.contains(&other.id)
                });
                left.for_each(|other| assert!(other.rank(step) >= item.rank(step), "{other:?}"));
            }
            Some(_) => {
                let before = self.of_key(item).filter(|other| {
                    other.id < item.id && other.ready(self.utc) && !with.contains(&other.id)
                });
                let At::Due(since) = item.at else { panic!() };
                for other in before.filter(|other| !other.started && !item.started) {
                    let At::Due(ready) = other.at else { panic!() };
                    assert!(ready >= since, "{item:?} before {other:?}");
                }
            }
        }
    }

    fn of_key<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = &'a Item> {
        let key = item.push.options.order_key.clone();
        self.of_topic(&item.push.topic).filter(move |other| other.push.options.order_key == key)
    }

    /// J12, J13.
    fn keeps_to_limits(&self, name: &Blob) {
        let Named { settings, starts, .. } = &self.topics[name];
        let reserved = self.of_topic(name).filter(|it| it.state(self.utc) == JobState::Reserved);
        let reserved: Vec<&Item> = reserved.collect();
        assert!(settings.concurrency.is_none_or(|max| reserved.len() <= max as usize));
        for item in reserved.iter().filter(|item| item.push.options.order_key.is_some()) {
            let taken = self.of_key(item).filter(|it| self.takes_place(it)).count();
            assert!(taken <= settings.order_limit.unwrap_or(1) as usize, "{item:?}");
        }
        let Some(rate) = settings.rate else { return };
        for (at, from) in starts.iter().enumerate() {
            let passed = u128::from(self.steady - from);
            let more = passed * u128::from(rate.jobs) / rate.per.as_micros();
            assert!((starts.len() - at) as u128 <= u128::from(rate.burst) + more, "{starts:?}");
        }
    }

    /// Returns whether the job holds one of the slots of its order key.
    fn takes_place(&self, item: &Item) -> bool {
        match item.at {
            At::Reserved | At::Recording => true,
            At::Due(_) => item.started && item.blocks,
            _ => false,
        }
    }

    /// Asserts that no reserve waits beside a job that it could get, and no push beside capacity for
    /// it.
    fn nothing_is_left(&mut self) {
        let steady = self.steady;
        assert!(self.askers.values().all(|requester| requester.deadline > steady));
        for requester in self.askers.values() {
            let Named { settings, paused, .. } = &self.topics[&requester.topic];
            let reserved = self
                .of_topic(&requester.topic)
                .filter(|item| item.state(self.utc) == JobState::Reserved)
                .count();
            let busy = settings.concurrency.is_some_and(|max| reserved >= max as usize);
            if *paused || busy || settings.rate.is_some() {
                continue;
            }
            for item in self.of_topic(&requester.topic).filter(|item| item.ready(self.utc)) {
                let limit = settings.order_limit.unwrap_or(1) as usize;
                let taken = self.of_key(item).filter(|it| self.takes_place(it)).count();
                let keyed = item.push.options.order_key.is_some();
                assert!(keyed && taken >= limit && !self.takes_place(item), "{item:?} is left");
            }
        }
        if let Some((jobs, deadline, _)) = self.pushes.values().next().cloned() {
            assert!(deadline > steady);
            let before = self.items.len();
            assert_eq!(self.push(&jobs), PushAnswer::Full, "a push that fits was not let in");
            assert_eq!(self.items.len(), before);
        }
    }
}
