//! The promises of `docs/guarantees.md` about jobs, one readable test each.

use expect_test::expect;

use super::script::{check, check_with};
use super::*;

#[test]
fn j1_a_job_is_handed_out_until_it_is_finished() {
    check(
        "
        push mail hello
        reserve mail
        reserve mail
        gone
        reserve mail by=2
        done 1/2 sent
        reserve mail
        get 1
        topic mail
        ",
        expect![[r#"
            > push mail hello
              1 Ready
            > reserve mail
              gets 1/1 hello
            > reserve mail
              no job
            > gone
            > reserve mail by=2
              gets 1/2 hello
            > done 1/2 sent
              result of 1 Done, epoch 2, 0 failures, 1 losses, output sent, errors ["its worker's connection was lost"]
            > reserve mail
              no job
            > get 1
              1 Done, epoch 2, 0 failures, 1 losses, output sent, outcome 1, errors ["its worker's connection was lost"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j2_after_a_crash_what_was_handed_out_is_ready_again_one_loss_the_poorer() {
    check(
        "
        push mail one
        push mail two delay=500
        push mail three index=i
        reserve mail
        restart
        get 1
        get 2
        push mail other index=i
        reserve mail credits=3
        touch 1/1
        later 500
        reserve mail
        topic mail
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > push mail two delay=500
              2 Delayed
            > push mail three index=i
              3 Ready
            > reserve mail
              gets 1/1 one
            > restart
            > get 1
              1 Ready, epoch 1, 0 failures, 1 losses, payload one, errors ["the server ended while it ran"]
            > get 2
              2 Delayed, epoch 0, due 500, payload two
            > push mail other index=i
              3 Ready already
            > reserve mail credits=3
              gets 1/2 one, 3/1 three
            > touch 1/1
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > later 500
            > reserve mail
              gets 2/1 two
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 3 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j2_a_result_that_was_recorded_before_the_crash_counts() {
    check(
        "
        push mail one
        reserve mail
        done 1/1 sent
        snapshot
        restart
        get 1
        reserve mail
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > snapshot
            > restart
            > get 1
              1 Done, epoch 1, output sent, outcome 1
            > reserve mail
              no job
        "#]],
    );
}

#[test]
fn j3_epochs_fence_and_a_stale_one_changes_nothing() {
    check(
        "
        push mail one
        reserve mail visibility=100
        later 100
        reserve mail by=2
        done 1/1 late
        retry 1/1 late
        fail 1/1 late
        snooze 1/1 after=5
        release 1/1
        touch 1/1
        progress 1/1 half
        get 1
        done 1/2 intime
        done 1/2 again
        topic mail
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail visibility=100
              gets 1/1 one
            > later 100
            > reserve mail by=2
              gets 1/2 one
            > done 1/1 late
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > retry 1/1 late
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > fail 1/1 late
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > snooze 1/1 after=5
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > release 1/1
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > touch 1/1
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > progress 1/1 half
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > get 1
              1 Reserved, epoch 2, 0 failures, 1 losses, payload one, errors ["it was not touched within its visibility timeout"]
            > done 1/2 intime
              result of 1 Done, epoch 2, 0 failures, 1 losses, output intime, errors ["it was not touched within its visibility timeout"]
            > done 1/2 again
              job 1 is no longer held under epoch 2: it was settled, cancelled, or not touched in time
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j3_the_epoch_goes_up_for_ever() {
    check(
        "
        push mail one retries=0
        reserve mail
        retry 1/1 wrong
        replay mail
        reserve mail
        release 1/2
        restart
        reserve mail
        snapshot
        restart
        reserve mail
        ",
        expect![[r#"
            > push mail one retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > replay mail
              1 changed
            > reserve mail
              gets 1/2 one
            > release 1/2
            > restart
            > reserve mail
              gets 1/3 one
            > snapshot
            > restart
            > reserve mail
              gets 1/4 one
        "#]],
    );
}

#[test]
fn j4_a_result_that_cannot_be_recorded_is_a_failure() {
    check(
        "
        push mail one
        reserve mail
        done 1/1 sent unrecorded=1
        get 1
        later 70
        reserve mail
        done 1/2 sent
        get 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent unrecorded=1
              result of 1 Done, epoch 1, output sent
            > get 1
              1 Delayed, epoch 1, 1 failures, 0 losses, due 70, payload one, errors ["recording failed: no room"]
            > later 70
            > reserve mail
              gets 1/2 one
            > done 1/2 sent
              result of 1 Done, epoch 2, 1 failures, 0 losses, output sent, errors ["recording failed: no room"]
            > get 1
              1 Done, epoch 2, 1 failures, 0 losses, output sent, outcome 1, errors ["recording failed: no room"]
        "#]],
    );
}

#[test]
fn j4_done_is_not_done_before_it_is_recorded() {
    check(
        "
        push mail one
        reserve mail
        done 1/1 sent held=1
        get 1
        cancel 1
        gone
        touch 1/1
        recorded
        get 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail
              gets 1/1 one
            > done 1/1 sent held=1
              result of 1 Done, epoch 1, output sent
            > get 1
              1 Reserved, epoch 1, payload one
            > cancel 1
              job 1 is finished; only one that waits or runs can be cancelled
            > gone
            > touch 1/1
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > recorded
            > get 1
              1 Done, epoch 1, output sent, outcome 1
        "#]],
    );
}

/// The seed dropped it here, in silence.
#[test]
fn j5_three_retries_are_four_runs_then_a_dead_letter() {
    check(
        "
        push mail one retries=3
        reserve mail
        retry 1/1 first
        later 70
        reserve mail
        retry 1/2 second
        later 70
        reserve mail
        retry 1/3 third
        later 70
        reserve mail
        retry 1/4 fourth
        later 1000
        reserve mail
        get 1
        ",
        expect![[r#"
            > push mail one retries=3
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 first
            > later 70
            > reserve mail
              gets 1/2 one
            > retry 1/2 second
            > later 70
            > reserve mail
              gets 1/3 one
            > retry 1/3 third
            > later 70
            > reserve mail
              gets 1/4 one
            > retry 1/4 fourth
              note of 1 Dead, epoch 4, 4 failures, 0 losses, errors ["first", "second", "third", "fourth"]
            > later 1000
            > reserve mail
              no job
            > get 1
              1 Dead, epoch 4, 4 failures, 0 losses, payload one, errors ["first", "second", "third", "fourth"]
        "#]],
    );
}

#[test]
fn j5_no_retries_are_one_run() {
    check(
        "
        push mail one retries=0
        reserve mail
        retry 1/1 wrong
        get 1
        topic mail
        ",
        expect![[r#"
            > push mail one retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, payload one, errors ["wrong"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j5_losses_have_a_budget_of_their_own() {
    check(
        "
        push mail one losses=1 retries=0
        reserve mail
        gone
        reserve mail visibility=10
        later 10
        get 1
        topic mail
        ",
        expect![[r#"
            > push mail one losses=1 retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > gone
            > reserve mail visibility=10
              gets 1/2 one
            > later 10
              note of 1 Dead, epoch 2, 0 failures, 2 losses, errors ["its worker's connection was lost", "lost 2 times, at last: it was not touched within its visibility timeout"]
            > get 1
              1 Dead, epoch 2, 0 failures, 2 losses, payload one, errors ["its worker's connection was lost", "lost 2 times, at last: it was not touched within its visibility timeout"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 1 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j5_snoozes_releases_and_stops_cost_nothing() {
    check(
        "
        push mail one retries=0 losses=0
        reserve mail
        snooze 1/1 after=10
        later 10
        reserve mail
        release 1/2
        reserve mail
        stop
        get 1
        ",
        expect![[r#"
            > push mail one retries=0 losses=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > snooze 1/1 after=10
            > later 10
            > reserve mail
              gets 1/2 one
            > release 1/2
            > reserve mail
              gets 1/3 one
            > stop
            > get 1
              1 Ready, epoch 3, payload one
        "#]],
    );
}

#[test]
fn j5_fail_makes_a_dead_letter_at_once() {
    check(
        "
        push mail one
        reserve mail
        fail 1/1 hopeless
        get 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail
              gets 1/1 one
            > fail 1/1 hopeless
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["hopeless"]
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, payload one, errors ["hopeless"]
        "#]],
    );
}

/// The seed ran it again at once.
#[test]
fn j6_a_failure_is_followed_by_a_pause_and_a_loss_is_not() {
    check(
        "
        push mail one backoff=500
        reserve mail
        retry 1/1 wrong
        reserve mail
        get 1
        later 499
        reserve mail
        later 1
        reserve mail
        retry 1/2 wrong after=20
        get 1
        later 20
        reserve mail
        gone
        reserve mail
        set mail backoff=30
        push mail two
        reserve mail
        retry 2/1 wrong
        get 2
        ",
        expect![[r#"
            > push mail one backoff=500
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 wrong
            > reserve mail
              no job
            > get 1
              1 Delayed, epoch 1, 1 failures, 0 losses, due 500, payload one, errors ["wrong"]
            > later 499
            > reserve mail
              no job
            > later 1
            > reserve mail
              gets 1/2 one
            > retry 1/2 wrong after=20
            > get 1
              1 Delayed, epoch 2, 2 failures, 0 losses, due 520, payload one, errors ["wrong", "wrong"]
            > later 20
            > reserve mail
              gets 1/3 one
            > gone
            > reserve mail
              gets 1/4 one
            > set mail backoff=30
              pushed 1 = ready 0 + delayed 0 + reserved 1 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail two
              2 Ready
            > reserve mail
              gets 2/1 two
            > retry 2/1 wrong
            > get 2
              2 Delayed, epoch 1, 1 failures, 0 losses, due 550, payload two, errors ["wrong"]
        "#]],
    );
}

#[test]
fn j7_the_oldest_dead_letters_go_first_and_are_counted() {
    check_with(
        QueueConfig { dead_max: 2, dead_age_max: ms(1_000), ..steady() },
        "
        push mail dead times=3 retries=0
        reserve mail credits=3
        retry 1/1 wrong
        later 1
        retry 2/1 wrong
        later 1
        retry 3/1 wrong
        get 1
        topic mail
        later 1000
        topic mail
        ",
        expect![[r#"
            > push mail dead times=3 retries=0
              1 Ready, 2 Ready, 3 Ready
            > reserve mail credits=3
              gets 1/1 dead, 2/1 dead, 3/1 dead
            > retry 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > later 1
            > retry 2/1 wrong
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > later 1
            > retry 3/1 wrong
              note of 3 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, outcome 1, errors ["wrong"]
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 2 + evicted 1 + cancelled 0
            > later 1000
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 3 + cancelled 0
        "#]],
    );
}

#[test]
fn j7_a_replayed_dead_letter_has_full_budgets_and_its_past() {
    check(
        "
        push mail one retries=1
        reserve mail
        retry 1/1 first
        later 70
        reserve mail
        retry 1/2 second
        replay mail id=1
        get 1
        reserve mail
        retry 1/3 third
        later 70
        reserve mail
        done 1/4 sent
        topic mail
        ",
        expect![[r#"
            > push mail one retries=1
              1 Ready
            > reserve mail
              gets 1/1 one
            > retry 1/1 first
            > later 70
            > reserve mail
              gets 1/2 one
            > retry 1/2 second
              note of 1 Dead, epoch 2, 2 failures, 0 losses, errors ["first", "second"]
            > replay mail id=1
              1 changed
            > get 1
              1 Ready, epoch 2, payload one, errors ["first", "second"]
            > reserve mail
              gets 1/3 one
            > retry 1/3 third
            > later 70
            > reserve mail
              gets 1/4 one
            > done 1/4 sent
              result of 1 Done, epoch 4, 1 failures, 0 losses, output sent, errors ["first", "second", "third"]
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

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

/// A step is 100 ms here.
#[test]
fn j11_a_step_of_priority_counts_as_so_much_waiting() {
    check(
        "
        push mail low
        later 99
        push mail high priority=1
        later 2
        push mail late priority=1
        reserve mail credits=3
        ",
        expect![[r#"
            > push mail low
              1 Ready
            > later 99
            > push mail high priority=1
              2 Ready
            > later 2
            > push mail late priority=1
              3 Ready
            > reserve mail credits=3
              gets 2/1 high, 1/1 low, 3/1 late
        "#]],
    );
}

#[test]
fn j12_one_at_a_time_and_in_order() {
    check(
        "
        push mail a1 key=a
        push mail a2 key=a
        push mail b1 key=b
        push mail a3 key=a
        reserve mail credits=9
        reserve mail wait=500
        retry 1/1 wrong
        later 70
        done 1/2
        reserve mail
        fail 2/1 hopeless
        reserve mail
        ",
        expect![[r#"
            > push mail a1 key=a
              1 Ready
            > push mail a2 key=a
              2 Ready
            > push mail b1 key=b
              3 Ready
            > push mail a3 key=a
              4 Ready
            > reserve mail credits=9
              gets 1/1 a1, 3/1 b1
            > reserve mail wait=500
            > retry 1/1 wrong
            > later 70
              gets 1/2 a1
            > done 1/2
              result of 1 Done, epoch 2, 1 failures, 0 losses, output , errors ["wrong"]
            > reserve mail
              gets 2/1 a2
            > fail 2/1 hopeless
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["hopeless"]
            > reserve mail
              gets 4/1 a3
        "#]],
    );
}

#[test]
fn j12_others_go_on_without_one_that_waits_for_its_next_run_if_the_topic_says_so() {
    check(
        "
        set mail retry=skip
        push mail a1 key=a
        push mail a2 key=a
        reserve mail
        retry 1/1 wrong
        reserve mail
        later 70
        reserve mail
        done 2/1
        reserve mail
        ",
        expect![[r#"
            > set mail retry=skip
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail a1 key=a
              1 Ready
            > push mail a2 key=a
              2 Ready
            > reserve mail
              gets 1/1 a1
            > retry 1/1 wrong
            > reserve mail
              gets 2/1 a2
            > later 70
            > reserve mail
              no job
            > done 2/1
              result of 2 Done, epoch 1, output 
            > reserve mail
              gets 1/2 a1
        "#]],
    );
}

/// However much one of them has to do, even within a millisecond.
#[test]
fn j12_keys_take_turns() {
    check(
        "
        push mail a key=a times=5
        push mail b key=b times=2
        reserve mail
        done 1/1
        reserve mail
        done 6/1
        reserve mail
        done 2/1
        reserve mail
        done 7/1
        reserve mail
        ",
        expect![[r#"
            > push mail a key=a times=5
              1 Ready, 2 Ready, 3 Ready, 4 Ready, 5 Ready
            > push mail b key=b times=2
              6 Ready, 7 Ready
            > reserve mail
              gets 1/1 a
            > done 1/1
              result of 1 Done, epoch 1, output 
            > reserve mail
              gets 6/1 b
            > done 6/1
              result of 6 Done, epoch 1, output 
            > reserve mail
              gets 2/1 a
            > done 2/1
              result of 2 Done, epoch 1, output 
            > reserve mail
              gets 7/1 b
            > done 7/1
              result of 7 Done, epoch 1, output 
            > reserve mail
              gets 3/1 a
        "#]],
    );
}

#[test]
fn j12_with_a_limit_of_two_still_in_order() {
    check(
        "
        set mail order=2
        push mail a1 key=a
        push mail a2 key=a priority=9
        push mail a3 key=a priority=9
        reserve mail
        reserve mail
        reserve mail
        done 2/1
        reserve mail
        ",
        expect![[r#"
            > set mail order=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail a1 key=a
              1 Ready
            > push mail a2 key=a priority=9
              2 Ready
            > push mail a3 key=a priority=9
              3 Ready
            > reserve mail
              gets 1/1 a1
            > reserve mail
              gets 2/1 a2
            > reserve mail
              no job
            > done 2/1
              result of 2 Done, epoch 1, output 
            > reserve mail
              gets 3/1 a3
        "#]],
    );
}

#[test]
fn j13_concurrency_rate_and_pause() {
    check(
        "
        set mail concurrency=2
        push mail one times=5
        reserve mail credits=9
        reserve mail wait=9000
        done 1/1
        pause mail
        reserve mail wait=9000
        done 2/1
        resume mail
        done 3/1
        set mail rate=1/100/1
        reserve mail wait=9000
        push mail more times=2
        done 4/1
        later 99
        later 1
        topic mail
        ",
        expect![[r#"
            > set mail concurrency=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=5
              1 Ready, 2 Ready, 3 Ready, 4 Ready, 5 Ready
            > reserve mail credits=9
              gets 1/1 one, 2/1 one
            > reserve mail wait=9000
            > done 1/1
              result of 1 Done, epoch 1, output 
              gets 3/1 one
            > pause mail
              pushed 5 = ready 2 + delayed 0 + reserved 2 + done 1 + dead 0 + evicted 0 + cancelled 0
            > reserve mail wait=9000
            > done 2/1
              result of 2 Done, epoch 1, output 
            > resume mail
              pushed 5 = ready 2 + delayed 0 + reserved 1 + done 2 + dead 0 + evicted 0 + cancelled 0
              gets 4/1 one
            > done 3/1
              result of 3 Done, epoch 1, output 
            > set mail rate=1/100/1
              pushed 5 = ready 1 + delayed 0 + reserved 1 + done 3 + dead 0 + evicted 0 + cancelled 0
            > reserve mail wait=9000
              gets 5/1 one
            > push mail more times=2
              6 Ready, 7 Ready
            > done 4/1
              result of 4 Done, epoch 1, output 
            > later 99
            > later 1
            > topic mail
              pushed 7 = ready 2 + delayed 0 + reserved 1 + done 4 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j13_a_faster_rate_counts_at_once() {
    check(
        "
        set mail rate=1/60000/1
        push mail one times=3
        reserve mail credits=3
        reserve mail wait=90000
        set mail rate=1/100/1
        later 100
        ",
        expect![[r#"
            > set mail rate=1/60000/1
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=3
              1 Ready, 2 Ready, 3 Ready
            > reserve mail credits=3
              gets 1/1 one
            > reserve mail wait=90000
            > set mail rate=1/100/1
              pushed 3 = ready 2 + delayed 0 + reserved 1 + done 0 + dead 0 + evicted 0 + cancelled 0
            > later 100
              gets 2/1 one
        "#]],
    );
}

#[test]
fn j15_a_worker_learns_that_its_job_was_cancelled() {
    check(
        "
        push mail one
        reserve mail by=3
        revoked by=3 wait=1000
        cancel 1
        done 1/1 sent
        get 1
        cancel 1
        topic mail
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > revoked by=3 wait=1000
            > cancel 1
              1 Cancelled, epoch 1
              revoked: 1/1
              note of 1 Cancelled, epoch 1
            > done 1/1 sent
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > get 1
              1 Cancelled, epoch 1, outcome 1
            > cancel 1
              job 1 is finished; only one that waits or runs can be cancelled
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 1
        "#]],
    );
}

#[test]
fn j15_clear_leaves_what_runs() {
    check(
        "
        push mail one times=2
        push mail late delay=100
        push mail k key=k times=2
        reserve mail
        clear mail
        clear mail
        clear mail
        done 1/1
        topic mail
        ",
        expect![[r#"
            > push mail one times=2
              1 Ready, 2 Ready
            > push mail late delay=100
              3 Delayed
            > push mail k key=k times=2
              4 Ready, 5 Ready
            > reserve mail
              gets 1/1 one
            > clear mail
              2 changed, and there are more
              note of 2 Cancelled, epoch 0
              note of 4 Cancelled, epoch 0
            > clear mail
              1 changed, and there are more
              note of 5 Cancelled, epoch 0
            > clear mail
              1 changed
              note of 3 Cancelled, epoch 0
            > done 1/1
              result of 1 Done, epoch 1, output 
            > topic mail
              pushed 5 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 4
        "#]],
    );
}

#[test]
fn j17_a_hung_worker_loses_its_job_unless_it_touches_it() {
    check(
        "
        push mail one
        reserve mail visibility=100
        later 60
        touch 1/1
        later 60
        touch 1/1 visibility=10
        later 10
        reserve mail
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail visibility=100
              gets 1/1 one
            > later 60
            > touch 1/1
            > later 60
            > touch 1/1 visibility=10
            > later 10
            > reserve mail
              gets 1/2 one
        "#]],
    );
}

/// The seed's stop hung on an idle queue.
#[test]
fn j19_a_drained_queue_hands_out_nothing_more() {
    check(
        "
        push mail one times=2
        reserve mail
        reserve post wait=1000
        drain
        reserve mail
        push mail more
        done 1/1
        get 2
        ",
        expect![[r#"
            > push mail one times=2
              1 Ready, 2 Ready
            > reserve mail
              gets 1/1 one
            > reserve post wait=1000
            > drain
              the service is stopping; nothing was changed
            > reserve mail
              the service is stopping; nothing was changed
            > push mail more
              the service is stopping; nothing was changed
            > done 1/1
              result of 1 Done, epoch 1, output 
            > get 2
              2 Ready, epoch 0, payload one
        "#]],
    );
}
