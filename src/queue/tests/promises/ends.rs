//! J15 to J19: cancels, lost workers, drain.

use expect_test::expect;

use crate::queue::tests::script::check;

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
              4 changed
              cleared 2
              cleared 4
              cleared 5
              cleared 3
            > clear mail
              0 changed
            > clear mail
              0 changed
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

/// Regression: a stop hung on an idle queue.
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
