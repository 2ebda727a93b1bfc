//! Each end of a job is reported once, whenever the process ends, whatever is kept, and whatever the
//! clock shows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::queue::outcomes::TopicPage;
use crate::store::tests::cases;

fn reserved(config: QueueConfig, jobs: usize) -> World {
    let mut world = World::new(config);
    let push = PushRequest {
        options: PushOptions { retry_max: Some(0), ..PushOptions::default() },
        ..PushRequest::new("mail", "one")
    };
    world.ask(1, JobRequest::Push { jobs: vec![push; jobs], wait: Duration::ZERO });
    let reserve = ReserveRequest { credits: jobs as u32, ..ReserveRequest::new("mail") };
    world.ask(1, JobRequest::Reserve(reserve));
    world.turn();
    world
}

fn settle(world: &mut World, id: JobId, verdict: Verdict) {
    let settlement = Settlement { reservation: Reservation { id, epoch: 1 }, verdict };
    world.queue.settle(world.now, settlement).unwrap();
}

fn fail(world: &mut World, id: JobId) {
    settle(world, id, Verdict::Fail { error: "wrong".into() });
}

/// Returns the number of the newest outcome.
fn newest(world: &mut World) -> u64 {
    let topic = TopicPage { name: "mail".into(), known: true, limit: 100 };
    let sought = OutcomeQuery::Outcomes { topic, after: Some(u64::MAX) };
    match world.outcomes.query(world.now, ClientId::Process, sought, Duration::ZERO, &|_| true) {
        OutcomeLookup::Now(Err(QueueError::FutureOutcome { newest, .. })) => newest,
        other => panic!("{other:?}"),
    }
}

/// Regression: the second end in a millisecond was the newest known one, and the first was reported
/// again.
#[test]
fn j16_what_finished_in_one_millisecond_is_told_once() {
    let mut world = reserved(QueueConfig { outcomes_max: 1, ..steady() }, 2);
    fail(&mut world, 1);
    fail(&mut world, 2);
    world.turn();
    assert_eq!(newest(&mut world), 2);
    world.restart();
    assert_eq!(newest(&mut world), 2);
}

/// Regression: the end was earlier than the newest known one, because the clock had gone back, and was
/// never reported.
#[test]
fn j16_what_finished_by_a_clock_that_was_set_back_is_told() {
    let mut world = reserved(steady(), 2);
    world.later(10_000_000_000);
    fail(&mut world, 1);
    world.turn();
    world.now.utc -= 9_000_000_000;
    world.restart();
    world.ask(1, JobRequest::Cancel(JobRef::Id(2)));
    world.turn_of_the_queue();
    world.restart();
    assert_eq!(newest(&mut world), 2);
}

/// Regression: the result was recorded, reported and dropped; then the job ran again.
#[test]
fn j16_a_result_that_was_given_up_is_not_told_again() {
    let mut world = reserved(QueueConfig { outcomes_max: 1, ..steady() }, 2);
    settle(&mut world, 1, Verdict::Done { output: "out".into() });
    settle(&mut world, 2, Verdict::Done { output: "out".into() });
    world.turn();
    world.record_in_the_outcomes_alone();
    world.restart();
    let all = JobRequest::List { topic: "mail".into(), state: JobState::Ready, after: 0, limit: 9 };
    let QueueAnswer::Now(Ok(JobReply::Jobs(ready))) = world.ask(1, all) else { panic!("a page") };
    assert_eq!(ready.jobs, []);
    assert_eq!(newest(&mut world), 2);
}

/// Regression: the newest dead letter of a millisecond was dropped for an older one, because the slot
/// of another job was reused.
#[test]
fn j7_the_dead_letter_that_died_first_is_given_up_first() {
    let mut world = reserved(QueueConfig { dead_max: 2, ..steady() }, 3);
    for id in [3, 1, 2] {
        fail(&mut world, id);
    }
    world.turn();
    assert_eq!(dead(&mut world), [1, 2]);
}

#[test]
fn j7_a_clock_that_was_set_back_makes_no_dead_letter_older() {
    let config = QueueConfig { dead_max: 2, dead_age_max: ms(1_000), ..steady() };
    let mut world = reserved(config, 3);
    world.later(10_000_000_000);
    fail(&mut world, 3);
    world.turn();
    world.now.utc -= 9_000_000_000;
    world.restart();
    for (id, expected) in [(1, vec![1, 3]), (2, vec![1, 2])] {
        let reserve = ReserveRequest { credits: 1, ..ReserveRequest::new("mail") };
        world.ask(1, JobRequest::Reserve(reserve));
        world.turn();
        let reservation = Reservation { id, epoch: 2 };
        let verdict = Verdict::Fail { error: "wrong".into() };
        world.queue.settle(world.now, Settlement { reservation, verdict }).unwrap();
        world.turn();
        assert_eq!(dead(&mut world), expected);
    }
    world.later(1_000);
    world.turn();
    assert_eq!(dead(&mut world), Vec::<JobId>::new());
}

fn dead(world: &mut World) -> Vec<JobId> {
    let all = JobRequest::List { topic: "mail".into(), state: JobState::Dead, after: 0, limit: 9 };
    let QueueAnswer::Now(Ok(JobReply::Jobs(page))) = world.ask(1, all) else { panic!("a page") };
    page.jobs.iter().map(|job| job.id).collect()
}

/// An event between two turns, and where the process ends.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Cancel(JobId),
    Settle(JobId, bool),
    /// The queue and the outcomes end their turns.
    Turn,
    /// Results are recorded, and the queue learns of it.
    Recorded,
    /// The queue's turn ends, and the outcomes have not learned of it when a snapshot begins or the
    /// process ends.
    QueueAlone(bool),
    /// Results are recorded, and the queue has not learned of it when a snapshot begins or the process
    /// ends.
    OutcomesAlone(bool),
    Later(u64),
    /// The process ends, and starts with a clock that is this much ahead or behind.
    Restart(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || 1..12_u64;
    let step = prop_oneof![
        3 => Just(Step::Push),
        2 => ids().prop_map(Step::Cancel),
        6 => (ids(), any::<bool>()).prop_map(|(id, done)| Step::Settle(id, done)),
        3 => Just(Step::Turn),
        2 => Just(Step::Recorded),
        2 => any::<bool>().prop_map(Step::QueueAlone),
        2 => any::<bool>().prop_map(Step::OutcomesAlone),
        1 => (0..3_u64).prop_map(Step::Later),
        1 => prop_oneof![Just(0), Just(1), Just(-1), Just(9_000_000_000), Just(-9_000_000_000)]
            .prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

fn hand_out(world: &mut World) {
    world.ask(1, JobRequest::Reserve(ReserveRequest { credits: 9, ..ReserveRequest::new("mail") }));
    world.turn();
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Push => {
            let options = PushOptions { retry_max: Some(0), ..PushOptions::default() };
            let push = PushRequest { options, ..PushRequest::new("mail", "one") };
            world.ask(1, JobRequest::Push { jobs: vec![push], wait: Duration::ZERO });
            hand_out(world);
        }
        Step::Cancel(id) => drop(world.ask(1, JobRequest::Cancel(JobRef::Id(id)))),
        Step::Settle(id, done) => {
            let Some(slot) = world.queue.ids.get(id) else { return };
            let reservation = world.queue.job(slot).unwrap().reservation();
            let verdict = match done {
                true => Verdict::Done { output: "out".into() },
                false => Verdict::Fail { error: "wrong".into() },
            };
            let _ = world.queue.settle(world.now, Settlement { reservation, verdict });
        }
        Step::Turn => drop(world.turn()),
        Step::Recorded => drop(world.record(true)),
        Step::QueueAlone(snapshot) => {
            world.turn_of_the_queue();
            end(world, snapshot, 0);
        }
        Step::OutcomesAlone(snapshot) => {
            world.turn();
            world.record_in_the_outcomes_alone();
            end(world, snapshot, 0);
        }
        Step::Later(millis) => world.later(millis),
        Step::Restart(by) => {
            world.turn();
            end(world, false, by);
        }
    }
}

/// Ends the process; with `snapshot`, after a snapshot of the current state was written.
fn end(world: &mut World, snapshot: bool, by: i64) {
    if snapshot {
        world.begin_snapshot();
        world.tell_all();
    }
    world.now.utc = world.now.utc.saturating_add_signed(by).max(MORNING);
    world.restart();
    hand_out(world);
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn j16_each_finish_is_recorded_once_wherever_the_process_ends(
        steps in steps(),
        outcomes_max in 0..3_usize,
    ) {
        let config = QueueConfig { outcomes_max, resume_grace: Duration::ZERO, ..steady() };
        let mut world = World::new(config.clone());
        steps.into_iter().for_each(|step| take(&mut world, step));
        world.turn();
        world.record(true);
        let mut recorded = BTreeMap::<_, u32>::new();
        let mut finished = BTreeMap::<_, u32>::new();
        let (mut queue, mut outcomes) = (QueueState::new(config.clone(), 1), Outcomes::new(config));
        for record in &world.records {
            if QueueState::owns(record) {
                let before = finishes(&queue);
                queue.replay(record).unwrap();
                for (state, after) in finishes(&queue) {
                    *finished.entry(state).or_default() += after - before.get(state).unwrap_or(&0);
                }
            } else {
                let each = |of: Reservation, state| {
                    *recorded.entry((of.id, of.epoch, format!("{state:?}"))).or_default() += 1;
                };
                outcomes.replay(record, each).unwrap();
            }
        }
        prop_assert!(recorded.values().all(|times| *times == 1), "{recorded:?}");
        for state in ["Done", "Dead", "Cancelled"] {
            let told = recorded.keys().filter(|(_, _, of)| of == state).count() as u32;
            prop_assert_eq!(told, finished.get(state).copied().unwrap_or(0), "{}", state);
        }
    }
}

/// Returns how many jobs ever finished, and how.
fn finishes(queue: &QueueState) -> BTreeMap<&'static str, u32> {
    let mut finishes = BTreeMap::new();
    for totals in queue.topics.iter().map(|topic| topic.totals) {
        for (state, count) in
            [("Done", totals.done), ("Dead", totals.dead), ("Cancelled", totals.cancelled)]
        {
            *finishes.entry(state).or_default() += count as u32;
        }
    }
    finishes
}
