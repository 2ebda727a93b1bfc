//! J21: reservations that outlive their connection.

use expect_test::expect;

use crate::queue::tests::script::{check, check_with};
use crate::queue::tests::{QueueConfig, ms, steady};

#[test]
fn j21_a_worker_that_returns_in_time_goes_on_and_its_job_is_nobody_elses_meanwhile() {
    check(
        "
        returns by=3
        push mail one
        reserve mail by=3
        gone by=3
        reserve mail by=5 wait=200
        later 89
        returns 1/1 by=4
        later 89
        done 1/1 sent
        topic mail
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > gone by=3
            > reserve mail by=5 wait=200
            > later 89
            > returns 1/1 by=4
              1/1 of mail
            > later 89
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > topic mail
              pushed 1 = ready 0 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j21_one_that_does_not_return_loses_its_job_after_the_grace_and_is_told_at_once() {
    check(
        "
        returns by=3
        push mail one
        reserve mail by=3
        gone by=3
        reserve mail by=5 wait=200
        later 90
        returns 1/1 by=4
        done 1/1 late
        get 1
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > gone by=3
            > reserve mail by=5 wait=200
            > later 90
              gets 1/2 one
            > returns 1/1 by=4
              1/1 is lost
            > done 1/1 late
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > get 1
              1 Reserved, epoch 2, 0 failures, 1 losses, payload one, errors ["its worker was lost, and did not resume it in time"]
        "#]],
    );
}

/// In the lost records, its worker may have returned the job, and another may have got it.
#[test]
fn d3_nobody_resumes_after_a_start_behind_which_something_may_be_lost() {
    check(
        "
        returns by=3
        push mail one
        reserve mail by=3
        fenced
        returns 1/1 by=3
        done 1/1 late
        push mail two
        reserve mail by=5 credits=2
        fenced
        push mail three
        reserve mail by=5 credits=3
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > fenced
            > returns 1/1 by=3
              1/1 is lost
            > done 1/1 late
              job 1 is no longer held under epoch 1: it was settled, cancelled, or not touched in time
            > push mail two
              4294967298 Ready
            > reserve mail by=5 credits=2
              gets 1/262146 one, 4294967298/1 two
            > fenced
            > push mail three
              8589934595 Ready
            > reserve mail by=5 credits=3
              gets 1/524291 one, 4294967298/262146 two, 8589934595/1 three
        "#]],
    );
}

/// The grace period does not extend a visibility timeout.
#[test]
fn j21_a_job_is_held_no_longer_than_its_worker_said() {
    check(
        "
        returns by=3
        push mail one
        reserve mail by=3 visibility=50
        gone by=3
        later 50
        reserve mail by=5
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3 visibility=50
              gets 1/1 one
            > gone by=3
            > later 50
            > reserve mail by=5
              gets 1/2 one
        "#]],
    );
}

#[test]
fn j21_after_a_restart_the_grace_begins_and_the_epoch_stays() {
    check(
        "
        returns by=3
        push mail one times=2
        push mail short
        reserve mail by=3 credits=2
        reserve mail by=3 visibility=20
        restart
        later 20
        reserve mail by=5 credits=3
        later 60
        returns 1/1 3/1 by=3
        later 10
        reserve mail by=5 credits=3
        done 1/1 sent
        topic mail
        ",
        expect![[r#"
            > returns by=3
            > push mail one times=2
              1 Ready, 2 Ready
            > push mail short
              3 Ready
            > reserve mail by=3 credits=2
              gets 1/1 one, 2/1 one
            > reserve mail by=3 visibility=20
              gets 3/1 short
            > restart
            > later 20
            > reserve mail by=5 credits=3
              gets 3/2 short
            > later 60
            > returns 1/1 3/1 by=3
              1/1 of mail, 3/1 is lost
            > later 10
            > reserve mail by=5 credits=3
              gets 2/2 one
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
            > topic mail
              pushed 3 = ready 0 + delayed 0 + reserved 2 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j21_a_snapshot_keeps_what_may_be_resumed() {
    check(
        "
        returns by=3 user=7
        push mail one
        reserve mail by=3
        snapshot
        restart
        returns 1/1 by=4 user=8
        returns 1/1 by=4 user=7
        done 1/1 sent
        ",
        expect![[r#"
            > returns by=3 user=7
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > snapshot
            > restart
            > returns 1/1 by=4 user=8
              1/1 is lost
            > returns 1/1 by=4 user=7
              1/1 of mail
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
        "#]],
    );
}

#[test]
fn j21_only_the_same_user_resumes_and_only_on_topics_that_are_granted_still() {
    check(
        "
        returns by=3 user=7
        push mail one
        reserve mail by=3
        gone by=3
        returns 1/1 by=4 user=8
        get 1
        returns 1/1 by=5 user=7 denied=mail
        get 1
        ",
        expect![[r#"
            > returns by=3 user=7
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > gone by=3
            > returns 1/1 by=4 user=8
              1/1 is lost
            > get 1
              1 Reserved, epoch 1, payload one
            > returns 1/1 by=5 user=7 denied=mail
              1/1 is lost
            > get 1
              1 Ready, epoch 1, payload one
        "#]],
    );
}

#[test]
fn j21_a_worker_that_never_said_that_it_resumes_or_said_goodbye_loses_its_job_at_once() {
    check(
        "
        push mail one times=2
        reserve mail by=3
        returns by=4
        reserve mail by=4
        gone by=3
        returns 1/1 by=5
        goodbye by=4
        returns 2/1 by=5
        get 1
        get 2
        ",
        expect![[r#"
            > push mail one times=2
              1 Ready, 2 Ready
            > reserve mail by=3
              gets 1/1 one
            > returns by=4
            > reserve mail by=4
              gets 2/1 one
            > gone by=3
            > returns 1/1 by=5
              1/1 is lost
            > goodbye by=4
            > returns 2/1 by=5
              2/1 is lost
            > get 1
              1 Ready, epoch 1, 0 failures, 1 losses, payload one, errors ["its worker's connection was lost"]
            > get 2
              2 Ready, epoch 1, 0 failures, 1 losses, payload one, errors ["its worker's connection was lost"]
        "#]],
    );
}

/// The new connection may exist before the end of the old one is noticed.
#[test]
fn j21_the_end_of_the_old_connection_takes_nothing_from_the_new_one() {
    check(
        "
        returns by=3
        push mail one
        reserve mail by=3
        returns 1/1 by=4
        goodbye by=3
        later 89
        done 1/1 sent
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > returns 1/1 by=4
              1/1 of mail
            > goodbye by=3
            > later 89
            > done 1/1 sent
              result of 1 Done, epoch 1, output sent
        "#]],
    );
}

#[test]
fn j21_a_job_that_waits_for_its_worker_keeps_its_places() {
    check(
        "
        set mail concurrency=2
        returns by=3
        push mail one key=k times=2
        push mail two times=2
        reserve mail by=3 credits=1
        gone by=3
        reserve mail by=5 credits=9
        restart
        reserve mail by=5 credits=9
        topic mail
        ",
        expect![[r#"
            > set mail concurrency=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > returns by=3
            > push mail one key=k times=2
              1 Ready, 2 Ready
            > push mail two times=2
              3 Ready, 4 Ready
            > reserve mail by=3 credits=1
              gets 1/1 one
            > gone by=3
            > reserve mail by=5 credits=9
              gets 3/1 two
            > restart
            > reserve mail by=5 credits=9
              gets 3/2 two
            > topic mail
              pushed 4 = ready 2 + delayed 0 + reserved 2 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j21_a_stop_leaves_a_job_to_its_worker_and_waits_for_none_that_is_not_there() {
    check(
        "
        returns by=3
        push mail one times=2
        reserve mail by=3
        reserve mail by=4
        gone by=3
        stop
        restart
        get 1
        get 2
        returns 1/1 by=3
        ",
        expect![[r#"
            > returns by=3
            > push mail one times=2
              1 Ready, 2 Ready
            > reserve mail by=3
              gets 1/1 one
            > reserve mail by=4
              gets 2/1 one
            > gone by=3
            > stop
            > restart
            > get 1
              1 Reserved, epoch 1, payload one
            > get 2
              2 Ready, epoch 1, payload one
            > returns 1/1 by=3
              1/1 of mail
        "#]],
    );
}

#[test]
fn j21_a_cancel_reaches_a_worker_that_returns() {
    check(
        "
        returns by=3
        push mail one
        reserve mail by=3
        gone by=3
        cancel 1
        returns 1/1 by=4
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > gone by=3
            > cancel 1
              1 Cancelled, epoch 1
              note of 1 Cancelled, epoch 1
            > returns 1/1 by=4
              1/1 is lost
        "#]],
    );
}

#[test]
fn j21_without_a_grace_nothing_outlives_its_connection() {
    check_with(
        QueueConfig { resume_grace: ms(0), ..steady() },
        "
        returns by=3
        push mail one
        reserve mail by=3
        gone by=3
        get 1
        ",
        expect![[r#"
            > returns by=3
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > gone by=3
            > get 1
              1 Ready, epoch 1, 0 failures, 1 losses, payload one, errors ["its worker's connection was lost"]
        "#]],
    );
}

#[test]
fn j15_all_workers_of_a_connection_are_told_of_what_was_revoked() {
    check(
        "
        push mail one
        reserve mail by=3
        revoked by=3 wait=1000
        revoked by=3 wait=1000
        cancel 1
        ",
        expect![[r#"
            > push mail one
              1 Ready
            > reserve mail by=3
              gets 1/1 one
            > revoked by=3 wait=1000
            > revoked by=3 wait=1000
            > cancel 1
              1 Cancelled, epoch 1
              revoked: 1/1
              revoked: 1/1
              note of 1 Cancelled, epoch 1
        "#]],
    );
}

#[test]
fn j15_what_was_revoked_is_reported_again_if_the_answer_came_too_late() {
    check(
        "
        push mail one
        reserve mail by=3
        revoked by=3 wait=1000
        cancel 1
        again 1/1 by=3
        revoked by=3 wait=1000
        revoked by=3 wait=1000
        again by=3
        again 1/1 1/1 2/1 1/1 by=3
        again 2/1 1/1 by=3
        again 1/1 by=3
        revoked by=3 wait=1000
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
            > again 1/1 by=3
            > revoked by=3 wait=1000
              revoked: 1/1
            > revoked by=3 wait=1000
            > again by=3
            > again 1/1 1/1 2/1 1/1 by=3
              revoked: 1/1, 2/1
            > again 2/1 1/1 by=3
            > again 1/1 by=3
            > revoked by=3 wait=1000
              revoked: 1/1, 2/1
        "#]],
    );
}
