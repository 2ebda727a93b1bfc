//! A turn does a bounded amount of work, and the next one continues.

use expect_test::expect;

use super::script::check_with;
use super::*;

/// Regression: a thousand requests for a thousand jobs each were answered in one turn, which blocked
/// the queue.
#[test]
fn a_turn_hands_out_a_slice() {
    let config = QueueConfig { slice_max: 2, ..steady() };
    check_with(
        config,
        "
        pause mail
        pause post
        reserve mail credits=9 wait=100
        reserve post credits=9 wait=100
        push mail one times=3
        push post two times=1
        resume mail
        resume post
        later 0
        later 0
        ",
        expect![[r#"
            > pause mail
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > pause post
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > reserve mail credits=9 wait=100
            > reserve post credits=9 wait=100
            > push mail one times=3
              1 Ready, 2 Ready, 3 Ready
            > push post two times=1
              4 Ready
            > resume mail
              pushed 3 = ready 3 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
              gets 1/1 one, 2/1 one
            > resume post
              pushed 1 = ready 1 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
              gets 4/1 two
            > later 0
            > later 0
        "#]],
    );
}

/// Regression: so did a connection that held all jobs when it closed.
#[test]
fn a_turn_takes_a_slice_from_who_is_gone() {
    let config = QueueConfig { slice_max: 2, ..steady() };
    check_with(
        config,
        "
        push mail one times=5
        reserve mail credits=9 by=4
        later 0
        later 0
        gone by=4
        topic mail
        later 0
        topic mail
        later 0
        topic mail
        reserve mail
        ",
        expect![[r#"
            > push mail one times=5
              1 Ready, 2 Ready, 3 Ready, 4 Ready, 5 Ready
            > reserve mail credits=9 by=4
              gets 1/1 one, 2/1 one
            > later 0
            > later 0
            > gone by=4
            > topic mail
              pushed 5 = ready 5 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > later 0
            > topic mail
              pushed 5 = ready 5 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > later 0
            > topic mail
              pushed 5 = ready 5 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > reserve mail
              gets 1/2 one
        "#]],
    );
}

/// Regression: each slice of a clear walked all jobs before it.
#[test]
fn j9_a_clear_goes_on_where_it_stopped() {
    let config = QueueConfig { slice_max: 2, list_looked_at_max: 3, ..steady() };
    check_with(
        config,
        "
        push post other delay=90 times=4
        push mail one delay=90 times=3
        push post other delay=90
        push mail one delay=90
        clear mail
        clear mail
        clear mail
        clear mail
        clear mail
        topic mail
        topic post
        ",
        expect![[r#"
            > push post other delay=90 times=4
              1 Delayed, 2 Delayed, 3 Delayed, 4 Delayed
            > push mail one delay=90 times=3
              5 Delayed, 6 Delayed, 7 Delayed
            > push post other delay=90
              8 Delayed
            > push mail one delay=90
              9 Delayed
            > clear mail
              0 changed, and there are more
            > clear mail
              2 changed, and there are more
              cleared 5
              cleared 6
            > clear mail
              2 changed
              cleared 7
              cleared 9
            > clear mail
              0 changed
            > clear mail
              0 changed
            > topic mail
              pushed 4 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 4
            > topic post
              pushed 5 = ready 0 + delayed 5 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// Regression: if all jobs of a topic had one order key, each took a request, a record and a line of
/// the audit log.
#[test]
fn j9_a_clear_takes_a_slice_of_jobs_whatever_their_order_keys_are() {
    let config = QueueConfig { slice_max: 3, ..steady() };
    check_with(
        config,
        "
        push post one key=k times=4
        clear post
        clear post
        push mail one key=k times=3
        push mail two times=2
        reserve mail
        clear mail
        clear mail
        topic mail
        ",
        expect![[r#"
            > push post one key=k times=4
              1 Ready, 2 Ready, 3 Ready, 4 Ready
            > clear post
              3 changed, and there are more
              cleared 1
              cleared 2
              cleared 3
            > clear post
              1 changed
              cleared 4
            > push mail one key=k times=3
              5 Ready, 6 Ready, 7 Ready
            > push mail two times=2
              8 Ready, 9 Ready
            > reserve mail
              gets 5/1 one
            > clear mail
              3 changed, and there are more
              cleared 8
              cleared 9
              cleared 6
            > clear mail
              1 changed
              cleared 7
            > topic mail
              pushed 5 = ready 0 + delayed 0 + reserved 1 + done 0 + dead 0 + evicted 0 + cancelled 4
        "#]],
    );
}
