//! Outcomes of jobs: requests that wait for them, and retention.

use expect_test::expect;

use super::script::{check, check_with};
use super::*;

#[test]
fn j16_whoever_waits_is_told_when_a_job_finishes() {
    check(
        "
        push mail one
        await 1 wait=1000
        reserve mail
        done 1/1 sent
        await 1
        await 2
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > await 1 wait=1000
              waits as #1
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
              #1 1 Done, epoch 1, output sent, outcome 1
            > await 1
              1 Done, epoch 1, output sent, outcome 1
            > await 2
              no job is known by the id 2; it was never pushed, or its outcome is no longer kept
        "#]],
    );
}

#[test]
fn j16_a_wait_that_is_late_is_told_what_the_job_is() {
    check(
        "
        push mail one
        await 1 wait=100
        later 100
        get 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > await 1 wait=100
              waits as #1
            > later 100
              #1 is late for job 1
            > get 1
              1 Ready, epoch 0, payload one
        "#]],
    );
}

#[test]
fn j16_a_follower_sees_each_outcome_once() {
    check(
        "
        push mail one times=4
        push post other
        outcomes mail wait=1000
        reserve mail credits=4
        reserve post
        done 5/1 other
        done 1/1 first
        outcomes mail after=2 wait=1000
        fail 2/1 wrong
        cancel 3
        outcomes mail after=0 limit=2
        outcomes mail after=3 limit=2
        outcomes mail after=4 wait=100
        later 100
        ",
        expect![[r#"
            > push mail one times=4
              1 Ready, 2 Ready, 3 Ready, 4 Ready
            > push post other
              5 Ready
            > outcomes mail wait=1000
              waits as #1
            > reserve mail credits=4
              gets 1/1 one, 2/1 one, 3/1 one, 4/1 one
            > reserve post
              gets 5/1 other
            > done 5/1 other
              result of 5 Done, epoch 1, output other
            > done 1/1 first
              result of 1 Done, epoch 1, output first
              #1 [1 Done, epoch 1, output first, outcome 2] after 2
            > outcomes mail after=2 wait=1000
              waits as #2
            > fail 2/1 wrong
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
              #2 [2 Dead, epoch 1, 1 failures, 0 losses, outcome 3, errors ["wrong"]] after 3
            > cancel 3
              3 Cancelled, epoch 1
              note of 3 Cancelled, epoch 1
            > outcomes mail after=0 limit=2
              [1 Done, epoch 1, output first, outcome 2; 2 Dead, epoch 1, 1 failures, 0 losses, outcome 3, errors ["wrong"]] after 3
            > outcomes mail after=3 limit=2
              [3 Cancelled, epoch 1, outcome 4] after 4
            > outcomes mail after=4 wait=100
              waits as #3
            > later 100
              #3 [] after 4
        "#]],
    );
}

#[test]
fn j16_what_is_no_longer_kept_is_refused() {
    check_with(
        QueueConfig { outcomes_max: 2, outcomes_age_max: ms(1_000), ..steady() },
        "
        push mail one times=4
        reserve mail credits=4
        done 1/1 first
        done 2/1 second
        done 3/1 third
        outcomes mail after=0
        outcomes mail after=1
        get 1
        later 1000
        outcomes mail after=1
        outcomes mail after=3
        get 3
        ",
        expect![[r#"
            > push mail one times=4
              1 Ready, 2 Ready, 3 Ready, 4 Ready
            > reserve mail credits=4
              gets 1/1 one, 2/1 one, 3/1 one, 4/1 one
            > done 1/1 first
              result of 1 Done, epoch 1, output first
            > done 2/1 second
              result of 2 Done, epoch 1, output second
            > done 3/1 third
              result of 3 Done, epoch 1, output third
            > outcomes mail after=0
              outcomes before number 2 are no longer kept; go on after 1
            > outcomes mail after=1
              [2 Done, epoch 1, output second, outcome 2; 3 Done, epoch 1, output third, outcome 3] after 3
            > get 1
              no job is known by the id 1; it was never pushed, or its outcome is no longer kept
            > later 1000
            > outcomes mail after=1
              outcomes before number 4 are no longer kept; go on after 3
            > outcomes mail after=3
              [] after 3
            > get 3
              no job is known by the id 3; it was never pushed, or its outcome is no longer kept
        "#]],
    );
}

/// These requests were never answered.
#[test]
fn j16_whoever_waits_is_told_of_a_result_too_large_to_be_kept() {
    check_with(
        QueueConfig { outcomes_bytes_max: 10, ..steady() },
        "
        push mail one
        await 1 wait=1000
        outcomes mail wait=1000
        reserve mail
        done 1/1 sent
        get 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > await 1 wait=1000
              waits as #1
            > outcomes mail wait=1000
              waits as #2
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
              #1 1 Done, epoch 1, output sent, outcome 1
              #2 [1 Done, epoch 1, output sent, outcome 1] after 1
            > get 1
              no job is known by the id 1; it was never pushed, or its outcome is no longer kept
        "#]],
    );
}

/// Such a number was taken for "from now on", and the outcomes before it were skipped silently.
#[test]
fn j16_a_number_that_is_still_to_come_is_refused() {
    check(
        "
        push mail one
        outcomes mail after=18446744073709551615 wait=1000
        outcomes mail after=1
        reserve mail
        done 1/1 sent
        outcomes mail after=1
        outcomes mail after=2
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > outcomes mail after=18446744073709551615 wait=1000
              outcome 18446744073709551615 is still to come, the newest is 0; leave the number out to go on from there
            > outcomes mail after=1
              outcome 1 is still to come, the newest is 0; leave the number out to go on from there
            > reserve mail
              gets 1/1 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > outcomes mail after=1
              [] after 1
            > outcomes mail after=2
              outcome 2 is still to come, the newest is 1; leave the number out to go on from there
        "#]],
    );
}

#[test]
fn j16_a_job_that_was_replayed_finishes_again() {
    check(
        "
        push mail one retries=0
        reserve mail
        fail 1/1 wrong
        await 1 wait=1000
        replay mail
        await 1 wait=1000
        reserve mail
        done 1/2 sent
        ",
        expect![[r#"
            > push mail one retries=0
              1 Ready
            > reserve mail
              gets 1/1 one
            > fail 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > await 1 wait=1000
              1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > replay mail
              1 changed
            > await 1 wait=1000
              waits as #1
            > reserve mail
              gets 1/2 one
            > done 1/2 sent
              result of 1 Done, epoch 2, output sent, errors ["wrong"]
              #1 1 Done, epoch 2, output sent, outcome 2, errors ["wrong"]
        "#]],
    );
}
