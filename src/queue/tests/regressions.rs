//! Regressions.

use expect_test::expect;

use super::script::{check, check_with};
use super::*;

/// The journal does not record when the job was woken, so its position was lost.
#[test]
fn a_job_that_was_delayed_comes_back_to_where_it_stood_after_a_restart() {
    check(
        "
        push mail first delay=10
        later 50
        push mail second
        reserve mail
        release 1/1
        later 100
        push mail third priority=9
        snapshot
        restart
        reserve mail
        ",
        expect![[r#"
            > push mail first delay=10
              1 Delayed
            > later 50
            > push mail second
              2 Ready
            > reserve mail
              gets 1/1 first
            > release 1/1
            > later 100
            > push mail third priority=9
              3 Ready
            > snapshot
            > restart
            > reserve mail
              gets 3/1 third
        "#]],
    );
}

/// A dead letter came back to life and was counted nowhere.
#[test]
fn what_was_not_delivered_is_given_back_only_if_it_is_still_held() {
    check(
        "
        push mail one losses=0
        reserve mail visibility=10
        later 10
        undeliver 1/1
        get 1
        reserve mail
        topic mail
        ",
        expect![[r#"
            > push mail one losses=0
              1 Ready
            > reserve mail visibility=10
              gets 1/1 one
            > later 10
              note of 1 Dead, epoch 1, 0 failures, 1 losses, errors ["lost 1 times, at last: it was not touched within its visibility timeout"]
            > undeliver 1/1
            > get 1
              1 Dead, epoch 1, 0 failures, 1 losses, payload one, errors ["lost 1 times, at last: it was not touched within its visibility timeout"]
            > reserve mail
              no job
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
        "#]],
    );
}

/// Its end was reported on replay and again in the first turn.
#[test]
fn who_dies_of_a_crash_is_told_once() {
    check(
        "
        push mail one losses=0
        reserve mail
        restart
        outcomes mail after=0
        topic mail
        ",
        expect![[r#"
            > push mail one losses=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > restart
              note of 1 Dead, epoch 1, 0 failures, 1 losses, errors ["lost 1 times, at last: the server ended while it ran"]
            > outcomes mail after=0
              [1 Dead, epoch 1, 0 failures, 1 losses, outcome 1, errors ["lost 1 times, at last: the server ended while it ran"]] after 1
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
        "#]],
    );
}

/// The index became free when the time after the job's death had passed.
#[test]
fn the_index_of_a_replayed_job_is_its_own_until_it_is_finished() {
    check(
        "
        push mail one index=i unique=100 retries=0
        reserve mail
        fail 1/1 wrong
        replay mail
        later 100
        push mail other index=i
        snapshot
        restart
        push mail other index=i
        ",
        expect![[r#"
            > push mail one index=i unique=100 retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > fail 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > replay mail
              1 changed
            > later 100
            > push mail other index=i
              1 Ready already
            > snapshot
            > restart
            > push mail other index=i
              1 Ready already
        "#]],
    );
}

/// The index reported the state Done.
#[test]
fn the_index_of_a_cancelled_job_says_that_it_was_cancelled() {
    check(
        "
        push mail one index=i unique=100
        cancel 1
        push mail other index=i
        snapshot
        restart
        push mail other index=i
        ",
        expect![[r#"
            > push mail one index=i unique=100
              1 Ready
            > cancel 1
              1 Cancelled, epoch 0
              note of 1 Cancelled, epoch 0
            > push mail other index=i
              2 Ready
            > snapshot
            > restart
            > push mail other index=i
              2 Ready already
        "#]],
    );
}

/// The snapshot assigned the index of a cancelled job to the job before it.
#[test]
fn an_index_names_the_same_job_after_a_snapshot() {
    check(
        "
        push mail one index=i unique=waiting
        reserve mail
        push mail two index=i unique=waiting
        cancel 2
        get mail i
        snapshot
        restart
        get mail i
        ",
        expect![[r#"
            > push mail one index=i unique=waiting
              1 Ready
            > reserve mail
              gets 1/1 one
            > push mail two index=i unique=waiting
              2 Ready
            > cancel 2
              2 Cancelled, epoch 0
              note of 2 Cancelled, epoch 0
            > get mail i
              2 Cancelled, epoch 0, outcome 1
            > snapshot
            > restart
            > get mail i
              2 Cancelled, epoch 0, outcome 1
        "#]],
    );
}

/// The push waited for capacity that could not become free.
#[test]
fn what_never_fits_in_the_queue_is_refused_at_once() {
    check_with(
        QueueConfig { jobs_max: 2, ..steady() },
        "
        push mail one times=3 wait=1000
        ",
        expect![[r#"
            > push mail one times=3 wait=1000
              that many never fit in the queue: the limit queue.jobs_max is 2; nothing was changed
        "#]],
    );
}

/// Small pushes overtook large ones for ever.
#[test]
fn a_later_push_waits_behind_those_that_wait() {
    check(
        "
        set mail jobs=2
        push mail one times=2
        push mail two times=2 wait=1000
        reserve mail credits=2
        done 1/1
        push mail small wait=1000
        done 2/1
        topic mail
        ",
        expect![[r#"
            > set mail jobs=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=2
              1 Ready, 2 Ready
            > push mail two times=2 wait=1000
            > reserve mail credits=2
              gets 1/1 one, 2/1 one
            > done 1/1
              result of 1 Done, epoch 1, output 
            > push mail small wait=1000
            > done 2/1
              result of 2 Done, epoch 1, output 
              let in: 3 Ready, 4 Ready
            > topic mail
              pushed 4 = ready 2 + delayed 0 + reserved 0 + done 2 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// When `queue.parked_max` requests waited, no one else could be served.
#[test]
fn whoever_does_not_wait_is_served_however_many_wait() {
    let config = QueueConfig { parked_max: 1, ..steady() };
    check_with(
        config,
        "
        reserve mail wait=100
        push post one
        reserve post wait=100
        reserve post
        ",
        expect![[r#"
            > reserve mail wait=100
            > push post one
              1 Ready
            > reserve post wait=100
              too many requests wait already: the limit queue.parked_max is 1; nothing was changed
            > reserve post
              gets 1/1 one
        "#]],
    );
}

/// Its payload could not be found by its index.
#[test]
fn the_index_of_a_dead_letter_names_it_as_long_as_it_is_kept() {
    check_with(
        QueueConfig { dead_max: 1, ..steady() },
        "
        push mail first index=i retries=0
        reserve mail
        fail 1/1 wrong
        get mail i
        push mail second index=j retries=0 unique=50
        snapshot
        restart
        get mail i
        reserve mail
        fail 2/1 wrong
        get mail i
        get mail j
        later 60
        push mail third index=j
        get mail j
        cancel 3
        replay mail id=2
        get mail j
        ",
        expect![[r#"
            > push mail first index=i retries=0
              1 Ready
            > reserve mail
              gets 1/1 first
            > fail 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > get mail i
              1 Dead, epoch 1, 1 failures, 0 losses, payload first, errors ["wrong"]
            > push mail second index=j retries=0 unique=50
              2 Ready
            > snapshot
            > restart
            > get mail i
              1 Dead, epoch 1, 1 failures, 0 losses, payload first, errors ["wrong"]
            > reserve mail
              gets 2/1 second
            > fail 2/1 wrong
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > get mail i
              1 Dead, epoch 1, 1 failures, 0 losses, outcome 1, errors ["wrong"]
            > get mail j
              2 Dead, epoch 1, 1 failures, 0 losses, payload second, errors ["wrong"]
            > later 60
            > push mail third index=j
              3 Ready
            > get mail j
              3 Ready, epoch 0, payload third
            > cancel 3
              3 Cancelled, epoch 0
              note of 3 Cancelled, epoch 0
            > replay mail id=2
              1 changed
            > get mail j
              2 Ready, epoch 1, payload second, errors ["wrong"]
        "#]],
    );
}

/// The job was cancelled and that was never reported, because the power failed in between.
#[test]
fn what_was_cancelled_is_told_after_a_crash() {
    let mut world = World::new(steady());
    let jobs = vec![PushRequest::new("mail", "one"), PushRequest::new("mail", "two")];
    world.ask(1, JobRequest::Push { jobs, wait: Duration::ZERO });
    world.turn();
    world.ask(1, JobRequest::Cancel(JobRef::Id(1)));
    world.turn();
    world.ask(1, JobRequest::Cancel(JobRef::Id(2)));
    world.turn_of_the_queue();
    world.restart();
    let states = [1, 2].map(|id| {
        let sought = OutcomeQuery::Job { job: JobRef::Id(id), to_cancel: false };
        match world.outcomes.query(world.now, ClientId::Process, sought, Duration::ZERO, &|_| true)
        {
            OutcomeLookup::Now(Ok(JobReply::Job(info))) => (info.state, info.outcome),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(states, [(JobState::Cancelled, Some(1)), (JobState::Cancelled, Some(2))]);
}

/// A dead letter that was created at the start evicted the result of a job, which then ran again.
#[test]
fn a_result_is_looked_for_before_it_is_given_up_for_age() {
    let mut world = World::new(QueueConfig { outcomes_age_max: ms(100), ..steady() });
    let jobs = vec![PushRequest::new("mail", "one"), PushRequest::new("mail", "two")];
    world.ask(1, JobRequest::Push { jobs, wait: Duration::ZERO });
    let reserve = ReserveRequest { credits: 2, ..ReserveRequest::new("mail") };
    world.ask(1, JobRequest::Reserve(reserve));
    world.turn();
    let settle = |id, verdict| Settlement { reservation: Reservation { id, epoch: 1 }, verdict };
    world.queue.settle(world.now, settle(1, Verdict::Done { output: "out".into() })).unwrap();
    world.turn();
    world.record_in_the_outcomes_alone();
    world.later(60);
    world.queue.settle(world.now, settle(2, Verdict::Fail { error: "wrong".into() })).unwrap();
    world.turn_of_the_queue();
    world.later(60);
    world.restart();
    let all = JobRequest::List { topic: "mail".into(), state: JobState::Ready, after: 0, limit: 9 };
    let QueueAnswer::Now(Ok(JobReply::Jobs(ready))) = world.ask(1, all) else { panic!("a page") };
    assert_eq!(ready.jobs, []);
}
