//! One topic takes nothing from another that has no more than its share: outcomes, dead letters,
//! indexes of finished jobs.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::script::{check, check_with};
use super::*;

/// Regression: each cleared job took the place of a result of any topic.
#[test]
fn j16_clearing_a_topic_costs_no_other_its_outcomes() {
    check_with(
        QueueConfig { outcomes_max: 2, ..steady() },
        "
        push post one
        reserve post
        done 1/1 sent
        push mail two times=9
        clear mail
        get 1
        outcomes post after=0
        outcomes mail after=0
        get 2
        topic mail
        ",
        expect![[r#"
            > push post one
              1 Ready
            > reserve post
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > push mail two times=9
              2 Ready, 3 Ready, 4 Ready, 5 Ready, 6 Ready, 7 Ready, 8 Ready, 9 Ready, 10 Ready
            > clear mail
              9 changed
              cleared 2
              cleared 3
              cleared 4
              cleared 5
              cleared 6
              cleared 7
              cleared 8
              cleared 9
              cleared 10
            > get 1
              1 Done, epoch 1, output sent, outcome 1
            > outcomes post after=0
              [1 Done, epoch 1, output sent, outcome 1] after 1
            > outcomes mail after=0
              [] after 0
            > get 2
              no job is known by the id 2; it was never pushed, or its outcome is no longer kept
            > topic mail
              pushed 9 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 9
        "#]],
    );
}

#[test]
fn j15_whoever_waits_for_a_job_that_is_cleared_is_told() {
    check(
        "
        push mail one
        push mail two delay=50
        await 1 wait=1000
        await 2 wait=1000
        clear mail
        clear mail
        await 1
        snapshot
        restart
        get 2
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > push mail two delay=50
              2 Delayed
            > await 1 wait=1000
              waits as #1
            > await 2 wait=1000
              waits as #2
            > clear mail
              2 changed
              cleared 1
              cleared 2
              #1 1 Cancelled, epoch 0
              #2 2 Cancelled, epoch 0
            > clear mail
              0 changed
            > await 1
              no job is known by the id 1; it was never pushed, or its outcome is no longer kept
            > snapshot
            > restart
            > get 2
              no job is known by the id 2; it was never pushed, or its outcome is no longer kept
        "#]],
    );
}

#[test]
fn j16_a_topic_gives_up_its_own_outcomes() {
    check_with(
        QueueConfig { outcomes_max: 4, ..steady() },
        "
        push post one
        push mail two times=6
        reserve post
        reserve mail credits=6
        done 1/1 post
        done 2/1
        done 3/1
        done 4/1
        done 5/1
        done 6/1
        outcomes post after=0
        outcomes mail after=0
        outcomes mail after=3
        snapshot
        restart
        outcomes post after=0
        outcomes mail after=0
        outcomes mail after=3
        ",
        expect![[r#"
            > push post one
              1 Ready
            > push mail two times=6
              2 Ready, 3 Ready, 4 Ready, 5 Ready, 6 Ready, 7 Ready
            > reserve post
              gets 1/1 one
            > reserve mail credits=6
              gets 2/1 two, 3/1 two, 4/1 two, 5/1 two, 6/1 two, 7/1 two
            > done 1/1 post
              result of 1 Done, epoch 1, output post
            > done 2/1
              result of 2 Done, epoch 1, output 
            > done 3/1
              result of 3 Done, epoch 1, output 
            > done 4/1
              result of 4 Done, epoch 1, output 
            > done 5/1
              result of 5 Done, epoch 1, output 
            > done 6/1
              result of 6 Done, epoch 1, output 
            > outcomes post after=0
              [1 Done, epoch 1, output post, outcome 1] after 1
            > outcomes mail after=0
              outcomes before number 4 are no longer kept; go on after 3
            > outcomes mail after=3
              [4 Done, epoch 1, output , outcome 4; 5 Done, epoch 1, output , outcome 5; 6 Done, epoch 1, output , outcome 6] after 6
            > snapshot
            > restart
            > outcomes post after=0
              [1 Done, epoch 1, output post, outcome 1] after 1
            > outcomes mail after=0
              outcomes before number 4 are no longer kept; go on after 3
            > outcomes mail after=3
              [4 Done, epoch 1, output , outcome 4; 5 Done, epoch 1, output , outcome 5; 6 Done, epoch 1, output , outcome 6] after 6
        "#]],
    );
}

#[test]
fn j16_and_no_more_of_a_topic_are_kept_than_it_may_have() {
    check_with(
        QueueConfig { topic_outcomes_max: 1, ..steady() },
        "
        push post one
        push mail two times=2
        reserve post
        reserve mail credits=2
        done 1/1 post
        done 2/1
        done 3/1
        outcomes post after=0
        outcomes mail after=0
        outcomes mail after=2
        ",
        expect![[r#"
            > push post one
              1 Ready
            > push mail two times=2
              2 Ready, 3 Ready
            > reserve post
              gets 1/1 one
            > reserve mail credits=2
              gets 2/1 two, 3/1 two
            > done 1/1 post
              result of 1 Done, epoch 1, output post
            > done 2/1
              result of 2 Done, epoch 1, output 
            > done 3/1
              result of 3 Done, epoch 1, output 
            > outcomes post after=0
              [1 Done, epoch 1, output post, outcome 1] after 1
            > outcomes mail after=0
              outcomes before number 3 are no longer kept; go on after 2
            > outcomes mail after=2
              [3 Done, epoch 1, output , outcome 3] after 3
        "#]],
    );
}

#[test]
fn j7_a_topic_gives_up_its_own_dead_letters() {
    for limits in
        [QueueConfig { dead_max: 3, ..steady() }, QueueConfig { topic_dead_max: 2, ..steady() }]
    {
        check_with(
            limits,
            "
            push post one
            push mail two times=4
            reserve post
            reserve mail credits=4
            fail 1/1 wrong
            fail 2/1 wrong
            fail 3/1 wrong
            fail 4/1 wrong
            fail 5/1 wrong
            topic post
            topic mail
            replay mail id=3
            replay mail id=4
            replay post id=1
            ",
            expect![[r#"
                > push post one
                  1 Ready
                > push mail two times=4
                  2 Ready, 3 Ready, 4 Ready, 5 Ready
                > reserve post
                  gets 1/1 one
                > reserve mail credits=4
                  gets 2/1 two, 3/1 two, 4/1 two, 5/1 two
                > fail 1/1 wrong
                  note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
                > fail 2/1 wrong
                  note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
                > fail 3/1 wrong
                  note of 3 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
                > fail 4/1 wrong
                  note of 4 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
                > fail 5/1 wrong
                  note of 5 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
                > topic post
                  pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
                > topic mail
                  pushed 4 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 2 + evicted 2 + cancelled 0
                > replay mail id=3
                  topic mail has no dead letter with the id 3; `job dead` lists those it has
                > replay mail id=4
                  1 changed
                > replay post id=1
                  1 changed
            "#]],
        );
    }
}

#[test]
fn j8_a_topic_gives_up_its_own_indexes() {
    for limits in [
        QueueConfig { finished_indexes_max: 2, ..steady() },
        QueueConfig { topic_finished_indexes_max: 1, ..steady() },
    ] {
        check_with(
            limits,
            "
            push post one index=i unique=500
            push mail two index=i unique=9000
            push mail two index=j unique=8000
            push mail two index=k unique=7000
            reserve post
            reserve mail credits=3
            done 1/1
            done 2/1
            done 3/1
            done 4/1
            snapshot
            restart
            push post again index=i
            push mail again index=i
            push mail again index=j
            push mail again index=k
            ",
            expect![[r#"
                > push post one index=i unique=500
                  1 Ready
                > push mail two index=i unique=9000
                  2 Ready
                > push mail two index=j unique=8000
                  3 Ready
                > push mail two index=k unique=7000
                  4 Ready
                > reserve post
                  gets 1/1 one
                > reserve mail credits=3
                  gets 2/1 two, 3/1 two, 4/1 two
                > done 1/1
                  result of 1 Done, epoch 1, output 
                > done 2/1
                  result of 2 Done, epoch 1, output 
                > done 3/1
                  result of 3 Done, epoch 1, output 
                > done 4/1
                  result of 4 Done, epoch 1, output 
                > snapshot
                > restart
                > push post again index=i
                  1 Done already
                > push mail again index=i
                  2 Done already
                > push mail again index=j
                  5 Ready
                > push mail again index=k
                  6 Ready
            "#]],
        );
    }
}

fn finished(topic: u8, id: u64, bytes: usize) -> Box<JobInfo> {
    let mut info = JobInfo::new(id, vec![topic], JobState::Done);
    (info.finished, info.output) = (Some(MORNING), Some("x".repeat(bytes).into()));
    Box::new(info)
}

proptest! {
    /// Of three topics, each keeps a third, whatever the others do.
    #[test]
    fn j16_no_topic_loses_what_is_within_its_share(
        ends in proptest::collection::vec((0..3_u8, 0..400_usize), 1..60),
    ) {
        let (outcomes_max, outcomes_bytes_max) = (12, 12_000);
        let config = QueueConfig { outcomes_max, outcomes_bytes_max, ..steady() };
        let now = Now { steady: 1, utc: MORNING };
        let mut outcomes = Outcomes::new(config);
        let mut recorded: BTreeMap<u8, Vec<(u64, u64)>> = BTreeMap::new();
        for (nth, (topic, bytes)) in ends.into_iter().enumerate() {
            let id = nth as u64 + 1;
            let info = finished(topic, id, bytes);
            let size = crate::queue::describe::bytes_of(&info) as u64;
            recorded.entry(topic).or_default().push((id, size));
            outcomes.record(now, info);
            outcomes.finish_turn(now);
            prop_assert!(outcomes.results() <= outcomes_max as u64);
            for (topic, all) in &recorded {
                let last = all.iter().rev().take(outcomes_max / 3);
                let mut room = outcomes_bytes_max / 3;
                let within = last.take_while(|(_, size)| {
                    let fits = *size <= room;
                    room = room.saturating_sub(*size);
                    fits
                });
                for (id, _) in within {
                    let sought = OutcomeQuery::Job { job: JobRef::Id(*id), to_cancel: false };
                    let found = outcomes.query(now, ClientId::Process, sought, ms(0), &|_| true);
                    let is_there = matches!(found, OutcomeLookup::Now(Ok(_)));
                    prop_assert!(is_there, "{id} of topic {topic} is gone");
                }
            }
        }
    }
}
