//! Topics are deleted by request, and others take their numbers.

use expect_test::expect;

use super::script::{check, check_with};
use super::*;

/// A topic that was once set or misspelt was listed for ever.
#[test]
fn j9_a_topic_is_deleted_with_its_settings_and_counts() {
    check(
        "
        set mail jobs=1
        push mail one index=i unique=1000
        reserve mail
        done 1/1 sent
        topic mail
        drop mail
        topic mail
        drop mail
        get 1
        snapshot
        restart
        topic mail
        push mail two index=i times=2
        topic mail
        ",
        expect![[r#"
            > set mail jobs=1
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one index=i unique=1000
              1 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
            > drop mail
              0 changed
            > topic mail
              there is no topic `mail`; `topics` lists them
            > drop mail
              there is no topic `mail`; `topics` lists them
            > get 1
              1 Done, epoch 1, output sent, outcome 1
            > snapshot
            > restart
            > topic mail
              there is no topic `mail`; `topics` lists them
            > push mail two index=i times=2
              2 Ready, 2 Ready already
            > topic mail
              pushed 1 = ready 1 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j9_a_topic_in_use_is_not_deleted() {
    check(
        "
        push mail one times=3 retries=0
        reserve mail
        retry 1/1 wrong
        drop mail
        reserve mail
        drop mail
        drop mail force=1
        gone
        schedule mail
        drop mail force=1
        unschedule mail
        clear mail
        reserve mail wait=100
        drop mail force=1
        set mail jobs=1
        push mail four
        reserve mail wait=100
        later 100
        drop mail
        delete mail
        topic mail
        ",
        expect![[r#"
            > push mail one times=3 retries=0
              1 Ready, 2 Ready, 3 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > drop mail
              topic mail is in use: 2 jobs wait, 1 dead letter is kept; clear it and delete its dead letters first, or force it; nothing was changed
            > reserve mail
              gets 2/1 one
            > drop mail
              topic mail is in use: 1 job runs, 1 job waits, 1 dead letter is kept; let its jobs end, remove its schedules and stop its workers first; nothing was changed
            > drop mail force=1
              topic mail is in use: 1 job runs; let its jobs end, remove its schedules and stop its workers first; nothing was changed
            > gone
            > schedule mail
              Schedules([ScheduleInfo { schedule: Schedule { name: "mail", cron: "* * * * * *", timezone: "UTC", push: PushRequest { topic: "mail", payload: "cron", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 40ms, retry_max: None, loss_max: None, backoff: None } } }, next: Some(1790000001000), pushed: 0, missed: 0 }])
            > drop mail force=1
              topic mail is in use: 1 schedule pushes to it; let its jobs end, remove its schedules and stop its workers first; nothing was changed
            > unschedule mail
              1 changed
            > clear mail
              2 changed
              cleared 2
              cleared 3
            > reserve mail wait=100
            > drop mail force=1
              topic mail is in use: 1 request waits for it; let its jobs end, remove its schedules and stop its workers first; nothing was changed
            > set mail jobs=1
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 2
            > push mail four
              4 Ready
              gets 4/1 four
            > reserve mail wait=100
            > later 100
              no job
            > drop mail
              topic mail is in use: 1 job runs, 1 dead letter is kept; let its jobs end, remove its schedules and stop its workers first; nothing was changed
            > delete mail
              1 changed
            > topic mail
              pushed 4 = ready 0 + delayed 0 + reserved 1 + done 0 + dead 0 + evicted 1 + cancelled 2
        "#]],
    );
}

/// Running jobs are left alone; the rest is removed slice by slice.
#[test]
fn j9_force_clears_and_deletes_first_a_slice_at_a_time() {
    check_with(
        QueueConfig { slice_max: 2, ..steady() },
        "
        push mail one times=6 retries=0
        reserve mail credits=2
        retry 1/1 wrong
        retry 2/1 wrong
        drop mail force=1
        topic mail
        drop mail force=1
        topic mail
        drop mail force=1
        topic mail
        await 5
        ",
        expect![[r#"
            > push mail one times=6 retries=0
              1 Ready, 2 Ready, 3 Ready, 4 Ready, 5 Ready, 6 Ready
            > reserve mail credits=2
              gets 1/1 one, 2/1 one
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > retry 2/1 wrong
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > drop mail force=1
              2 changed, and there are more
              cleared 3
              cleared 4
            > topic mail
              pushed 6 = ready 2 + delayed 0 + reserved 0 + done 0 + dead 2 + evicted 0 + cancelled 2
            > drop mail force=1
              2 changed, and there are more
              cleared 5
              cleared 6
            > topic mail
              pushed 6 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 2 + evicted 0 + cancelled 4
            > drop mail force=1
              2 changed
            > topic mail
              there is no topic `mail`; `topics` lists them
            > await 5
              no job is known by the id 5; it was never pushed, or its outcome is no longer kept
        "#]],
    );
}

/// There are as many indexes as jobs were done.
#[test]
fn j9_indexes_are_freed_first_a_slice_at_a_time() {
    check_with(
        QueueConfig { slice_max: 2, ..steady() },
        "
        push mail one index=i unique=1000
        push mail two index=j unique=1000
        push mail three index=k unique=1000
        reserve mail credits=2
        done 1/1 sent
        done 2/1 sent
        reserve mail
        done 3/1 sent
        drop mail
        topic mail
        push post one
        restart
        drop mail
        topic mail
        push mail three index=k
        ",
        expect![[r#"
            > push mail one index=i unique=1000
              1 Ready
            > push mail two index=j unique=1000
              2 Ready
            > push mail three index=k unique=1000
              3 Ready
            > reserve mail credits=2
              gets 1/1 one, 2/1 two
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > done 2/1 sent
              result of 2 Done, epoch 1, output sent
            > reserve mail
              gets 3/1 three
            > done 3/1 sent
              result of 3 Done, epoch 1, output sent
            > drop mail
              0 changed, and there are more
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 3 + dead 0 + evicted 0 + cancelled 0
            > push post one
              4 Ready
            > restart
            > drop mail
              0 changed
            > topic mail
              there is no topic `mail`; `topics` lists them
            > push mail three index=k
              5 Ready
        "#]],
    );
}

/// Jobs and snapshots refer to topics by number, and the numbers of other topics do not change.
#[test]
fn j2_the_number_of_a_deleted_topic_is_the_next_ones() {
    let config = QueueConfig { topics_max: 3, ..steady() };
    check_with(
        config,
        "
        push a one
        set b jobs=9
        push c two
        drop b
        snapshot
        restart
        drop b
        topic c
        push d three
        push e four
        restart
        reserve a
        reserve c
        reserve d
        ",
        expect![[r#"
            > push a one
              1 Ready
            > set b jobs=9
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push c two
              2 Ready
            > drop b
              0 changed
            > snapshot
            > restart
            > drop b
              there is no topic `b`; `topics` lists them
            > topic c
              pushed 1 = ready 1 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push d three
              3 Ready
            > push e four
              too many topics are in use; finish, clear or delete one first: the limit queue.topics_max is 3; nothing was changed
            > restart
            > reserve a
              gets 1/1 one
            > reserve c
              gets 2/1 two
            > reserve d
              gets 3/1 three
        "#]],
    );
}

/// A push that waits for capacity of the whole queue does not wait in its topic.
#[test]
fn j9_a_push_that_waits_for_the_queue_makes_its_topic_again() {
    check_with(
        QueueConfig { jobs_max: 1, ..steady() },
        "
        push mail one
        push post two wait=1000
        set post jobs=5
        drop post
        cancel 1
        topic post
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > push post two wait=1000
            > set post jobs=5
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > drop post
              0 changed
            > cancel 1
              1 Cancelled, epoch 0
              note of 1 Cancelled, epoch 0
              let in: 2 Ready
            > topic post
              pushed 1 = ready 1 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// The state of a rate limit was kept under the topic's number.
#[test]
fn j13_a_topic_that_is_made_again_has_no_rate() {
    check(
        "
        set mail rate=1/1000/1
        push mail one
        push mail two
        reserve mail
        done 1/1 sent
        reserve mail wait=10
        later 10
        drop mail force=1
        push post three
        push mail four
        reserve mail
        reserve post
        ",
        expect![[r#"
            > set mail rate=1/1000/1
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one
              1 Ready
            > push mail two
              2 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > reserve mail wait=10
            > later 10
              no job
            > drop mail force=1
              1 changed
              cleared 2
            > push post three
              3 Ready
            > push mail four
              4 Ready
            > reserve mail
              gets 4/1 four
            > reserve post
              gets 3/1 three
        "#]],
    );
}
