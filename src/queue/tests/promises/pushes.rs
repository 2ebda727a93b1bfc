//! J8 to J10: indexes, room, delays.

use expect_test::expect;

use crate::queue::tests::script::check;

/// The seed told jobs apart by where they were in memory.
#[test]
fn j8_an_index_is_taken_until_the_job_is_finished() {
    check(
        "
        push mail one index=i
        push mail other index=i
        push post other index=i
        reserve mail
        push mail other index=i
        done 1/1 sent
        push mail next index=i
        get mail i
        ",
        expect![[r#"
            > push mail one index=i
              1 Ready
            > push mail other index=i
              1 Ready already
            > push post other index=i
              2 Ready
            > reserve mail
              gets 1/1 one
            > push mail other index=i
              1 Reserved already
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > push mail next index=i
              3 Ready
            > get mail i
              3 Ready, epoch 0, payload next
        "#]],
    );
}

#[test]
fn j8_or_until_it_is_handed_out() {
    check(
        "
        push mail one index=i unique=waiting
        push mail other index=i unique=waiting
        reserve mail
        push mail next index=i unique=waiting
        release 1/1
        get mail i
        push mail more index=i
        ",
        expect![[r#"
            > push mail one index=i unique=waiting
              1 Ready
            > push mail other index=i unique=waiting
              1 Ready already
            > reserve mail
              gets 1/1 one
            > push mail next index=i unique=waiting
              2 Ready
            > release 1/1
            > get mail i
              2 Ready, epoch 0, payload next
            > push mail more index=i
              2 Ready already
        "#]],
    );
}

#[test]
fn j8_or_for_a_time_after_it_finished() {
    check(
        "
        push mail one index=i unique=1000
        reserve mail
        done 1/1 sent
        push mail other index=i
        snapshot
        restart
        later 999
        push mail other index=i
        later 1
        push mail other index=i
        ",
        expect![[r#"
            > push mail one index=i unique=1000
              1 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > push mail other index=i
              1 Done already
            > snapshot
            > restart
            > later 999
            > push mail other index=i
              1 Done already
            > later 1
            > push mail other index=i
              2 Ready
        "#]],
    );
}

/// The seed's consumer waited for room in the queue that only it emptied.
#[test]
fn j9_full_is_typed_and_a_retry_needs_no_room() {
    check(
        "
        set mail jobs=2
        push mail one times=2
        push mail more
        push mail more times=3
        reserve mail credits=2
        retry 1/1 wrong
        release 2/1
        push mail more
        later 70
        reserve mail credits=2
        topic mail
        ",
        expect![[r#"
            > set mail jobs=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=2
              1 Ready, 2 Ready
            > push mail more
              topic mail is full: queue.topic_jobs_max is 2; push with a wait, or when jobs are done
            > push mail more times=3
              that many never fit in the topic: the limit queue.topic_jobs_max is 2; nothing was changed
            > reserve mail credits=2
              gets 1/1 one, 2/1 one
            > retry 1/1 wrong
            > release 2/1
            > push mail more
              topic mail is full: queue.topic_jobs_max is 2; push with a wait, or when jobs are done
            > later 70
            > reserve mail credits=2
              gets 2/2 one, 1/2 one
            > topic mail
              pushed 2 = ready 0 + delayed 0 + reserved 2 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j9_whoever_waits_for_room_is_let_in_in_order() {
    check(
        "
        set mail bytes=6
        push mail 12345
        push mail 4444 wait=1000
        push mail 1 wait=1000
        push mail 1 wait=300
        reserve mail
        later 300
        done 1/1
        topic mail
        ",
        expect![[r#"
            > set mail bytes=6
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail 12345
              1 Ready
            > push mail 4444 wait=1000
            > push mail 1 wait=1000
            > push mail 1 wait=300
            > reserve mail
              gets 1/1 12345
            > later 300
              topic mail is full: queue.topic_bytes_max is 6; push with a wait, or when jobs are done
            > done 1/1
              result of 1 Done, epoch 1, output 
              let in: 2 Ready
              let in: 3 Ready
            > topic mail
              pushed 3 = ready 2 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// After the seed's clear nothing could be pushed any more.
#[test]
fn j9_after_a_clear_there_is_room() {
    check(
        "
        set mail jobs=2
        push mail one times=2
        clear mail
        push mail one times=2
        reserve mail credits=2
        topic mail
        ",
        expect![[r#"
            > set mail jobs=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=2
              1 Ready, 2 Ready
            > clear mail
              2 changed
              note of 1 Cancelled, epoch 0
              note of 2 Cancelled, epoch 0
            > push mail one times=2
              3 Ready, 4 Ready
            > reserve mail credits=2
              gets 3/1 one, 4/1 one
            > topic mail
              pushed 4 = ready 0 + delayed 0 + reserved 2 + done 0 + dead 0 + evicted 0 + cancelled 2
        "#]],
    );
}

#[test]
fn j10_not_before_its_time_and_time_does_not_go_back() {
    check(
        "
        push mail one delay=100
        reserve mail wait=1000
        later 99
        back 50
        later 1
        later 49
        later 1
        get 1
        ",
        expect![[r#"
            > push mail one delay=100
              1 Delayed
            > reserve mail wait=1000
            > later 99
            > back 50
            > later 1
            > later 49
            > later 1
              gets 1/1 one
            > get 1
              1 Reserved, epoch 1, payload one
        "#]],
    );
}

#[test]
fn j10_a_delay_goes_on_while_the_server_is_down() {
    check(
        "
        push mail one delay=100
        later 60
        restart
        later 39
        reserve mail
        later 1
        reserve mail
        ",
        expect![[r#"
            > push mail one delay=100
              1 Delayed
            > later 60
            > restart
            > later 39
            > reserve mail
              no job
            > later 1
            > reserve mail
              gets 1/1 one
        "#]],
    );
}
