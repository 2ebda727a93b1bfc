//! J1 to J4: hand-outs, crashes, epochs, results.

use expect_test::expect;

use crate::queue::tests::script::check;

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
