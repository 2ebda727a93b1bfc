//! J10 with a wrong time of day.

use expect_test::expect;

use crate::config::QueueConfig;
use crate::queue::tests::script::{check, check_with};
use crate::queue::tests::{ms, steady};

#[test]
fn j10_a_jump_of_the_time_of_day_makes_what_is_due_due_and_gives_up_nothing_for_its_age() {
    let aging = || QueueConfig { dead_age_max: ms(1_000), outcomes_age_max: ms(1_000), ..steady() };
    check_with(
        aging(),
        "
        push mail hopeless
        push mail sent index=once unique=500
        push mail later delay=5000
        reserve mail credits=2
        fail 1/1 wrong
        done 2/1
        jump 1000000
        reserve mail
        push mail again index=once unique=500
        get 1
        get 2
        later 499
        push mail again index=once unique=500
        later 2
        push mail again index=once unique=500
        later 500
        get 1
        get 2
        ",
        expect![[r#"
            > push mail hopeless
              1 Ready
            > push mail sent index=once unique=500
              2 Ready
            > push mail later delay=5000
              3 Delayed
            > reserve mail credits=2
              gets 1/1 hopeless, 2/1 sent
            > fail 1/1 wrong
              note of 1 Dead, epoch 1, 1 failures, 0 losses, errors ["wrong"]
            > done 2/1
              result of 2 Done, epoch 1, output 
            > jump 1000000
            > reserve mail
              gets 3/1 later
            > push mail again index=once unique=500
              2 Done already
            > get 1
              1 Dead, epoch 1, 1 failures, 0 losses, payload hopeless, errors ["wrong"]
            > get 2
              2 Done, epoch 1, output , outcome 2
            > later 499
            > push mail again index=once unique=500
              2 Done already
            > later 2
            > push mail again index=once unique=500
              4 Ready
            > later 500
            > get 1
              no job is known by the id 1; it was never pushed, or its outcome is no longer kept
            > get 2
              no job is known by the id 2; it was never pushed, or its outcome is no longer kept
        "#]],
    );
}

#[test]
fn j10_a_start_behind_the_records_goes_by_the_time_of_day_and_keeps_the_order() {
    check(
        "
        jump 8000000
        push mail first
        push mail urgent priority=9
        back 7999000
        restart
        push mail second
        push mail third priority=1
        snapshot
        restart
        reserve mail credits=9
        ",
        expect![[r#"
            > jump 8000000
            > push mail first
              1 Ready
            > push mail urgent priority=9
              2 Ready
            > back 7999000
            > restart
            > push mail second
              3 Ready
            > push mail third priority=1
              4 Ready
            > snapshot
            > restart
            > reserve mail credits=9
              gets 2/1 urgent, 4/1 third, 1/1 first, 3/1 second
        "#]],
    );
}
